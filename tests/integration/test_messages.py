"""The Singer messages: their order, when there is a SCHEMA, and what a catalog selects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults
from tests.support.assertions import assert_complete, assert_streams
from tests.support.cases import small_sandbox, watched_sync
from tests.support.catalogs import choose
from tests.support.results import only
from tests.support.tap import catalog_of, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path


def test_schema_precedes_the_records_and_state_follows_each_stream(sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, page_size=4).succeeded()
    assert_complete(run, sandbox.account)
    kinds = [(message["type"], message.get("stream")) for message in run.messages]
    for stream in RESOURCES:
        assert kinds.count(("SCHEMA", stream)) == 1
        first, count = kinds.index(("SCHEMA", stream)), sandbox.account.counts[stream]
        assert set(kinds[first + 1 : first + 1 + count]) == {("RECORD", stream)}
        assert kinds[first + 1 + count] == ("STATE", None)
    assert kinds[-1] == ("STATE", None)


def test_a_schema_says_the_key_and_the_bookmark(sandbox: Sandbox) -> None:
    catalog = choose(**{**dict.fromkeys(RESOURCES), "events": "last_sent_at"})
    schemas = {message["stream"]: message for message in sync_here(sandbox, catalog=catalog).of_type("SCHEMA")}
    assert schemas.keys() == set(RESOURCES)
    for stream, message in schemas.items():
        assert message["key_properties"] == ["id"]
        assert message.get("bookmark_properties", []) == (["last_sent_at"] if stream == "events" else [])


def test_a_stream_that_fails_before_its_first_record_has_no_schema(tmp_path: Path) -> None:
    """target-csv would empty its files. Even if a response was good, but a stream map failed for the first record."""
    state = {"bookmarks": {"events": {"replication_key": "last_sent_at", "replication_key_value": "2025-01-01"}}}
    with small_sandbox(faults.status(403, resource="events", skip=1)) as sandbox:
        catalog = choose(events="last_sent_at")
        old = sync(sandbox, tmp_path, catalog=catalog, state=state, page_size=2, max_concurrency=1)
        sandbox.faults.clear()
        mapped = sync(sandbox, tmp_path, catalog=catalog, stream_maps={"events": {"name": "1 / 0"}})
    for run in (old, mapped):
        assert run.failed == ["events"]
        assert not run.of_type("SCHEMA")


def test_a_list_without_records_has_a_schema(tmp_path: Path) -> None:
    with small_sandbox(faults.status(403, resource="events")) as sandbox:
        sandbox.account.records["metrics"] = []
        run = sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    assert {message["stream"] for message in run.of_type("SCHEMA")} == set(RESOURCES) - {"events"}


@pytest.mark.parametrize(("stream", "broken"), [("events", "events"), ("report_results", "queries")])
def test_a_list_that_is_only_looked_up_has_no_schema(stream: str, broken: str, tmp_path: Path) -> None:
    """The products of a list, and the reports of results, which can be read."""
    with small_sandbox(faults.status(500, resource=broken), api="query") as sandbox:
        catalog = only(sandbox, stream, report_ids=["*"])
        run = watched_sync(sandbox, tmp_path, catalog=catalog, report_ids=["*"], retry_timeout=0.1)
    assert run.failed == [stream]
    assert not run.of_type("SCHEMA")


def test_a_stream_that_is_not_selected_is_not_requested(sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, catalog=catalog_of(tmp_path, events={}, reports={})).succeeded()
    assert_streams(run, {name: sandbox.account.records[name] for name in ("events", "reports")})
    assert {message["stream"] for message in run.of_type("SCHEMA")} == {"events", "reports"}
    assert {request.resource for request in sandbox.requests} == {"events", "reports"}


def deselect(catalog: dict[str, Any], stream: str, *columns: str) -> None:
    """Leave columns of a stream out; `contact.phone` is a part of one."""
    (entry,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == stream]
    breadcrumbs = [[part for name in column.split(".") for part in ("properties", name)] for column in columns]
    entry["metadata"] = [item for item in entry["metadata"] if item["breadcrumb"] not in breadcrumbs]
    entry["metadata"] += [{"breadcrumb": breadcrumb, "metadata": {"selected": False}} for breadcrumb in breadcrumbs]


def test_a_column_that_is_not_selected_is_left_out_in_silence(sandbox: Sandbox, tmp_path: Path) -> None:
    """Or a part of one."""
    catalog = catalog_of(tmp_path, accounts={}, events={})
    deselect(catalog, "accounts", "name", "contact.phone")
    deselect(catalog, "events", "links", "total", "last_sent_at")
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    for account in (accounts := [dict(record) for record in sandbox.account.records["accounts"]]):
        del account["name"]
        account["contact"] = {key: value for key, value in account["contact"].items() if key != "phone"}
    left = {"links", "total", "last_sent_at"}
    events = [{k: v for k, v in record.items() if k not in left} for record in sandbox.account.records["events"]]
    assert_streams(run, {"accounts": accounts, "events": events})
    schemas = {message["stream"]: message["schema"]["properties"].keys() for message in run.of_type("SCHEMA")}
    assert schemas == {"accounts": accounts[0].keys(), "events": events[0].keys()}
    assert not run.warnings


def test_keys_cannot_be_left_out(sandbox: Sandbox, tmp_path: Path) -> None:
    catalog = choose(accounts=None, events="last_sent_at")
    deselect(catalog, "accounts", "id")
    deselect(catalog, "events", "id", "last_sent_at")
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    assert_streams(run, {name: sandbox.account.records[name] for name in ("accounts", "events")})


def test_stream_maps_rename_filter_and_change_streams(sandbox: Sandbox, tmp_path: Path) -> None:
    maps: dict[str, Any] = {
        "events": {"__alias__": "actions", "__filter__": "total > 1000", "shout": "name.upper()", "links": None},
        "accounts": {"id": "id", "shout": "name.upper()", "__else__": None},
        "__else__": None,
    }
    run = sync(sandbox, tmp_path, stream_maps=maps).succeeded()
    events = [event for event in sandbox.account.records["events"] if event["total"] > 1000]
    assert 0 < len(events) < sandbox.account.counts["events"]
    wanted = [{**event, "shout": event["name"].upper()} for event in events]
    for event in wanted:
        del event["links"]
    assert run.records("actions") == wanted
    assert [record.keys() for record in run.records("accounts")] == [{"id", "shout"}] * 2
    assert {message["stream"] for message in run.of_type("RECORD")} == {"actions", "accounts"}


def test_flattening_makes_columns_of_objects_and_text_of_lists(sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, flattening_enabled=True, flattening_max_depth=1).succeeded()
    for got, account in zip(run.records("accounts"), sandbox.account.records["accounts"], strict=True):
        contact = {f"contact__{name}": value for name, value in account["contact"].items()}
        assert json.loads(got.pop("links")) == account["links"]
        assert got == {**contact, **{k: v for k, v in account.items() if k not in {"contact", "links"}}}
