"""Raw data exports in folders: every line of every complete revision comes once, and what is skipped is said."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_kissmetrics import raw_events
from tap_kissmetrics.sdk_extensions import files, logs
from tests.sandbox.export import SPAN, START, Export
from tests.support.exports import STREAM, assert_complete, bookmarks, keys, read_exports
from tests.support.tables import code_block
from tests.support.tap import catalog_of, run_tap, sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox import Sandbox


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export of twelve revisions, whose numbers do not sort as text."""
    export = Export(tmp_path / "export")
    export.grow(12, lines=3)
    return export


def state_at(export: object, bookmark: object) -> dict[str, Any]:
    """Make the state of a run that read an export up to a revision."""
    partition = {"context": {"export": str(export)}, "replication_key_value": bookmark}
    return {"bookmarks": {STREAM: {"partitions": [partition]}}}


# One night after the other


def test_each_line_comes_once_in_order_with_a_state_after_each_revision(export: Export, tmp_path: Path) -> None:
    run = read_exports(tmp_path, export.folder).succeeded()
    assert_complete(run, export)
    kinds = [message["type"] for message in run.messages]
    assert kinds == ["SCHEMA", *["RECORD", "RECORD", "RECORD", "STATE"] * 12]
    states = [bookmarks(message["value"])[str(export.folder)] for message in run.of_type("STATE")]
    assert states == list(range(1, 13))


def test_the_next_night_reads_only_what_is_new(export: Export, tmp_path: Path) -> None:
    state = state_at(export.folder, 12)
    again = read_exports(tmp_path, export.folder, state=state).succeeded()
    assert (again.records(STREAM), bookmarks(again.state)) == ([], {str(export.folder): 12})
    assert again.warnings == []
    export.grow(2)
    assert_complete(read_exports(tmp_path, export.folder, state=state).succeeded(), export, after=12)


def test_a_state_can_be_written_by_hand(export: Export, tmp_path: Path) -> None:
    """As docs/migrating.md has it."""
    text = code_block("migrating", "state: after a revision")
    state = text.replace("s3://BUCKET/PREFIX", str(export.folder)).replace("22770", "10")
    run = read_exports(tmp_path, export.folder, state=json.loads(state)).succeeded()
    assert_complete(run, export, after=10)


@pytest.mark.parametrize("put", [lambda _: None, os.mkfifo], ids=["nothing", "no file"])
def test_a_revision_that_is_missing_fails_after_those_before_it(
    put: Callable[[Path], None], export: Export, tmp_path: Path
) -> None:
    """The next run begins with it. What is no file would be read for ever."""
    export.path(7).rename(tmp_path / "later")
    put(export.path(7))
    run = read_exports(tmp_path, export.folder)
    assert run.failed == [STREAM]
    assert f"{export.folder}: index.csv lists revisions/7.json, which does not exist" in run.errors[0]
    assert keys(run)[-1] == (6, 3)
    assert bookmarks(run.state) == {str(export.folder): 6}
    (tmp_path / "later").rename(export.path(7))
    assert_complete(read_exports(tmp_path, export.folder, state=run.state).succeeded(), export, after=6)


def test_revisions_that_were_deleted_before_they_were_read_are_named(export: Export, tmp_path: Path) -> None:
    """Those that were read, or that a first run never saw, are not."""
    for revision in range(1, 10):
        export.path(revision).unlink()
    first = read_exports(tmp_path, export.folder).succeeded()
    assert_complete(first, export)
    assert not first.warnings
    export.grow(3, lines=1)
    for revision in range(10, 15):
        export.path(revision).unlink()
    late = read_exports(tmp_path, export.folder, state=first.state).succeeded()
    assert_complete(late, export)
    (warning,) = late.warnings
    assert "2 revisions of index.csv deleted before they were read: 13 to 14" in warning


def test_an_index_that_ends_before_the_bookmark_is_named(export: Export, tmp_path: Path) -> None:
    for revision in range(6, 13):
        export.unlist(revision)
    state = state_at(export.folder, 12)
    run = read_exports(tmp_path, export.folder, state=state).succeeded()
    assert (keys(run), bookmarks(run.state)) == ([], {str(export.folder): 12})
    (warning,) = run.warnings
    assert "ends with revision 5, but 12 was read before" in warning


def test_without_an_index_everything_is_read(export: Export, tmp_path: Path) -> None:
    (export.folder / "index.csv").unlink()
    run = read_exports(tmp_path, export.folder, start_date="2030-01-01T00:00:00Z")
    assert_complete(run.succeeded(), export)
    (warning,) = (line for line in run.warnings if "future" not in line)
    assert "has no index.csv" in warning


def test_an_index_that_lists_nothing_is_named(export: Export, tmp_path: Path) -> None:
    (export.folder / "index.csv").write_bytes(b"<html>\n<p>\n")
    run = read_exports(tmp_path, export.folder).succeeded()
    assert keys(run) == []
    assert [line.partition(f"{export.folder}: ")[2] for line in run.warnings] == [
        "2 rows of index.csv without the name of a revision, such as '<html>'",
        "index.csv lists no revision",
    ]


def test_start_date_leaves_out_revisions_that_end_before_it(export: Export, tmp_path: Path) -> None:
    end_of_fifth = dt.datetime.fromtimestamp(START + 5 * SPAN + 1, dt.UTC)
    date = (end_of_fifth + dt.timedelta(seconds=1)).isoformat()
    run = read_exports(tmp_path, export.folder, start_date=date).succeeded()
    assert_complete(run, export, after=5)
    assert "5 before start_date left out" in run.stderr
    run = read_exports(tmp_path, export.folder, start_date=end_of_fifth.isoformat()).succeeded()
    assert_complete(run, export, after=4)


def test_full_table_reads_everything_and_deletes_nothing(export: Export, tmp_path: Path) -> None:
    """The target keeps what the export has deleted."""
    root = {"replication-method": "FULL_TABLE"}
    catalog = catalog_of(tmp_path, {"export_urls": ["x"]}, **{STREAM: root})
    state = state_at(export.folder, 12)
    versions: dict[str, Any] = {"emit_activate_version_messages": True}
    run = read_exports(tmp_path, export.folder, catalog=catalog, state=state, **versions).succeeded()
    assert_complete(run, export)
    assert not run.of_type("ACTIVATE_VERSION")
    assert bookmarks(run.state) == {str(export.folder): 12}


# Several exports, and what is none


def test_each_export_has_a_bookmark_which_stays_while_the_export_is_left_out(export: Export, tmp_path: Path) -> None:
    other = Export(tmp_path / "other")
    other.grow(3)
    run = read_exports(tmp_path, export.folder, other.folder).succeeded()
    assert_complete(run, export)
    assert_complete(run, other)
    other.grow()
    less = read_exports(tmp_path, other.folder, state=run.state).succeeded()
    assert_complete(less, other, after=3)
    assert bookmarks(less.state) == {str(export.folder): 12, str(other.folder): 4}


def test_an_export_that_fails_does_not_stop_the_others(export: Export, tmp_path: Path) -> None:
    run = read_exports(tmp_path, tmp_path / "absent", export.folder)
    assert run.failed == [STREAM]
    assert run.errors[0] == f"{STREAM}: {tmp_path}/absent does not exist; check export_urls"
    assert_complete(run, export)
    assert bookmarks(run.state)[str(export.folder)] == 12


def test_spellings_of_one_folder_are_one_export(tmp_path: Path) -> None:
    """It is called as it was called first."""
    export = Export(tmp_path / "50% of it #1?")
    export.grow(12)
    (tmp_path / "link").symlink_to(export.folder)
    spellings = [export.folder.name, f"./{export.folder.name}/", export.folder.as_uri(), "link"]
    run = read_exports(tmp_path, *spellings).succeeded()
    assert_complete(run, export, name=spellings[0])
    assert sum(f"is read once, as {spellings[0]}" in line for line in run.warnings) == 3
    export.grow()
    again = read_exports(tmp_path, spellings[2], state=run.state).succeeded()
    assert_complete(again, export, after=12, name=spellings[0])
    assert bookmarks(again.state) == {spellings[0]: 13}


@pytest.mark.parametrize("path", ["revisions/1.json", "revisions"])
def test_what_is_no_export_fails(path: str, export: Export, tmp_path: Path) -> None:
    run = read_exports(tmp_path, export.folder / path)
    assert run.failed == [STREAM]
    assert "is not a raw data export: it has no folder revisions; check export_urls" in run.errors[0]
    assert "Traceback" not in run.stderr


def test_an_export_that_was_switched_on_today_is_empty(tmp_path: Path) -> None:
    without_index, without_revisions = (Export(tmp_path / name) for name in ("one", "two"))
    (without_revisions.folder / "revisions").rmdir()
    without_revisions.write_index()
    assert keys(read_exports(tmp_path, without_index.folder, without_revisions.folder).succeeded()) == []


def test_two_files_of_one_number_fail(export: Export, tmp_path: Path) -> None:
    (export.folder / "revisions" / "07.json").write_bytes(b"{}\n")
    run = read_exports(tmp_path, export.folder)
    assert run.failed == [STREAM]
    assert "7.json have the same number" in run.errors[0]


def test_exports_are_read_beside_the_lists_of_an_api(sandbox: Sandbox, export: Export, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, export_urls=[str(export.folder)]).succeeded()
    assert_complete(run, export)
    assert len(run.records("accounts")) == sandbox.account.counts["accounts"]
    assert {message["stream"] for message in run.of_type("SCHEMA")} == {STREAM, *sandbox.account.records}


# What files hold, and what happens to them


def test_lines_that_are_no_json_are_kept_as_text_and_counted(export: Export, tmp_path: Path) -> None:
    """What is empty is counted as well."""
    export.write(13, b'{"_p":"a","_t":1}\r\n\r\n[1]\nno JSON\n\n{"_p":12,"a":"\\303\\251\xff"}\n{"_n":"last"}')
    export.write(14, b"\xef\xbb\xbf")
    export.write(15, b"\n")
    run = read_exports(tmp_path, export.folder, max_concurrency=1).succeeded()
    records = [record for record in run.records(STREAM) if record["revision"] > 12]
    assert [(record["revision"], record["line"]) for record in records] == [(13, line) for line in (1, 3, 4, 6, 7)]
    assert [record["raw"] for record in records] == [None, "[1]", "no JSON", None, None]
    assert [record["properties"] for record in records] == [{}, None, None, {"a": "\u00e9\ufffd"}, {}]
    assert [record["person"] for record in records] == ["a", None, None, "12", None]
    (warning,) = run.warnings
    assert "revision 13: 2 lines without a JSON object" in warning
    assert "1 line of malformed JSON repaired" in warning
    assert "4 empty lines skipped" in run.stderr
    assert bookmarks(run.state) == {str(export.folder): 15}
    usual = read_exports(tmp_path, export.folder, stream_maps={STREAM: {"line": "line"}}).succeeded()
    assert usual.records(STREAM) == run.records(STREAM)
    assert usual.state == run.state


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_line_may_be_in_several_blocks(
    concurrency: int, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_SIZE", 100)
    assert_complete(read_exports(tmp_path, export.folder, max_concurrency=concurrency).succeeded(), export)


def test_a_line_that_is_too_long_fails(export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_events, "MAX_LINE_SIZE", 2**20)
    monkeypatch.setattr(files, "BLOCK_SIZE", 2**18)
    export.write(13, b'{}\n{"a":"' + b"x" * (2**20 - 8) + b'"}\n{}\n')
    export.write(14, b"{}\n" + b"x" * (2**20 + 1))
    run = read_exports(tmp_path, export.folder)
    assert keys(run)[36:] == [(13, 1), (13, 2), (13, 3), (14, 1)]
    assert "14.json has a line of more than 1 MiB" in run.errors[0]
    assert bookmarks(run.state) == {str(export.folder): 13}


@pytest.mark.parametrize(
    ("content", "kind"),
    [(gzip.compress(b'{"_p":"a"}\n'), "gzip"), (b"PK\x03\x04", "zip"), ('{"_p":"a"}'.encode("utf-16"), "UTF-16")],
    ids=["gzip", "zip", "UTF-16"],
)
def test_a_file_of_another_kind_fails(content: bytes, kind: str, export: Export, tmp_path: Path) -> None:
    """Its lines would be lost as text."""
    export.write(5, content)
    run = read_exports(tmp_path, export.folder)
    assert run.failed == [STREAM]
    assert f"revisions/5.json is {kind}, not lines of JSON in UTF-8: unpack or convert it" in run.errors[0]
    assert bookmarks(run.state) == {str(export.folder): 4}


def whenever_read(monkeypatch: pytest.MonkeyPatch, pattern: str, happens: Callable[[], object]) -> None:
    """Let something happen each time a file is opened."""
    opened = Path.open

    def opening(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.match(pattern):
            happens()
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opening)


def test_a_file_that_changes_while_it_is_read_fails(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pieces would be those of two files."""
    monkeypatch.setattr(files, "BLOCK_SIZE", 100)
    times = iter(range(1000))
    first = export.path(5).stat().st_mtime

    def change() -> None:
        if next(times) > 1:
            os.utime(export.path(5), (first, first + 1))

    whenever_read(monkeypatch, "revisions/5.json", change)
    run = read_exports(tmp_path, export.folder, max_concurrency=1)
    assert "5.json changed while it was read" in run.errors[0]
    assert bookmarks(run.state) == {str(export.folder): 4}


def test_a_file_that_is_deleted_while_others_are_read_fails(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whenever_read(monkeypatch, "revisions/5.json", export.path(5).unlink)
    run = read_exports(tmp_path, export.folder)
    assert "5.json does not exist" in run.errors[0]
    assert bookmarks(run.state) == {str(export.folder): 4}


def test_files_that_hang_fail_and_no_more_of_them_than_may_be_read_at_once(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often they are tried."""
    released = threading.Event()
    started: list[int] = []

    def hang() -> None:
        started.append(1)
        released.wait(60)

    whenever_read(monkeypatch, "revisions/*.json", hang)
    run = read_exports(tmp_path, export.folder, max_concurrency=2, request_timeout=0.1, retry_timeout=1)
    released.set()
    assert run.failed == [STREAM]
    assert len(started) == 2
    assert "revisions/1.json: no result within 0.5 s; retrying in" in run.stderr
    assert "revisions/1.json: earlier attempts still wait for an answer" in run.errors[0]


def test_progress_has_per_cent_and_the_time_left(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_INTERVAL", 0)
    other = Export(tmp_path / "other")
    other.grow()
    run = read_exports(tmp_path, export.folder, other.folder).succeeded()
    assert "12 revisions to read, 1 to 12, " in run.stderr
    lines = [line.partition("raw_events: ")[2] for line in run.stderr.splitlines() if "export 1 of 2" in line]
    assert lines[0].startswith("0 of 12 revisions (")
    assert any(re.search(r"^6 of 12 revisions \(\d\d%\), .* of .* [KM]iB, .* about [\d.]+ s left", x) for x in lines)
    assert lines[-1].startswith("11 of 12 revisions (100%)")
    assert "of 13 revisions (" in run.stderr
    assert "Total: 41 records" in run.stderr


# What a catalog and settings choose


@pytest.mark.parametrize("way", ["not selected", "not in the schema"])
def test_a_column_may_be_left_out(way: str, export: Export, tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, {"export_urls": ["x"]}, **{STREAM: {}})
    (entry,) = catalog["streams"]
    if way == "not in the schema":
        del entry["schema"]["properties"]["alias"]
    for item in entry["metadata"]:
        item["metadata"]["selected"] = item["breadcrumb"][-1:] != ["alias"]
    run = read_exports(tmp_path, export.folder, catalog=catalog).succeeded()
    assert keys(run) == sorted(export.expected())
    assert not any("alias" in record for record in run.records(STREAM))


def test_stream_maps_see_every_record(export: Export, tmp_path: Path) -> None:
    maps = {STREAM: {"__alias__": "visits", "__filter__": "revision > 3", "twice": "line * 2"}}
    run = read_exports(tmp_path, export.folder, stream_maps=maps).succeeded()
    assert [record["twice"] for record in run.records("visits")] == [2, 4, 6] * 9
    assert bookmarks(run.state) == {str(export.folder): 12}


@pytest.mark.parametrize(("batch_size", "missing"), [(10, None), (12, None), (10, 7)])
def test_a_bookmark_is_not_ahead_of_the_batch_file_that_holds_its_records(
    batch_size: int, missing: int | None, export: Export, tmp_path: Path
) -> None:
    """Nor behind where the last file is full."""
    folder = tmp_path / "batches"
    folder.mkdir()
    batches = {"encoding": {"format": "jsonl"}, "storage": {"root": folder.as_uri()}, "batch_size": batch_size}
    if missing:
        export.path(missing).unlink()
    run = read_exports(tmp_path, export.folder, batch_config=batches)
    assert run.code == bool(missing)
    found: list[tuple[int, int]] = []
    reached = []
    for message in run.messages:
        if message["type"] == "BATCH":
            for path in message["manifest"]:
                lines = gzip.decompress(Path(path.removeprefix("file://")).read_bytes()).splitlines()
                found += [(record["revision"], record["line"]) for record in map(json.loads, lines)]
        elif message["type"] == "STATE":
            reached.append(bookmarks(message["value"]).get(str(export.folder)) or 0)
            assert (reached[-1], 3) in {(0, 3), *found}
    last = missing - 1 if missing else 12
    assert found == [key for key in sorted(export.expected()) if key[0] <= last]
    assert reached[-1] == last
    assert any(0 < revision < last for revision in reached), "a run that is stopped would begin anew"


def test_a_test_of_the_connection_reads_an_export(export: Export, tmp_path: Path) -> None:
    assert read_exports(tmp_path, export.folder, arguments=["--test"]).code == 0
    assert read_exports(tmp_path, tmp_path / "absent", arguments=["--test"]).code == 1


@pytest.mark.parametrize("config", [{"export_urls": []}, {"export_urls": ["export"], "report_ids": ["*"]}], ids=str)
def test_whatever_needs_an_api_needs_its_credentials(config: dict[str, Any], tmp_path: Path) -> None:
    assert "is required" in run_tap(folder=tmp_path, config=config).refused()


@pytest.mark.parametrize("bookmark", [-1, "12", 1.5, True])
def test_a_bookmark_that_is_no_revision_is_refused(bookmark: object, export: Export, tmp_path: Path) -> None:
    """It would be compared with others, and everything before it never read."""
    run = read_exports(tmp_path, export.folder, state=state_at(export.folder, bookmark))
    (line,) = run.errors
    assert line.startswith("state: ")


def test_revision_zero_is_a_bookmark(export: Export, tmp_path: Path) -> None:
    export.write(0, b"{}\n")
    run = read_exports(tmp_path, export.folder, state=state_at(export.folder, 0)).succeeded()
    assert keys(run)[0] == (1, 1)


@pytest.mark.parametrize("context", [{}, {"export": 7}, {"export": ""}], ids=str)
def test_a_partition_of_another_tap_in_the_state_is_left_alone(context: object, export: Export, tmp_path: Path) -> None:
    state = {"bookmarks": {STREAM: {"partitions": [{"context": context, "replication_key_value": 3}]}}}
    assert_complete(read_exports(tmp_path, export.folder, state=state).succeeded(), export)


def test_discovery_reads_no_export(tmp_path: Path) -> None:
    run = run_tap("--discover", folder=tmp_path, config={"export_urls": ["absent"]}).succeeded()
    assert [entry["tap_stream_id"] for entry in json.loads(run.stdout)["streams"]] == [STREAM]
