"""sandbox → tap → target-csv, target-jsonl and target-duckdb, twice in a row with state: every value arrives."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.sandbox import RESOURCES
from tests.support.catalogs import choose
from tests.support.results import THIS_MONTH, metric_ids, result_sandbox
from tests.support.run import write_json
from tests.support.tables import assert_same, code_block, columns_of
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.sandbox import Record, Sandbox
    from tests.support.run import Run
    from tests.support.targets import Programs, Target

INTEGERS = columns_of("integer", "core")
JSON_COLUMNS = columns_of("object", "core") | columns_of("array", "core")


@pytest.fixture
def two_nights(sandbox: Sandbox, tmp_path: Path) -> Callable[..., list[Run]]:
    """Sync and load twice, the second time with the state that the target gave back and after some changes."""

    def run(target: Target, **settings: Any) -> list[Run]:
        options: list[str | Path] = ["--catalog", write_json(tmp_path / "c.json", choose(**dict.fromkeys(RESOURCES)))]
        first = sync(sandbox, tmp_path, *options, **settings).succeeded()
        options += ["--state", write_json(tmp_path / "state.json", target.load(first.stdout))]
        events = sandbox.account.records["events"]
        events[1] = {**events[1], "name": 'New, "quoted"\r\nname', "total": 2**53 + 1}
        sandbox.account.insert("events", 3)
        second = sync(sandbox, tmp_path, *options, **settings).succeeded()
        target.load(second.stdout)
        return [first, second]

    return run


def empty_as_null(records: Iterable[Record]) -> list[Record]:
    """Give records as they are where there is no difference between an empty text and none."""
    return [{column: None if value == "" else value for column, value in record.items()} for record in records]


def test_csv(two_nights: Callable[..., list[Run]], sandbox: Sandbox, tmp_path: Path, programs: Programs) -> None:
    """With the stream maps of docs/targets.md."""
    target = programs.target("target-csv", tmp_path, output_path="output", overwrite_behavior="replace_file")
    (tmp_path / "output").mkdir()
    two_nights(target, **yaml.safe_load(code_block("targets", "csv: core")))

    def read(column: str, text: str) -> object:
        if column in JSON_COLUMNS:
            return json.loads(text)
        if column in INTEGERS:
            return int(text)
        return {"True": True, "False": False, "": None}.get(text, text)

    for stream, records in sandbox.account.records.items():
        with (tmp_path / "output" / f"{stream}.csv").open(encoding="utf-8", newline="") as file:
            assert_same(stream, list(csv.DictReader(file)), empty_as_null(records), read=read)


def test_csv_of_the_query_api(tmp_path: Path, programs: Programs) -> None:
    """With its stream maps of docs/targets.md: every list, and every row of its reports and metrics."""
    (tmp_path / "output").mkdir()
    target = programs.target("target-csv", tmp_path, output_path="output", overwrite_behavior="replace_file")
    with result_sandbox("query") as sandbox:
        settings: dict[str, Any] = {"report_ids": ["*"], "metric_ids": metric_ids(sandbox)[:1]}
        maps = yaml.safe_load(code_block("targets", "csv: query"))
        target.load(sync(sandbox, tmp_path, **settings, **maps).succeeded().stdout)
    loaded = {}
    for path in (tmp_path / "output").iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            loaded[path.stem] = list(csv.DictReader(file))
    assert loaded.keys() == {*sandbox.account.records, "report_results", "metric_results"}

    def read(column: str, text: str) -> object:
        nested = column in columns_of("array", "query") | columns_of("object", "query")
        return json.loads(text) if nested else {"True": True, "False": False, "": None}.get(text, text)

    def written(value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    for stream, records in sandbox.account.records.items():
        wanted = [{column: written(value) for column, value in record.items()} for record in empty_as_null(records)]
        assert_same(stream, loaded[stream], wanted, read=read)
    got = [
        (row["query_id"], row["position"], json.loads(row["data"], parse_float=str), json.loads(row["date_range"]))
        for stream in ("report_results", "metric_results")
        for row in loaded[stream]
    ]
    assert sorted(got, key=repr) == sorted(
        [
            (query.id, str(position), json.loads(json.dumps(row), parse_float=str), THIS_MONTH)
            for query in sandbox.queries
            for position, row in enumerate(query.result or ())
        ],
        key=repr,
    )


def test_jsonl(two_nights: Callable[..., list[Run]], sandbox: Sandbox, tmp_path: Path, programs: Programs) -> None:
    """A target that is not built on the SDK; it appends."""
    (tmp_path / "output").mkdir()
    target = programs.target("target-jsonl", tmp_path, destination_path="output", do_timestamp_file=False)
    before = {stream: list(records) for stream, records in sandbox.account.records.items()}
    two_nights(target)
    for stream, records in sandbox.account.records.items():
        lines = (tmp_path / "output" / f"{stream}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        rows = [json.loads(line) for line in lines]
        first = len(before[stream])
        assert_same(stream, rows[:first], before[stream])
        assert_same(stream, rows[first:], records)


def test_jsonl_of_results(tmp_path: Path, programs: Programs) -> None:
    """Lists of the Query API, and what its reports, metrics and queries give."""
    (tmp_path / "output").mkdir()
    target = programs.target("target-jsonl", tmp_path, destination_path="output", do_timestamp_file=False)
    query = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
    with result_sandbox("query", row_form="array") as sandbox:
        settings: dict[str, Any] = {"report_ids": ["*"], "metric_ids": metric_ids(sandbox)[:1], "queries": [query]}
        run = sync(sandbox, tmp_path, **settings).succeeded()
    target.load(run.stdout)
    streams = {*sandbox.account.records, "report_results", "metric_results", "people"}
    loaded = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "output").iterdir()}
    assert loaded.keys() == streams
    for stream in streams:
        rows = [json.loads(line) for line in loaded[stream].split("\n")[:-1]]
        assert rows == run.records(stream), stream
        assert rows == sandbox.account.records.get(stream, rows)
    assert len(run.records("report_results")) == 75


READ_DUCKDB = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
table = connection.table(sys.argv[2])
print(json.dumps([dict(zip(table.columns, row)) for row in table.fetchall()], default=str))
"""


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="the DuckDB that target-duckdb works with is not for Python 3.14"
)
def test_duckdb(two_nights: Callable[..., list[Run]], sandbox: Sandbox, tmp_path: Path, programs: Programs) -> None:
    """It updates the rows."""
    path = tmp_path / "warehouse.duckdb"
    target = programs.target("target-duckdb", tmp_path, path=str(path), default_target_schema="main")
    two_nights(target)

    def read(column: str, value: Any) -> object:
        return json.loads(value) if column in JSON_COLUMNS and value is not None else value

    for stream, records in sandbox.account.records.items():
        command: list[str | Path] = [
            programs.install("target-duckdb") / "bin" / "python",
            "-c",
            READ_DUCKDB,
            path,
            stream,
        ]
        rows = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert_same(stream, rows, empty_as_null(records), read=read)
