"""INCREMENTAL: what comes is at or after the bookmark, by instant; the bookmark passes nothing and is never lost."""

from __future__ import annotations

import copy
import datetime as dt
import email.utils
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk import Stream

from tests.sandbox import RESOURCES, Fault, Sandbox, faults, make_account
from tests.support.catalogs import KEYS, at_or_after, choose, ids, instant
from tests.support.examples import examples
from tests.support.process import live_tap
from tests.support.run import write_json
from tests.support.tap import attempt, run_tap, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Record, Request, Response
    from tests.support.run import Run

KEY = "last_sent_at"


def bookmark_of(run: Run, stream: str = "events") -> dict[str, Any]:
    """Give the bookmark of a stream in the last STATE."""
    bookmark: dict[str, Any] = run.state["bookmarks"][stream]
    return bookmark


def test_the_catalog_lists_the_keys_and_full_table_is_the_default(tmp_path: Path) -> None:
    discovered = json.loads(run_tap("--discover", folder=tmp_path).succeeded().stdout)
    assert {entry["tap_stream_id"] for entry in discovered["streams"]} == set(RESOURCES)
    for entry in discovered["streams"]:
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        assert sorted(root["valid-replication-keys"]) == sorted(KEYS.get(entry["tap_stream_id"], ()))
        assert entry["replication_method"] == "FULL_TABLE"
        assert entry.get("replication_key") is None


@pytest.mark.parametrize("place", ["metadata", "entry", "a schema without formats"])
def test_the_next_run_emits_what_is_at_or_after_the_bookmark(place: str, sandbox: Sandbox) -> None:
    """Wherever a catalog chooses the key, and whatever a schema of the user's own says of it."""
    catalog = choose(metrics="config_last_changed_at", events=None if place == "entry" else KEY)
    (entry,) = [each for each in catalog["streams"] if each["tap_stream_id"] == "events"]
    if place == "entry":
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        del root["replication-method"]
        entry |= {"replication_method": "INCREMENTAL", "replication_key": KEY}
    elif place != "metadata":
        del entry["schema"]["properties"][KEY]["format"]
    events = sandbox.account.records["events"]

    first = sync_here(sandbox, catalog=catalog)
    assert ids(first.records("events")) == ids(events)
    latest = max((event[KEY] for event in events if event[KEY]), key=instant)
    assert bookmark_of(first) == {"replication_key": KEY, "replication_key_value": latest}

    again = sync_here(sandbox, catalog=catalog, state=first.state)
    assert ids(again.records("events")) == at_or_after(events, KEY, latest)
    assert len(again.records("events")) < len(events)
    assert len(again.records("metrics")) < sandbox.account.counts["metrics"]
    assert again.state == first.state

    # One changes, one is new, one is new and older than the bookmark: that is what this method misses.
    events[0] = changed = {**events[0], KEY: "2023-05-06T09:08:07+02:00"}
    new = sandbox.account.insert("events", 1, {**sandbox.account.fresh("events"), KEY: "2023-05-06T07:08:06.9Z"})
    old = sandbox.account.insert("events", 2, {**sandbox.account.fresh("events"), KEY: "2001-01-01T00:00:00Z"})
    third = sync_here(sandbox, catalog=catalog, state=again.state)
    emitted = ids(third.records("events"))
    assert emitted == at_or_after(events, KEY, latest)
    assert {changed["id"], new["id"]} <= set(emitted)
    assert old["id"] not in emitted
    assert bookmark_of(third)["replication_key_value"] == changed[KEY]


def test_another_key_starts_anew(sandbox: Sandbox) -> None:
    first = sync_here(sandbox, catalog=choose(events=KEY))
    second = sync_here(sandbox, catalog=choose(events="last_used_at"), state=first.state)
    assert ids(second.records("events")) == sandbox.account.ids("events")
    assert bookmark_of(second)["replication_key"] == "last_used_at"


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


def test_start_date_cuts_incremental_streams_alone(sandbox: Sandbox) -> None:
    start = "2019-01-01T01:00:00+02:00"
    catalog = choose(**dict.fromkeys(RESOURCES) | {stream: keys[0] for stream, keys in KEYS.items()})
    run = sync_here(sandbox, catalog=catalog, start_date=start)
    for stream, records in sandbox.account.records.items():
        key = KEYS[stream][0] if stream in KEYS else None
        assert ids(run.records(stream)) == (at_or_after(records, key, start) if key else ids(records)), stream
    assert len(run.records("events")) < len(sandbox.account.records["events"])


@pytest.mark.parametrize(
    ("start", "begins"), [("2001-01-01", "2017-01-01T00:00:00Z"), ("2019-01-01", "2019-01-01T00:00:00Z")]
)
def test_the_later_of_start_date_and_bookmark_counts(start: str, begins: str, sandbox: Sandbox) -> None:
    bookmark = {"replication_key": KEY, "replication_key_value": "2017-01-01T00:00:00Z"}
    state = {"bookmarks": {"events": bookmark}}
    run = sync_here(sandbox, catalog=choose(events=KEY), state=state, start_date=start)
    assert ids(run.records("events")) == at_or_after(sandbox.account.records["events"], KEY, begins)


def test_the_clock_of_a_server_that_is_behind_counts(sandbox: Sandbox) -> None:
    """What changed while the list was read may have been read before it changed: by the clock that wrote the dates."""
    server = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)

    def set_clock(_request: Request, response: Response) -> Response:
        response.headers["Date"] = email.utils.format_datetime(server, usegmt=True)
        return response

    before, after = ((server + dt.timedelta(minutes=n)).isoformat() for n in (-1, 1))
    events = sandbox.account.records["events"]
    events[3][KEY], events[5][KEY] = after, before
    sandbox.faults.append(Fault("clock", answer=set_clock))
    assert bookmark_of(sync_here(sandbox, catalog=choose(events=KEY)))["replication_key_value"] == before


def test_the_clock_of_a_failed_response_does_not_count(sandbox: Sandbox) -> None:
    """It may be that of a proxy, which is years behind."""
    sandbox.faults += [faults.status(502, nth=1), faults.header("Date", "Mon, 01 Jan 2001 00:00:00 GMT", nth=1)]
    run = sync_here(sandbox, catalog=choose(accounts="updated_at"))
    newest = max(record["updated_at"] for record in sandbox.account.records["accounts"])
    assert bookmark_of(run, "accounts")["replication_key_value"] == newest


@pytest.fixture
def long() -> Iterator[Sandbox]:
    """A sandbox whose events are several pages of ten."""
    with Sandbox(make_account(reports=5, events=60, properties=9, metrics=6)) as running:
        yield running


@pytest.mark.parametrize(
    ("number", "first"),
    [(None, False), (signal.SIGTERM, False), (signal.SIGKILL, False), (signal.SIGKILL, True)],
    ids=["the API fails", "SIGTERM", "SIGKILL", "SIGKILL in the first sync"],
)
def test_what_changed_comes_with_the_sync_that_dies_or_with_the_next(
    number: signal.Signals | None,
    first: bool,  # noqa: FBT001
    long: Sandbox,
    tmp_path: Path,
) -> None:
    chosen = {"events": KEY, "properties": KEY, "reports": None}
    state = {} if first else sync_here(long, catalog=choose(**chosen)).state
    wanted = {stream: list(long.account.records[stream]) for stream in chosen}
    for stream in () if first else ("events", "properties"):
        # The first to be read is the latest: the bookmark must not go there while the others are still to come.
        records = long.account.records[stream]
        for position, hour in ((0, 23), (len(records) // 2, 12), (len(records) - 1, 11)):
            records[position] = {**records[position], KEY: f"2024-01-01T{hour}:00:00Z"}
        long.account.insert(stream, 1, {**long.account.fresh(stream), KEY: "2024-01-01T00:10:00Z"})
        wanted[stream] = [record for record in records if (record[KEY] or "") > "2024"]

    def die(_sandbox: Sandbox, request: Request) -> None:
        if number and request.resource == "events" and request.query["offset"] > "25":
            tap.process.send_signal(number)

    long.on_request(die)
    long.faults.append(
        faults.hang(resource="events", skip=3) if number else faults.status(500, resource="events", skip=3)
    )
    given = {"catalog": choose(**chosen), "state": state}
    options = [part for name in given for part in (f"--{name}", write_json(tmp_path / name, given[name]))]
    with live_tap(long, tmp_path, *options, page_size=10, request_timeout=60, retry_timeout=0) as tap:
        assert tap.ends(b"").code != 0
        # What is at hand of a run that died: its whole lines.
        messages = [json.loads(line) for line in tap.written.decode().split("\n")[:-1]]
    long.faults.clear()
    broken = {
        stream: [m["record"] for m in messages if m["type"] == "RECORD" and m["stream"] == stream] for stream in chosen
    }
    assert not contains(broken["events"], wanted["events"]), "it did not die half way"
    last = next((message["value"] for message in reversed(messages) if message["type"] == "STATE"), state)
    rest = sync_here(long, catalog=choose(**chosen), state=last)
    for stream, records in wanted.items():
        assert contains([*broken[stream], *rest.records(stream)], records), stream


def contains(arrived: list[Record], wanted: list[Record]) -> bool:
    """Tell whether all records arrived as they are; of each the last one counts."""
    last = {record["id"]: record for record in arrived}
    return all(last.get(record["id"]) == record for record in wanted)


def test_a_state_in_the_middle_of_a_stream_keeps_the_old_bookmark(
    long: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK writes one after so many records that it writes itself; a sync that dies later may leave it behind."""
    monkeypatch.setattr(Stream, "STATE_MSG_FREQUENCY", 10)
    catalog = choose(events=KEY)
    state = sync_here(long, catalog=catalog).state
    for number, event in enumerate(long.account.records["events"]):
        event[KEY] = f"2024-01-01T00:00:{59 - number}Z"
    run = sync_here(long, catalog=catalog, state=state, stream_maps={"events": {"more": "name"}})
    kinds = [message["type"] for message in run.messages]
    in_the_middle = run.messages[kinds.index("RECORD") : len(kinds) - kinds[::-1].index("RECORD")]
    states = [message["value"] for message in in_the_middle if message["type"] == "STATE"]
    assert states
    old = state["bookmarks"]["events"]["replication_key_value"]
    assert {each["bookmarks"]["events"]["replication_key_value"] for each in states} == {old}
    assert bookmark_of(run)["replication_key_value"] == "2024-01-01T00:00:59Z"


def test_a_stream_that_fails_ends_with_its_old_bookmark(long: Sandbox) -> None:
    """And with nothing else: what was read is no progress."""
    first = sync_here(long, catalog=choose(events=KEY))
    for event in long.account.records["events"]:
        event[KEY] = "2024-01-01T00:00:00Z"
    long.faults.append(faults.status(500, resource="events", skip=3))
    run = attempt(long, catalog=choose(events=KEY), state=first.state, page_size=10, retry_timeout=0)
    assert run.failed == ["events"]
    assert run.records("events")
    assert run.messages[-1]["type"] == "STATE"
    old = bookmark_of(first)
    assert bookmark_of(run) == {**old, "starting_replication_value": old["replication_key_value"]}


NEW = "2024-01-01T00:00:00Z"


class TestProducts:
    """With `product_ids`, each product has a bookmark of its own."""

    @pytest.fixture
    def products(self, long: Sandbox) -> list[str]:
        """Two products."""
        return long.account.ids("products")[:2]

    def read(self, sandbox: Sandbox, state: dict[str, Any] | None = None, **settings: Any) -> Run:
        """Read events in pages of five."""
        settings = {"page_size": 5, "retry_timeout": 0.1, **settings}
        return attempt(sandbox, catalog=choose(events=KEY), state=state or {}, **settings)

    def bookmarks(self, run: Run) -> dict[str, str]:
        """Give the bookmark of each product."""
        return {p["context"]["product_id"]: p["replication_key_value"] for p in bookmark_of(run)["partitions"]}

    def latest(self, sandbox: Sandbox, product: str) -> str:
        """Give the latest date of a product's events."""
        dates: list[str] = [event[KEY] for event in sandbox.account.scoped("events", product) if event[KEY]]
        return max(dates, key=instant)

    def test_one_that_is_added_later_is_read_in_full(self, long: Sandbox, products: list[str]) -> None:
        old, new = products
        first = self.read(long, product_ids=[old]).succeeded()
        run = self.read(long, first.state, product_ids=[new, old]).succeeded()
        again = at_or_after(long.account.scoped("events", old), KEY, self.latest(long, old))
        assert ids(run.records("events")) == [*ids(long.account.scoped("events", new)), *again]
        assert len(again) < len(long.account.scoped("events", old))
        assert self.bookmarks(run) == {product: self.latest(long, product) for product in products}
        assert self.latest(long, old) != self.latest(long, new)

    def test_one_that_is_left_out_keeps_its_bookmark(self, long: Sandbox, products: list[str]) -> None:
        first = self.read(long, product_ids=products).succeeded()
        long.account.insert("events", 0, {**long.account.fresh("events", parent_id=products[0]), KEY: NEW})
        run = self.read(long, first.state, product_ids=products[:1]).succeeded()
        assert self.bookmarks(run) == {products[0]: NEW, products[1]: self.bookmarks(first)[products[1]]}

    def test_one_that_fails_keeps_its_bookmark_and_the_one_before_its_new_one(
        self, long: Sandbox, products: list[str]
    ) -> None:
        first = self.read(long, product_ids=products).succeeded()
        for product in products:
            long.account.insert("events", 0, {**long.account.fresh("events", parent_id=product), KEY: NEW})
        long.faults.append(faults.status(500, where=lambda request: f"/{products[1]}/" in request.path, skip=1))
        run = self.read(long, first.state, product_ids=products)
        assert run.failed == ["events"]
        assert self.bookmarks(run) == {products[0]: NEW, products[1]: self.bookmarks(first)[products[1]]}


def test_state_of_streams_that_are_not_selected_is_carried_along(sandbox: Sandbox) -> None:
    """Also that of a stream which no longer exists."""
    products = sandbox.account.ids("products")[:2]
    catalog = choose(events=KEY, properties=KEY, metrics="config_last_changed_at")
    state = sync_here(sandbox, catalog=catalog, product_ids=products).state
    state["bookmarks"]["a_stream_of_long_ago"] = {"replication_key": "x", "replication_key_value": "2020-01-01"}
    state["bookmarks"]["accounts"] = {"replication_key": "updated_at", "replication_key_value": "2020-01-01T00:00:00Z"}
    given = copy.deepcopy(state)
    run = sync_here(sandbox, catalog=choose(properties=KEY), state=given, product_ids=products)
    assert run.records("properties")
    del state["bookmarks"]["properties"]
    for carried in (run.of_type("STATE")[0]["value"], run.state):
        assert state["bookmarks"].items() <= carried["bookmarks"].items()
