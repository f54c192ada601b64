"""The sandbox answers as the reference of the Core API says."""

from __future__ import annotations

import itertools
import json

import pytest
import requests

from tests.plain_client import AUTHORIZED, get, walk
from tests.sandbox import PARENTS, RESOURCES, TOKEN, Account, Form, Sandbox, make_account
from tests.sandbox.apis import CACHE_FROM


class TestApi:
    """What the Core API reference describes."""

    @pytest.mark.parametrize("authorization", [None, "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"bearer{TOKEN}"])
    def test_lets_only_the_token_in(self, sandbox: Sandbox, authorization: str | None) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = requests.get(f"{sandbox.url}/events", headers=headers, timeout=5)
        assert response.status_code == 401
        assert response.json()["meta"]["status"] == 401

    def test_has_a_directory(self, sandbox: Sandbox) -> None:
        for form in ("envelope", "bare"):
            sandbox.form = form
            body = get(sandbox, "").json()
            assert body["data"]["name"] == "KISSmetrics API"
            assert [link["rel"] for link in body["data"]["links"]] == ["self", *RESOURCES]
            assert ("meta" in body) == (form == "envelope")

    def test_pages_have_twenty_rows_by_default(self, sandbox: Sandbox) -> None:
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
        assert "next" not in get(sandbox, "/events", limit=10, offset=20).links
        assert "prev" not in get(sandbox, "/events").links

    @pytest.mark.parametrize("form", ["envelope", "bare"])
    @pytest.mark.parametrize(("limit", "cap"), [(1, None), (7, None), (25, None), (10_000, None), (1000, 4)])
    def test_pages_add_up_to_the_account(self, account: Account, form: Form, limit: int, cap: int | None) -> None:
        with Sandbox(account, form=form, cap=cap) as sandbox:
            for resource in RESOURCES:
                assert walk(sandbox, f"/{resource}", limit) == sandbox.account.records[resource]

    def test_a_cap_is_told(self, sandbox: Sandbox) -> None:
        sandbox.cap = 3
        body = get(sandbox, "/events", limit=10).json()
        assert (len(body["data"]), body["pagination"]["limit"]) == (3, 3)

    def test_the_bare_form_is_an_array_without_links(self, sandbox: Sandbox) -> None:
        sandbox.form = "bare"
        response = get(sandbox, "/events", offset=24)
        assert response.json() == sandbox.account.records["events"][24:]
        assert "Link" not in response.headers

    @pytest.mark.parametrize("form", ["envelope", "bare"])
    @pytest.mark.parametrize("resource", RESOURCES)
    def test_details(self, sandbox: Sandbox, resource: str, form: Form) -> None:
        sandbox.form = form
        record = sandbox.account.records[resource][1]
        body = get(sandbox, f"/{resource}/{record['id']}").json()
        expected = record if resource == "accounts" else {**record, "links": []}
        assert (body["data"] if form == "envelope" else body) == expected

    def test_scoped_lists(self, sandbox: Sandbox) -> None:
        for resource, parent in PARENTS.items():
            rows = [walk(sandbox, f"/{parent}/{parent_id}/{resource}", 3) for parent_id in sandbox.account.ids(parent)]
            for parent_id, part in zip(sandbox.account.ids(parent), rows, strict=True):
                assert {row[f"{parent[:-1]}_id"] for row in part} <= {parent_id}
            found = sorted(row["id"] for row in itertools.chain(*rows))
            assert found == sorted(sandbox.account.ids(resource))

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/nothing",
            "/events/",
            "//events",
            "/events/nowhere",
            "/products/nowhere/events",
            "/accounts/x/events",
        ],
    )
    def test_knows_no_other_path(self, sandbox: Sandbox, path: str) -> None:
        response = get(sandbox, path)
        assert response.status_code == 404
        assert response.json()["meta"]["status"] == 404

    @pytest.mark.parametrize("query", [{"limit": "x"}, {"limit": -1}, {"offset": 1.5}, {"offset": ""}, {"limit": "٣"}])
    def test_refuses_a_bad_argument(self, sandbox: Sandbox, query: dict[str, object]) -> None:
        response = get(sandbox, "/events", **query)
        assert response.status_code == 400
        assert "must be an integer" in response.json()["meta"]["message"]

    def test_refuses_to_write(self, sandbox: Sandbox) -> None:
        response = requests.post(f"{sandbox.url}/events", json={"a": 1}, headers=AUTHORIZED, timeout=5)
        assert response.status_code == 405
        assert json.loads(sandbox.requests[0].body) == {"a": 1}

    def test_text_that_utf8_cannot_hold_is_escaped(self, sandbox: Sandbox) -> None:
        sandbox.account.records["events"][0]["name"] = "half \ud83d of it"
        assert get(sandbox, "/events").json()["data"] == sandbox.account.records["events"][:20]

    def test_long_lists_show_what_takes_a_place(self) -> None:
        with Sandbox(make_account(events=CACHE_FROM)) as sandbox:
            sandbox.warm()
            old = sandbox.account.records["events"][0]
            assert get(sandbox, "/events", limit=1).json()["data"] == [old]
            sandbox.account.records["events"][0] = old | {"name": "renamed"}
            assert get(sandbox, "/events", limit=1).json()["data"] == [old | {"name": "renamed"}]
