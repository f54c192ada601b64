"""sandbox → tap → target-csv, target-jsonl and target-duckdb, on two nights: every value arrives."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.results import result_sandbox
from tests.support.tables import assert_same, code_block, columns_of
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.sandbox import ApiName, Record, Sandbox
    from tests.support.run import Run
    from tests.support.targets import Programs, Target

ALL: dict[str, Any] = {"report_ids": ["*"]}

each_api = pytest.mark.parametrize("api", ["core", "query"])


def two_nights(sandbox: Sandbox, folder: Path, target: Target, **settings: Any) -> list[Run]:
    """Sync and load twice, the second time with the state that the target gave back and after some changes."""
    first = sync(sandbox, folder, **settings).succeeded()
    state = target.load(first.stdout)
    events = sandbox.account.records["events"]
    events[1] = {**events[1], "name": 'New, "quoted"\r\nname', "total": 2**53 + 1}
    sandbox.account.insert("events", 3)
    second = sync(sandbox, folder, state=state, **settings).succeeded()
    target.load(second.stdout)
    return [first, second]


def empty_as_null(records: Iterable[Record]) -> list[Record]:
    """Give records as they are where there is no difference between an empty text and none."""
    return [{column: None if value == "" else value for column, value in record.items()} for record in records]


@each_api
def test_csv_holds_every_value_with_the_stream_maps_of_the_page(
    api: ApiName, tmp_path: Path, programs: Programs
) -> None:
    (tmp_path / "output").mkdir()
    target = programs.target("target-csv", tmp_path, output_path="output", overwrite_behavior="replace_file")
    with result_sandbox(api) as sandbox:
        _, run = two_nights(sandbox, tmp_path, target, **ALL, **yaml.safe_load(code_block("targets", f"csv: {api}")))
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in (tmp_path / "output").iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            rows[path.stem] = list(csv.DictReader(file))
    assert rows.keys() == {*sandbox.account.records, "report_results"}

    def read(column: str, text: str) -> object:
        if text and column in columns_of("object", api) | columns_of("array", api):
            return json.loads(text)
        if text and column in columns_of("integer", api):
            return int(text)
        return {"True": True, "False": False, "": None}.get(text, text)

    for stream, records in sandbox.account.records.items():
        assert_same(stream, rows[stream], empty_as_null(records), read=read)
    wanted = [{c: "" if v is None else str(v) for c, v in row.items()} for row in run.records("report_results")]
    for row in [*wanted, *rows["report_results"]]:
        del row["extracted_at"]  # dates are in the target's own notation
    assert rows["report_results"] == wanted


@each_api
def test_jsonl_holds_what_the_tap_writes_night_after_night(api: ApiName, tmp_path: Path, programs: Programs) -> None:
    """It is not built on the SDK, and appends."""
    (tmp_path / "output").mkdir()
    target = programs.target("target-jsonl", tmp_path, destination_path="output", do_timestamp_file=False)
    with result_sandbox(api, row_form="array") as sandbox:
        nights = two_nights(sandbox, tmp_path, target, **ALL)
    loaded = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "output").iterdir()}
    assert loaded.keys() == {*sandbox.account.records, "report_results"}
    for stream, text in loaded.items():
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        assert rows == [record for run in nights for record in run.records(stream)], stream


READ_DUCKDB = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
table = connection.table(sys.argv[2])
print(json.dumps([dict(zip(table.columns, row)) for row in table.fetchall()], default=str))
"""


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="the DuckDB that target-duckdb works with is not for Python 3.14"
)
def test_duckdb_holds_every_value_and_updates_rows(sandbox: Sandbox, tmp_path: Path, programs: Programs) -> None:
    database = tmp_path / "warehouse.duckdb"
    target = programs.target("target-duckdb", tmp_path, path=str(database), default_target_schema="main")
    two_nights(sandbox, tmp_path, target)

    def read(column: str, value: Any) -> object:
        is_json = column in columns_of("object", "core") | columns_of("array", "core")
        return json.loads(value) if is_json and value is not None else value

    python = target.program.with_name("python")
    for stream, records in sandbox.account.records.items():
        command = [str(python), "-c", READ_DUCKDB, str(database), stream]
        rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert_same(stream, rows, empty_as_null(records), read=read)
