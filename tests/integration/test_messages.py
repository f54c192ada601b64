"""The Singer messages: their order, what the catalog selects, and what the SDK can make of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.sandbox import RESOURCES, Sandbox
from tests.support.assertions import assert_streams
from tests.support.catalogs import choose
from tests.support.run import write_json
from tests.support.tap import catalog_of, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path


class TestOrder:
    """Which message comes before which."""

    def test_schema_precedes_the_records_and_state_follows_each_stream(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, page_size=4).succeeded()
        kinds = [(message["type"], message.get("stream")) for message in run.messages]
        for stream in RESOURCES:
            assert kinds.count(("SCHEMA", stream)) == 1
            schema, first = kinds.index(("SCHEMA", stream)), kinds.index(("RECORD", stream))
            last = len(kinds) - 1 - kinds[::-1].index(("RECORD", stream))
            assert schema < first
            assert {stream for _, stream in kinds[schema : last + 1]} == {stream}, "streams are mixed"
            following = next(kind for kind, _ in kinds[last + 1 :] if kind != "RECORD")
            assert following == "STATE"
        assert kinds[-1] == ("STATE", None)

    def test_schema_message_says_the_key_and_the_bookmark(self, sandbox: Sandbox) -> None:
        catalog = choose(**{**dict.fromkeys(RESOURCES), "events": "last_sent_at"})
        schemas = {message["stream"]: message for message in sync_here(sandbox, catalog=catalog).of_type("SCHEMA")}
        assert schemas.keys() == set(RESOURCES)
        for stream, message in schemas.items():
            assert message["key_properties"] == ["id"]
            assert message.get("bookmark_properties", []) == (["last_sent_at"] if stream == "events" else [])

    def test_accounts_go_on_from_their_state(self, sandbox: Sandbox, tmp_path: Path) -> None:
        accounts = sandbox.account.records["accounts"]
        catalog = choose(**{**dict.fromkeys(RESOURCES), "accounts": "updated_at"})
        first = sync(sandbox, tmp_path, catalog=catalog).succeeded()
        newest = max(account["updated_at"] for account in accounts)
        bookmark = first.state["bookmarks"]["accounts"]
        assert (bookmark["replication_key"], bookmark["replication_key_value"]) == ("updated_at", newest)
        second = sync(sandbox, tmp_path, catalog=catalog, state=first.state).succeeded()
        wanted = {"accounts": [account for account in accounts if account["updated_at"] >= newest]}
        assert len(wanted["accounts"]) < len(accounts)
        assert_streams(second, sandbox.account.records | wanted)


class TestSelection:
    """The catalog selects streams and columns."""

    def test_streams(self, sandbox: Sandbox, tmp_path: Path) -> None:
        catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path, events={}, reports={}))
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        assert_streams(run, {name: sandbox.account.records[name] for name in ("events", "reports")})
        assert {message["stream"] for message in run.of_type("SCHEMA")} == {"events", "reports"}
        assert {request.resource for request in sandbox.requests} == {"events", "reports"}

    def test_columns(self, sandbox: Sandbox, tmp_path: Path) -> None:
        content = catalog_of(tmp_path, accounts={}, events={})
        left_out = {"accounts": {"name", "contact"}, "events": {"links", "total", "last_sent_at"}}
        _deselect(content, left_out)
        catalog = write_json(tmp_path / "catalog.json", content)
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        for stream, columns in left_out.items():
            records = sandbox.account.records[stream]
            wanted = [{k: v for k, v in record.items() if k not in columns} for record in records]
            assert run.records(stream) == wanted
            (schema,) = [m["schema"] for m in run.of_type("SCHEMA") if m["stream"] == stream]
            assert schema["properties"].keys() == wanted[0].keys()
        assert "| WARNING " not in run.stderr

    def test_keys_cannot_be_left_out(self, sandbox: Sandbox, tmp_path: Path) -> None:
        chosen = {"replication-method": "INCREMENTAL", "replication-key": "last_sent_at"}
        content = catalog_of(tmp_path, accounts={}, events=chosen)
        _deselect(content, {"accounts": {"id"}, "events": {"id", "last_sent_at"}})
        catalog = write_json(tmp_path / "catalog.json", content)
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        assert_streams(run, {name: sandbox.account.records[name] for name in ("accounts", "events")})

    def test_part_of_a_column(self, sandbox: Sandbox, tmp_path: Path) -> None:
        content = catalog_of(tmp_path, accounts={})
        (entry,) = [entry for entry in content["streams"] if entry["tap_stream_id"] == "accounts"]
        phone = ["properties", "contact", "properties", "phone"]
        entry["metadata"] = [item for item in entry["metadata"] if item["breadcrumb"] != phone]
        entry["metadata"].append({"breadcrumb": phone, "metadata": {"inclusion": "available", "selected": False}})
        catalog = write_json(tmp_path / "catalog.json", content)
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        contacts = [account["contact"] for account in sandbox.account.records["accounts"]]
        wanted = [{k: v for k, v in contact.items() if k != "phone"} for contact in contacts]
        assert [record["contact"] for record in run.records("accounts")] == wanted

    def test_nothing_selected_is_an_error(self, sandbox: Sandbox, tmp_path: Path) -> None:
        catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path))
        assert "selects no stream" in sync(sandbox, tmp_path, "--catalog", catalog).refused()


class TestSdkFeatures:
    """Stream maps, flattening and BATCH, which the SDK brings along."""

    def test_stream_maps(self, sandbox: Sandbox, tmp_path: Path) -> None:
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

    def test_flattening(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, flattening_enabled=True, flattening_max_depth=1).succeeded()
        for got, account in zip(run.records("accounts"), sandbox.account.records["accounts"], strict=True):
            for part in ("name", "country", "phone"):
                assert got[f"contact__{part}"] == account["contact"][part]
            assert json.loads(got["links"]) == account["links"]
            assert "contact" not in got
        for got, event in zip(run.records("events"), sandbox.account.records["events"], strict=True):
            assert json.loads(got["links"]) == event["links"]
            assert {k: v for k, v in got.items() if k != "links"} == {k: v for k, v in event.items() if k != "links"}


def _deselect(catalog: dict[str, Any], columns: dict[str, set[str]]) -> None:
    """Leave columns of streams out."""
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] and item["breadcrumb"][-1] in columns.get(entry["tap_stream_id"], ()):
                item["metadata"]["selected"] = False
