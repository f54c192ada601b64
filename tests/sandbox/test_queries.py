"""Asynchronous queries: report runs, people searches and metrics of the Core API, and all queries of v3."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox import Query, Row, faults
from tests.sandbox.client import get, send, walk

if TYPE_CHECKING:
    from tests.sandbox import Sandbox

DATES = {"type": "preset", "preset": "this_month_to_date"}
SPAN = {"start_date": "2015-01-01T00:00:00Z", "end_date": "2015-02-01T00:00:00+00:00"}
AT = {"start_at": "2015-01-01", "end_at": "2015-01-31T00:00:00Z"}


def run(sandbox: Sandbox, body: object = SPAN, kind: str = "people_search_v2") -> requests.Response:
    """Run the first report of a type in the Core API."""
    report = next(each for each in sandbox.account.records["reports"] if each["report_type"] == kind)
    url = f"{sandbox.query_url}/products/{report['product_id']}/reports/{report['id']}/run"
    return send(sandbox, "POST", url, body)


def query_metric(sandbox: Sandbox, metric: str, kind: str, body: object) -> requests.Response:
    """Start a query of a metric in the Core API."""
    return send(sandbox, "POST", f"{sandbox.metric_url}/metrics/{metric}/{kind}", body)


def results(sandbox: Sandbox, started: requests.Response, **query: object) -> Any:
    """Follow a query that is completed at once to its results."""
    status = send(sandbox, "GET", started.headers["Location"])
    return send(sandbox, "GET", status.headers["Location"], **query).json()


def start(v3: Sandbox, body: dict[str, Any] | None = None, path: str = "/queries/report") -> requests.Response:
    """Start a query of v3, by default of the first report."""
    body = {"report_id": v3.account.ids("reports")[0], "date_range": DATES} if body is None else body
    return send(v3, "POST", f"{v3.url}{path}", body)


def test_a_report_run_goes_from_start_to_status_to_results(sandbox: Sandbox) -> None:
    started = run(sandbox)
    assert (started.status_code, started.json()["data"]) == (202, {"message": "success"})
    href = started.headers["Location"]
    assert started.json()["links"] == [{"templated": False, "href": href, "rel": "query-status", "name": "Status"}]
    assert send(sandbox, "GET", f"{href}/results").status_code == 404
    answers = [send(sandbox, "GET", path) for path in (href, f"{href}/status", href)]
    assert [(answer.status_code, answer.json()["data"]) for answer in answers] == [
        (200, {"completed": False, "progress": 0.33}),
        (200, {"completed": False, "progress": 0.67}),
        (201, {"completed": True, "progress": 1.0}),
    ]
    (link,) = answers[2].json()["links"]
    assert (link["rel"], link["name"], link["href"]) == ("query-results", "Results", answers[2].headers["Location"])
    body = send(sandbox, "GET", link["href"], limit=3, offset=1).json()
    assert body["data"] == [[12_346 + n, f"bob{n + 1}@example.com"] for n in range(3)]
    assert body["pagination"] == {"limit": 3, "offset": 1, "total": 120}
    assert len(send(sandbox, "GET", link["href"]).json()["data"]) == 50
    query = sandbox.queries[0]
    assert (query.kind, query.body, query.polls, query.completed) == ("run", SPAN, 3, True)
    sandbox.status_path, sandbox.stray_links = True, "http://127.0.0.2:9"
    assert run(sandbox).headers["Location"].startswith("http://127.0.0.2:9/v2/queries/")
    assert run(sandbox).headers["Location"].endswith("/status")


def test_rows_of_people_searches_are_objects(sandbox: Sandbox) -> None:
    sandbox.polls_until_complete = 0
    row = results(sandbox, run(sandbox, kind="people_search_v3"))["data"][0]
    assert (list(row), type(row["columns"])) == (["id", "identity", "columns"], list)
    url = f"{sandbox.query_url}/products/{{}}/reports/people_search"
    body = {"type": "group", "filter": {}}
    started = send(sandbox, "POST", url.format(sandbox.account.ids("products")[0]), body)
    assert results(sandbox, started)["data"][0].keys() == {"identity", "columns"}
    assert (sandbox.queries[-1].kind, sandbox.queries[-1].body) == ("people_search", body)
    assert send(sandbox, "POST", url.format("no"), body).status_code == 404


def test_a_metric_redirects_to_its_results(sandbox: Sandbox) -> None:
    metric, segment = sandbox.account.ids("metrics")[1], sandbox.account.ids("properties")[0]
    started = query_metric(sandbox, metric, "over-time", AT)
    answers = [send(sandbox, "GET", started.headers["Location"]) for _ in range(3)]
    assert [(answer.status_code, answer.json()["data"]) for answer in answers] == [
        (200, {"progress": 0.33}),
        (200, {"progress": 0.67}),
        (303, {"progress": 1.0}),
    ]
    url = answers[2].headers["Location"]
    body = send(sandbox, "GET", url, limit=2, offset=1).json()
    assert [list(row) for row in body["data"]] == [["timestamp", "year", "month", "day", "value"]] * 2
    assert (body["total"], body["metadata"]) == (120, {"limit": 2, "offset": 1})
    assert [(each["rel"], each["href"]) for each in body["links"]] == [("next", f"{url}?limit=2&offset=3")]
    sandbox.metric_total = False
    last = send(sandbox, "GET", url, limit=1, offset=119).json()
    assert (last.keys(), last["links"]) == ({"data", "links"}, [])
    sandbox.polls_until_complete = 0
    by_segment = {**AT, "property_id": segment, "property_date": "first_ever"}
    row = results(sandbox, query_metric(sandbox, metric, "by-segment", by_segment))["data"][0]
    assert list(row) == ["property_value", "people_count", "value"]
    for wrong, code in ((AT, 404), ({**AT, "property_id": segment}, 400), ({**by_segment, "property_id": metric}, 404)):
        assert query_metric(sandbox, metric, "by-segment", wrong).status_code == code
    assert [(query.kind, query.of) for query in sandbox.queries] == [("over-time", metric), ("by-segment", metric)]


def test_results_may_be_of_2014_or_name_their_columns(sandbox: Sandbox) -> None:
    sandbox.polls_until_complete = 0
    metric = sandbox.account.ids("metrics")[0]
    assert "columns" not in results(sandbox, run(sandbox))
    sandbox.first_form = sandbox.columns = True
    for started in (run(sandbox), query_metric(sandbox, metric, "over-time", AT)):
        body = results(sandbox, started, limit=3)
        assert body.keys() == {"rows", "total", "metadata", "columns"}
        assert (len(body["rows"]), body["total"], body["metadata"]) == (3, 120, {"limit": 3, "offset": 0})
        assert len(body["columns"]) == len(body["rows"][0])


def test_core_refuses_wrong_bodies_and_other_reports(sandbox: Sandbox) -> None:
    wrong: tuple[object, ...] = (
        {"start_date": "2015-01-01"},
        SPAN | {"end_date": 7},
        SPAN | {"end_date": "2014-12-31T00:00:00Z"},
        {},
        [],
    )
    assert [run(sandbox, body).status_code for body in (None, *wrong)] == [415, 400, 400, 400, 400, 400]
    assert "people_search_v2" in run(sandbox, kind="funnel").json()["meta"]["message"]
    assert query_metric(sandbox, sandbox.account.ids("properties")[0], "over-time", AT).status_code == 404
    product, report = sandbox.account.ids("products")[-1], sandbox.account.ids("reports")[0]
    stray = f"{sandbox.query_url}/products/{product}/reports/{report}/run"
    assert send(sandbox, "POST", stray, SPAN).status_code == 404
    assert requests.get(f"{sandbox.query_url}/queries/x", timeout=5).status_code == 401
    body = send(sandbox, "GET", f"{sandbox.metric_url}/queries/x").json()
    assert body == {"meta": {"status": 404, "message": "There is no such query", "errors": ["not_found"]}}
    assert sandbox.queries == []


@pytest.mark.parametrize(
    ("outcome", "core", "query"),
    [
        ("fail", {"error": "The query could not be completed"}, {}),
        ("fail_completed", {}, {"completed": True, "error": {"message": "The query could not be completed"}}),
        ("fail_status", {}, {"status": "failed", "message": "Out of memory"}),
        ("fail_flag", {}, {"failed": True, "messages": ["Out of memory"]}),
        ("fail_state", {}, {"state": "CANCELLED", "reason": "Stopped by an administrator"}),
        ("never", {}, {"progress": 0.25}),
    ],
)
def test_a_query_fails_in_words_or_never_ends(
    sandbox: Sandbox, v3: Sandbox, outcome: Any, core: dict[str, Any], query: dict[str, Any]
) -> None:
    for api in (sandbox, v3):
        api.polls_until_complete = 0
        api.query_outcome = lambda _query: outcome
    status = {"completed": False, "progress": 0.99, **query}
    assert get(v3, f"/queries/{start(v3).json()['id']}").json() == {**status, **core}
    assert send(sandbox, "GET", run(sandbox).headers["Location"]).json() == {
        "meta": {"status": 200},
        "data": status,
        **core,
    }
    assert not v3.queries[0].completed


def test_a_query_of_v3_reports_its_progress_and_then_its_rows(v3: Sandbox) -> None:
    query_id = start(v3).json()["id"]
    assert str(uuid.UUID(query_id)) == query_id
    bodies = [get(v3, f"/queries/{query_id}").json() for _ in range(4)]
    assert bodies[:2] == [{"completed": False, "progress": n} for n in (0.33, 0.67)]
    assert bodies[2] == bodies[3]
    assert bodies[3].keys() == {"completed", "progress", "data"}
    assert (bodies[3]["completed"], bodies[3]["progress"], len(bodies[3]["data"])) == (True, 1, 50)
    assert [request.is_list for request in v3.requests] == [False] * 3 + [True] * 2
    query = v3.queries[0]
    assert (query.id, query.kind, query.query_type) == (query_id, "report", "people_search")
    assert (query.polls, query.completed, query.cancelled) == (3, True, False)


def test_a_query_runs_for_a_while(v3: Sandbox) -> None:
    v3.polls_until_complete, v3.seconds_until_complete = 0, 0.5
    path = f"/queries/{start(v3).json()['id']}"
    assert get(v3, path).json()["completed"] is False
    time.sleep(0.5)
    assert get(v3, path).json()["completed"] is True


def test_rows_have_no_key_and_repeat_and_may_be_given(v3: Sandbox) -> None:
    def rows() -> list[Any]:
        return walk(v3, f"/queries/{start(v3).json()['id']}", 33)

    v3.polls_until_complete = 0
    assert len(rows()) == 120
    assert len({tuple(row.items()) for row in rows()}) == 108
    v3.row_form = "array"
    assert all(isinstance(row, list) for row in rows())
    sql = {"query_type": "sql", "query_params": {"statement": "select 1"}}
    query_id = start(v3, {"product_id": v3.account.ids("products")[1], **sql}, "/queries").json()["id"]
    assert {type(row) for row in walk(v3, f"/queries/{query_id}", 1000)} == {dict}

    def given(query: Query) -> list[Row]:
        return [{"of": query.body["report_id"]}]

    v3.rows = given
    assert rows() == [{"of": v3.account.ids("reports")[0]}]


def test_queries_of_v3_are_cancelled(v3: Sandbox) -> None:
    path = f"/queries/{start(v3).json()['id']}"
    v3.faults.append(faults.status(500, method="DELETE", nth=1))
    codes = [send(v3, method, f"{v3.url}{path}").status_code for method in ("DELETE", "GET", "DELETE", "GET", "DELETE")]
    assert (codes, v3.queries[0].cancelled) == ([500, 200, 200, 404, 404], True)
    v3.query_outcome, v3.polls_until_complete = "cancelled", 0
    assert get(v3, f"/queries/{start(v3).json()['id']}").status_code == 404


def test_v3_checks_the_bodies(v3: Sandbox) -> None:
    search, funnel = {"report_id": 2_000_001}, {"report_id": 2_000_004}
    product, dated = {"product_id": 11_001}, {"date_range": DATES}
    sql = {"query_type": "sql", "query_params": {"statement": "select 1"}}
    v3.products_without_sql = {11_004}
    cases: list[tuple[str, Any, int]] = [
        ("/queries/report", search, 200),
        ("/queries/report", funnel, 422),
        ("/queries/report", funnel | dated | {"sort": "name", "order": "asc"}, 200),
        ("/queries/report", search | {"query_type": "nonsense"}, 422),
        ("/queries/report", search | {"sort": 1}, 422),
        ("/queries/report", {"report_id": "2000001"}, 422),
        ("/queries/report", [], 400),
        ("/queries/metric", {"metric_id": 90_001} | dated, 200),
        ("/queries/metric", {"metric_id": 7} | dated, 422),
        ("/queries", product | sql, 200),
        ("/queries", product | sql | {"query_params": {}}, 400),
        ("/queries", {"product_id": 11_004} | sql, 403),
        ("/queries", product | {"query_type": "people_search"}, 422),
        ("/queries/nonsense", {}, 405),
    ]
    for path, body, code in cases:
        v3.queries.clear()
        answer = start(v3, body, path)
        assert (answer.status_code, len(v3.queries)) == (code, code == 200), (path, body, answer.text)
        assert answer.json().keys() == ({"id"} if code == 200 else {"status", "messages"})
