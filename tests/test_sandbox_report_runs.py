"""The sandbox's report runs of the Core API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.plain_client import send
from tests.sandbox import TOKEN, faults

if TYPE_CHECKING:
    from tests.sandbox import Sandbox

SPAN = {"start_date": "2015-01-01T00:00:00Z", "end_date": "2015-02-01T00:00:00+00:00"}


def run(sandbox: Sandbox, body: object = SPAN, kind: str = "people_search_v2") -> requests.Response:
    """Run the first report of a type in Core."""
    report = next(each for each in sandbox.account.records["reports"] if each["report_type"] == kind)
    url = f"{sandbox.query_url}/products/{report['product_id']}/reports/{report['id']}/run"
    return send(sandbox, "POST", url, body)


class TestRuns:
    """The report runs of Core."""

    def test_a_report_runs(self, sandbox: Sandbox) -> None:
        started = run(sandbox)
        assert started.status_code == 202
        assert [(each["rel"], each["href"]) for each in started.json()["links"]] == [
            ("query-status", started.headers["Location"])
        ]
        answers = [send(sandbox, "GET", started.headers["Location"]) for _ in range(3)]
        assert [(answer.status_code, answer.json()["data"]) for answer in answers] == [
            (200, {"completed": False, "progress": 0.33}),
            (200, {"completed": False, "progress": 0.67}),
            (201, {"completed": True, "progress": 1.0}),
        ]
        results = answers[2].headers["Location"]
        assert results.startswith(f"{sandbox.query_url}/")
        assert [(each["rel"], each["href"]) for each in answers[2].json()["links"]] == [("query-results", results)]
        body = send(sandbox, "GET", results, limit=3, offset=1).json()
        assert body["data"] == [[12_346 + n, f"bob{n + 1}@example.com"] for n in range(3)]
        assert body["pagination"] == {"limit": 3, "offset": 1, "total": 120}
        assert "columns" not in body
        sandbox.columns = True
        columns = send(sandbox, "GET", results).json()["columns"]
        assert [each.keys() for each in columns] == [{"display_name", "type", "return_option"}] * 2
        assert len(send(sandbox, "GET", results).json()["data"]) == 20
        assert {(request.resource, request.error_form) for request in sandbox.requests} == {("queries", "envelope")}
        assert [request.is_list for request in sandbox.requests] == [False] * 4 + [True] * 3
        query = sandbox.queries[0]
        assert (query.kind, query.body, query.polls, query.completed) == ("run", SPAN, 3, True)

    @pytest.mark.parametrize(
        "body",
        [
            None,
            {},
            [],
            {"start_date": "2015-01-01"},
            SPAN | {"end_date": 7},
            SPAN | {"end_date": "2014-12-31T00:00:00Z"},
        ],
    )
    def test_needs_two_dates(self, sandbox: Sandbox, body: object) -> None:
        assert run(sandbox, body).status_code in {400, 415}
        assert sandbox.queries == []

    def test_needs_the_token_and_a_report_of_the_type(self, sandbox: Sandbox) -> None:
        assert "people_search_v2" in run(sandbox, kind="funnel").json()["meta"]["message"]
        sandbox.token = "another"  # noqa: S105 - it opens this sandbox only
        url = f"{sandbox.query_url}/queries/x"
        assert requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5).status_code == 401
        assert send(sandbox, "GET", url).status_code == 404
        product = sandbox.account.ids("products")[-1]
        report = sandbox.account.ids("reports")[0]
        stray = f"{sandbox.query_url}/products/{product}/reports/{report}/run"
        assert send(sandbox, "POST", stray, SPAN).status_code == 404

    def test_results_come_when_it_is_completed(self, sandbox: Sandbox) -> None:
        status = run(sandbox).headers["Location"]
        assert send(sandbox, "GET", f"{status}/results").status_code == 404
        sandbox.polls_until_complete = 0
        assert send(sandbox, "GET", f"{status}/results").status_code == 200

    def test_fails(self, sandbox: Sandbox) -> None:
        sandbox.polls_until_complete = 0
        sandbox.query_outcome = "fail"
        status = run(sandbox).headers["Location"]
        assert send(sandbox, "GET", status).json()["error"] == "The query could not be completed"
        sandbox.query_outcome = "fail_completed"
        data = send(sandbox, "GET", status).json()["data"]
        assert data == {"completed": True, "progress": 0.99, "error": {"message": "The query could not be completed"}}

    def test_links_may_stray(self, sandbox: Sandbox) -> None:
        sandbox.stray_links = "http://127.0.0.2:9"
        sandbox.polls_until_complete = 0
        started = run(sandbox)
        own = f"{sandbox.query_url}/queries/{sandbox.queries[0].id}"
        for answer in (started, send(sandbox, "GET", own)):
            assert answer.headers["Location"].startswith("http://127.0.0.2:9/v2/")
            assert [each["href"] for each in answer.json()["links"]] == [answer.headers["Location"]]

    def test_may_lack_links_or_location(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.no_links())
        assert "links" not in run(sandbox).json()
        sandbox.faults[:] = [faults.header("Location"), faults.header("X-Why", "because")]
        answer = run(sandbox)
        assert ("Location" in answer.headers, answer.headers["X-Why"]) == (False, "because")
        assert answer.json()["links"]
