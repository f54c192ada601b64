"""Date ranges of the Core API, which knows two dates only: its presets, in the time zone of a product."""

from __future__ import annotations

import datetime as dt
import typing as t
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tap_kissmetrics.sdk_extensions.state import parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DAY: t.Final = dt.timedelta(days=1)


def _last_month(today: dt.date) -> tuple[dt.date, dt.date]:
    last_day = today.replace(day=1) - _DAY
    return last_day.replace(day=1), last_day


PRESETS: t.Final[dict[str, Callable[[dt.date], tuple[dt.date, dt.date]]]] = {
    "today": lambda today: (today, today),
    "yesterday": lambda today: (today - _DAY, today - _DAY),
    "last_7_days": lambda today: (today - 6 * _DAY, today),
    "last_30_days": lambda today: (today - 29 * _DAY, today),
    "this_month_to_date": lambda today: (today.replace(day=1), today),
    "last_month": _last_month,
}
"""The first and the last day of each preset."""


def describe_core_range_error(value: Mapping[str, t.Any]) -> str | None:
    """Describe what is wrong with a date range for the Core API; None if nothing is."""
    if value.keys() == {"type", "preset"} and value["type"] == "preset":
        preset = value["preset"]
        return None if isinstance(preset, str) and preset in PRESETS else f"its preset must be one of {_NAMES}"
    start, end = (parse_instant(value.get(name)) for name in ("start_date", "end_date"))
    if value.keys() != {"start_date", "end_date"} or not start or not end:
        return (
            'must be {"start_date": ..., "end_date": ...} where api is core, each an ISO 8601 date or date-time, '
            f'or {{"type": "preset", "preset": ...}} with {_NAMES}'
        )
    is_same_day = len(value["end_date"]) == len("2024-01-31") and end.date() == start.date()
    return "its end_date is before its start_date" if end < start and not is_same_day else None


_NAMES: t.Final = ", ".join(PRESETS)


def find_zone(name: object) -> dt.tzinfo | None:
    """Return the time zone with a name such as "US/Pacific"; None if there is none."""
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return None


def resolve_preset(preset: str, now: dt.datetime, zone: dt.tzinfo) -> tuple[str, str]:
    """Return the first and the last second of a preset, which is of whole days in a time zone."""
    first, last = PRESETS[preset](now.astimezone(zone).date())
    start = dt.datetime.combine(first, dt.time.min, zone)
    # fold: where clocks go back at midnight, the last hour comes twice.
    end = dt.datetime.combine(last, dt.time(23, 59, 59, fold=1), zone)
    return start.isoformat(), end.isoformat()
