"""BATCH: the files hold what the RECORD messages would have held, no more and no less."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from singer_sdk.helpers._batch import StorageTarget

from tests.sandbox import RESOURCES, Sandbox, faults
from tests.support.assertions import expected
from tests.support.catalogs import at_or_after, choose, ids
from tests.support.run import lines_of, write_json
from tests.support.tables import assert_same
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox import Record
    from tests.support.postgres import Postgres
    from tests.support.run import Run
    from tests.support.targets import Programs


@pytest.fixture
def batches(tmp_path: Path) -> dict[str, Any]:
    """The settings of the tap for files of at most ten records."""
    (tmp_path / "batches").mkdir()
    storage = {"root": (tmp_path / "batches").as_uri()}
    return {
        "batch_config": {
            "encoding": {"format": "jsonl", "compression": "gzip"},
            "storage": storage,
            "batch_size": 10,
        }
    }


def records_in(run: Run, stream: str) -> list[Record]:
    """Read the files of a stream that a run names."""
    records = []
    for message in run.of_type("BATCH"):
        if message["stream"] == stream:
            for url in message["manifest"]:
                content = Path(url2pathname(urlsplit(url).path)).read_bytes()
                records += [json.loads(line) for line in lines_of(gzip.decompress(content).decode())]
    return records


@pytest.mark.parametrize("compression", [{"compression": "gzip"}, {"compression": "none"}, {}], ids=str)
def test_files_hold_every_record(
    compression: dict[str, str], sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]
) -> None:
    """The files are read back and compared; none holds more than it may, and none is left over.

    The messages say that the files are packed: the SDK packs them whatever the setting says, and a target that is not
    told reads them as text.
    """
    batches["batch_config"]["encoding"] = {"format": "jsonl", **compression}
    batches["batch_config"]["storage"]["prefix"] = "kissmetrics-"
    run = sync(sandbox, tmp_path, **batches).succeeded()
    assert not run.of_type("RECORD")
    for stream, records in sandbox.account.records.items():
        assert records_in(run, stream) == expected(stream, records)
        assert len([m for m in run.of_type("BATCH") if m["stream"] == stream]) == -(-len(records) // 10)
    named = {Path(urlsplit(url).path).name for message in run.of_type("BATCH") for url in message["manifest"]}
    assert named == {path.name for path in (tmp_path / "batches").iterdir()}
    assert all(name.startswith("kissmetrics-") for name in named)
    encodings = [message["encoding"] for message in run.of_type("BATCH")]
    assert encodings == [{"format": "jsonl", "compression": "gzip"}] * len(encodings)


def test_files_hold_what_the_bookmark_lets_through(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """INCREMENTAL works the same way with files."""
    catalog = write_json(tmp_path / "catalog.json", choose(events="last_sent_at"))
    first = sync(sandbox, tmp_path, "--catalog", catalog, **batches).succeeded()
    assert len(records_in(first, "events")) == sandbox.account.counts["events"]
    state = write_json(tmp_path / "state.json", first.state)
    new = sandbox.account.insert(
        "events", 5, {**sandbox.account.fresh("events"), "last_sent_at": "2024-01-01T00:00:00Z"}
    )
    run = sync(sandbox, tmp_path, "--catalog", catalog, "--state", state, **batches).succeeded()
    bookmark = first.state["bookmarks"]["events"]["replication_key_value"]
    assert ids(records_in(run, "events")) == at_or_after(sandbox.account.records["events"], "last_sent_at", bookmark)
    assert new in records_in(run, "events")
    assert len(records_in(run, "events")) < len(records_in(first, "events"))


def test_files_hold_selected_columns_only(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """What a user deselects, a contact say, is to leave Kissmetrics in no way."""
    catalog = choose(accounts=None)
    (accounts,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "accounts"]
    (contact,) = [m["metadata"] for m in accounts["metadata"] if m["breadcrumb"] == ["properties", "contact"]]
    contact["selected"] = False
    path = write_json(tmp_path / "catalog.json", catalog)
    run = sync(sandbox, tmp_path, "--catalog", path, **batches).succeeded()
    assert records_in(run, "accounts") == [
        {name: value for name, value in record.items() if name != "contact"}
        for record in sandbox.account.records["accounts"]
    ]


def test_files_hold_what_stream_maps_make(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """A mapped value, and a record that was filtered out, may be secret."""
    secret = sandbox.account.ids("accounts")[0]
    maps = {"accounts": {"contact": "__NULL__", "name": "md5(name)", "__filter__": f"id != '{secret}'"}}
    run = sync(sandbox, tmp_path, stream_maps=maps, **batches).succeeded()
    plain = sync(sandbox, tmp_path, stream_maps=maps).succeeded()
    assert records_in(run, "accounts") == plain.records("accounts")
    assert len(plain.records("accounts")) == sandbox.account.counts["accounts"] - 1


def test_stream_maps_that_split_are_refused(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """A file has one stream; records of two would be mixed in it."""
    maps = {"accounts": {"copy": "name"}, "accounts_too": {"__source__": "accounts", "name": "name"}}
    run = sync(sandbox, tmp_path, stream_maps=maps, **batches)
    assert run.code == 1
    assert run.errors[0] == "batch_config: cannot be used with stream_maps that split accounts"
    assert "Traceback" not in run.stderr
    assert not [message for message in run.of_type("BATCH") if message["stream"].startswith("accounts")]


def test_files_and_activate_version_exclude_each_other(
    sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]
) -> None:
    """Records in files have no version: a target would take every one of them for deleted."""
    line = sync(sandbox, tmp_path, emit_activate_version_messages=True, **batches).refused()
    assert "batch_config" in line
    assert "emit_activate_version_messages" in line


def test_sync_that_fails_names_only_files_that_are_whole(
    sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]
) -> None:
    """Half a file is named in no message; the other streams are complete."""
    sandbox.faults.append(faults.status(500, resource="events", skip=3))
    run = sync(sandbox, tmp_path, page_size=5, max_concurrency=1, retry_timeout=0.1, **batches)
    assert run.code == 1
    events = sandbox.account.records["events"]
    assert records_in(run, "events") == events[:10]
    for stream in set(RESOURCES) - {"events"}:
        assert records_in(run, stream) == expected(stream, sandbox.account.records[stream])


@pytest.mark.parametrize("status", [401, 403])
def test_bookmark_waits_for_the_file(status: int, sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """Records that are in no file yet are read again if the run ends; those of a product that is in a file are not."""
    products = sandbox.account.ids("products")[:2]
    chosen: list[str | Path] = ["--catalog", write_json(tmp_path / "catalog.json", choose(events="last_sent_at"))]
    pages = 2  # of the first product, the overlap at its end included
    sandbox.faults.append(faults.status(status, resource="events", skip=pages))
    batches["batch_config"]["batch_size"] = 1000
    failed = sync(sandbox, tmp_path, *chosen, product_ids=products, **batches)
    assert failed.code == 1
    assert (records_in(failed, "events") == []) is (status == 401)
    sandbox.faults.clear()
    state = write_json(tmp_path / "state.json", failed.state if failed.stdout else {})
    again = sync(sandbox, tmp_path, *chosen, "--state", state, product_ids=products, **batches).succeeded()
    first, second = (sandbox.account.scoped("events", product) for product in products)
    latest = max(event["last_sent_at"] for event in first if event["last_sent_at"])
    wanted = ids(first) if status == 401 else at_or_after(first, "last_sent_at", latest)
    wanted += ids(second)
    assert ids(records_in(again, "events")) == wanted
    state = write_json(tmp_path / "state.json", again.state)
    third = sync(sandbox, tmp_path, *chosen, "--state", state, product_ids=products, **batches).succeeded()
    assert len(records_in(third, "events")) < len(wanted)


def test_folder_that_is_not_there(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """One line that names the setting."""
    batches["batch_config"]["storage"]["root"] = "file:///proc/nothing/here"
    run = sync(sandbox, tmp_path, **batches)
    assert run.code == 1
    assert run.errors[0].startswith("batch_config: ")
    assert "Traceback" not in run.stderr


def test_a_root_with_a_login(sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """What the library of the storage raises is one line, and hides the secret."""
    batches["batch_config"]["storage"]["root"] = f"s3://key:{sandbox.token}@bucket"
    run = sync(sandbox, tmp_path, **batches)
    assert run.code == 1
    assert run.errors[0].startswith("batch_config: ")
    assert "(hidden)@bucket" in run.errors[0]
    assert "Traceback" not in run.stderr
    assert sandbox.token not in run.stderr + run.stdout


@pytest.mark.parametrize("root", ["memory://x", "http://127.0.0.1:9/x"])
def test_a_storage_that_fails(root: str, sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any]) -> None:
    """Whatever its library raises."""
    batches["batch_config"]["storage"]["root"] = root
    run = sync(sandbox, tmp_path, **batches)
    assert run.code == 1
    assert run.errors[0].startswith("batch_config: ")
    assert "Traceback" not in run.stderr


def test_a_format_that_needs_a_package(
    sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    batches["batch_config"]["encoding"] = {"format": "parquet"}
    line = sync(sandbox, tmp_path, **batches).refused()
    assert line == "batch_config: needs a package that is not installed: pip install pyarrow"


@pytest.mark.skipif(not Path("/dev/full").exists() and "CI" not in os.environ, reason="this system has no /dev/full")
@pytest.mark.parametrize("is_masked", [False, True], ids=["as it is", "behind another error"])
def test_a_full_disk(
    is_masked: bool, sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any], monkeypatch: pytest.MonkeyPatch  # noqa: FBT001
) -> None:  # fmt: skip
    """The line says so, whatever the storage makes of it; what was named before is whole, and the bookmarks stay."""
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
    chosen = choose(accounts=None, events="last_sent_at", products=None)
    run = sync(sandbox, tmp_path, catalog=chosen, **batches)
    assert run.code == 1
    assert run.errors == ["batch_config: no space left on the disk"]
    assert "Traceback" not in run.stderr
    assert len(run.of_type("BATCH")) == 3
    assert records_in(run, "accounts") == expected("accounts", sandbox.account.records["accounts"])
    events = records_in(run, "events")
    assert events == sandbox.account.records["events"][: len(events)]
    assert "replication_key_value" not in run.state["bookmarks"].get("events", {})


def test_target_loads_the_files(
    sandbox: Sandbox, tmp_path: Path, batches: dict[str, Any], programs: Programs, postgres: Postgres
) -> None:
    """target-postgres reads them."""
    target = programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema="batches")
    run = sync(sandbox, tmp_path, **batches).succeeded()
    assert target.load(run.stdout) == run.state
    for stream, records in sandbox.account.records.items():
        rows = postgres.rows(f"SELECT * FROM batches.{stream}")  # noqa: S608
        assert_same(stream, rows, records)
