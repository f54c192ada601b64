"""Bookmarks: which value of a replication key is an instant, and which one becomes the bookmark."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.sdk_extensions.logs import StreamLogger
from tap_kissmetrics.sdk_extensions.state import InstantStateManager, parse_instant
from tests.support.examples import examples

START = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
KEY = "updated_at"


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2024-01-01T09:00:00+02:00", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01T09:00:00+0200", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01T07:00:00Z", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01 07:00:00.5", "2024-01-01T07:00:00.500000+00:00"),
        ("2024-01-01", "2024-01-01T00:00:00+00:00"),
    ],
)
def test_an_instant_is_iso_8601_in_utc_where_there_is_no_offset(value: str, instant: str) -> None:
    found = parse_instant(value)
    assert found
    assert found.isoformat() == instant


@pytest.mark.parametrize(
    "value",
    [None, "", "never", "2024-13-01", "12:00", "1711110512345", "2024-W01-1", 17, [], "0001-01-01T00:00:00+23:59"],
    ids=repr,
)
def test_anything_else_is_no_instant(value: object) -> None:
    assert parse_instant(value) is None


def old(value: str, key: str = KEY) -> dict[str, Any]:
    """Make the state of a sync before."""
    return {"bookmarks": {"events": {"replication_key": key, "replication_key_value": value}}}


def manager(state: Any) -> InstantStateManager:
    """The bookmarks of a stream, in a sync that began at `START`."""
    logger = StreamLogger(logging.getLogger("unit"), "events")
    return InstantStateManager(
        stream_name="events", tap_state=state, tap_name="tap-unit", sync_start=START, logger=logger
    )


def read(bookmarks: InstantStateManager, values: list[Any]) -> str | None:
    """Read records with these values to the end of the stream; return the bookmark."""
    for value in values:
        bookmarks.increment_state({KEY: value}, replication_key=KEY)
    state = bookmarks.get_context_state(None)
    bookmarks.finalize_state(state)
    return state.get("replication_key_value")


@pytest.mark.parametrize(
    ("values", "bookmark"),
    [
        (["2024-01-01T09:00:00+02:00", "2024-01-01T08:00:00Z"], "2024-01-01T08:00:00Z"),
        (["2024-01-01T08:00:00Z", "2024-01-01T10:00:00+02:00"], "2024-01-01T08:00:00Z"),
        ([None, "never", 17, "2024-01-01", "zzz"], "2024-01-01"),
        (["2024-06-01T00:00:00Z"], "2024-06-01T00:00:00Z"),
        (["2024-01-01", "2024-06-01T00:00:01Z", "9999-12-31"], "2024-01-01"),
    ],
)
def test_the_latest_instant_is_the_bookmark(values: list[Any], bookmark: str | None) -> None:
    """As the API wrote it; none later than the start of the sync."""
    assert read(manager({}), values) == bookmark


@pytest.mark.parametrize(
    ("state", "bookmark"),
    [(old("2024-02-01"), "2024-02-01"), (old("2023-12-31"), "2024-01-01"), (old("2024-02-01", "other"), "2024-01-01")],
)
def test_a_bookmark_only_moves_forward_from_that_of_the_same_key(state: dict[str, Any], bookmark: str) -> None:
    assert read(manager(state), ["2024-01-01"]) == bookmark


@pytest.mark.parametrize(
    ("date", "elapsed", "bookmark"),
    [
        ("Fri, 31 May 2024 23:00:00 GMT", 0, None),
        ("Fri, 31 May 2024 23:30:10 GMT", 10, "2024-05-31T23:30:00Z"),
        ("Fri, 31 May 2024 23:30:10 GMT", 11, None),
        ("Sat, 01 Jun 2024 05:00:00 GMT", 0, "2024-05-31T23:30:00Z"),
        (None, 0, "2024-05-31T23:30:00Z"),
        ("today", 0, "2024-05-31T23:30:00Z"),
        ("Mon, 01 Jan 99999999999999999999 00:00 GMT", 0, "2024-05-31T23:30:00Z"),
    ],
)
def test_the_earlier_of_two_clocks_counts(date: str | None, elapsed: float, bookmark: str | None) -> None:
    """That of the server as it was when the request was sent; nonsense is no clock."""
    bookmarks = manager({})
    bookmarks.observe_server_clock(date, dt.timedelta(seconds=elapsed))
    assert read(bookmarks, ["2024-05-31T23:30:00Z", "2024-06-01T01:00:00Z"]) == bookmark


def test_a_bookmark_that_is_held_stays_until_it_is_released() -> None:
    """Records were read that no file names yet."""
    bookmarks = manager(old("2024-01-01"))
    bookmarks.hold = True
    assert read(bookmarks, ["2024-02-01"]) == "2024-01-01"
    bookmarks.release()
    assert bookmarks.get_context_state(None)["replication_key_value"] == "2024-02-01"


def test_each_defect_of_a_value_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    read(manager({}), [None, None, "never", 17, "9999-12-31", "9999-12-31", "2024-01-01"])
    assert [message.partition(" that is ")[2].partition(":")[0] for message in caplog.messages] == [
        "null",
        "not a date-time",
        "in the future",
    ]


ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


@examples(100)
@given(st.lists(st.datetimes(dt.datetime(2023, 12, 1), dt.datetime(2024, 7, 1), timezones=ZONES), max_size=8))  # noqa: DTZ001
def test_any_instants(instants: list[dt.datetime]) -> None:
    """The latest that is not after the start of the sync."""
    found = read(manager({}), [each.isoformat() for each in instants])
    past = [each for each in instants if each <= START]
    assert (parse_instant(found) if found else None) == max(past, default=None)
