"""A bookmark is kept where it belongs: through a sync that dies, for each product, for streams that take no part."""

from __future__ import annotations

import copy
import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.catalogs import at_or_after, choose, ids, instant
from tests.support.process import live_tap
from tests.support.run import write_json
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sandbox import Record


KEY = "last_sent_at"
CATALOG = {"events": KEY, "properties": KEY, "metrics": "config_last_changed_at", "reports": None}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account whose events are several pages."""
    with Sandbox(make_account(reports=5, events=60, properties=9, metrics=6)) as running:
        yield running


def last_state(stdout: str, before: dict[str, Any]) -> dict[str, Any]:
    """Give the state that whoever runs the tap has at hand after it died."""
    whole = [json.loads(line) for line in stdout.split("\n")[:-1]]
    return next((m["value"] for m in reversed(whole) if m["type"] == "STATE"), before)


def records_of(stdout: str, stream: str) -> list[Record]:
    """Give the records of a stream that were written whole."""
    whole = [json.loads(line) for line in stdout.split("\n")[:-1]]
    return [m["record"] for m in whole if m["type"] == "RECORD" and m["stream"] == stream]


@pytest.mark.parametrize(
    ("death", "first", "page"),
    [("the API fails", False, 4), ("SIGKILL", True, 4), ("SIGKILL", False, 1), ("SIGTERM", False, 4)],
)
def test_sync_that_dies_loses_nothing(death: str, first: bool, page: int, sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: FBT001
    """Whatever changed since the last good sync comes with the broken one or with the next."""
    catalog = write_json(tmp_path / "catalog.json", choose(**CATALOG))
    state: dict[str, Any] = {}
    changed = {stream: list(sandbox.account.records[stream]) for stream in CATALOG}
    if not first:
        state = sync_here(sandbox, catalog=choose(**CATALOG)).state
        changed = touch(sandbox)

    def die(_sandbox: Sandbox, request: Any) -> None:
        if request.resource == "events":
            asked.append(request)
            if len(asked) == page and death.startswith("SIG"):
                tap.process.send_signal(signal.Signals[death])

    asked: list[object] = []
    sandbox.on_request(die)
    fault = faults.hang if death.startswith("SIG") else partial(faults.status, 500)
    sandbox.faults.append(fault(resource="events", skip=page - 1))
    options: list[str | Path] = ["--catalog", catalog, "--state", write_json(tmp_path / "state.json", state)]
    with live_tap(sandbox, tmp_path, *options, page_size=10, request_timeout=60, retry_timeout=0.1) as tap:
        broken = tap.ends()
    assert broken.code != 0
    sandbox.faults.clear()

    rest = sync_here(sandbox, catalog=choose(**CATALOG), state=last_state(broken.stdout, state))
    assert missing(changed["events"], records_of(broken.stdout, "events")), "it did not die half way"
    for stream, records in changed.items():
        assert not missing(records, [*records_of(broken.stdout, stream), *rest.records(stream)]), stream


def missing(records: list[Record], arrived: list[Record]) -> list[str]:
    """Give the ids of the records that did not arrive as they are."""
    key = {record["id"]: record.get(KEY) for record in arrived}
    return [record["id"] for record in records if key.get(record["id"], "") != record.get(KEY)]


def touch(sandbox: Sandbox) -> dict[str, list[Record]]:
    """Change some records of each stream, and insert one; return those that must arrive."""
    changed: dict[str, list[Record]] = {}
    for stream, key in CATALOG.items():
        records = sandbox.account.records[stream]
        if key is None:
            changed[stream] = list(records)
            continue
        # The first to be read is the latest: the bookmark must not go there while the others are still to come.
        for position, hour in ((0, 23), (len(records) // 2, 12), (len(records) - 1, 11)):
            records[position] = {**records[position], key: f"2024-01-01T{hour}:00:00Z"}
        sandbox.account.insert(stream, 1, {**sandbox.account.fresh(stream), key: "2024-01-01T00:10:00Z"})
        changed[stream] = [record for record in records if (record[key] or "") > "2024"]
        assert len(changed[stream]) == 4
    return changed


def test_state_in_the_middle_of_a_long_stream_keeps_the_old_bookmark(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every 10,000 records there is a STATE; a sync that dies later may leave it behind."""
    catalog = choose(events=KEY)
    state = sync_here(sandbox, catalog=catalog).state
    sandbox.account.records["events"] = [
        {"id": f"{n:08x}-0000-4000-8000-000000000000", KEY: f"2024-01-01T00:00:{'59' if n < 10_000 else '01'}Z"}
        for n in range(10_050)
    ]
    sandbox.faults.append(
        faults.status(500, resource="events", where=lambda request: request.query["offset"] == "10000")
    )
    options: list[str | Path] = ["--catalog", write_json(tmp_path / "catalog.json", catalog)]
    options += ["--state", write_json(tmp_path / "state.json", state)]
    broken = sync(sandbox, tmp_path, *options, page_size=1_001, retry_timeout=0.1)
    assert broken.code == 1
    middle = [m["value"] for m in broken.of_type("STATE")]
    assert len(middle) >= 2, "there was no STATE in the middle"
    sandbox.faults.clear()
    old = state["bookmarks"]["events"]["replication_key_value"]
    assert {value["bookmarks"]["events"]["replication_key_value"] for value in middle} == {old}
    rest = sync_here(sandbox, catalog=catalog, state=middle[-1], page_size=10_000)
    assert len(rest.records("events")) == 10_050


class TestProducts:
    """`product_ids`: each product has a bookmark of its own."""

    CATALOG = choose(events=KEY)

    def test_each_keeps_its_own_bookmark(self, sandbox: Sandbox) -> None:
        products = sandbox.account.ids("products")[:2]
        run = sync_here(sandbox, catalog=self.CATALOG, product_ids=products)
        assert bookmarks(run.state) == {product: self.latest(sandbox, product) for product in products}
        assert len(set(bookmarks(run.state).values())) == 2

    def test_product_that_is_added_later_is_read_in_full(self, sandbox: Sandbox) -> None:
        old, new = sandbox.account.ids("products")[:2]
        state = sync_here(sandbox, catalog=self.CATALOG, product_ids=[old]).state
        run = sync_here(sandbox, catalog=self.CATALOG, state=state, product_ids=[new, old])
        by_product: Callable[[str], list[Record]] = lambda product: sandbox.account.scoped("events", product)  # noqa: E731
        again = at_or_after(by_product(old), KEY, self.latest(sandbox, old))
        assert ids(run.records("events")) == [*ids(by_product(new)), *again]
        assert len(again) < len(by_product(old))
        assert bookmarks(run.state) == {product: self.latest(sandbox, product) for product in (old, new)}

    def test_product_that_is_left_out_keeps_its_bookmark(self, sandbox: Sandbox) -> None:
        products = sandbox.account.ids("products")[:2]
        state = sync_here(sandbox, catalog=self.CATALOG, product_ids=products).state
        sandbox.account.insert(
            "events", 0, {**sandbox.account.fresh("events", parent_id=products[0]), KEY: "2024-01-01T00:00:00Z"}
        )
        run = sync_here(sandbox, catalog=self.CATALOG, state=state, product_ids=products[:1])
        assert bookmarks(run.state) == {products[0]: "2024-01-01T00:00:00Z", products[1]: bookmarks(state)[products[1]]}

    def test_product_that_fails_keeps_its_bookmark_and_the_one_before_its_new_one(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        products = sandbox.account.ids("products")[:2]
        state = sync_here(sandbox, catalog=self.CATALOG, product_ids=products).state
        new = "2024-01-01T00:00:00Z"
        for product in products:
            sandbox.account.insert("events", 0, {**sandbox.account.fresh("events", parent_id=product), KEY: new})
        sandbox.faults.append(faults.status(500, where=lambda request: f"/{products[1]}/" in request.path, skip=1))
        options: list[str | Path] = ["--catalog", write_json(tmp_path / "catalog.json", self.CATALOG)]
        options += ["--state", write_json(tmp_path / "state.json", state)]
        run = sync(sandbox, tmp_path, *options, product_ids=products, page_size=5, retry_timeout=0.1)
        assert run.code == 1
        assert bookmarks(run.state) == {products[0]: new, products[1]: bookmarks(state)[products[1]]}

    def latest(self, sandbox: Sandbox, product: str) -> str:
        """Give the latest date of a product's events."""
        dates: list[str] = [event[KEY] for event in sandbox.account.scoped("events", product) if event[KEY]]
        return max(dates, key=instant)


def bookmarks(state: dict[str, Any]) -> dict[str, str]:
    """Give the bookmark of each product."""
    partitions = state["bookmarks"]["events"]["partitions"]
    return {p["context"]["product_id"]: p["replication_key_value"] for p in partitions}


def test_state_of_streams_that_are_not_selected_is_carried_along(sandbox: Sandbox) -> None:
    """Also that of a stream which no longer exists."""
    everything = dict.fromkeys(RESOURCES) | {"events": KEY, "metrics": "config_last_changed_at"}
    products = sandbox.account.ids("products")[:2]
    state = sync_here(sandbox, catalog=choose(**everything), product_ids=products).state
    state["bookmarks"]["a_stream_of_long_ago"] = {"replication_key": "x", "replication_key_value": "2020-01-01"}
    state["bookmarks"]["accounts"] = {
        "replication_key": "updated_at",
        "replication_key_value": "2020-01-01T00:00:00+02:00",
    }
    run = sync_here(sandbox, catalog=choose(properties=KEY), state=copy.deepcopy(state), product_ids=products)
    assert run.records("properties")
    for carried in (run.of_type("STATE")[0]["value"], run.state):
        assert others(carried) == others(state)


def others(state: dict[str, Any]) -> dict[str, Any]:
    """Give the bookmarks of a state but for that of the properties; the SDK adds empty ones."""
    return {name: bookmark for name, bookmark in state["bookmarks"].items() if bookmark and name != "properties"}
