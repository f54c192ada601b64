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
        ("2024-01-01T07:00:00Z", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01T07:00:00", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01 07:00:00.5", "2024-01-01T07:00:00.500000+00:00"),
        ("2024-01-01T09:00:00+0200", "2024-01-01T07:00:00+00:00"),
        ("2024-01-01", "2024-01-01T00:00:00+00:00"),
    ],
)
def test_an_instant(value: str, instant: str) -> None:
    """ISO 8601, in UTC where there is no offset."""
    found = parse_instant(value)
    assert found
    assert found.isoformat() == instant


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "never",
        "2024-13-01",
        "0000-00-00",
        "12:00",
        "1711110512345",
        "2024-W01-1",
        17,
        True,
        [],
        "0001-01-01T00:00:00+23:59",
    ],
    ids=repr,
)
def test_no_instant(value: object) -> None:
    """Anything else, and what no calendar has."""
    assert parse_instant(value) is None


def manager(state: Any) -> InstantStateManager:
    """The bookmarks of a stream, in a sync that began at `START`."""
    logger = StreamLogger(logging.getLogger("unit"), "events")
    return InstantStateManager(
        stream_name="events", tap_state=state, tap_name="tap-unit", sync_start=START, logger=logger
    )


def bookmark_after(values: list[Any], state: dict[str, Any] | None = None, **options: Any) -> str | None:
    """The bookmark after records with these values, and the end of the stream."""
    state = {} if state is None else state
    bookmarks = manager(state)
    if "date" in options:
        bookmarks.observe_server_clock(options["date"], options.get("elapsed", dt.timedelta()))
    for value in values:
        bookmarks.increment_state({KEY: value}, replication_key=KEY)
    bookmarks.hold = options.get("hold", False)
    bookmarks.finalize_state(bookmarks.get_context_state(None))
    if options.get("release"):
        bookmarks.release()
    found: str | None = state["bookmarks"]["events"].get("replication_key_value")
    return found


@pytest.mark.parametrize(
    ("values", "bookmark"),
    [
        ([], None),
        (["2024-01-01T08:00:00Z"], "2024-01-01T08:00:00Z"),
        (["2024-01-01T08:00:00Z", "2024-01-01T09:00:00+02:00"], "2024-01-01T08:00:00Z"),
        (["2024-01-01T09:00:00+02:00", "2024-01-01T08:00:00Z"], "2024-01-01T08:00:00Z"),
        (["2024-01-01T08:00:00Z", "2024-01-01T10:00:00+02:00"], "2024-01-01T08:00:00Z"),
        (["2024-02-01", "2024-01-01", "2024-03-01", "2023-01-01"], "2024-03-01"),
        ([None, "never", 17, "2024-01-01", "zzz"], "2024-01-01"),
        (["2024-06-01T00:00:00Z"], "2024-06-01T00:00:00Z"),
        (["2024-01-01", "2024-06-01T00:00:01Z", "9999-12-31"], "2024-01-01"),
        (["9999-12-31"], None),
    ],
)
def test_the_latest_instant_is_the_bookmark(values: list[Any], bookmark: str | None) -> None:
    """As the API wrote it; none later than the start of the sync."""
    assert bookmark_after(values) == bookmark


@pytest.mark.parametrize(
    ("value", "bookmark"), [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-02-01"), ("2024-02-02", "2024-02-02")]
)
def test_a_bookmark_only_moves_forward(value: str, bookmark: str) -> None:
    """From that of the sync before."""
    old = {"replication_key": KEY, "replication_key_value": "2024-02-01"}
    assert bookmark_after([value], {"bookmarks": {"events": old}}) == bookmark


def test_a_bookmark_of_another_key_does_not_count() -> None:
    """It is of other dates."""
    old = {"replication_key": "created_at", "replication_key_value": "2024-05-01"}
    assert bookmark_after(["2024-01-01"], {"bookmarks": {"events": old}}) == "2024-01-01"


@pytest.mark.parametrize(
    ("date", "elapsed", "bookmark"),
    [
        ("Fri, 31 May 2024 23:00:00 GMT", 0, None),
        ("Fri, 31 May 2024 23:30:00 GMT", 0, "2024-05-31T23:30:00Z"),
        ("Fri, 31 May 2024 23:30:10 GMT", 10, "2024-05-31T23:30:00Z"),
        ("Fri, 31 May 2024 23:30:10 GMT", 11, None),
        ("Sat, 01 Jun 2024 05:00:00 GMT", 0, "2024-05-31T23:30:00Z"),
        *(
            (date, 0, "2024-05-31T23:30:00Z")
            for date in (None, "", "today", "Mon, 01 Jan 99999999999999999999 00:00 GMT")
        ),
    ],
)
def test_the_clock_of_the_server(date: str | None, elapsed: float, bookmark: str | None) -> None:
    """The earlier of two clocks counts, at the time when the request was sent; nonsense is no clock."""
    values = ["2024-05-31T23:30:00Z"]
    assert bookmark_after(values, date=date, elapsed=dt.timedelta(seconds=elapsed)) == bookmark


@pytest.mark.parametrize(("release", "bookmark"), [(False, "2024-01-01"), (True, "2024-02-01")])
def test_a_bookmark_that_is_held_stays_until_it_is_released(release: bool, bookmark: str) -> None:  # noqa: FBT001
    """Records were read that no file names yet."""
    old = {"replication_key": KEY, "replication_key_value": "2024-01-01"}
    state = {"bookmarks": {"events": old}}
    assert bookmark_after(["2024-02-01"], state, hold=True, release=release) == bookmark


def test_what_does_not_move_it_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each defect by one line."""
    caplog.set_level(logging.INFO)
    bookmark_after([None, None, "never", 17, "9999-12-31", "9999-12-31", "2024-01-01"])
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
    found = bookmark_after([each.isoformat() for each in instants])
    past = [each for each in instants if each <= START]
    assert (parse_instant(found) if found else None) == max(past, default=None)
