"""The sandbox's Query API v3, and the queries of both APIs."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.plain_client import get, send, walk
from tests.sandbox import (
    PASSWORD,
    QUERY_RESOURCES,
    TOKEN,
    USERNAME,
    Fault,
    Query,
    Row,
    Sandbox,
    faults,
    make_account,
    make_query_account,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.switches import ArrayKey

SMALL: dict[str, Any] = {"reports": 11, "events": 60, "properties": 17, "metrics": 3}
DATES = {"type": "preset", "preset": "this_month_to_date"}
SPAN = {"start_date": "2015-01-01T00:00:00Z", "end_date": "2015-02-01T00:00:00+00:00"}


@pytest.fixture
def v3() -> Iterator[Sandbox]:
    """Run v3 with few records and no faults."""
    with Sandbox(make_query_account(**SMALL), api="query") as running:
        yield running


@pytest.fixture
def core() -> Iterator[Sandbox]:
    """Run Core with few records and no faults."""
    with Sandbox(make_account(**SMALL)) as running:
        yield running


def start(sandbox: Sandbox, body: dict[str, Any] | None = None, path: str = "/queries/report") -> requests.Response:
    """Start a query of v3, by default the first report."""
    if body is None:
        body = {"report_id": sandbox.account.ids("reports")[0], "date_range": DATES}
    return send(sandbox, "POST", f"{sandbox.url}{path}", body)


def run(sandbox: Sandbox, body: object = SPAN, kind: str = "people_search_v2") -> requests.Response:
    """Run the first report of a type in Core."""
    report = next(each for each in sandbox.account.records["reports"] if each["report_type"] == kind)
    url = f"{sandbox.query_url}/products/{report['product_id']}/reports/{report['id']}/run"
    return send(sandbox, "POST", url, body)


def completed(sandbox: Sandbox) -> str:
    """Start a query of v3 and poll until it is completed; return its path."""
    path = f"/queries/{start(sandbox).json()['id']}"
    while not get(sandbox, path, limit=0).json()["completed"]:
        pass
    return path


class TestQueryAccount:
    """The made-up data of v3."""

    def test_is_the_same_for_the_same_seed_only(self) -> None:
        assert make_query_account(3).records == make_query_account(3).records
        assert make_query_account(3).records != make_query_account(4).records

    def test_has_counts_ids_and_parents(self) -> None:
        account = make_query_account()
        assert account.counts == {"products": 3, "reports": 40, "events": 430, "properties": 130}
        ids = [record["id"] for records in account.records.values() for record in records]
        assert {type(each) for each in ids} == {int}
        assert len(set(ids)) == len(ids)
        products = account.ids("products")
        for resource in QUERY_RESOURCES[1:]:
            assert {record["product_id"] for record in account.records[resource]} == set(products[:-1])
            assert account.scoped(resource, products[0]) == account.scoped(resource, str(products[0]))
            assert account.scoped(resource, products[-1]) == []

    def test_has_the_fields_that_are_known(self) -> None:
        records = make_query_account().records
        dates = {f"{which}_{what}_at" for which in ("first", "last") for what in ("used", "sent")}
        entry = {"id", "product_id", "name", "index", "visible"} | dates
        assert {name: set(rows[0]) for name, rows in records.items()} == {
            "products": {"id", "account_id", "name", "timezone", "km_key"},
            "reports": {"id", "product_id", "name", "report_type"},
            "events": entry | {"total", "property_indices"},
            "properties": entry,
        }
        assert any(event["first_used_at"] is None for event in records["events"])
        assert max(event["total"] for event in records["events"]) > 2**53

    def test_inserts_and_deletes(self) -> None:
        account = make_query_account(**SMALL)
        before = list(account.records["events"])
        empty = account.ids("products")[-1]
        new = account.insert("events", 4, parent_id=empty)
        assert (new["product_id"], new.keys()) == (empty, before[0].keys())
        assert account.scoped("events", empty) == [new]
        assert account.delete("events", str(new["id"])) is new
        assert account.delete("events", 0) is before[0]
        assert account.records["events"] == before[1:]


class TestLists:
    """The lists of v3."""

    def test_let_only_the_login_in(self, v3: Sandbox) -> None:
        for auth in (None, ("x", PASSWORD), (USERNAME, "")):
            response = requests.get(f"{v3.url}/products", auth=auth, timeout=5)
            assert response.status_code == 401
            assert response.json() == {"status": 401, "messages": ["Unauthenticated."]}
        headers = {"Authorization": f"Bearer {v3.token}"}
        assert requests.get(f"{v3.url}/products", headers=headers, timeout=5).status_code == 401
        assert requests.get(f"{v3.url}/products", auth=(USERNAME, PASSWORD), timeout=5).status_code == 200

    def test_settings_of_the_tap(self, v3: Sandbox) -> None:
        assert v3.env == {
            "TAP_KISSMETRICS_API": "query",
            "TAP_KISSMETRICS_API_URL": v3.url,
            "TAP_KISSMETRICS_USERNAME": USERNAME,
            "TAP_KISSMETRICS_PASSWORD": PASSWORD,
        }
        with Sandbox(v3.account, api="query", password="") as other:
            assert "TAP_KISSMETRICS_PASSWORD" not in other.env
            assert requests.get(f"{other.url}/products", auth=(USERNAME, ""), timeout=5).status_code == 200

    def test_pages_add_up_to_the_account(self, v3: Sandbox) -> None:
        for limit, cap in ((1000, None), (7, None), (1000, 9)):
            v3.cap = cap
            assert walk(v3, "/products", limit) == v3.account.records["products"]
            for resource in QUERY_RESOURCES[1:]:
                parts = [walk(v3, f"/products/{each}/{resource}", limit) for each in v3.account.ids("products")]
                found = sorted(row["id"] for row in itertools.chain(*parts))
                assert found == v3.account.ids(resource)

    def test_have_fifty_rows_by_default_and_ten_thousand_at_most(self) -> None:
        with Sandbox(make_query_account(products=1, events=10_003), api="query") as v3:
            path = f"/products/{v3.account.ids('products')[0]}/events"
            assert get(v3, path).json() == {"data": v3.account.records["events"][:50]}
            assert len(get(v3, path, limit=10_002).json()["data"]) == 10_000

    @pytest.mark.parametrize(
        ("key", "names"),
        [
            ("data", ["data"] * 4),
            ("resource", list(QUERY_RESOURCES)),
            ("events", ["data", "reports", "events", "events"]),
        ],
    )
    def test_the_rows_may_have_another_name(self, v3: Sandbox, key: ArrayKey, names: list[str]) -> None:
        v3.array_key = key
        product = v3.account.ids("products")[0]
        paths = ["/products", *(f"/products/{product}/{resource}" for resource in QUERY_RESOURCES[1:])]
        assert [list(get(v3, path).json()) for path in paths] == [[name] for name in names]

    @pytest.mark.parametrize(
        "path", ["", "/", "/events", "/products/1/events", "/products/11001", "/metrics", "/../v2"]
    )
    def test_know_no_other_path(self, v3: Sandbox, path: str) -> None:
        response = get(v3, path)
        assert response.status_code == response.json()["status"] == 404
        assert response.json()["messages"]

    def test_refuse_what_they_cannot_do(self, v3: Sandbox) -> None:
        assert get(v3, "/products", limit="x").json()["status"] == 400
        assert send(v3, "POST", f"{v3.url}/products", {}).json()["status"] == 405

    def test_faults_speak_as_the_api_does(self, v3: Sandbox) -> None:
        v3.faults += [faults.status(503, resource="products"), faults.overlap(3, resource="events")]
        assert get(v3, "/products").json() == {"status": 503, "messages": ["This is the answer 503"]}
        product = v3.account.ids("products")[0]
        rows = get(v3, f"/products/{product}/events", offset=10, limit=5).json()["data"]
        assert rows == v3.account.scoped("events", product)[7:12]


class TestRateLimit:
    """The requests a minute."""

    def test_refuses_what_is_over_it(self, v3: Sandbox) -> None:
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
        for request, at in zip(v3.requests, (0, 30, 59.9, 60, 90), strict=True):
            request.at = at
        assert v3.most_in_a_minute() == 3


class TestQueries:
    """Asynchronous queries of v3."""

    def test_come_along_and_complete(self, v3: Sandbox) -> None:
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

    def test_take_their_time(self, v3: Sandbox) -> None:
        v3.polls_until_complete, v3.query_seconds = 0, 0.3
        begin = time.monotonic()
        completed(v3)
        assert 0.3 <= time.monotonic() - begin < 2
        assert v3.queries[0].polls > 1

    def test_rows_have_no_key_and_repeat(self, v3: Sandbox) -> None:
        rows = walk(v3, completed(v3), 33)
        assert len(rows) == 120
        assert len({tuple(row.items()) for row in rows}) == 108
        v3.row_form = "array"
        arrays: list[Any] = walk(v3, completed(v3), 1000)
        assert all(isinstance(row, list) for row in arrays)
        sql = {"query_type": "sql", "query_params": {"query": "select 1", "date_range": DATES}}
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

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (faults.ignore_offset(), slice(5)),
            (faults.ignore_limit(), slice(10, None)),
            (faults.overlap(3), slice(7, 12)),
            (faults.empty_page(), slice(0)),
        ],
    )
    def test_page_faults(self, v3: Sandbox, fault: Fault, expected: slice) -> None:
        path = completed(v3)
        v3.faults.append(fault)
        rows = v3.queries[0].result
        assert rows
        assert get(v3, path, offset=10, limit=5).json()["data"] == rows[expected]

    @pytest.mark.parametrize(
        ("outcome", "expected"),
        [
            ("fail", {"completed": False, "progress": 0.99, "error": "The query could not be completed"}),
            ("fail_completed", {"completed": True, "error": {"message": "The query could not be completed"}}),
            ("never", {"completed": False, "progress": 0.25}),
            ("cancelled", {"status": 404, "messages": ["There is no such query"]}),
        ],
    )
    def test_other_outcomes(self, v3: Sandbox, outcome: Any, expected: object) -> None:  # noqa: ANN401 - an Outcome
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

    def test_that_were_refused_do_not_exist_but_those_whose_answer_was_lost_do(self, v3: Sandbox) -> None:
        v3.faults += [faults.status(503, method="POST", nth=1), faults.close(method="POST", nth=2)]
        assert start(v3).status_code == 503
        assert v3.queries == []
        with pytest.raises(requests.ConnectionError):
            start(v3)
        assert len(v3.queries) == 1

    @pytest.mark.parametrize(
        ("path", "body", "code"),
        [
            ("/queries/report", {"report_id": 2_000_001}, 200),  # a people search
            ("/queries/report", {"report_id": 2_000_004}, 422),  # a funnel
            ("/queries/report", {"report_id": 2_000_004, "date_range": DATES, "sort": "name", "order": "asc"}, 200),
            ("/queries/report", {"report_id": 2_000_004, "date_range": "today"}, 422),
            ("/queries/report", {"report_id": 2_000_004, "date_range": {"type": "preset"}}, 422),
            ("/queries/report", {"report_id": 2_000_001, "query_type": "nonsense"}, 422),
            ("/queries/report", {"report_id": 2_000_001, "query_type": "people_count"}, 422),
            ("/queries/report", {"report_id": 2_000_001, "sort": 1}, 422),
            ("/queries/report", {"report_id": 7}, 422),
            ("/queries/report", {"report_id": "2000001"}, 422),
            ("/queries/report", {}, 422),
            ("/queries/report", [], 400),
            ("/queries/metric", {"metric_id": 90_001, "date_range": DATES}, 200),
            ("/queries/metric", {"metric_id": 90_001}, 422),
            ("/queries/metric", {"metric_id": 7, "date_range": DATES}, 422),
            ("/queries", {"product_id": 11_001, "query_type": "people_search", "query_params": {}}, 200),
            ("/queries", {"product_id": 11_001, "query_type": "sql", "query_params": {}}, 422),
            ("/queries", {"product_id": 11_001, "query_type": "sql", "query_params": {"date_range": DATES}}, 200),
            ("/queries", {"product_id": 11_001, "query_type": "people_search"}, 422),
            ("/queries", {"product_id": 7, "query_type": "people_search", "query_params": {}}, 422),
            ("/queries/nonsense", {}, 405),
        ],
    )
    def test_bodies_are_checked(self, v3: Sandbox, path: str, body: Any, code: int) -> None:  # noqa: ANN401 - JSON
        answer = start(v3, body, path)
        assert answer.status_code == code, answer.text
        assert len(v3.queries) == (code == 200)
        if code != 200:
            assert answer.json().keys() == {"status", "messages"}

    def test_bodies_are_json(self, v3: Sandbox) -> None:
        for kind, code in (("application/json", 400), ("text/plain", 415)):
            headers = {"Content-Type": kind}
            login = (USERNAME, PASSWORD)
            answer = requests.post(f"{v3.url}/queries", data="{", headers=headers, auth=login, timeout=5)
            assert answer.status_code == code


class TestRuns:
    """The report runs of Core."""

    def test_a_report_runs(self, core: Sandbox) -> None:
        started = run(core)
        assert started.status_code == 202
        assert [(each["rel"], each["href"]) for each in started.json()["links"]] == [
            ("query-status", started.headers["Location"])
        ]
        answers = [send(core, "GET", started.headers["Location"]) for _ in range(3)]
        assert [(answer.status_code, answer.json()["data"]) for answer in answers] == [
            (200, {"completed": False, "progress": 0.33}),
            (200, {"completed": False, "progress": 0.67}),
            (201, {"completed": True, "progress": 1.0}),
        ]
        results = answers[2].headers["Location"]
        assert results.startswith(f"{core.query_url}/")
        assert [(each["rel"], each["href"]) for each in answers[2].json()["links"]] == [("query-results", results)]
        body = send(core, "GET", results, limit=3, offset=1).json()
        assert body["data"] == [[12_346 + n, f"bob{n + 1}@example.com"] for n in range(3)]
        assert body["pagination"] == {"limit": 3, "offset": 1, "total": 120}
        assert "columns" not in body
        core.columns = True
        columns = send(core, "GET", results).json()["columns"]
        assert [each.keys() for each in columns] == [{"display_name", "type", "return_option"}] * 2
        assert len(send(core, "GET", results).json()["data"]) == 20
        assert {(request.resource, request.error_form) for request in core.requests} == {("queries", "envelope")}
        assert [request.is_list for request in core.requests] == [False] * 4 + [True] * 3
        query = core.queries[0]
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
    def test_needs_two_dates(self, core: Sandbox, body: object) -> None:
        assert run(core, body).status_code in {400, 415}
        assert core.queries == []

    def test_needs_the_token_and_a_report_of_the_type(self, core: Sandbox) -> None:
        assert "people_search_v2" in run(core, kind="funnel").json()["meta"]["message"]
        core.token = "another"  # noqa: S105 - it opens this sandbox only
        url = f"{core.query_url}/queries/x"
        assert requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5).status_code == 401
        assert send(core, "GET", url).status_code == 404
        product = core.account.ids("products")[-1]
        report = core.account.ids("reports")[0]
        stray = f"{core.query_url}/products/{product}/reports/{report}/run"
        assert send(core, "POST", stray, SPAN).status_code == 404

    def test_results_come_when_it_is_completed(self, core: Sandbox) -> None:
        status = run(core).headers["Location"]
        assert send(core, "GET", f"{status}/results").status_code == 404
        core.polls_until_complete = 0
        assert send(core, "GET", f"{status}/results").status_code == 200

    def test_fails(self, core: Sandbox) -> None:
        core.polls_until_complete = 0
        core.query_outcome = "fail"
        status = run(core).headers["Location"]
        assert send(core, "GET", status).json()["error"] == "The query could not be completed"
        core.query_outcome = "fail_completed"
        data = send(core, "GET", status).json()["data"]
        assert data == {"completed": True, "progress": 0.99, "error": {"message": "The query could not be completed"}}

    @pytest.mark.parametrize(
        ("stray", "root"),
        [(True, "http://example.invalid/v2/"), ("http://127.0.0.2:9", "http://127.0.0.2:9/v2/")],
    )
    def test_links_may_stray(self, core: Sandbox, stray: str | bool, root: str) -> None:  # noqa: FBT001 - a switch
        core.stray_links = stray
        core.polls_until_complete = 0
        started = run(core)
        own = f"{core.query_url}/queries/{core.queries[0].id}"
        for answer in (started, send(core, "GET", own)):
            assert answer.headers["Location"].startswith(root)
            assert [each["href"] for each in answer.json()["links"]] == [answer.headers["Location"]]

    def test_may_lack_links_or_location(self, core: Sandbox) -> None:
        core.faults.append(faults.no_links())
        assert "links" not in run(core).json()
        core.faults[:] = [faults.header("Location"), faults.header("X-Why", "because")]
        answer = run(core)
        assert ("Location" in answer.headers, answer.headers["X-Why"]) == (False, "because")
        assert answer.json()["links"]
