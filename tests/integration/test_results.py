"""Results: what runs, for which dates, how rows become records, and that one failure does not stop the rest."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox import Fault, faults
from tests.support.assertions import expected
from tests.support.cases import watched_sync
from tests.support.results import (
    SPAN,
    SUBJECTS,
    THIS_MONTH,
    each,
    is_page,
    is_poll,
    is_start,
    metric_ids,
    metric_rows,
    only,
    report_rows,
    result_sandbox,
    results,
    rows_of,
)
from tests.support.tap import run_tap, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Request, Response
    from tests.support.clock import Clock
    from tests.support.results import Subject

pytestmark = pytest.mark.usefixtures("clock")

CORE_REPORTS, QUERY_REPORTS, CORE_METRICS = SUBJECTS

NOW = dt.datetime(2024, 3, 12, 3, 30, tzinfo=dt.UTC)

AT = {"start_at": SPAN["start_date"], "end_at": SPAN["end_date"]}
"""`SPAN` as a query of a metric takes it."""

SQL: dict[str, Any] = {
    "name": "people_by_city",
    "product_id": 11_001,
    "query_type": "sql",
    "query_params": {"statement": "SELECT 1"},
}
FUNNEL = {**SQL, "name": "funnel", "query_type": "funnel", "query_params": {"date_range": THIS_MONTH}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "identity": {"type": "string"},
        "Visits": {"type": ["integer", "null"]},
        "last_seen": {"type": ["string", "null"], "format": "date-time"},
    },
}


@pytest.mark.parametrize(
    "switches",
    [
        {"polls_until_complete": 3},
        {"cap": 7, "row_form": "array"},
        {"first_form": True, "metric_total": False, "cap": 7},
        {"rows": 0},
    ],
    ids=str,
)
@each
def test_every_row_comes_once_and_in_order(subject: Subject, switches: dict[str, Any], tmp_path: Path) -> None:
    with subject.sandbox(**switches) as sandbox:
        run = subject.read(sandbox, tmp_path).succeeded()
    assert subject.results(run) == subject.rows(sandbox)
    assert len(subject.results(run)) == 3 * switches.get("rows", 25)
    assert run.warnings == []


@each
def test_the_list_is_requested_once_and_is_activated_but_results_are_not(subject: Subject, tmp_path: Path) -> None:
    """What a report gave yesterday stays."""
    with subject.sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, emit_activate_version_messages=True, **subject.settings).succeeded()
        listed = [r for r in sandbox.requests if r.resource == subject.listed and r.query.get("offset") == "0"]
    assert len(listed) == 1
    assert subject.results(run) == subject.rows(sandbox)
    assert run.records(subject.listed) == expected(subject.listed, subject.records(sandbox))
    assert {message["stream"] for message in run.of_type("ACTIVATE_VERSION")} == sandbox.account.records.keys()
    assert not [m for m in run.of_type("RECORD") if m["stream"] == subject.stream and "version" in m]


@each
def test_what_is_named_runs_once_and_in_that_order(subject: Subject, tmp_path: Path) -> None:
    """Numbers may be text, a UUID in capital letters. What does not exist is named, and the others run."""
    with subject.sandbox(4) as sandbox:
        first, _, third, _ = subject.records(sandbox)
        chosen: dict[str, Any] = {subject.setting: [third["id"], "404", str(first["id"]).upper(), third["id"]]}
        run = sync(sandbox, tmp_path, **chosen)
    cause = f"404 is not among the {subject.listed}; check {subject.setting} and product_ids"
    assert run.errors[0] == f"{subject.stream}: {subject.listed[:-1]} {cause}"
    assert run.failed == [subject.stream]
    assert subject.results(run) == [
        row
        for record, query in zip((third, first), sandbox.queries, strict=True)
        for row in subject.rows_of(sandbox, record, query)
    ]


@each
def test_product_ids_narrow_what_runs(subject: Subject, tmp_path: Path) -> None:
    with subject.sandbox() as sandbox:
        product = sandbox.account.insert("products", 0)["id"]
        records = subject.records(sandbox)
        records[1]["product_id"] = product
        sync(sandbox, tmp_path, product_ids=[product], **subject.settings).succeeded()
        assert [query.of or query.body["report_id"] for query in sandbox.queries] == [records[1]["id"]]
        other: dict[str, Any] = {subject.setting: [records[0]["id"]]}
        named = sync(sandbox, tmp_path, product_ids=[product], **other)
    assert f"{records[0]['id']} is not among the {subject.listed}; check" in named.errors[0]


def test_reports_of_another_type_run_only_if_they_are_named_and_then_fail(tmp_path: Path) -> None:
    """In the Core API only one type can be run."""
    with result_sandbox("core") as sandbox:
        reports = sandbox.account.records["reports"]
        reports[1]["report_type"] = "funnel"
        sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
        assert [query.of for query in sandbox.queries] == [reports[0]["id"], reports[2]["id"]]
        run = sync(sandbox, tmp_path, report_ids=[reports[1]["id"], reports[2]["id"]])
    says = f"report_results: report {reports[1]['id']} cannot be run: it is not of type people_search_v2"
    assert run.errors[:-1] == [says]
    assert run.failed == ["report_results"]
    assert results(run) == report_rows(sandbox, reports[2], sandbox.queries[-1])


@each
def test_a_query_that_fails_does_not_stop_the_others(subject: Subject, tmp_path: Path) -> None:
    with subject.sandbox(polls_until_complete=1) as sandbox:

        def is_second(request: Request) -> bool:
            return is_poll(request) and len(sandbox.queries) == 2

        failed = {"completed": False, "error": {"message": "too many people"}}
        sandbox.faults.append(faults.rewrite(lambda _: failed, where=is_second))
        run = subject.read(sandbox, tmp_path)
    first, second, third = subject.records(sandbox)
    query = f"{subject.name(second)}: query {sandbox.queries[1].id}"
    assert run.errors[:-1] == [f"{subject.stream}: {query}: the query failed: API message: too many people"]
    assert run.failed == [subject.stream]
    assert subject.results(run) == [
        row
        for record, query in ((first, sandbox.queries[0]), (third, sandbox.queries[2]))
        for row in subject.rows_of(sandbox, record, query)
    ]


@pytest.mark.parametrize(
    ("subject", "given", "sent"),
    [
        (CORE_REPORTS, None, {"start_date": "2024-03-01T00:00:00+00:00", "end_date": "2024-03-12T03:30:00+00:00"}),
        (CORE_REPORTS, SPAN, SPAN),
        (CORE_METRICS, SPAN, AT),
        (QUERY_REPORTS, None, THIS_MONTH),
        (QUERY_REPORTS, {"type": "absolute", "to": {"any": ["thing", 1, None]}}, None),
    ],
    ids=str,
)
def test_dates_are_passed_on_and_stand_in_each_record(
    subject: Subject, given: Any, sent: Any, clock: Clock, tmp_path: Path
) -> None:
    """Without any, they are this month to date."""
    clock.today = NOW
    with subject.sandbox(1) as sandbox:
        run = subject.read(sandbox, tmp_path, report_date_range=given).succeeded()
    body = sandbox.queries[0].body
    assert (body["date_range"] if subject is QUERY_REPORTS else body) == (sent or given)
    assert {json.dumps(record["date_range"]) for record in subject.results(run)} == {json.dumps(sent or given)}


@pytest.mark.parametrize("subject", [CORE_REPORTS, CORE_METRICS], ids=str)
def test_a_preset_is_of_days_in_the_time_zone_of_the_product(subject: Subject, clock: Clock, tmp_path: Path) -> None:
    clock.today = NOW  # still the 11th in California
    with subject.sandbox() as sandbox:
        products = sandbox.account.records["products"]
        for record, product, zone in zip(
            subject.records(sandbox), products, ("US/Pacific", "Asia/Tokyo", None), strict=True
        ):
            product["timezone"] = zone
            record["product_id"] = product["id"]
        run = subject.read(sandbox, tmp_path, report_date_range={"type": "preset", "preset": "last_7_days"})
    assert [list(query.body.values()) for query in sandbox.queries] == [
        ["2024-03-05T00:00:00-08:00", "2024-03-11T23:59:59-07:00"],
        ["2024-03-06T00:00:00+09:00", "2024-03-12T23:59:59+09:00"],
        ["2024-03-06T00:00:00+00:00", "2024-03-12T23:59:59+00:00"],
    ]
    (warning,) = run.succeeded().warnings
    assert f"the time zone of product {products[2]['id']} is not known: its days are taken in UTC" in warning


def test_a_preset_runs_nothing_if_the_time_zones_cannot_be_read(tmp_path: Path) -> None:
    with result_sandbox("core", metrics=1, faults=[faults.status(403, resource="products")]) as sandbox:
        run = CORE_METRICS.read(sandbox, tmp_path, report_date_range={"type": "preset", "preset": "today"})
    assert run.failed == ["metric_results"]
    assert sandbox.queries == []


OWN = {"start_date": "2023-05-01", "end_date": "2023-05-31"}
OWN_AT = {"start_at": "2023-05-01", "end_at": "2023-05-31"}


@pytest.mark.parametrize(
    ("subject", "item", "body"),
    [
        (CORE_REPORTS, {"date_range": OWN, "sort": "x"}, {**OWN, "sort": "x"}),
        (CORE_METRICS, {"date_range": OWN, "filter": {"any": [1, None]}}, {**OWN_AT, "filter": {"any": [1, None]}}),
        (QUERY_REPORTS, {"query_type": "people_search", "order": "desc"}, None),
        (QUERY_REPORTS, {"date_range": {"type": "after", "date": "2018-01-06"}}, None),
    ],
    ids=str,
)
def test_an_item_has_its_own_dates_and_its_members_go_into_the_body(
    subject: Subject, item: dict[str, Any], body: dict[str, Any] | None, tmp_path: Path
) -> None:
    with subject.sandbox(1) as sandbox:
        record = subject.records(sandbox)[0]
        if body is None:
            body = {"report_id": record["id"], "date_range": THIS_MONTH, **item}
        settings: dict[str, Any] = {subject.setting: [{**item, "id": str(record["id"])}]}
        run = sync(sandbox, tmp_path, **settings).succeeded()
    assert [query.body for query in sandbox.queries] == [body]
    assert subject.results(run) == subject.rows(sandbox)


def test_a_property_makes_segments_of_a_metric(tmp_path: Path) -> None:
    """`property_date` may be left out. Items that differ in anything but the case of the id are different queries."""
    with result_sandbox("core") as sandbox:
        metric, segment = sandbox.account.ids("metrics")[1], sandbox.account.ids("properties")[4]
        own = {"id": metric, "property_id": segment, "property_date": "last_ever"}
        items = [metric, {"id": metric, "property_id": segment}, own, {"id": metric.upper()}]
        run = sync(sandbox, tmp_path, metric_ids=items, report_date_range=SPAN).succeeded()
    assert [(query.kind, query.of, query.body) for query in sandbox.queries] == [
        ("over-time", metric, AT),
        ("by-segment", metric, {**AT, "property_id": segment, "property_date": "first_ever"}),
        ("by-segment", metric, {**AT, "property_id": segment, "property_date": "last_ever"}),
    ]
    assert CORE_METRICS.results(run) == CORE_METRICS.rows(sandbox)


def test_metrics_of_the_query_api_need_no_list(tmp_path: Path) -> None:
    """What the API refuses is named, and the others run."""
    with result_sandbox("query") as sandbox:
        first, second = metric_ids(sandbox)[:2]
        over_time = {"id": second, "query_type": "metric_over_time"}
        run = watched_sync(sandbox, tmp_path, metric_ids=[over_time, 7, str(first), over_time, first])
    assert [query.body for query in sandbox.queries] == [
        {"metric_id": second, "date_range": THIS_MONTH, "query_type": "metric_over_time"},
        {"metric_id": first, "date_range": THIS_MONTH},
    ]
    assert re.fullmatch(r"metric_results: metric 7: HTTP 422.*The metric_id is unknown", run.errors[0])
    assert run.failed == ["metric_results"]
    assert results(run, "metric_results") == [
        row
        for query in sandbox.queries
        for row in metric_rows(query, metric_id=query.body["metric_id"], date_range=THIS_MONTH)
    ]


@pytest.mark.parametrize("names", [["a", "a", ""], ["a", "b"], None], ids=str)
def test_the_columns_of_a_result_name_the_values_of_its_rows(names: list[str] | None) -> None:
    """Columns that do not fit a row leave `fields` null, with one warning."""
    columns = None if names is None else [{"display_name": name, "type": "number"} for name in names]
    named = faults.rewrite(lambda body: {**body, "columns": columns}, where=is_page)
    with result_sandbox("core", reports=1, rows=lambda _: [[1, 2, 3], [4, 5, 6]], faults=[named]) as sandbox:
        run = sync_here(sandbox, report_ids=["*"])
    fits = names == ["a", "a", ""]
    assert [record["fields"] for record in results(run)] == (
        [{"a": 1, "a_2": 2, "column_3": 3}, {"a": 4, "a_2": 5, "column_3": 6}] if fits else [None, None]
    )
    assert [record["columns"] for record in results(run)] == [columns, columns]
    assert run.stderr.count("its columns do not fit a row of 3 values") == (names == ["a", "b"])


def test_a_value_that_does_not_fit_the_column_of_a_metric_is_only_in_data(tmp_path: Path) -> None:
    row = {"timestamp": "soon", "value": "many", "people_count": 2.5, "property_value": 7}
    with result_sandbox("core", metrics=1, rows=lambda _: [row]) as sandbox:
        run = CORE_METRICS.read(sandbox, tmp_path).succeeded()
    (record,) = CORE_METRICS.results(run)
    assert record["data"] == row
    nulls = dict.fromkeys(("timestamp", "value", "people_count"))
    assert {name: record[name] for name in row} == {**nulls, "property_value": "7"}
    assert "is of type" not in run.stderr


def test_rows_of_a_query_without_a_schema_are_json(tmp_path: Path) -> None:
    """Of SQL rows are objects, of others what they are."""
    with result_sandbox("query", row_form="array") as sandbox:
        run = watched_sync(sandbox, tmp_path, queries=[SQL, FUNNEL]).succeeded()
    of = {query.query_type: query for query in sandbox.queries}
    assert of["sql"].body == {name: value for name, value in SQL.items() if name != "name"}
    assert results(run, "people_by_city") == rows_of(of["sql"], product_id=11_001)
    assert results(run, "funnel") == rows_of(of["funnel"], product_id=11_001)
    assert [type(results(run, stream)[0]["data"]) for stream in ("people_by_city", "funnel")] == [dict, list]


def test_rows_of_a_query_with_a_schema_are_columns(tmp_path: Path) -> None:
    """What the schema does not have is left out; equal rows all come."""
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


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([1, 2], "row 0 is not an object, so its fields have no names; leave out the schema"),
        ({"identity": None, "Visits": 1}, "row 0 has no identity, which is in its primary_key"),
    ],
    ids=["array", "no key"],
)
def test_a_row_that_does_not_fit_its_schema_fails_that_query_alone(row: Any, says: str, tmp_path: Path) -> None:
    queries = [{**FUNNEL, "schema": SCHEMA, "primary_key": ["identity"]}, SQL]
    with result_sandbox("query", rows=lambda _: [row]) as sandbox:
        run = watched_sync(sandbox, tmp_path, queries=queries)
    funnel, sql = sorted(sandbox.queries, key=lambda query: query.query_type)
    assert run.errors[0] == f"funnel: query {funnel.id}: {says}"
    assert run.failed == ["funnel"]
    assert run.records("funnel") == []
    assert results(run, "people_by_city") == rows_of(sql, product_id=11_001)


def test_parts_of_a_column_may_be_deselected() -> None:
    """What is taken out of a row that was read does not make the next page look like that of another result."""
    schema = {"properties": {"who": {"type": "object", "properties": {"id": {"type": "integer"}, "email": {}}}}}
    settings = {"queries": [{**SQL, "schema": schema}]}
    with result_sandbox("query", rows=lambda _: [{"who": {"id": n, "email": f"{n}@x"}} for n in range(25)]) as sandbox:
        catalog = only(sandbox, "people_by_city", **settings)
        for entry in catalog["streams"]:
            for item in entry["metadata"]:
                if item["breadcrumb"][-1:] == ["email"]:
                    item["metadata"]["selected"] = False
        run = sync_here(sandbox, catalog=catalog, page_size=10, **settings)
    assert run.records("people_by_city") == [{"who": {"id": n}} for n in range(25)]


def test_discovery_has_the_streams_of_what_is_set_and_asks_for_nothing(tmp_path: Path) -> None:
    queries = [{**SQL, "schema": SCHEMA, "primary_key": ["identity"]}, FUNNEL]
    with result_sandbox("query") as sandbox:

        def discovered(**settings: object) -> dict[str, Any]:
            config = {"api": "query", "api_url": sandbox.url, **settings}
            catalog = json.loads(run_tap("--discover", folder=tmp_path, config=config).succeeded().stdout)
            return {entry["tap_stream_id"]: entry for entry in catalog["streams"]}

        lists = discovered(report_ids=[], metric_ids=[])
        streams = discovered(report_ids=["*"], metric_ids=[1], queries=queries)
    assert sandbox.requests == []
    key = ["query_id", "position"]
    wanted = {"report_results": key, "metric_results": key, "funnel": key, "people_by_city": ["identity"]}
    assert {name: streams[name]["key_properties"] for name in streams.keys() - lists.keys()} == wanted
    assert streams["people_by_city"]["schema"]["properties"] == SCHEMA["properties"]
    assert {streams[name]["replication_method"] for name in wanted} == {"FULL_TABLE"}


def test_only_what_is_selected_runs(tmp_path: Path) -> None:
    """A query is expensive, and needs no list."""
    settings: dict[str, Any] = {"queries": [SQL, FUNNEL], "report_ids": ["*"]}
    with result_sandbox("query") as sandbox:
        run = sync(sandbox, tmp_path, catalog=only(sandbox, "funnel", **settings), **settings).succeeded()
    (query,) = sandbox.queries
    assert results(run, "funnel") == rows_of(query, product_id=11_001)
    assert {request.resource for request in sandbox.requests} == {"queries"}


# Where the Core API says that its status and its results are


@pytest.mark.parametrize("subject", [CORE_REPORTS, CORE_METRICS], ids=str)
def test_no_other_host_is_asked(subject: Subject, tmp_path: Path) -> None:
    """Of what another host is named for, the path is requested at the host of the settings."""
    with result_sandbox("core") as elsewhere, subject.sandbox() as sandbox:
        sandbox.stray_links = elsewhere.url.removesuffix("/core")
        run = subject.read(sandbox, tmp_path).succeeded()
        assert elsewhere.requests == []
    assert subject.results(run) == subject.rows(sandbox)


@pytest.mark.parametrize(
    ("location", "body"),
    [
        pytest.param("http://127.0.0.1:1{}?limit=1&offset=7#x", None, id="another host and a query"),
        pytest.param(None, None, id="a link alone"),
        pytest.param("https://example.invalid/login", None, id="elsewhere, and a link"),
        pytest.param("{}", b"<html>See other</html>", id="HTML"),
        pytest.param("{}", b'{"links": [5, {"rel": "query-results", "href": 7}]}', id="links that are none"),
        pytest.param("{}", b'{"completed": false, "progress": 0.9}', id="the body of a poll"),
    ],
)
def test_the_303_of_a_status_says_that_a_metric_is_completed(
    location: str | None, body: bytes | None, tmp_path: Path
) -> None:
    """Only the path of its `Location` is used, whatever its body is."""

    def answer(_: Request, response: Response) -> Response:
        if response.status == 303:
            path = urlsplit(response.headers.pop("Location")).path
            response.headers |= {"Location": location.format(path)} if location else {}
            response.body = response.body if body is None else body
        return response

    changed = Fault("see other", answer=answer, where=is_poll)
    with result_sandbox("core", metrics=2, polls_until_complete=1, faults=[changed]) as sandbox:
        run = CORE_METRICS.read(sandbox, tmp_path).succeeded()
    assert CORE_METRICS.results(run) == CORE_METRICS.rows(sandbox)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.redirect("/query/queries/1", 303, where=is_page), "the API redirects .*; set api_url to the right"),
        (faults.redirect("/query/queries/1", 302, where=is_poll), "the API redirects .*; set api_url to the right"),
        (faults.status(303, body=b"{}", where=is_poll), "the response names no query-results below .*; check api_url"),
        (faults.status(404, where=is_start), "nothing at /query/metrics/.*; check api_url and product_ids"),
    ],
    ids=["303 of a page", "302", "303 without a place", "404"],
)
def test_any_other_redirect_is_an_error(fault: Fault, says: str, tmp_path: Path) -> None:
    fault.seen = 0
    with result_sandbox("core", metrics=1, polls_until_complete=1, faults=[fault]) as sandbox:
        run = CORE_METRICS.read(sandbox, tmp_path)
    assert run.failed == ["metric_results"]
    assert re.search(says, run.errors[0]), run.errors[0]
    assert not CORE_METRICS.results(run)
