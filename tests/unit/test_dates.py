"""The presets of the Core API: whole days in the time zone of the product."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.apis import PRESETS, describe_core_range_error, find_zone, resolve_preset


@pytest.mark.parametrize(
    ("preset", "now", "zone", "start", "end"),
    [
        ("today", "2024-05-15T06:59", "US/Pacific", "2024-05-14T00:00:00-07:00", "2024-05-14T23:59:59-07:00"),
        ("today", "2024-05-15T16:00", "Asia/Tokyo", "2024-05-16T00:00:00+09:00", "2024-05-16T23:59:59+09:00"),
        # A day of 23 hours.
        ("today", "2024-03-10T20:00", "US/Pacific", "2024-03-10T00:00:00-08:00", "2024-03-10T23:59:59-07:00"),
        # Clocks that go back at midnight: 23:59:59 comes twice, and the day ends with the second one.
        ("today", "2018-02-17T20:00", "America/Sao_Paulo", "2018-02-17T00:00:00-02:00", "2018-02-17T23:59:59-03:00"),
        ("yesterday", "2024-03-01T12:00", "UTC", "2024-02-29T00:00:00+00:00", "2024-02-29T23:59:59+00:00"),
        ("last_7_days", "2024-03-12T20:00", "US/Pacific", "2024-03-06T00:00:00-08:00", "2024-03-12T23:59:59-07:00"),
        ("last_30_days", "2024-03-01T12:00", "UTC", "2024-02-01T00:00:00+00:00", "2024-03-01T23:59:59+00:00"),
        ("this_month_to_date", "2024-03-01T07:59", "US/Pacific",
         "2024-02-01T00:00:00-08:00", "2024-02-29T23:59:59-08:00"),
        ("last_month", "2024-01-01T07:00", "US/Pacific", "2023-11-01T00:00:00-07:00", "2023-11-30T23:59:59-08:00"),
    ],
)  # fmt: skip
def test_a_preset_ends_with_the_last_second_of_its_last_day(
    preset: str, now: str, zone: str, start: str, end: str
) -> None:
    found = find_zone(zone)
    assert found
    assert resolve_preset(preset, dt.datetime.fromisoformat(f"{now}:00+00:00"), found) == (start, end)


@given(
    st.sampled_from(list(PRESETS)),
    st.datetimes(min_value=dt.datetime(2010, 1, 1), max_value=dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    st.sampled_from(["US/Pacific", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_every_preset_is_a_range(preset: str, now: dt.datetime, name: str) -> None:
    zone = find_zone(name)
    assert zone
    start, end = resolve_preset(preset, now, zone)
    assert describe_core_range_error({"start_date": start, "end_date": end}) is None
    first, last = dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end)
    assert last - first >= dt.timedelta(hours=22)
    if preset in {"today", "last_7_days", "last_30_days", "this_month_to_date"}:
        assert first <= now <= last + dt.timedelta(seconds=1)


def test_time_zones_come_with_the_tap() -> None:
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        zone = find_zone("US/Pacific")
        assert zone
        assert zone.utcoffset(dt.datetime(2024, 7, 1)) == dt.timedelta(hours=-7)  # noqa: DTZ001
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    "name", [None, "", "Nowhere/City", "America", "../etc/passwd", "/etc/localtime", "a\0", "ü" * 300]
)
def test_no_name_is_looked_up_anywhere_but_among_time_zones(name: object) -> None:
    assert find_zone(name) is None


@pytest.mark.parametrize(
    ("start", "end", "is_range"),
    [
        ("2024-01-31", "2024-01-31", True),
        ("2024-01-31T10:00:00Z", "2024-01-31", True),
        ("2024-01-31T10:00:00Z", "2024-01-30", False),
        ("2024-01-01T00:00:00-08:00", "2024-01-01T08:00:00Z", True),
        ("2024-01-01T00:00:00-08:00", "2024-01-01T07:59:59Z", False),
        ("2024-02-30", "2024-03-01", False),
        (None, "2024-03-01", False),
    ],
)
def test_a_day_without_a_time_of_day_is_part_of_its_range(start: object, end: object, is_range: bool) -> None:  # noqa: FBT001
    assert (describe_core_range_error({"start_date": start, "end_date": end}) is None) is is_range
