"""Results of metrics and of queries of the user's own, which only the Query API has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox
from tests.support.cases import watched_sync
from tests.support.results import THIS_MONTH, metric_ids, metric_rows, only, result_sandbox, results, rows_of
from tests.support.run import settings_for, write_json
from tests.support.tables import code_block
from tests.support.tap import run_tap, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("clock")

PRODUCT = 11_001

SQL: dict[str, Any] = {
    "name": "people_by_city",
    "product_id": PRODUCT,
    "query_type": "sql",
    "query_params": {"statement": "SELECT 1"},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "identity": {"type": "string"},
        "Visits": {"type": ["integer", "null"]},
        "last_seen": {"type": ["string", "null"], "format": "date-time"},
    },
}
FUNNEL = {**SQL, "name": "funnel", "query_type": "funnel", "query_params": {"date_range": THIS_MONTH}}


@pytest.mark.parametrize("row_form", ["object", "array"])
def test_metrics(row_form: Any, tmp_path: Path) -> None:
    """Each metric once, in the order that was given."""
    with result_sandbox("query", row_form=row_form) as sandbox:
        first, second = metric_ids(sandbox)[:2]
        run = watched_sync(sandbox, tmp_path, metric_ids=[second, first, second]).succeeded()
    assert [query.body for query in sandbox.queries] == [
        {"metric_id": metric, "date_range": THIS_MONTH} for metric in (second, first)
    ]
    wanted = zip((second, first), sandbox.queries, strict=True)
    assert results(run, "metric_results") == [
        row for metric, query in wanted for row in metric_rows(query, metric_id=metric, date_range=THIS_MONTH)
    ]


def test_a_date_range_is_for_metrics_and_reports_but_not_for_queries() -> None:
    """A query has its own in `query_params`."""
    dates = {"type": "absolute", "from": "2024-01-01", "to": "2024-01-02"}
    with result_sandbox("query", reports=1) as sandbox:
        metric = metric_ids(sandbox)[0]
        sync_here(sandbox, report_date_range=dates, report_ids=["*"], metric_ids=[metric], queries=[SQL])
    sent = {query.kind: query.body for query in sandbox.queries}
    assert sent["report"]["date_range"] == sent["metric"]["date_range"] == dates
    assert sent["query"] == {key: value for key, value in SQL.items() if key != "name"}


def test_a_metric_that_does_not_exist(tmp_path: Path) -> None:
    """It is named, and the others come."""
    with result_sandbox("query") as sandbox:
        known = metric_ids(sandbox)[0]
        run = sync(sandbox, tmp_path, metric_ids=[7, known])
    assert run.code == 1
    line, _ = run.errors
    assert line.startswith("metric_results: metric 7: HTTP 422")
    assert line.endswith("The metric_id is unknown")
    assert run.failed == ["metric_results"]
    assert results(run, "metric_results") == metric_rows(sandbox.queries[0], metric_id=known, date_range=THIS_MONTH)


def test_without_a_schema(tmp_path: Path) -> None:
    """Each query is a stream of its own, with a column `data`; of SQL rows are objects, of others what they are."""
    with result_sandbox("query", row_form="array") as sandbox:
        run = watched_sync(sandbox, tmp_path, queries=[SQL, FUNNEL]).succeeded()
    of = {query.query_type: query for query in sandbox.queries}
    assert results(run, "people_by_city") == rows_of(of["sql"], product_id=PRODUCT)
    assert results(run, "funnel") == rows_of(of["funnel"], product_id=PRODUCT)
    assert isinstance(results(run, "people_by_city")[0]["data"], dict)
    assert isinstance(results(run, "funnel")[0]["data"], list)


def test_with_a_schema(tmp_path: Path) -> None:
    """Its fields are the columns, and what the schema does not have is left out; equal rows all come."""
    queries = [{**SQL, "schema": SCHEMA}, {**FUNNEL, "schema": SCHEMA, "primary_key": ["identity"]}]
    with result_sandbox("query") as sandbox:
        run = watched_sync(sandbox, tmp_path, queries=queries).succeeded()
    of = {query.query_type: query.result or [] for query in sandbox.queries}
    for stream, query_type in (("people_by_city", "sql"), ("funnel", "funnel")):
        rows = [{name: row[name] for name in SCHEMA["properties"]} for row in of[query_type] if isinstance(row, dict)]
        assert run.records(stream) == rows
        assert len(rows) == 25
    keys = {message["stream"]: message["key_properties"] for message in run.of_type("SCHEMA")}
    assert (keys["people_by_city"], keys["funnel"]) == ([], ["identity"])


def test_parts_of_a_column_may_be_deselected() -> None:
    """What is taken out of a row that was read does not make the next page look like that of another result."""
    schema = {"properties": {"who": {"type": "object", "properties": {"id": {"type": "integer"}, "email": {}}}}}
    settings = {"queries": [{**SQL, "schema": schema}]}
    with result_sandbox("query", rows=lambda _: [{"who": {"id": n, "email": f"{n}@x"}} for n in range(25)]) as sandbox:
        catalog = only(sandbox, "people_by_city", **settings)
        (entry,) = [entry for entry in catalog["streams"] if entry["tap_stream_id"] == "people_by_city"]
        breadcrumb = ["properties", "who", "properties", "email"]
        (metadata,) = [item["metadata"] for item in entry["metadata"] if item["breadcrumb"] == breadcrumb]
        metadata["selected"] = False
        run = sync_here(sandbox, catalog=catalog, page_size=10, **settings)
    assert run.records("people_by_city") == [{"who": {"id": n}} for n in range(25)]


def test_with_a_schema_for_rows_that_are_arrays(tmp_path: Path) -> None:
    """The line says what to do; the other queries are complete."""
    queries = [{**FUNNEL, "schema": SCHEMA}, SQL]
    with result_sandbox("query", row_form="array") as sandbox:
        run = watched_sync(sandbox, tmp_path, queries=queries)
    assert run.code == 1
    line, _ = run.errors
    says = "row 0 is not an object, so its fields have no names; leave out the schema"
    (funnel, sql) = (next(q for q in sandbox.queries if q.query_type == kind) for kind in ("funnel", "sql"))
    assert line == f"funnel: query {funnel.id}: {says}"
    assert run.failed == ["funnel"]
    assert run.records("funnel") == []
    assert results(run, "people_by_city") == rows_of(sql, product_id=PRODUCT)


def test_discovery_asks_for_nothing(tmp_path: Path) -> None:
    """All streams of results are in the catalog, with their schemas and keys."""
    config = {
        "api": "query",
        "report_ids": ["*"],
        "metric_ids": [1],
        "queries": [{**SQL, "schema": SCHEMA, "primary_key": ["identity"]}, FUNNEL],
    }
    with Sandbox(api="query") as sandbox:
        run = run_tap("--discover", folder=tmp_path, config={**config, "api_url": sandbox.url}).succeeded()
    assert sandbox.requests == []
    streams = {entry["tap_stream_id"]: entry for entry in json.loads(run.stdout)["streams"]}
    keys = {name: entry["key_properties"] for name, entry in streams.items()}
    key = ["query_id", "position"]
    wanted = {"report_results": key, "metric_results": key, "funnel": key, "people_by_city": ["identity"]}
    assert {name: keys[name] for name in wanted} == wanted
    assert streams["people_by_city"]["schema"]["properties"] == SCHEMA["properties"]
    (root,) = [m["metadata"] for m in streams["funnel"]["metadata"] if not m["breadcrumb"]]
    assert root["inclusion"] == "available"


def test_only_what_is_selected_is_run(tmp_path: Path) -> None:
    """A query is expensive: of two, one is deselected in the catalog, as are all lists."""
    settings: dict[str, Any] = {"queries": [SQL, FUNNEL], "report_ids": ["*"]}
    with result_sandbox("query") as sandbox:
        config = {"api": "query", **settings}
        catalog = json.loads(run_tap("--discover", folder=tmp_path, config=config).succeeded().stdout)
        for entry in catalog["streams"]:
            (root,) = [m["metadata"] for m in entry["metadata"] if not m["breadcrumb"]]
            root["selected"] = entry["tap_stream_id"] == "funnel"
        path = write_json(tmp_path / "catalog.json", catalog)
        run = sync(sandbox, tmp_path, "--catalog", path, **settings).succeeded()
    (query,) = sandbox.queries
    assert results(run, "funnel") == rows_of(query, product_id=PRODUCT)
    assert {request.resource for request in sandbox.requests} == {"queries"}


def test_the_settings_that_the_page_prints(tmp_path: Path) -> None:
    """Reports, metrics, a query whose rows become columns and one whose rows do not, as docs/results.md has them."""
    settings = json.loads(code_block("results", "settings"))
    channels, latest = (query["name"] for query in settings["queries"])
    rows = [{"channel": f"channel {n}", "visits": n, "email": None} for n in range(25)]
    with result_sandbox("query", rows=lambda _: rows) as sandbox:
        run = run_tap(folder=tmp_path, config={**settings, **settings_for(sandbox)}).succeeded()
    assert [query.kind for query in sandbox.queries] == ["query", "query", "metric", "report", "report"]
    assert run.records(channels) == [{"channel": row["channel"], "visits": row["visits"]} for row in rows]
    assert [record["fields"] for record in results(run, latest)] == rows
    assert len(results(run, "report_results")) == 50
    assert len(results(run, "metric_results")) == 25
