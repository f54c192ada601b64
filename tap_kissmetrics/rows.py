"""Rows of results → columns: the columns of all results and of metrics, and the names of the values of a row."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import typing as t

from singer_sdk import typing as th

from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.sdk_extensions.values import to_integer, to_json, to_number, to_text

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Record: t.TypeAlias = dict[str, t.Any]

MAX_BIGINT: t.Final = 2**63 - 1
"""What an integer column of most databases holds."""

MAX_UNIX_SECONDS: t.Final = 253_402_300_799
"""The last second of the year 9999."""

_is_date: t.Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?").fullmatch

_EPOCH: t.Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_NAME_KEYS: t.Final = ("display_name", "name")
"""Where an item of `columns` has the name of its column."""

ROW_KEY: t.Final = ("query_id", "position")

ROW_COLUMNS: t.Final = (
    th.Property("query_id", th.StringType, required=True, description="Query id assigned by the API."),
    th.Property("position", th.IntegerType, required=True, description="Position of the row in the result, from 0."),
    th.Property("data", th.StringType, description="The row as the API returns it, an object or an array, as JSON."),
    th.Property(
        "fields",
        th.StringType,
        description="The values of the row by the names of their columns, as a JSON object; null if unnamed.",
    ),
    th.Property(
        "columns",
        th.StringType,
        description="What the API reports about the columns of the row, as JSON; null if it reports nothing.",
    ),
    th.Property("extracted_at", th.DateTimeType, description="When the query was started."),
)
DATE_RANGE: t.Final = th.Property(
    "date_range", th.StringType, description="Date range of the query, as sent to the API, as JSON."
)

METRIC_COLUMNS: t.Final = (
    th.Property("timestamp", th.DateTimeType, description="The time of the value, in UTC."),
    th.Property("value", th.NumberType, description="The value of the metric."),
    th.Property("property_value", th.StringType, description="The value of the property: the segment."),
    th.Property("people_count", th.IntegerType, description="The number of people in the segment."),
)
"""The values of a row of a metric that have columns of their own."""


def json_or_none(value: object) -> str | None:
    """Encode a value as JSON; None stays None."""
    return None if value is None else to_json(value)


def column_names(columns: object) -> list[str]:
    """Return the names of the columns that a result describes, each once; none if it describes none."""
    return unique_names(map(_name_of, columns if isinstance(columns, list) else ()))


def _name_of(column: object) -> str:
    if isinstance(column, dict):
        given = (column.get(key) for key in _NAME_KEYS)
        column = next((name for name in given if name is not None and name != ""), None)
    return "" if column is None or isinstance(column, (dict, list)) else to_text(column)


def unique_names(names: Iterable[str]) -> list[str]:
    """Number the names that come twice, and name those that are empty by their position, from 1."""
    names = list(names)
    taken = {name for name in names if name.strip()}
    seen: set[str] = set()
    unique = []
    for position, name in enumerate(names, 1):
        is_empty = not name.strip()
        base = new = f"column_{position}" if is_empty else name
        if base in seen or (is_empty and base in taken):
            number = 2
            while (new := f"{base}_{number}") in taken:
                number += 1
        seen |= set() if is_empty else {name}
        taken.add(new)
        unique.append(new)
    return unique


def name_fields(row: object, names: list[str]) -> Record | None:
    """Return the values of a row by their names; None where the API does not name all of them.

    `names` are those of the result's columns. A row is an array, an object, or `{"identity", "columns": [...]}`.
    """
    if isinstance(row, list):
        return dict(zip(names, row, strict=True)) if names and len(names) == len(row) else None
    if not isinstance(row, dict):
        return None
    values = row.get("columns")
    if row.keys() == {"identity", "columns"} and isinstance(values, list) and names and len(names) == len(values):
        return dict(zip(unique_names(["identity", *names]), [row["identity"], *values], strict=True))
    return row


def metric_columns(fields: Record | None) -> Record:
    """Return the columns of a row of a metric: null where the row has no such value, or one that does not fit."""
    fields = fields or {}
    return {column: fit(fields.get(column)) for column, fit in _FITS.items()}


def _fit_timestamp(value: object) -> str | None:
    """Return a date-time with an offset; a number is Unix seconds."""
    if isinstance(value, str) and _is_date(value.strip()):
        instant = parse_instant(value.strip())
        return instant.isoformat() if instant else None
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return None
    seconds = decimal.Decimal(value)
    if abs(seconds) > MAX_UNIX_SECONDS:
        return None
    try:
        return (_EPOCH + dt.timedelta(microseconds=int(seconds * 1_000_000))).isoformat()
    except OverflowError:  # before the year 1
        return None


def _fit_integer(value: object) -> int | None:
    number = to_integer(value)
    return number if number is not None and abs(number) <= MAX_BIGINT else None


def _fit_text(value: object) -> str | None:
    return None if value is None else to_text(value)


_FITS: t.Final[dict[str, Callable[[t.Any], t.Any]]] = {
    "timestamp": _fit_timestamp,
    "value": to_number,
    "property_value": _fit_text,
    "people_count": _fit_integer,
}
