"""Raw data exports in folders: night after night, by index, and with all that a folder may hold."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_kissmetrics import raw_events
from tap_kissmetrics.sdk_extensions import files, logs
from tests.sandbox.export import SPAN, START, Export
from tests.support.exports import STREAM, assert_complete, bookmarks, keys, read_exports
from tests.support.tables import code_block
from tests.support.tap import catalog_of, run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export of twelve revisions, whose numbers do not sort as text."""
    export = Export(tmp_path / "export")
    export.grow(12, lines=3)
    return export


def catalog(folder: Path, **root: Any) -> dict[str, Any]:
    """Discover the catalog of an export."""
    return catalog_of(folder, {"export_urls": ["x"]}, **{STREAM: root})


class TestNights:
    """One run after the other."""

    def test_each_line_once_in_order_with_a_state_after_each_revision(self, export: Export, tmp_path: Path) -> None:
        run = read_exports(tmp_path, export.folder).succeeded()
        assert_complete(run, export)
        kinds = [message["type"] for message in run.messages]
        assert kinds == ["SCHEMA", *["RECORD", "RECORD", "RECORD", "STATE"] * 12]
        states = [bookmarks(message["value"])[str(export.folder)] for message in run.of_type("STATE")]
        assert states == list(range(1, 13))

    def test_growth(self, export: Export, tmp_path: Path) -> None:
        state = read_exports(tmp_path, export.folder).succeeded().state
        again = read_exports(tmp_path, export.folder, state=state).succeeded()
        assert again.records(STREAM) == []
        assert again.state == state
        export.grow(2)
        assert_complete(read_exports(tmp_path, export.folder, state=state).succeeded(), export, after=12)

    def test_from_where_another_program_ended(self, export: Export, tmp_path: Path) -> None:
        """With the state of docs/migrating.md."""
        text = code_block("migrating", "state: after a revision")
        state = text.replace("s3://BUCKET/PREFIX", str(export.folder)).replace("22770", "10")
        run = read_exports(tmp_path, export.folder, state=json.loads(state)).succeeded()
        assert_complete(run, export, after=10)

    def test_late_index(self, export: Export, tmp_path: Path) -> None:
        export.unlist(12)
        run = read_exports(tmp_path, export.folder).succeeded()
        assert bookmarks(run.state) == {str(export.folder): 11}
        export.list(12)
        assert keys(read_exports(tmp_path, export.folder, state=run.state).succeeded()) == [(12, 1), (12, 2), (12, 3)]

    def test_missing_revision(self, export: Export, tmp_path: Path) -> None:
        export.path(7).rename(tmp_path / "later")
        run = read_exports(tmp_path, export.folder)
        assert run.code == 1
        assert run.failed == [STREAM]
        assert f"{export.folder}: index.csv lists revisions/7.json, which does not exist" in run.errors[0]
        assert keys(run)[-1] == (6, 3)
        assert bookmarks(run.state) == {str(export.folder): 6}
        (tmp_path / "later").rename(export.path(7))
        assert_complete(read_exports(tmp_path, export.folder, state=run.state).succeeded(), export, after=6)

    def test_what_the_vendor_deletes(self, export: Export, tmp_path: Path) -> None:
        state = read_exports(tmp_path, export.folder).succeeded().state
        for revision in range(1, 10):
            export.path(revision).unlink()
        assert not read_exports(tmp_path, export.folder, state=state).succeeded().warnings
        assert keys(read_exports(tmp_path, export.folder).succeeded())[0] == (10, 1)
        export.grow(3, lines=1)
        for revision in range(10, 15):
            export.path(revision).unlink()
        late = read_exports(tmp_path, export.folder, state=state).succeeded()
        assert keys(late) == [(15, 1)]
        (warning,) = late.warnings
        assert "2 revisions of index.csv deleted before they were read: 13 to 14" in warning

    def test_gap_of_numbers(self, export: Export, tmp_path: Path) -> None:
        export.unlist(5)
        export.path(5).unlink()
        assert_complete(read_exports(tmp_path, export.folder).succeeded(), export)

    def test_index_that_shrinks(self, export: Export, tmp_path: Path) -> None:
        state = read_exports(tmp_path, export.folder).succeeded().state
        for revision in range(6, 13):
            export.unlist(revision)
        run = read_exports(tmp_path, export.folder, state=state).succeeded()
        assert (keys(run), run.state) == ([], state)
        (warning,) = run.warnings
        assert "ends with revision 5, but 12 was read before" in warning

    def test_no_index(self, export: Export, tmp_path: Path) -> None:
        (export.folder / "index.csv").unlink()
        run = read_exports(tmp_path, export.folder, start_date="2030-01-01T00:00:00Z")
        assert_complete(run.succeeded(), export)
        (warning,) = (line for line in run.warnings if "future" not in line)
        assert "has no index.csv" in warning

    @pytest.mark.parametrize(
        ("content", "unread"),
        [
            (b"", []),
            (b"\n\n", []),
            (b"<html>\n<p>\n", ["2 rows of index.csv without the name of a revision, such as '<html>'"]),
        ],
    )
    def test_index_of_nothing(self, content: bytes, unread: list[str], export: Export, tmp_path: Path) -> None:
        (export.folder / "index.csv").write_bytes(content)
        run = read_exports(tmp_path, export.folder).succeeded()
        assert keys(run) == []
        warnings = [line.partition(f"{export.folder}: ")[2] for line in run.warnings]
        assert warnings == [*unread, "index.csv lists no revision"]

    def test_start_date(self, export: Export, tmp_path: Path) -> None:
        """The end of the fifth revision is the last that lies before it."""
        end = dt.datetime.fromtimestamp(START + 5 * SPAN + 1, dt.UTC)
        date = (end + dt.timedelta(seconds=1)).isoformat()
        run = read_exports(tmp_path, export.folder, start_date=date).succeeded()
        assert_complete(run, export, after=5)
        assert "5 before start_date left out" in run.stderr
        assert_complete(read_exports(tmp_path, export.folder, start_date=end.isoformat()).succeeded(), export, after=4)

    def test_full_table(self, export: Export, tmp_path: Path) -> None:
        state = read_exports(tmp_path, export.folder).succeeded().state
        chosen = catalog(tmp_path, **{"replication-method": "FULL_TABLE"})
        versions: dict[str, Any] = {"emit_activate_version_messages": True}
        run = read_exports(tmp_path, export.folder, catalog=chosen, state=state, **versions).succeeded()
        assert_complete(run, export)
        assert not run.of_type("ACTIVATE_VERSION")
        assert run.state == state


class TestExports:
    """Several of them, and what is none."""

    def test_several(self, export: Export, tmp_path: Path) -> None:
        other = Export(tmp_path / "other")
        other.grow(3)
        run = read_exports(tmp_path, export.folder, other.folder).succeeded()
        assert_complete(run, export)
        assert_complete(run, other)
        assert bookmarks(run.state) == {str(export.folder): 12, str(other.folder): 3}
        other.grow()
        less = read_exports(tmp_path, other.folder, state=run.state).succeeded()
        assert keys(less) == [(4, line) for line in range(1, 6)]
        assert bookmarks(less.state) == {str(export.folder): 12, str(other.folder): 4}
        export.grow()
        more = read_exports(tmp_path, other.folder, export.folder, state=less.state).succeeded()
        assert {record["export"] for record in more.records(STREAM)} == {str(export.folder)}
        assert_complete(more, export, after=12)

    def test_one_that_fails_does_not_stop_the_others(self, export: Export, tmp_path: Path) -> None:
        run = read_exports(tmp_path, tmp_path / "absent", export.folder)
        assert run.failed == [STREAM]
        assert run.errors[0] == f"{STREAM}: {tmp_path}/absent does not exist; check export_urls"
        assert_complete(run, export)
        assert bookmarks(run.state)[str(export.folder)] == 12

    def test_spellings_are_one_export(self, export: Export, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(export.folder)
        spellings = ["export", "./export/", f"file://{export.folder}/", f"FILE://localhost{export.folder}", "link"]
        run = read_exports(tmp_path, *spellings).succeeded()
        assert_complete(run, export, name="export")
        assert sum("is read once, as export" in line for line in run.warnings) == 4
        export.grow()
        for spelling in spellings[1:]:
            again = read_exports(tmp_path, spelling, state=run.state).succeeded()
            assert_complete(again, export, after=12, name="export")
            assert bookmarks(again.state) == {"export": 13}

    def test_percent_signs_and_blanks(self, tmp_path: Path) -> None:
        export = Export(tmp_path / "50% of it #1?")
        export.grow()
        for url in (export.folder, export.folder.as_uri()):
            assert_complete(read_exports(tmp_path, url).succeeded(), export, name=url)

    @pytest.mark.parametrize("make", ["file", "empty", "revisions"])
    def test_what_is_none(self, make: str, export: Export, tmp_path: Path) -> None:
        path = {"file": export.path(1), "empty": tmp_path / "new", "revisions": export.folder / "revisions"}[make]
        (tmp_path / "new").mkdir()
        run = read_exports(tmp_path, path)
        assert run.failed == [STREAM]
        assert "is not a raw data export: it has no folder revisions; check export_urls" in run.errors[0]
        assert "Traceback" not in run.stderr

    def test_an_export_that_has_nothing_yet(self, tmp_path: Path) -> None:
        for name in ("revisions", "index"):
            export = Export(tmp_path / name)
            if name == "index":
                (export.folder / "revisions").rmdir()
                export.write_index()
            assert keys(read_exports(tmp_path, export.folder).succeeded()) == []

    def test_two_files_of_one_number(self, export: Export, tmp_path: Path) -> None:
        (export.folder / "revisions" / "07.json").write_bytes(b"{}\n")
        run = read_exports(tmp_path, export.folder)
        assert "07.json" in run.errors[0]
        assert "have the same number" in run.errors[0]

    def test_what_is_no_file(self, export: Export, tmp_path: Path) -> None:
        """It would be read for ever."""
        export.path(3).unlink()
        os.mkfifo(export.path(3))
        run = read_exports(tmp_path, export.folder)
        assert "lists revisions/3.json, which does not exist" in run.errors[0]
        assert bookmarks(run.state) == {str(export.folder): 2}

    def test_with_the_lists_of_an_api(self, sandbox: Sandbox, export: Export, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, export_urls=[str(export.folder)]).succeeded()
        assert_complete(run, export)
        assert len(run.records("accounts")) == sandbox.account.counts["accounts"]
        assert {message["stream"] for message in run.of_type("SCHEMA")} == {STREAM, *sandbox.account.records}


class TestFiles:
    """What files hold, and what happens to them."""

    def test_odd_lines(self, export: Export, tmp_path: Path) -> None:
        export.write(13, b'{"_p":"a","_t":1}\r\n\r\n[1]\nno JSON\n\n{"_p":12,"a":"\\303\\251\xff"}\n{"_n":"last"}')
        run = read_exports(tmp_path, export.folder, max_concurrency=1).succeeded()
        records = [record for record in run.records(STREAM) if record["revision"] == 13]
        assert [record["line"] for record in records] == [1, 3, 4, 6, 7]
        assert [record["raw"] for record in records] == [None, "[1]", "no JSON", None, None]
        assert [record["properties"] for record in records] == [{}, None, None, {"a": "\u00e9\ufffd"}, {}]
        assert [record["person"] for record in records] == ["a", None, None, "12", None]
        (warning,) = run.warnings
        assert "revision 13: 2 lines without a JSON object" in warning
        assert "1 line of malformed JSON repaired" in warning
        assert "2 empty lines skipped" in run.stderr

    def test_empty_files(self, export: Export, tmp_path: Path) -> None:
        for revision, content in ((13, b""), (14, b"\n"), (15, b"{}")):
            export.write(revision, content)
        run = read_exports(tmp_path, export.folder).succeeded()
        assert keys(run)[-1] == (15, 1)
        assert len(keys(run)) == 37
        assert bookmarks(run.state) == {str(export.folder): 15}

    @pytest.mark.parametrize("concurrency", [1, 4])
    def test_files_in_many_blocks(
        self, concurrency: int, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "BLOCK_SIZE", 100)
        assert_complete(read_exports(tmp_path, export.folder, max_concurrency=concurrency).succeeded(), export)

    def test_a_line_of_many_blocks(self, export: Export, tmp_path: Path) -> None:
        text = "x" * (3 * files.BLOCK_SIZE)
        export.write(13, json.dumps({"a": text}).encode() + b"\n" + json.dumps({"b": 1}).encode())
        run = read_exports(tmp_path, export.folder).succeeded()
        first, second = run.records(STREAM)[-2:]
        assert first["properties"] == {"a": text}
        assert second["properties"] == {"b": 1}

    def test_a_line_that_is_too_long(self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(raw_events, "MAX_LINE_SIZE", 2**20)
        monkeypatch.setattr(files, "BLOCK_SIZE", 2**18)
        export.write(13, b"{}\n" + b"x" * (2**20 + 1))
        run = read_exports(tmp_path, export.folder)
        assert "13.json has a line of more than 1 MiB" in run.errors[0]
        assert bookmarks(run.state) == {str(export.folder): 12}

    def test_a_file_that_changes_while_it_is_read(
        self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its pieces would be those of two files."""
        monkeypatch.setattr(files, "BLOCK_SIZE", 100)
        fetch = files.Folder._fetch  # noqa: SLF001
        lock = threading.Lock()

        def changing(folder: files.Folder, block: Any) -> bytes:
            with lock:
                if block.file.path.endswith("/5.json") and block.start == 100:
                    export.path(5).write_bytes(export.path(5).read_bytes() + b"{}\n")
                return fetch(folder, block)

        monkeypatch.setattr(files.Folder, "_fetch", changing)
        run = read_exports(tmp_path, export.folder)
        assert "5.json changed while it was read" in run.errors[0]
        assert bookmarks(run.state) == {str(export.folder): 4}

    def test_a_file_that_is_deleted_while_others_are_read(
        self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetch = files.Folder._fetch  # noqa: SLF001

        def deleting(folder: files.Folder, block: Any) -> bytes:
            if block.file.path.endswith("/5.json"):
                export.path(5).unlink()
            return fetch(folder, block)

        monkeypatch.setattr(files.Folder, "_fetch", deleting)
        run = read_exports(tmp_path, export.folder)
        assert "5.json does not exist" in run.errors[0]
        assert bookmarks(run.state) == {str(export.folder): 4}
        monkeypatch.undo()
        export.unlist(5)
        assert_complete(read_exports(tmp_path, export.folder, state=run.state).succeeded(), export, after=4)

    def test_files_that_hang(self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more of them wait than may be read at once, however often they are tried."""
        released = threading.Event()
        started: list[int] = []

        def hanging(_: files.Folder, block: files.Block) -> bytes:
            started.append(block.start)
            released.wait(60)
            return b""

        (export.folder / "index.csv").unlink()  # it would hang first
        monkeypatch.setattr(files.Folder, "_fetch", hanging)
        run = read_exports(tmp_path, export.folder, max_concurrency=2, request_timeout=0.1, retry_timeout=1)
        released.set()
        assert run.failed == [STREAM]
        assert len(started) == 2
        assert "revisions/1.json: no result within 0.5 s; retrying in" in run.stderr
        assert run.errors[0].endswith("revisions/1.json: earlier attempts still wait for an answer")

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (gzip.compress(b'{"_p":"a"}\n'), "gzip"),
            (b"PK\x03\x04rest", "zip"),
            ('{"_p":"a"}\n{"_p":"b"}\n'.encode("utf-16"), "UTF-16"),
        ],
        ids=["gzip", "zip", "UTF-16"],
    )
    def test_a_file_of_another_kind(self, content: bytes, kind: str, export: Export, tmp_path: Path) -> None:
        """Its lines would be lost as text."""
        export.write(5, content)
        run = read_exports(tmp_path, export.folder)
        assert run.failed == [STREAM]
        assert f"revisions/5.json is {kind}, not lines of JSON in UTF-8: unpack or convert it" in run.errors[0]
        assert keys(run)[-1] == (4, 3)
        assert bookmarks(run.state) == {str(export.folder): 4}

    def test_progress_has_per_cent_and_the_time_left(
        self, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "LOG_INTERVAL", 0)
        other = Export(tmp_path / "other")
        other.grow()
        run = read_exports(tmp_path, export.folder, other.folder).succeeded()
        assert "12 revisions to read, 1 to 12, " in run.stderr
        lines = [line.partition("raw_events: ")[2] for line in run.stderr.splitlines() if "export 1 of 2" in line]
        assert lines[0].startswith("0 of 12 revisions (")
        assert any(
            re.search(r"^6 of 12 revisions \(\d\d%\), .* of .* [KM]iB, .* about [\d.]+ s left", line) for line in lines
        )
        assert lines[-1].startswith("11 of 12 revisions (100%)")
        assert "of 13 revisions (" in run.stderr


class TestChoices:
    """What a catalog and settings of the SDK choose, which takes the usual way of a record."""

    def test_selection_and_maps_see_every_record(self, export: Export, tmp_path: Path) -> None:
        chosen = catalog(tmp_path)
        for item in chosen["streams"][0]["metadata"]:
            if item["breadcrumb"][-1:] == ["alias"]:
                item["metadata"]["selected"] = False
        run = read_exports(tmp_path, export.folder, catalog=chosen).succeeded()
        records = run.records(STREAM)
        assert len(records) == 36
        assert not any("alias" in record for record in records)

        maps = {STREAM: {"__alias__": "visits", "__filter__": "revision > 3", "raw": None, "twice": "line * 2"}}
        run = read_exports(tmp_path, export.folder, stream_maps=maps).succeeded()
        assert [record["twice"] for record in run.records("visits")] == [2, 4, 6] * 9
        assert bookmarks(run.state) == {str(export.folder): 12}

    def test_a_catalog_whose_schema_lacks_a_column(self, export: Export, tmp_path: Path) -> None:
        chosen = catalog(tmp_path)
        del chosen["streams"][0]["schema"]["properties"]["alias"]
        run = read_exports(tmp_path, export.folder, catalog=chosen).succeeded()
        assert len(run.records(STREAM)) == 36
        assert not any("alias" in record for record in run.records(STREAM))

    def test_flattening(self, export: Export, tmp_path: Path) -> None:
        run = read_exports(tmp_path, export.folder, flattening_enabled=True, flattening_max_depth=2).succeeded()
        wanted = [line for _, line in sorted(export.expected().items())]
        for record, line in zip(run.records(STREAM), wanted, strict=True):
            fields = {name: value for name, value in line.items() if name not in {"_p", "_p2", "_n", "_t"}}
            assert json.loads(record["properties"]) == fields

    def test_the_usual_way_writes_the_same(self, export: Export, tmp_path: Path) -> None:
        export.write(13, b'{"_p":1,"_t":1.5,"a":1.50,"b":12345678901234567890}\nx\n\n{"c":"\xff"}\n')
        fast = read_exports(tmp_path, export.folder).succeeded()
        slow = read_exports(tmp_path, export.folder, stream_maps={STREAM: {"line": "line"}}).succeeded()
        assert slow.records(STREAM) == fast.records(STREAM)
        assert slow.state == fast.state
        assert slow.warnings == [line for line in slow.warnings if "revision 13" in line]

    @pytest.mark.parametrize("missing", [None, 7])
    @pytest.mark.parametrize("batch_size", [10, 12])
    def test_batch_files(self, batch_size: int, missing: int | None, export: Export, tmp_path: Path) -> None:
        """A bookmark is not ahead of the file that holds its records, nor behind where the last file is full."""
        batch_config = {
            "encoding": {"format": "jsonl"},
            "storage": {"root": (tmp_path / "batches").as_uri()},
            "batch_size": batch_size,
        }
        (tmp_path / "batches").mkdir()
        if missing:
            export.path(missing).unlink()
        run = read_exports(tmp_path, export.folder, batch_config=batch_config)
        assert run.code == bool(missing)
        found: list[tuple[int, int]] = []
        reached = []
        for message in run.messages:
            if message["type"] == "BATCH":
                for path in message["manifest"]:
                    with gzip.open(path.removeprefix("file://")) as file:
                        lines = file.read().splitlines()
                    found += [(record["revision"], record["line"]) for record in map(json.loads, lines)]
            elif message["type"] == "STATE":
                reached.append(bookmarks(message["value"]).get(str(export.folder)) or 0)
                assert (reached[-1], 3) in {(0, 3), *found}
        last = missing - 1 if missing else 12
        assert found == [key for key in sorted(export.expected()) if key[0] <= last]
        assert reached[-1] == last
        assert any(0 < revision < last for revision in reached), "a run that is stopped would begin anew"

    def test_connection_test(self, export: Export, tmp_path: Path) -> None:
        assert read_exports(tmp_path, export.folder, arguments=["--test"]).code == 0


class TestInputs:
    """Settings and states that are refused, and those that are not."""

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("s3://key:sec/ret@bucket/prefix", "must not hold a user, a password, a query or a fragment"),
            ("s3://key:secret/prefix", "not the given value, which is not shown because it may hold a secret"),
        ],
    )
    def test_urls(self, url: str, message: str, tmp_path: Path) -> None:
        run = read_exports(tmp_path, url)
        line = run.refused()
        assert line.startswith("export_urls: ")
        assert message in line
        assert "secret" not in line.replace("may hold a secret", "")
        assert "sec/ret" not in run.stderr

    def test_no_exports_and_no_credentials(self, tmp_path: Path) -> None:
        assert "is required" in run_tap(folder=tmp_path, config={"export_urls": []}).refused()

    def test_results_need_credentials(self, export: Export, tmp_path: Path) -> None:
        assert "is required" in read_exports(tmp_path, export.folder, report_ids=["*"]).refused()

    def test_from_the_environment(self, export: Export, tmp_path: Path) -> None:
        other = Export(tmp_path / "other")
        other.grow()
        env = {"TAP_KISSMETRICS_EXPORT_URLS": "export, other"}
        run = run_tap(folder=tmp_path, env=env).succeeded()
        assert_complete(run, export, name="export")
        assert_complete(run, other, name="other")

    @pytest.mark.parametrize("bookmark", [-1, "12", "2024-01-31T00:00:00Z", 1.5, True])
    def test_bookmarks(self, bookmark: object, export: Export, tmp_path: Path) -> None:
        partition = {"context": {"export": str(export.folder)}, "replication_key_value": bookmark}
        run = read_exports(tmp_path, export.folder, state={"bookmarks": {STREAM: {"partitions": [partition]}}})
        assert run.code == 1
        (line,) = run.errors
        assert line.startswith("state: ")

    @pytest.mark.parametrize("bookmark", [0, 1, 12])
    def test_bookmarks_that_are_revisions(self, bookmark: int, export: Export, tmp_path: Path) -> None:
        partition = {"context": {"export": str(export.folder)}, "replication_key_value": bookmark}
        state = {"bookmarks": {STREAM: {"partitions": [partition]}}}
        assert_complete(read_exports(tmp_path, export.folder, state=state).succeeded(), export, after=bookmark)

    @pytest.mark.parametrize("context", [{}, {"export": 7}, {"export": ""}, {"product_id": 1}])
    def test_partitions_of_others(self, context: object, export: Export, tmp_path: Path) -> None:
        state = {"bookmarks": {STREAM: {"partitions": [{"context": context, "replication_key_value": 3}]}}}
        assert_complete(read_exports(tmp_path, export.folder, state=state).succeeded(), export)

    def test_other_replication_keys_are_refused(self, export: Export, tmp_path: Path) -> None:
        chosen = catalog(tmp_path, **{"replication-method": "INCREMENTAL", "replication-key": "line"})
        run = read_exports(tmp_path, export.folder, catalog=chosen)
        assert "replication-key of stream raw_events must be one of revision" in run.refused()

    def test_discovery_reads_nothing(self, tmp_path: Path) -> None:
        run = run_tap("--discover", folder=tmp_path, config={"export_urls": ["absent"]}).succeeded()
        assert [entry["tap_stream_id"] for entry in json.loads(run.stdout)["streams"]] == [STREAM]
