"""Stream maps, flattening and BATCH files: each record fits its SCHEMA, none is lost, and an error is one line."""

from __future__ import annotations

import contextlib
import copy
import errno
import gzip
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk.helpers._batch import StorageTarget

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.assertions import assert_discreet, assert_every_record_once, expected
from tests.support.catalogs import at_or_after, choose, ids
from tests.support.examples import examples
from tests.support.results import result_sandbox
from tests.support.run import lines_of
from tests.support.tables import assert_same
from tests.support.tap import attempt, sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox import ApiName, Record
    from tests.support.postgres import Postgres
    from tests.support.run import Run
    from tests.support.targets import Programs

Maps = dict[str, Any]


class TestStreamMaps:
    """What a map makes, and whatever it raises."""

    @pytest.mark.parametrize(
        ("definition", "cause"),
        [
            ({"number": "int(name)"}, "ValueError: invalid literal"),
            ({"hash": "md5(description)"}, r"\w+: .+"),
            ({"__filter__": "int(name) > 1"}, "ValueError: invalid literal"),
            ({"x": "int(config['api_token'])"}, "KeyError: 'api_token'"),
        ],
        ids=str,
    )
    def test_an_expression_that_fails_ends_its_stream_alone(
        self, definition: Maps, cause: str, sandbox: Sandbox
    ) -> None:
        sandbox.account.records["events"][3]["description"] = None
        run = attempt(sandbox, stream_maps={"events": definition})
        assert run.failed == ["events"]
        record = "|".join(map(re.escape, sandbox.account.ids("events")))
        says = rf"events: stream_maps: failed for the record with id='({record})': ({cause})"
        assert re.match(says, run.errors[0]), run.errors[0]
        assert_every_record_once(run, sandbox.account, but=["events"])
        assert_discreet(run, sandbox)

    def test_the_package_that_an_expression_needs_is_named(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "faker", None)
        line = attempt(sandbox, stream_maps={"events": {"name": "fake.name()"}}).refused()
        assert line == "stream_maps needs the extra faker: pip install 'tap-kissmetrics[faker]'"

    @pytest.mark.parametrize("definition", [{"x": "name if"}, {"x": ""}, {"__filter__": ""}], ids=str)
    def test_what_is_no_expression_is_refused(self, definition: Maps, sandbox: Sandbox) -> None:
        assert attempt(sandbox, stream_maps={"events": definition}).refused().startswith("stream_maps: ")
        assert sandbox.requests == []

    def test_a_map_that_no_stream_matches_is_named_in_a_warning(self, sandbox: Sandbox) -> None:
        """Else names would go out that were to be hashed."""
        missing: Maps = {"event": None, "eve*s?": {"name": "name"}, "people_of_today": {}}
        missing["twin"] = {"__source__": "metric", "id": "id"}
        matching: Maps = {"prop*": {"x": "1"}, "more": {"__source__": "reports", "id": "id"}, "__else__": None}
        (warning,) = sync_here(sandbox, stream_maps=missing | matching).warnings
        names = "event (did you mean events?), eve*s? (did you mean events?), people_of_today"
        assert warning.endswith(f"stream_maps: no stream matches {names}, metric (did you mean metrics?)")

    def test_a_value_that_json_has_is_written_as_it_is(self, sandbox: Sandbox) -> None:
        values: Maps = {
            "datetime.datetime(2024, 1, 31)": "2024-01-31T00:00:00",
            "(1, 'a')": [1, "a"],
            "{1}": [1],
            "float('nan')": None,
            "total * 0 + 0.5": 0.5,
            "{'a': [None]}": {"a": [None]},
        }
        maps = {"events": {f"x{number}": expression for number, expression in enumerate(values)}}
        for event in sync_here(sandbox, stream_maps=maps).records("events"):
            assert [event[f"x{number}"] for number in range(len(values))] == list(values.values())

    def test_no_key_is_an_empty_list(self, sandbox: Sandbox) -> None:
        """Singer requires `key_properties`."""
        run = sync_here(sandbox, stream_maps={"events": {"__key_properties__": None}})
        assert {m["stream"]: m["key_properties"] for m in run.of_type("SCHEMA")}["events"] == []


SIZES: dict[str, int] = {"products": 2, "reports": 2, "events": 3, "properties": 3, "metrics": 2}

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "country", "phone", "new", "a__b", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)

MAPS: list[dict[str, Any] | None] = [
    None,
    {"accounts": {"shout": "str(id)"}},
    {"accounts": {"__alias__": "clients", "contact": None}},
    {"copy": {"__source__": "accounts", "id": "id", "__else__": None}},
    {"products": {"__alias__": "renamed"}, "events": None},
]


def assert_columns_are_known(run: Run) -> None:
    """Check each RECORD against the SCHEMA that came last before it."""
    columns: dict[str, set[str]] = {}
    for message in run.messages:
        if message["type"] == "SCHEMA":
            columns[message["stream"]] = set(message["schema"]["properties"])
        elif message["type"] == "RECORD":
            unknown = message["record"].keys() - columns[message["stream"]]
            assert not unknown, (message["stream"], unknown)


@examples(6)
@given(
    odd=st.lists(
        st.tuples(
            st.sampled_from(["accounts", "products", "reports", "events", "metrics"]),
            st.sampled_from(["contact", "links", "hosts", "name", "new", "total"]),
            st.just("missing") | values,
        ),
        max_size=5,
    ),
    depth=st.sampled_from([None, 0, 1, 2, 5]),
    maps=st.sampled_from(MAPS),
    left_out=st.lists(
        st.sampled_from([("contact",), ("contact", "properties", "phone"), ("links",), ("name",)]), max_size=2
    ),
)
def test_any_values_maps_and_selection(
    odd: list[tuple[str, str, Any]], depth: int | None, maps: dict[str, Any] | None, left_out: list[tuple[str, ...]]
) -> None:
    """For every stream."""
    account = make_account(**SIZES)
    for stream, column, value in odd:
        record = account.records[stream][0]
        if value == "missing":
            record.pop(column, None)
        else:
            record[column] = copy.deepcopy(value)
    flattening = {} if depth is None else {"flattening_enabled": True, "flattening_max_depth": depth}
    catalog = choose(**dict.fromkeys(account.records))
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if tuple(item["breadcrumb"][1:]) in left_out:
                item["metadata"]["selected"] = False
    with Sandbox(account) as sandbox:
        mapped = {} if maps is None else {"stream_maps": maps}
        run = sync_here(sandbox, catalog=catalog, **flattening, **mapped)
    assert_columns_are_known(run)
    if maps is None:
        for stream, records in account.records.items():
            assert len(run.records(stream)) == len(records)


class TestColumns:
    """The columns of each record are among those of its SCHEMA."""

    def test_a_value_that_flattening_has_no_column_for_is_named(self, sandbox: Sandbox) -> None:
        sandbox.account.records["accounts"][0]["contact"] = {"name": {"first": "x"}, "new": 1}
        run = sync_here(sandbox, flattening_enabled=True, flattening_max_depth=2)
        assert_columns_are_known(run)
        assert any("'contact__new'" in line for line in run.warnings)

    @pytest.mark.parametrize("api", ["core", "query"])
    def test_no_part_of_a_date_range_is_lost(self, api: ApiName, tmp_path: Path) -> None:
        """Its parts differ by the kind of range."""
        with result_sandbox(api, reports=1) as sandbox:
            settings: Maps = {"report_ids": ["*"], "flattening_enabled": True, "flattening_max_depth": 1}
            run = sync(sandbox, tmp_path, **settings).succeeded()
        assert run.records("report_results")
        assert all(record["date_range"] for record in run.records("report_results"))
        assert_columns_are_known(run)
        assert not [line for line in run.warnings if "dropped" in line]

    def test_flattening_without_a_depth_is_refused(self, sandbox: Sandbox) -> None:
        line = attempt(sandbox, flattening_enabled=True).refused()
        assert "flattening_max_depth is required with flattening_enabled" in line
        assert sandbox.requests == []

    def test_keys_are_in_the_schema_whatever_a_catalog_says(self, sandbox: Sandbox) -> None:
        catalog = choose(accounts=None, events="last_sent_at")
        for entry in catalog["streams"]:
            for item in entry["metadata"]:
                if item["breadcrumb"][-1:] in (["id"], ["last_sent_at"]):
                    item["metadata"] = {"inclusion": "unsupported"}
        run = sync_here(sandbox, catalog=catalog)
        assert_columns_are_known(run)
        for message in run.of_type("SCHEMA"):
            keys = {*message["key_properties"], *message.get("bookmark_properties", ())}
            assert keys <= message["schema"]["properties"].keys()
        assert all(record["id"] for record in run.records("accounts"))

    @pytest.mark.parametrize("where", ["nowhere", "metadata"])
    def test_a_catalog_that_names_no_key_has_that_of_the_stream(self, where: str, sandbox: Sandbox) -> None:
        """Without it, a target would add each record again."""
        catalog = choose(events=None)
        for entry in catalog["streams"]:
            del entry["key_properties"]
            (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
            if where == "nowhere":
                del root["table-key-properties"]
        run = sync_here(sandbox, catalog=catalog)
        assert [message["key_properties"] for message in run.of_type("SCHEMA")] == [["id"]]


@pytest.fixture
def batches(tmp_path: Path) -> dict[str, Any]:
    """The settings of the tap for files of at most ten records."""
    (tmp_path / "batches").mkdir()
    encoding = {"format": "jsonl", "compression": "none"}
    storage = {"root": (tmp_path / "batches").as_uri(), "prefix": "kissmetrics-"}
    return {"batch_config": {"encoding": encoding, "storage": storage, "batch_size": 10}}


def records_in(run: Run, stream: str) -> list[Record]:
    """Read the files of a stream that a run names."""
    urls = [url for m in run.of_type("BATCH") if m["stream"] == stream for url in m["manifest"]]
    files = [gzip.decompress(Path(url2pathname(urlsplit(url).path)).read_bytes()).decode() for url in urls]
    return [json.loads(line) for file in files for line in lines_of(file)]


class TestBatches:
    """The files hold what the RECORD messages would have held, no more and no less."""

    def test_files_hold_every_record(self, sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
        """None holds more than it may, and none is left over.

        The messages say that the files are packed: the SDK packs them whatever the setting says, and a target that is
        not told reads them as text.
        """
        run = sync_here(sandbox, **batches)
        assert not run.of_type("RECORD")
        for stream, records in sandbox.account.records.items():
            assert records_in(run, stream) == expected(stream, records)
            assert len([m for m in run.of_type("BATCH") if m["stream"] == stream]) == -(-len(records) // 10)
        named = {Path(urlsplit(url).path).name for message in run.of_type("BATCH") for url in message["manifest"]}
        assert named == {path.name for path in (tmp_path / "batches").iterdir()}
        assert all(name.startswith("kissmetrics-") for name in named)
        for message in run.of_type("BATCH"):
            assert message["encoding"] == {"format": "jsonl", "compression": "gzip"}

    def test_files_hold_what_is_selected_and_mapped(self, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        """What a user deselects, hashes or filters out is to leave Kissmetrics in no way."""
        secret = sandbox.account.ids("accounts")[0]
        catalog = choose(accounts=None)
        (accounts,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "accounts"]
        (contact,) = [m["metadata"] for m in accounts["metadata"] if m["breadcrumb"] == ["properties", "contact"]]
        contact["selected"] = False
        maps = {"accounts": {"name": "md5(name)", "__filter__": f"id != '{secret}'"}}
        files = sync_here(sandbox, catalog=catalog, stream_maps=maps, **batches)
        plain = sync_here(sandbox, catalog=catalog, stream_maps=maps).records("accounts")
        assert records_in(files, "accounts") == plain
        assert len(plain) == sandbox.account.counts["accounts"] - 1
        assert "contact" not in plain[0]

    def test_maps_that_split_a_stream_are_refused(self, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        """A file has one stream; records of two would be mixed in it."""
        maps = {"accounts": {"copy": "name"}, "accounts_too": {"__source__": "accounts", "name": "name"}}
        run = attempt(sandbox, stream_maps=maps, **batches)
        assert run.errors[0] == "batch_config: cannot be used with stream_maps that split accounts"
        assert not run.of_type("BATCH")

    def test_files_and_activate_version_exclude_each_other(self, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        """Records in files have no version: a target would take every one of them for deleted."""
        line = attempt(sandbox, emit_activate_version_messages=True, **batches).refused()
        assert "batch_config" in line
        assert "emit_activate_version_messages" in line

    def test_a_sync_that_fails_names_only_files_that_are_whole(self, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        sandbox.faults.append(faults.status(500, resource="events", skip=3))
        run = attempt(sandbox, page_size=5, max_concurrency=1, retry_timeout=0.1, **batches)
        assert run.failed == ["events"]
        assert records_in(run, "events") == sandbox.account.records["events"][:10]
        for stream in set(RESOURCES) - {"events"}:
            assert records_in(run, stream) == expected(stream, sandbox.account.records[stream])

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_bookmark_waits_for_the_file(self, status: int, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        """Records that are in no file yet are read again if the run ends; those of a product that is in one are not."""
        products = sandbox.account.ids("products")[:2]
        pages = 2  # of the first product, the overlap at its end included
        sandbox.faults.append(faults.status(status, resource="events", skip=pages))
        batches["batch_config"]["batch_size"] = 1000
        batches |= {"catalog": choose(accounts=None, events="last_sent_at"), "product_ids": products}
        failed = attempt(sandbox, **batches)
        assert failed.code == 1
        assert (records_in(failed, "events") == []) is (status == 401)
        sandbox.faults.clear()
        again = sync_here(sandbox, state=failed.state, **batches)
        first, second = (sandbox.account.scoped("events", product) for product in products)
        latest = max(event["last_sent_at"] for event in first if event["last_sent_at"])
        wanted = ids(first) if status == 401 else at_or_after(first, "last_sent_at", latest)
        wanted += ids(second)
        assert ids(records_in(again, "events")) == wanted
        third = sync_here(sandbox, state=again.state, **batches)
        assert len(records_in(third, "events")) < len(wanted)

    @pytest.mark.parametrize("root", ["file:///proc/nothing/here", "s3://key:{token}@bucket"])
    def test_a_storage_that_fails_is_one_line(self, root: str, sandbox: Sandbox, batches: dict[str, Any]) -> None:
        """Whatever its library raises; a secret in it is hidden."""
        batches["batch_config"]["storage"]["root"] = root.format(token=sandbox.token)
        run = attempt(sandbox, **batches)
        assert run.code == 1
        assert run.errors[0].startswith("batch_config: ")
        assert "{" not in root or "(hidden)@bucket" in run.errors[0]
        assert_discreet(run, sandbox)

    def test_the_package_that_a_format_needs_is_named(
        self, sandbox: Sandbox, batches: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        batches["batch_config"]["encoding"] = {"format": "parquet"}
        line = attempt(sandbox, **batches).refused()
        assert line == "batch_config needs the extra parquet: pip install 'tap-kissmetrics[parquet]'"

    @pytest.mark.skipif(
        not Path("/dev/full").exists() and "CI" not in os.environ, reason="this system has no /dev/full"
    )
    @pytest.mark.parametrize("is_masked", [False, True], ids=["as it is", "behind another error"])
    def test_a_full_disk_is_one_line(
        self,
        is_masked: bool,  # noqa: FBT001
        sandbox: Sandbox,
        batches: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whatever the storage makes of it; what was named before is whole, and the bookmarks stay."""
        opened = StorageTarget.open
        files = itertools.count()

        @contextlib.contextmanager
        def open_until_full(self: StorageTarget, *arguments: Any) -> Iterator[Any]:
            if next(files) < 3:
                with opened(self, *arguments) as file:
                    yield file
                return
            try:
                with Path("/dev/full").open("wb") as file:
                    yield file
            except OSError:
                if is_masked:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV)) from None  # with the other as its context
                raise

        monkeypatch.setattr(StorageTarget, "open", open_until_full)
        run = attempt(sandbox, catalog=choose(accounts=None, events="last_sent_at", products=None), **batches)
        assert run.errors == ["batch_config: no space left on the disk"]
        assert "Traceback" not in run.stderr
        assert len(run.of_type("BATCH")) == 3
        assert records_in(run, "accounts") == expected("accounts", sandbox.account.records["accounts"])
        events = records_in(run, "events")
        assert events == sandbox.account.records["events"][: len(events)]
        assert "replication_key_value" not in run.state["bookmarks"].get("events", {})

    def test_a_target_loads_the_files(
        self, sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any], programs: Programs, postgres: Postgres
    ) -> None:
        """target-postgres reads them."""
        target = programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema="batches")
        run = sync_here(sandbox, **batches)
        assert target.load(run.stdout) == run.state
        for stream, records in sandbox.account.records.items():
            rows = postgres.rows(f"SELECT * FROM batches.{stream}")  # noqa: S608
            assert_same(stream, rows, records)
