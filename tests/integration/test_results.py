"""Results of saved reports, in both APIs: which reports are run, for which time, and every row of each once."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.cases import watched_sync
from tests.support.results import (
    ALL,
    SPAN,
    THIS_MONTH,
    all_report_rows,
    both,
    only,
    report_rows,
    result_sandbox,
    results,
)
from tests.support.tap import run_tap, sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import ApiName, Fault


pytestmark = pytest.mark.usefixtures("clock")


@pytest.mark.parametrize(
    ("api", "switches"),
    [
        pytest.param("query", {"row_form": "object"}, id="query, objects"),
        pytest.param("query", {"row_form": "array", "polls_until_complete": 1}, id="query, arrays"),
        pytest.param("query", {"cap": 7}, id="query, capped"),
        pytest.param("query", {"rows": 0}, id="query, no rows"),
        pytest.param("core", {"polls_until_complete": 1}, id="core"),
        pytest.param("core", {"columns": True}, id="core, columns"),
        pytest.param("core", {"rows": 0}, id="core, no rows"),
        pytest.param("core", {"cap": 7}, id="core, capped"),
    ],
)
def test_every_row_of_every_report(api: ApiName, switches: dict[str, Any], tmp_path: Path) -> None:
    """In the order of the result, equal rows too; the list of reports is read once, and is complete as well."""
    with result_sandbox(api, **switches) as sandbox:
        run = watched_sync(sandbox, tmp_path, **ALL).succeeded()
    columns = None
    if switches.get("columns"):
        columns = results(run)[0]["columns"]
        assert [column["return_option"] for column in columns] == ["id", "identity"]
    assert results(run) == all_report_rows(sandbox, columns)
    assert len(results(run)) == 3 * switches.get("rows", 25)
    if results(run):
        assert results(run)[8]["data"] == results(run)[9]["data"]
    assert run.records("reports") == sandbox.account.records["reports"]
    lists = [r for r in sandbox.requests if r.path.endswith("/reports") and r.query.get("offset") == "0"]
    assert len(lists) == 1


@pytest.mark.parametrize(("api", "page_size"), [("core", 1000), ("query", 10_000)])
def test_25_000_people(api: ApiName, page_size: int) -> None:
    """All of them, in order, at positions 0 to 24,999, with their fields by name."""
    with result_sandbox(api, reports=1, rows=25_000, columns=True) as sandbox:
        catalog = only(sandbox, "report_results", **ALL)
        run = sync_here(sandbox, catalog=catalog, page_size=page_size, **ALL)
    got = results(run)
    assert [record["position"] for record in got] == list(range(25_000))
    assert got == all_report_rows(sandbox, got[0]["columns"])
    names = {"core": ["KM Internal ID", "Identity"], "query": list(got[0]["data"])}
    assert all(list(record["fields"]) == names[api] for record in got)
    pages = [request for request in sandbox.requests if request.resource == "queries" and request.is_list]
    least = -(-24_999 // (page_size - 1))
    assert least <= len(pages) <= least + 1


def test_no_other_host_is_asked(tmp_path: Path) -> None:
    """Another origin in `Location` and in links is not followed, but its path is asked for at `query_url`."""
    with result_sandbox("core") as elsewhere, result_sandbox("core") as sandbox:
        sandbox.stray_links = elsewhere.url.removesuffix("/core")
        run = watched_sync(sandbox, tmp_path, **ALL).succeeded()
        assert elsewhere.requests == []
    assert results(run) == all_report_rows(sandbox)


def without_links(body: dict[str, Any]) -> dict[str, Any]:
    """Take the links out of an answer; its headers stay."""
    return {key: value for key, value in body.items() if key != "links"}


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(lambda: faults.rewrite(without_links, resource="queries"), id="no links"),
        pytest.param(lambda: faults.header("Location", resource="queries"), id="no Location"),
    ],
)
def test_either_pointer_will_do(lost: Callable[[], Fault], tmp_path: Path) -> None:
    """A run says where its status and its results are in a header and in a link."""
    with result_sandbox("core", reports=1, faults=[lost()]) as sandbox:
        run = watched_sync(sandbox, tmp_path, **ALL).succeeded()
    assert results(run) == all_report_rows(sandbox)


def test_only_reports_that_can_be_run_are_all_of_them(tmp_path: Path) -> None:
    """In the Core API `*` stands for those of one type; one of another type that is asked for by name is an error."""
    with result_sandbox("core", reports=4) as sandbox:
        reports = sandbox.account.records["reports"]
        reports[1]["report_type"] = "funnel"
        run = sync(sandbox, tmp_path, **ALL).succeeded()
        assert list(dict.fromkeys(r["report_id"] for r in results(run))) == [reports[n]["id"] for n in (0, 2, 3)]
        named = sync(sandbox, tmp_path, report_ids=[reports[1]["id"], reports[2]["id"]])
    assert named.code == 1
    says = f"report_results: report {reports[1]['id']} cannot be run: it is not of type people_search_v2"
    assert named.errors[:-1] == [says]
    assert named.failed == ["report_results"]
    assert results(named) == report_rows(sandbox, reports[2], sandbox.queries[-1])


@both
def test_reports_by_id(api: ApiName, tmp_path: Path) -> None:
    """In the order that was given, each once; numbers or text in v3. One that does not exist is named."""
    with result_sandbox(api, reports=4) as sandbox:
        reports = sandbox.account.records["reports"]
        chosen: list[Any] = [reports[2]["id"], str(reports[0]["id"]), reports[2]["id"]]
        run = sync(sandbox, tmp_path, report_ids=chosen).succeeded()
        assert results(run) == [
            row
            for number, query in zip((2, 0), sandbox.queries, strict=True)
            for row in report_rows(sandbox, reports[number], query)
        ]
        sandbox.queries.clear()
        run = sync(sandbox, tmp_path, report_ids=["404", reports[1]["id"]])
    assert run.code == 1
    says = "report_results: report 404 is not among the reports; check report_ids and product_ids"
    assert run.errors[:-1] == [says]
    assert run.failed == ["report_results"]
    assert results(run) == report_rows(sandbox, reports[1], sandbox.queries[0])


@both
def test_reports_of_other_products_are_not_run(api: ApiName) -> None:
    """`product_ids` narrows `*` too."""
    with result_sandbox(api, reports=4) as sandbox:
        other = sandbox.account.insert("products", 0)
        with sandbox.lock:
            sandbox.account.records["reports"][1]["product_id"] = other["id"]
        report = sandbox.account.records["reports"][1]
        run = sync_here(sandbox, product_ids=[other["id"]], **ALL)
    assert results(run) == report_rows(sandbox, report, sandbox.queries[0])
    assert len(sandbox.queries) == 1


@pytest.mark.parametrize(
    ("api", "dates"),
    [
        ("core", None),
        ("core", SPAN),
        ("query", None),
        ("query", {"type": "absolute", "from": "2024-01-01", "to": {"any": ["thing", 1, None]}}),
    ],
)
def test_date_range(api: ApiName, dates: dict[str, Any] | None) -> None:
    """Passed on as it is; left out, this month to date. Each row says which it was."""
    with result_sandbox(api, reports=1) as sandbox:
        run = sync_here(sandbox, report_date_range=dates, **ALL)
    body = sandbox.queries[0].body
    if api == "query":
        report_id = sandbox.account.ids("reports")[0]
        assert body == {"report_id": report_id, "date_range": dates or THIS_MONTH}
    elif dates:
        assert body == dates
    else:
        start, end = (dt.datetime.fromisoformat(body[name]) for name in ("start_date", "end_date"))
        assert abs(end - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
        assert start == end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        assert body.keys() == {"start_date", "end_date"}
    sent = body if api == "core" else body["date_range"]
    assert {json.dumps(record["date_range"]) for record in results(run)} == {json.dumps(sent)}


@both
def test_two_runs_of_a_day_do_not_collide(api: ApiName) -> None:
    """Every run of a report is another query."""
    with result_sandbox(api) as sandbox:
        records = [record for _ in range(2) for record in results(sync_here(sandbox, **ALL))]
    keys = {(record["query_id"], record["position"]) for record in records}
    assert len(keys) == len(records) == 2 * 3 * 25


@both
def test_nothing_tells_a_target_to_delete_results(api: ApiName, tmp_path: Path) -> None:
    """Lists are activated, results are not: what a report gave yesterday stays."""
    with result_sandbox(api, reports=1) as sandbox:
        run = sync(sandbox, tmp_path, emit_activate_version_messages=True, **ALL).succeeded()
    activated = {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}
    assert activated == sandbox.account.records.keys()
    assert results(run)
    assert not [m for m in run.of_type("RECORD") if m["stream"] == "report_results" and "version" in m]


@both
def test_is_there_once_something_is_to_be_run(api: ApiName, tmp_path: Path) -> None:
    """With its key; no request tells it."""
    for settings, there in (({}, False), ({"report_ids": []}, False), (ALL, True)):
        found = run_tap("--discover", folder=tmp_path, config={"api": api, **settings}).succeeded().stdout
        streams = {entry["tap_stream_id"]: entry for entry in json.loads(found)["streams"]}
        assert ("report_results" in streams) is there
        if there:
            (root,) = [m["metadata"] for m in streams["report_results"]["metadata"] if not m["breadcrumb"]]
            assert root["table-key-properties"] == ["query_id", "position"]
            assert streams["report_results"]["replication_method"] == "FULL_TABLE"
