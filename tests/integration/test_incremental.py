"""INCREMENTAL: what is emitted is at or after the bookmark, by instant, and the bookmark passes nothing."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import RESOURCES, Account, Fault, Sandbox, faults, make_account
from tests.support.catalogs import KEYS, at_or_after, choose, ids, instant
from tests.support.examples import examples
from tests.support.run import write_json
from tests.support.tap import run_tap, sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Record, Request, Response
    from tests.support.run import Run


CHOICES = [(stream, key) for stream, keys in KEYS.items() for key in keys]


def bookmark_of(run: Run, stream: str) -> dict[str, Any]:
    """Give the bookmark of a stream in the last STATE."""
    bookmark: dict[str, Any] = run.state["bookmarks"][stream]
    return bookmark


class TestChoice:
    """Any stream may be switched; FULL_TABLE is the default."""

    def test_catalog_lists_the_keys(self, tmp_path: Path) -> None:
        discovered = json.loads(run_tap("--discover", folder=tmp_path).succeeded().stdout)
        assert {entry["tap_stream_id"] for entry in discovered["streams"]} == set(RESOURCES)
        for entry in discovered["streams"]:
            (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
            assert sorted(root["valid-replication-keys"]) == sorted(KEYS.get(entry["tap_stream_id"], ()))
            assert entry["replication_method"] == "FULL_TABLE"
            assert entry.get("replication_key") is None

    @pytest.mark.parametrize(
        ("stream", "key", "place"),
        [*((*choice, "metadata") for choice in CHOICES), ("events", KEYS["events"][0], "entry")],
    )
    def test_second_run_emits_what_is_at_or_after_the_bookmark(
        self, stream: str, key: str, place: str, sandbox: Sandbox
    ) -> None:
        catalog = choose(**{stream: key})
        if place == "entry":
            catalog = choose(**{stream: None})
            (entry,) = [e for e in catalog["streams"] if e["tap_stream_id"] == stream]
            (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
            del root["replication-method"]
            entry |= {"replication_method": "INCREMENTAL", "replication_key": key}
        records = sandbox.account.records[stream]

        first = sync_here(sandbox, catalog=catalog)
        assert ids(first.records(stream)) == ids(records)
        latest = max((r[key] for r in records if r[key]), key=instant)
        assert bookmark_of(first, stream) == {"replication_key": key, "replication_key_value": latest}

        again = sync_here(sandbox, catalog=catalog, state=first.state)
        assert ids(again.records(stream)) == at_or_after(records, key, latest)
        assert len(again.records(stream)) < len(records)
        assert again.state == first.state

        # One changes, one is new, one is new and older than the bookmark: that is what this method misses.
        records[0] = changed = {**records[0], key: "2023-05-06T09:08:07+02:00"}
        new = sandbox.account.insert(stream, 1, {**sandbox.account.fresh(stream), key: "2023-05-06T07:08:06.9Z"})
        old = sandbox.account.insert(stream, 2, {**sandbox.account.fresh(stream), key: "2001-01-01T00:00:00Z"})
        third = sync_here(sandbox, catalog=catalog, state=again.state)
        emitted = ids(third.records(stream))
        assert emitted == at_or_after(records, key, latest)
        assert {changed["id"], new["id"]} <= set(emitted)
        assert old["id"] not in emitted
        assert bookmark_of(third, stream)["replication_key_value"] == changed[key]

    def test_another_key_starts_anew(self, sandbox: Sandbox) -> None:
        first = sync_here(sandbox, catalog=choose(events="last_sent_at"))
        second = sync_here(sandbox, catalog=choose(events="last_used_at"), state=first.state)
        assert ids(second.records("events")) == sandbox.account.ids("events")
        assert bookmark_of(second, "events")["replication_key"] == "last_used_at"


# A value of the replication key as the API may send it, and the instant that it stands for; None for no instant.
Value = tuple[str | int | None, dt.datetime | None]


def written(instant: dt.datetime, offset: int, style: str) -> str:
    """Write an instant in UTC as APIs do, with the offset of a time zone in minutes.

    The styles "Z" and "-00:00" are for an offset of 0; "basic" has no colon in the offset.
    """
    zone = dt.timezone(dt.timedelta(minutes=offset))
    text = instant.astimezone(zone).isoformat()
    if not offset and style in {"Z", "z", "naive", "-00:00"}:
        return text.removesuffix("+00:00") + style.removeprefix("naive").upper()
    if style == "basic":
        return text[:-3] + text[-2:]
    return text.replace("T", " ") if style == "space" else text


@st.composite
def dates(draw: st.DrawFn) -> Value:
    """Date-times of the past, in any offset."""
    days = st.datetimes(dt.datetime(2023, 12, 30), dt.datetime(2024, 1, 3), timezones=st.just(dt.UTC))  # noqa: DTZ001
    instant = draw(days)
    if draw(st.booleans()):
        instant = instant.replace(microsecond=0)
    offset = draw(st.sampled_from([0, 0, 60, 120, 330, 345, -300, -570, 840, -720]))
    style = draw(st.sampled_from(["Z", "naive", "-00:00", "basic", "space", "usual"]))
    return written(instant, offset, style), instant


def future(days: int) -> Value:
    """A date-time that lies ahead of the sync."""
    then = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    return then.isoformat(), then


NO_DATES = st.sampled_from([None, "", "never", "2024-13-01T00:00:00Z", "0000-00-00 00:00:00", "12:00", "[]"])
values = st.lists(
    st.one_of(dates(), dates(), NO_DATES.map(lambda text: (text, None)), st.integers(1, 10**5).map(future)),
    max_size=12,
)


@pytest.fixture(scope="module")
def roomy() -> Iterator[Sandbox]:
    """A sandbox for many runs; each sets what is served."""
    with Sandbox() as running:
        yield running


@pytest.mark.no_cover  # traced, it takes twice as long
@examples(3)
@given(nights=st.lists(values, min_size=2, max_size=4))
def test_any_dates_on_any_nights(roomy: Sandbox, nights: list[list[Value]]) -> None:
    """Emitted is what is no date or not older than the bookmark, and the bookmark is the latest instant so far."""
    roomy.account = make_account(events=60)
    template: list[Record] = roomy.account.records["events"]
    catalog, state, bookmark = choose(events="last_sent_at"), None, None
    for night in nights:
        events = [{**old, "last_sent_at": text} for old, (text, _) in zip(template, night, strict=False)]
        roomy.account.records["events"] = events
        run = sync_here(roomy, catalog=catalog, state=state, page_size=5)
        wanted = [e["id"] for e, (_, at) in zip(events, night, strict=True) if not (at and bookmark and at < bookmark)]
        assert ids(run.records("events")) == wanted
        now = dt.datetime.now(dt.UTC)
        past = [at for _, at in night if at and at <= now]
        bookmark = max([*past, bookmark] if bookmark else past, default=None)
        state = run.state
        said = state["bookmarks"]["events"].get("replication_key_value")
        at = said and instant(said)
        assert (at.replace(tzinfo=at.tzinfo or dt.UTC) if at else None) == bookmark


class TestStartDate:
    """`start_date` is where a stream without a bookmark begins, if it is INCREMENTAL."""

    START = "2019-01-01T01:00:00+02:00"

    def test_cuts_incremental_streams(self, sandbox: Sandbox) -> None:
        catalog = choose(**{stream: keys[0] for stream, keys in KEYS.items()})
        run = sync_here(sandbox, catalog=catalog, start_date=self.START)
        for stream, keys in KEYS.items():
            records = sandbox.account.records[stream]
            assert ids(run.records(stream)) == at_or_after(records, keys[0], self.START), stream
        assert len(run.records("events")) < len(sandbox.account.records["events"])

    def test_is_inclusive(self, sandbox: Sandbox) -> None:
        event = {**sandbox.account.records["events"][0], "last_sent_at": "2018-12-31T23:00:00Z"}
        older = {**sandbox.account.records["events"][1], "last_sent_at": "2018-12-31T22:59:59.999999Z"}
        sandbox.account.records["events"] = [event, older]
        run = sync_here(sandbox, catalog=choose(events="last_sent_at"), start_date=self.START)
        assert ids(run.records("events")) == [event["id"]]

    def test_never_cuts_full_table_streams(self, sandbox: Sandbox) -> None:
        run = sync_here(sandbox, catalog=choose(**dict.fromkeys(RESOURCES)), start_date="2999-01-01T00:00:00Z")
        for stream in RESOURCES:
            assert ids(run.records(stream)) == sandbox.account.ids(stream)

    @pytest.mark.parametrize(
        ("start", "begins"), [("2001-01-01", "2017-01-01T00:00:00Z"), ("2019-01-01", "2019-01-01T00:00:00Z")]
    )
    def test_the_later_of_it_and_the_bookmark_counts(self, start: str, begins: str, sandbox: Sandbox) -> None:
        bookmark = {"replication_key": "last_sent_at", "replication_key_value": "2017-01-01T00:00:00Z"}
        state = {"bookmarks": {"events": bookmark}}
        run = sync_here(sandbox, catalog=choose(events="last_sent_at"), state=state, start_date=start)
        assert ids(run.records("events")) == at_or_after(sandbox.account.records["events"], "last_sent_at", begins)


def test_null_keys_log_one_line_per_stream(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not one per record."""
    for stream in ("events", "properties"):
        for record in sandbox.account.records[stream][::2]:
            record["last_sent_at"] = None
    catalog = write_json(tmp_path / "catalog.json", choose(events="last_sent_at", properties="last_sent_at"))
    run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
    lines = [line for line in run.stderr.splitlines() if "last_sent_at that is null" in line]
    assert ["events" in line for line in lines] == [True, False], run.stderr
    assert "properties" in lines[1]


def test_clock_of_the_server_may_be_behind(sandbox: Sandbox) -> None:
    """What changed while the list was read may have been read before it changed: by the clock that wrote the dates."""
    now = dt.datetime.now(dt.UTC)
    server = now - dt.timedelta(hours=1)

    def set_clock(_request: Request, response: Response) -> Response:
        response.headers["Date"] = email.utils.format_datetime(server, usegmt=True)
        return response

    before, after = ((server + dt.timedelta(minutes=n)).isoformat() for n in (-1, 1))
    events = sandbox.account.records["events"]
    events[3]["last_sent_at"], events[5]["last_sent_at"] = after, before
    sandbox.faults.append(Fault("clock", answer=set_clock))
    run = sync_here(sandbox, catalog=choose(events="last_sent_at"))
    assert bookmark_of(run, "events")["replication_key_value"] == before


def test_catalog_without_formats_is_no_crash(account: Account, sandbox: Sandbox, tmp_path: Path) -> None:
    """A schema of the user's own (Meltano's `schema` extra) may call the key plain text."""
    catalog = choose(events="last_sent_at")
    (events,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "events"]
    del events["schema"]["properties"]["last_sent_at"]["format"]
    path = write_json(tmp_path / "catalog.json", catalog)
    first = sync(sandbox, tmp_path, "--catalog", path).succeeded()
    state = write_json(tmp_path / "state.json", first.state)
    second = sync(sandbox, tmp_path, "--catalog", path, "--state", state).succeeded()
    bookmark = bookmark_of(first, "events")["replication_key_value"]
    assert ids(second.records("events")) == at_or_after(account.records["events"], "last_sent_at", bookmark)


def test_the_clock_of_a_failed_response_does_not_count(sandbox: Sandbox) -> None:
    """It may be that of a proxy, which is years behind."""
    sandbox.faults += [faults.status(502, nth=1), faults.header("Date", "Mon, 01 Jan 2001 00:00:00 GMT", nth=1)]
    run = sync_here(sandbox, catalog=choose(accounts="updated_at"))
    newest = max(record["updated_at"] for record in sandbox.account.records["accounts"])
    assert bookmark_of(run, "accounts")["replication_key_value"] == newest
