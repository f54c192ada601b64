"""The asynchronous queries of the Query API v3, and its rate limit."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox import PASSWORD, USERNAME, Query, Row, faults
from tests.sandbox.client import get, send, walk

if TYPE_CHECKING:
    from tests.sandbox import Sandbox

DATES = {"type": "preset", "preset": "this_month_to_date"}


def start(sandbox: Sandbox, body: dict[str, Any] | None = None, path: str = "/queries/report") -> requests.Response:
    """Start a query, by default of the first report."""
    if body is None:
        body = {"report_id": sandbox.account.ids("reports")[0], "date_range": DATES}
    return send(sandbox, "POST", f"{sandbox.url}{path}", body)


def completed(sandbox: Sandbox) -> str:
    """Start a query and poll it until it is completed; return its path."""
    path = f"/queries/{start(sandbox).json()['id']}"
    while not get(sandbox, path, limit=0).json()["completed"]:
        pass
    return path


class TestRateLimit:
    """The limit of requests a minute."""

    def test_refuses_the_requests_above_it(self, v3: Sandbox) -> None:
        v3.rate_limit = 3
        codes = [get(v3, "/products").status_code for _ in range(3)]
        answer = start(v3)
        assert (codes, answer.status_code) == ([200] * 3, 429)
        assert answer.json() == {"status": 429, "messages": ["Too many requests"]}
        assert v3.queries == []
        v3.rate_limit = None
        assert get(v3, "/products").status_code == 200

    def test_counts_the_most_in_a_minute(self, v3: Sandbox) -> None:
        assert v3.most_in_a_minute() == 0
        for _ in range(5):
            get(v3, "/products")
        for request, at in zip(v3.requests, (0, 0.5, 0.8, 59.9, 60), strict=True):
            request.at = at
        assert v3.most_in_a_minute() == 4


class TestQueries:
    """Asynchronous queries of v3."""

    def test_progress_and_complete(self, v3: Sandbox) -> None:
        v3.polls_until_complete = 3
        answer = start(v3)
        query_id = answer.json()["id"]
        assert (answer.status_code, str(uuid.UUID(query_id))) == (200, query_id)
        bodies = [get(v3, f"/queries/{query_id}").json() for _ in range(5)]
        assert bodies[:3] == [{"completed": False, "progress": n} for n in (0.25, 0.5, 0.75)]
        assert bodies[3] == bodies[4]
        assert bodies[3].keys() == {"completed", "progress", "data"}
        assert (bodies[3]["completed"], bodies[3]["progress"], len(bodies[3]["data"])) == (True, 1, 50)
        assert [request.is_list for request in v3.requests] == [False] * 4 + [True] * 2
        assert {request.resource for request in v3.requests} == {"queries"}
        query = v3.queries[0]
        assert (query.id, query.kind, query.query_type) == (query_id, "report", "people_search")
        assert query.body == {"report_id": v3.account.ids("reports")[0], "date_range": DATES}
        assert (query.polls, query.completed, query.cancelled) == (4, True, False)

    def test_rows_have_no_key_and_repeat(self, v3: Sandbox) -> None:
        rows = walk(v3, completed(v3), 33)
        assert len(rows) == 120
        assert len({tuple(row.items()) for row in rows}) == 108
        v3.row_form = "array"
        arrays: list[Any] = walk(v3, completed(v3), 1000)
        assert all(isinstance(row, list) for row in arrays)
        sql = {"query_type": "sql", "query_params": {"statement": "select 1"}}
        v3.polls_until_complete = 0
        query_id = start(v3, {"product_id": v3.account.ids("products")[1], **sql}, "/queries").json()["id"]
        assert {type(row) for row in walk(v3, f"/queries/{query_id}", 1000)} == {dict}

    def test_rows_may_be_given(self, v3: Sandbox) -> None:
        def rows(query: Query) -> list[Row]:
            return [{"of": query.body["report_id"]}]

        v3.rows = rows
        assert walk(v3, completed(v3), 5) == [{"of": v3.account.ids("reports")[0]}]
        v3.rows = 0
        assert walk(v3, completed(v3), 5) == []

    def test_page_faults(self, v3: Sandbox) -> None:
        path = completed(v3)
        rows = v3.queries[0].result
        assert rows
        for fault, expected in (
            (faults.ignore_offset(), slice(5)),
            (faults.ignore_limit(), slice(10, None)),
            (faults.overlap(3), slice(7, 12)),
            (faults.empty_page(), slice(0)),
        ):
            v3.faults[:] = [fault]
            assert get(v3, path, offset=10, limit=5).json()["data"] == rows[expected]

    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            ("fail", {"completed": False, "progress": 0.99, "error": "The query could not be completed"}),
            (
                "fail_completed",
                {"completed": True, "progress": 0.99, "error": {"message": "The query could not be completed"}},
            ),
            ("never", {"completed": False, "progress": 0.25}),
            ("cancelled", {"status": 404, "messages": ["There is no such query"]}),
        ],
    )
    def test_other_outcomes(self, v3: Sandbox, outcome: Any, expected: object) -> None:
        v3.query_outcome = outcome
        path = f"/queries/{start(v3).json()['id']}"
        assert [get(v3, path).json()["completed"] for _ in range(2)] == [False, False]
        assert get(v3, path).json() == expected
        assert not v3.queries[0].completed

    def test_are_cancelled(self, v3: Sandbox) -> None:
        path = f"/queries/{start(v3).json()['id']}"
        v3.faults.append(faults.status(500, method="DELETE", nth=1))
        assert send(v3, "DELETE", f"{v3.url}{path}").status_code == 500
        assert (get(v3, path).status_code, v3.queries[0].cancelled) == (200, False)
        assert send(v3, "DELETE", f"{v3.url}{path}").status_code == 200
        assert (get(v3, path).status_code, v3.queries[0].cancelled) == (404, True)
        assert send(v3, "DELETE", f"{v3.url}{path}").status_code == 404

    def test_exist_unless_they_were_refused(self, v3: Sandbox) -> None:
        v3.faults += [faults.status(503, method="POST", nth=1), faults.close(method="POST", nth=2)]
        assert start(v3).status_code == 503
        assert v3.queries == []
        with pytest.raises(requests.ConnectionError):
            start(v3)
        assert len(v3.queries) == 1

    def test_bodies_are_checked(self, v3: Sandbox) -> None:
        search, funnel = {"report_id": 2_000_001}, {"report_id": 2_000_004}
        product, dated = {"product_id": 11_001}, {"date_range": DATES}
        v3.products_without_sql = {11_004}
        cases: list[tuple[str, Any, int]] = [
            ("/queries/report", search, 200),
            ("/queries/report", funnel, 422),
            ("/queries/report", funnel | dated | {"sort": "name", "order": "asc"}, 200),
            ("/queries/report", funnel | {"date_range": "today"}, 422),
            ("/queries/report", funnel | {"date_range": {"type": "preset"}}, 422),
            ("/queries/report", search | {"query_type": "nonsense"}, 422),
            ("/queries/report", search | {"query_type": "people_count"}, 422),
            ("/queries/report", search | {"sort": 1}, 422),
            ("/queries/report", {"report_id": 7}, 422),
            ("/queries/report", {"report_id": "2000001"}, 422),
            ("/queries/report", {}, 422),
            ("/queries/report", [], 400),
            ("/queries/metric", {"metric_id": 90_001} | dated, 200),
            ("/queries/metric", {"metric_id": 90_001}, 422),
            ("/queries/metric", {"metric_id": 7} | dated, 422),
            ("/queries", product | {"query_type": "people_search", "query_params": {}}, 200),
            ("/queries", product | {"query_type": "sql", "query_params": {}}, 400),
            ("/queries", product | {"query_type": "sql", "query_params": dated | {"query": "select 1"}}, 400),
            ("/queries", product | {"query_type": "sql", "query_params": {"statement": 7}}, 400),
            ("/queries", product | {"query_type": "sql", "query_params": {"statement": "select 1"}}, 200),
            ("/queries", {"product_id": 11_004, "query_type": "sql", "query_params": {"statement": "x"}}, 403),
            ("/queries", product | {"query_type": "ab_test", "query_params": {}}, 200),
            ("/queries", product | {"query_type": "funnel", "query_params": {}}, 422),
            ("/queries", product | {"query_type": "people_search"}, 422),
            ("/queries", {"product_id": 7, "query_type": "people_search", "query_params": {}}, 422),
            ("/queries/nonsense", {}, 405),
        ]
        for path, body, code in cases:
            v3.queries.clear()
            answer = start(v3, body, path)
            assert (answer.status_code, len(v3.queries)) == (code, code == 200), (path, body, answer.text)
            assert answer.json().keys() == ({"id"} if code == 200 else {"status", "messages"})

    def test_bodies_are_json(self, v3: Sandbox) -> None:
        for kind, code in (("application/json", 400), ("text/plain", 415)):
            headers = {"Content-Type": kind}
            login = (USERNAME, PASSWORD)
            answer = requests.post(f"{v3.url}/queries", data="{", headers=headers, auth=login, timeout=5)
            assert answer.status_code == code
