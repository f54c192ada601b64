"""The APIs answer as the vendor's references and recorded traffic show."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
import requests

from tests.sandbox import (
    PARENTS,
    PASSWORD,
    QUERY_RESOURCES,
    RESOURCES,
    TOKEN,
    USERNAME,
    Account,
    Sandbox,
    faults,
    make_account,
    make_query_account,
)
from tests.sandbox.apis import CACHE_FROM
from tests.sandbox.client import AUTHORIZED, get, send, walk

if TYPE_CHECKING:
    from tests.sandbox import ArrayKey, Form

SPAN = {"start_date": "2015-01-01T00:00:00Z", "end_date": "2015-02-01T00:00:00+00:00"}


def run(sandbox: Sandbox, body: object = SPAN, kind: str = "people_search_v2") -> requests.Response:
    """Run the first report of a type in the Core API."""
    report = next(each for each in sandbox.account.records["reports"] if each["report_type"] == kind)
    url = f"{sandbox.query_url}/products/{report['product_id']}/reports/{report['id']}/run"
    return send(sandbox, "POST", url, body)


class TestCore:
    """The lists and details of the Core API."""

    def test_accepts_the_token_alone(self, sandbox: Sandbox) -> None:
        for authorization in (None, "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"bearer{TOKEN}"):
            headers = {} if authorization is None else {"Authorization": authorization}
            response = requests.get(f"{sandbox.url}/events", headers=headers, timeout=5)
            assert response.status_code == response.json()["meta"]["status"] == 401

    def test_directory(self, sandbox: Sandbox) -> None:
        for form in ("envelope", "bare"):
            sandbox.form = form
            body = get(sandbox, "").json()
            assert body["data"]["name"] == "KISSmetrics API"
            assert [link["rel"] for link in body["data"]["links"]] == ["self", *RESOURCES]
            assert ("meta" in body) == (form == "envelope")

    def test_pages_have_20_rows_by_default(self, sandbox: Sandbox) -> None:
        response = get(sandbox, "/events")
        body = response.json()
        assert body["data"] == sandbox.account.records["events"][:20]
        assert body["pagination"] == {"limit": 20, "offset": 0, "total": 25}
        assert body["meta"] == {"status": 200}
        assert response.headers["Content-Type"].startswith("application/json")

    def test_links_are_in_the_envelope_and_in_the_header(self, sandbox: Sandbox) -> None:
        response = get(sandbox, "/events", limit=10, offset=10)
        links = {link["rel"]: link["href"] for link in response.json()["links"]}
        at = f"{sandbox.url}/events?limit=10&offset="
        assert links == {
            "self": f"{at}10",
            "first": f"{at}0",
            "last": f"{at}20",
            "next": f"{at}20",
            "prev": f"{at}0",
            "details": f"{sandbox.url}/events/{{id}}",
        }
        assert {rel: link["url"] for rel, link in response.links.items()} == links
        assert {link["templated"] for link in response.links.values()} == {"true", "false"}
        assert "next" not in get(sandbox, "/events", limit=5, offset=20).links
        assert "prev" not in get(sandbox, "/events").links

    @pytest.mark.parametrize("form", ["envelope", "bare"])
    def test_pages_add_up_to_the_account(self, account: Account, form: Form) -> None:
        with Sandbox(account, form=form) as sandbox:
            for limit, cap in ((1, None), (7, None), (25, None), (10_000, None), (1000, 4)):
                sandbox.cap = cap
                for resource in RESOURCES:
                    assert walk(sandbox, f"/{resource}", limit) == sandbox.account.records[resource]

    def test_cap_is_in_the_envelope(self, sandbox: Sandbox) -> None:
        sandbox.cap = 3
        body = get(sandbox, "/events", limit=10).json()
        assert (len(body["data"]), body["pagination"]["limit"]) == (3, 3)

    def test_bare_form_has_no_links(self, sandbox: Sandbox) -> None:
        sandbox.form = "bare"
        response = get(sandbox, "/events", offset=24)
        assert response.json() == sandbox.account.records["events"][24:]
        assert "Link" not in response.headers

    def test_details(self, sandbox: Sandbox) -> None:
        for resource in RESOURCES:
            record = sandbox.account.records[resource][1]
            expected = record if resource == "accounts" else {**record, "links": []}
            path = f"/{resource}/{record['id']}"
            sandbox.form = "envelope"
            assert get(sandbox, path).json()["data"] == expected
            sandbox.form = "bare"
            assert get(sandbox, path).json() == expected

    def test_scoped_lists(self, sandbox: Sandbox) -> None:
        for resource, parent in PARENTS.items():
            found = []
            for parent_id in sandbox.account.ids(parent):
                rows = walk(sandbox, f"/{parent}/{parent_id}/{resource}", 3)
                assert {row[f"{parent[:-1]}_id"] for row in rows} <= {parent_id}
                found += [row["id"] for row in rows]
            assert sorted(found) == sorted(sandbox.account.ids(resource))

    def test_refuses_other_paths_arguments_and_methods(self, sandbox: Sandbox) -> None:
        for path in (
            "/",
            "/nothing",
            "/events/",
            "//events",
            "/events/no",
            "/products/no/events",
            "/accounts/no/events",
        ):
            response = get(sandbox, path)
            assert response.status_code == response.json()["meta"]["status"] == 404
        for name, value in (("limit", "x"), ("limit", -1), ("offset", 1.5), ("offset", ""), ("limit", "٣")):
            response = get(sandbox, "/events", **{name: value})
            assert response.status_code == 400
            assert "must be an integer" in response.json()["meta"]["message"]
        assert send(sandbox, "POST", f"{sandbox.url}/events", {"a": 1}).status_code == 405
        assert json.loads(sandbox.requests[-1].body) == {"a": 1}

    def test_text_that_utf8_cannot_hold_is_escaped(self, sandbox: Sandbox) -> None:
        sandbox.account.records["events"][0]["name"] = "half \ud83d of it"
        assert get(sandbox, "/events").json()["data"] == sandbox.account.records["events"][:20]

    def test_long_lists_show_a_record_that_was_replaced(self) -> None:
        with Sandbox(make_account(events=CACHE_FROM)) as sandbox:
            sandbox.warm()
            old = sandbox.account.records["events"][0]
            assert get(sandbox, "/events", limit=1).json()["data"] == [old]
            sandbox.account.records["events"][0] = old | {"name": "renamed"}
            assert get(sandbox, "/events", limit=1).json()["data"] == [old | {"name": "renamed"}]


class TestRuns:
    """The report runs of the Core API."""

    def test_start_status_results(self, sandbox: Sandbox) -> None:
        started = run(sandbox)
        assert started.status_code == 202
        links = [(each["rel"], each["href"]) for each in started.json()["links"]]
        assert links == [("query-status", started.headers["Location"])]
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
        body = send(sandbox, "GET", results).json()
        assert [each.keys() for each in body["columns"]] == [{"display_name", "type", "return_option"}] * 2
        assert len(body["data"]) == 50
        assert {(request.resource, request.error_form) for request in sandbox.requests} == {("queries", "envelope")}
        assert [request.is_list for request in sandbox.requests] == [False] * 4 + [True] * 2
        query = sandbox.queries[0]
        assert (query.kind, query.body, query.polls, query.completed) == ("run", SPAN, 3, True)

    def test_needs_two_dates_in_order(self, sandbox: Sandbox) -> None:
        wrong = ({"start_date": "2015-01-01"}, SPAN | {"end_date": 7}, SPAN | {"end_date": "2014-12-31T00:00:00Z"})
        bodies: list[object] = [None, {}, [], *wrong]
        for body in bodies:
            assert run(sandbox, body).status_code == (415 if body is None else 400)
        assert sandbox.queries == []

    def test_needs_the_token_and_a_report_of_the_type(self, sandbox: Sandbox) -> None:
        assert "people_search_v2" in run(sandbox, kind="funnel").json()["meta"]["message"]
        sandbox.token = "another"  # noqa: S105 - it opens this sandbox only
        url = f"{sandbox.query_url}/queries/x"
        assert requests.get(url, headers=AUTHORIZED, timeout=5).status_code == 401
        assert send(sandbox, "GET", url).status_code == 404
        product, report = sandbox.account.ids("products")[-1], sandbox.account.ids("reports")[0]
        stray = f"{sandbox.query_url}/products/{product}/reports/{report}/run"
        assert send(sandbox, "POST", stray, SPAN).status_code == 404

    def test_has_no_results_before_it_is_completed(self, sandbox: Sandbox) -> None:
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

    def test_links_may_name_another_origin(self, sandbox: Sandbox) -> None:
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


AT = {"start_at": "2015-01-01", "end_at": "2015-01-31T00:00:00Z"}


def query_metric(sandbox: Sandbox, metric: str, kind: str, body: object) -> requests.Response:
    """Start a query of a metric."""
    return send(sandbox, "POST", f"{sandbox.metric_url}/metrics/{metric}/{kind}", body)


class TestMetrics:
    """The queries of metrics of the Core API."""

    def test_over_time(self, sandbox: Sandbox) -> None:
        metric = sandbox.account.ids("metrics")[0]
        started = query_metric(sandbox, metric, "over-time", AT)
        status = started.headers["Location"]
        assert (started.status_code, status) == (202, f"{sandbox.metric_url}/queries/{sandbox.queries[0].id}")
        answers = [send(sandbox, "GET", status) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 303, 303]
        assert [answer.json()["data"] for answer in answers[:2]] == [{"progress": 0.33}, {"progress": 0.67}]
        results = answers[2].headers["Location"]
        body = send(sandbox, "GET", results, limit=2, offset=1).json()
        assert [list(row) for row in body["data"]] == [["timestamp", "year", "month", "day", "value"]] * 2
        assert (body["total"], body["metadata"]) == (120, {"limit": 2, "offset": 1})
        assert [(each["rel"], each["href"]) for each in body["links"]] == [("next", f"{results}?limit=2&offset=3")]
        sandbox.metric_total = False
        assert send(sandbox, "GET", results, limit=2, offset=119).json().keys() == {"data", "links"}
        assert (sandbox.queries[0].kind, sandbox.queries[0].of, sandbox.queries[0].body) == ("over-time", metric, AT)

    def test_by_segment(self, sandbox: Sandbox) -> None:
        metric, segment = sandbox.account.ids("metrics")[1], sandbox.account.ids("properties")[0]
        body = {**AT, "property_id": segment, "property_date": "first_ever"}
        sandbox.polls_until_complete = 0
        status = query_metric(sandbox, metric, "by-segment", body).headers["Location"]
        row = send(sandbox, "GET", send(sandbox, "GET", status).headers["Location"]).json()["data"][0]
        assert list(row) == ["property_value", "people_count", "value"]
        for wrong, code in ((AT, 404), ({**AT, "property_id": segment}, 400), ({**body, "property_id": metric}, 404)):
            assert query_metric(sandbox, metric, "by-segment", wrong).status_code == code
        assert query_metric(sandbox, segment, "over-time", AT).status_code == 404
        assert query_metric(sandbox, metric, "over-time", {"start_date": "2015-01-01"}).status_code == 400
        assert len(sandbox.queries) == 1

    def test_first_form_of_results(self, sandbox: Sandbox) -> None:
        sandbox.first_form = sandbox.columns = True
        sandbox.polls_until_complete = 0
        for started in (run(sandbox), query_metric(sandbox, sandbox.account.ids("metrics")[0], "over-time", AT)):
            results = send(sandbox, "GET", started.headers["Location"]).headers["Location"]
            body = send(sandbox, "GET", results, limit=3).json()
            assert body.keys() == {"rows", "total", "metadata", "columns"}
            assert (len(body["rows"]), body["total"], body["metadata"]) == (3, 120, {"limit": 3, "offset": 0})

    def test_error_body_as_recorded(self, sandbox: Sandbox) -> None:
        body = send(sandbox, "GET", f"{sandbox.metric_url}/queries/x").json()
        assert body == {"meta": {"status": 404, "message": "There is no such query", "errors": ["not_found"]}}


class TestV3:
    """The lists of the Query API v3."""

    def test_accept_the_login_alone(self, v3: Sandbox) -> None:
        for auth in (None, ("x", PASSWORD), (USERNAME, "")):
            response = requests.get(f"{v3.url}/products", auth=auth, timeout=5)
            assert response.status_code == 401
            assert response.json() == {"status": 401, "messages": ["Unauthenticated."]}
        headers = {"Authorization": f"Bearer {v3.token}"}
        assert requests.get(f"{v3.url}/products", headers=headers, timeout=5).status_code == 401
        assert requests.get(f"{v3.url}/products", auth=(USERNAME, PASSWORD), timeout=5).status_code == 200
        v3.password = ""
        assert requests.get(f"{v3.url}/products", auth=(USERNAME, ""), timeout=5).status_code == 200

    def test_pages_add_up_to_the_account(self, v3: Sandbox) -> None:
        for limit, cap in ((1000, None), (7, None), (1000, 9)):
            v3.cap = cap
            assert walk(v3, "/products", limit) == v3.account.records["products"]
            for resource in QUERY_RESOURCES[1:]:
                parts = [walk(v3, f"/products/{each}/{resource}", limit) for each in v3.account.ids("products")]
                assert sorted(row["id"] for row in itertools.chain(*parts)) == v3.account.ids(resource)

    def test_have_50_rows_by_default_and_10_000_at_most(self) -> None:
        with Sandbox(make_query_account(products=1, events=10_003), api="query") as v3:
            path = f"/products/{v3.account.ids('products')[0]}/events"
            assert get(v3, path).json() == {"data": v3.account.records["events"][:50]}
            assert len(get(v3, path, limit=10_002).json()["data"]) == 10_000

    @pytest.mark.parametrize(
        ("key", "names"),
        [
            ("data", dict.fromkeys(QUERY_RESOURCES, "data")),
            ("resource", {name: name for name in QUERY_RESOURCES}),
            ("events", {name: name for name in QUERY_RESOURCES} | {"products": "data", "properties": "events"}),
        ],
    )
    def test_key_of_the_rows(self, v3: Sandbox, key: ArrayKey, names: dict[str, str]) -> None:
        v3.array_key = key
        product = v3.account.ids("products")[0]
        for resource, name in names.items():
            path = "/products" if resource == "products" else f"/products/{product}/{resource}"
            assert list(get(v3, path).json()) == [name]

    def test_refuse_other_paths_arguments_and_methods(self, v3: Sandbox) -> None:
        for path in ("", "/", "/events", "/products/1/events", "/products/11001", "/metrics", "/../v2"):
            response = get(v3, path)
            assert response.status_code == response.json()["status"] == 404
            assert response.json()["messages"]
        assert get(v3, "/products", limit="x").json()["status"] == 400
        assert send(v3, "POST", f"{v3.url}/products", {}).json()["status"] == 405

    def test_faults_have_the_form_of_the_api(self, v3: Sandbox) -> None:
        v3.faults += [faults.status(503, resource="products"), faults.overlap(3, resource="events")]
        assert get(v3, "/products").json() == {"status": 503, "messages": ["This is the answer 503"]}
        product = v3.account.ids("products")[0]
        rows = get(v3, f"/products/{product}/events", offset=10, limit=5).json()["data"]
        assert rows == v3.account.scoped("events", product)[7:12]
