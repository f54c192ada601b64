"""sandbox → tap → target-postgres → the statements of docs/results.md, which read each kind of results as a table."""

from __future__ import annotations

import json
import operator
import re
from typing import TYPE_CHECKING, Any

import pytest

from scripts.about import ENTRIES
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import validate_settings
from tests.support.results import only, result_sandbox
from tests.support.tables import code_block, utc
from tests.support.tap import sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Query, Record, Sandbox
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs, Target

SCHEMA = "results"


@pytest.fixture
def target(programs: Programs, postgres: Postgres, tmp_path: Path) -> Iterator[Target]:
    """target-postgres, with an empty schema."""
    yield programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=SCHEMA)
    postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def read(postgres: Postgres, kind: str) -> list[Record]:
    """Run the statement that the page has for a kind of results."""
    statement = code_block("results", f"sql: {kind}").strip().removesuffix(";")
    return postgres.rows(statement.replace("tap_kissmetrics.", f"{SCHEMA}."))


def settings_of(kind: str, **ids: str) -> dict[str, Any]:
    """Give the settings of the page, with other ids and without credentials."""
    text = code_block("results", f"settings: {kind}")
    for old, new in ids.items():
        text = re.sub(rf'("{old}": )"[^"]+"', rf'\1"{new}"', text)
    settings: dict[str, Any] = json.loads(text)
    return {name: value for name, value in settings.items() if name not in {"api_token", "username"}}


def load(sandbox: Sandbox, target: Target, *streams: str, **settings: Any) -> None:
    """Sync and load some streams."""
    target.load(sync_here(sandbox, catalog=only(sandbox, *streams, **settings), **settings).stdout)


@pytest.mark.usefixtures("clock")
def test_results_of_the_core_api_are_tables(target: Target, postgres: Postgres) -> None:
    """People of reports with their fields by name, metrics over time as a series, and by segment."""
    over_time = settings_of("core over time")
    with result_sandbox("core", reports=2, metrics=2, rows=5, columns=True) as sandbox:
        metric, segment = sandbox.account.ids("metrics")[1], sandbox.account.ids("properties")[2]
        load(sandbox, target, "metric_results", **over_time)
        load(sandbox, target, "report_results", "metric_results", **settings_of("core reports") | over_time)
        by_kind = {kind: [q for q in sandbox.queries if q.kind == kind] for kind in ("run", "over-time")}
        load(sandbox, target, "metric_results", **settings_of("core by segment", id=metric, property_id=segment))
    assert read(postgres, "core reports") == sorted(
        ({"report_id": query.of, "position": at, "person": row[0], "identity": row[1]}
         for query in by_kind["run"] for at, row in enumerate(query.result or ()) if isinstance(row, list)),
        key=operator.itemgetter("report_id", "position"),
    )  # fmt: skip
    # Both runs brought each point; that of the second one is read.
    series = read(postgres, "core over time")
    assert [(row["metric_id"], utc(row["timestamp"]).timestamp(), row["value"]) for row in series] == sorted(
        ((query.of, row["timestamp"], row["value"])
         for query in by_kind["over-time"][2:] for row in query.result or () if isinstance(row, dict)),
        key=operator.itemgetter(0, 1),
    )  # fmt: skip
    assert len(series) == 2 * 5
    known = {"metric_id": metric, "property_id": segment}
    segments = [{**known, **row} for row in sandbox.queries[-1].result or () if isinstance(row, dict)]
    assert read(postgres, "core by segment") == segments
    assert len(segments) == 5


@pytest.mark.usefixtures("clock")
def test_results_of_the_query_api_are_tables(target: Target, postgres: Postgres) -> None:
    """SQL with and without a schema, and metrics over time."""
    queries = json.loads(code_block("results", "settings"))["queries"]
    channels = [{"channel": name, "visits": 3 - n} for n, name in enumerate(("Direct", "Organic Search", ""))]
    latest = [{"person": n, "email": f"bob{n}@example.com", "timestamp_ms": 1704067200123} for n in range(3)]

    def rows(query: Query) -> list[Any]:
        if query.kind == "metric":
            return [{"timestamp": f"2024-01-{day:02}T00:00:00Z", "value": day} for day in range(1, 26)]
        return channels if "channel" in query.body["query_params"]["statement"] else latest

    with result_sandbox("query", rows=rows) as sandbox:
        streams = ("channels", "latest", "metric_results")
        load(sandbox, target, *streams, queries=queries, **settings_of("query over time"))
    assert read(postgres, "channels") == channels
    assert read(postgres, "latest") == [{"person": row["person"], "email": row["email"]} for row in latest]
    series = read(postgres, "core over time")
    assert [(utc(row["timestamp"]).day, row["value"]) for row in series] == [(day, day) for day in range(1, 26)]


@pytest.mark.parametrize("kind", ["core reports", "core over time", "core by segment"])
def test_the_records_that_the_page_prints_have_the_columns_of_their_streams(kind: str) -> None:
    """What is in `data` is in the other columns too."""
    record = json.loads(code_block("results", f"row: {kind}"))
    stream = "report_results" if kind == "core reports" else "metric_results"
    assert list(record) == list(ENTRIES["core"][stream]["schema"]["properties"])
    data, fields = json.loads(record["data"]), json.loads(record["fields"])
    assert (list(fields.values()) if isinstance(data, list) else fields) == data
    for column in {"value", "property_value", "people_count"} & record.keys():
        assert record[column] == fields.get(column)


def test_the_records_of_queries_that_the_page_prints() -> None:
    """With a schema its columns, and without one JSON."""
    query = json.loads(code_block("results", "settings"))["queries"][0]
    assert json.loads(code_block("results", "row: channels")).keys() == query["schema"]["properties"].keys()
    latest = json.loads(code_block("results", "row: latest"))
    assert json.loads(latest["fields"]) == json.loads(latest["data"])


@pytest.mark.parametrize(
    "marker",
    [
        "settings",
        *(f"settings: {kind}" for kind in ("core reports", "core over time", "core by segment", "query over time")),
    ],
)
def test_the_settings_that_the_page_prints_are_accepted(marker: str) -> None:
    settings = json.loads(code_block("results", marker))
    validate_settings(settings, TapKissmetrics.settings_schema(), is_complete=False, reserved_names=())
