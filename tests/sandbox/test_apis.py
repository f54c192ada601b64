"""The lists and details of both APIs are as the vendor's references and recorded traffic show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox import PARENTS, PASSWORD, QUERY_RESOURCES, RESOURCES, TOKEN, USERNAME, Sandbox, make_account
from tests.sandbox.apis import CACHE_FROM
from tests.sandbox.client import get, send, walk

if TYPE_CHECKING:
    from tests.sandbox import ArrayKey, Form


def test_core_accepts_the_token_alone(sandbox: Sandbox) -> None:
    for authorization in ("", "Bearer wrong", TOKEN, f"Basic {TOKEN}"):
        response = requests.get(f"{sandbox.url}/events", headers={"Authorization": authorization}, timeout=5)
        assert response.status_code == response.json()["meta"]["status"] == 401
    assert get(sandbox, "/events").status_code == 200


def test_v3_accepts_the_login_alone(v3: Sandbox) -> None:
    for login in (None, ("x", PASSWORD), (USERNAME, "")):
        response = requests.get(f"{v3.url}/products", auth=login, timeout=5)
        assert (response.status_code, response.json()) == (401, {"status": 401, "messages": ["Unauthenticated."]})
    assert get(v3, "/products").status_code == 200


def test_directory_and_relations(sandbox: Sandbox) -> None:
    links = get(sandbox, "").json()["data"]["links"]
    assert [link["rel"] for link in links] == ["self", *RESOURCES]
    relations = get(sandbox, "/rels").json()["data"]
    assert relations.keys() == {"title", "description", "rels"}
    assert relations["rels"][0].keys() == {"name", "description"}
    sandbox.form = "bare"
    assert "meta" not in get(sandbox, "").json()


def test_a_page_has_rows_pagination_and_links(sandbox: Sandbox) -> None:
    body = get(sandbox, "/events").json()
    assert body["meta"] == {"status": 200}
    assert body["data"] == sandbox.account.records["events"][:20]
    assert body["pagination"] == {"limit": 20, "offset": 0, "total": 25}
    assert "prev" not in {link["rel"] for link in body["links"]}
    response = get(sandbox, "/events", limit=10, offset=10)
    links = {link["rel"]: link["href"] for link in response.json()["links"]}
    at = {"self": 10, "first": 0, "last": 20, "next": 20, "prev": 0}
    pages = {rel: f"{sandbox.url}/events?limit=10&offset={offset}" for rel, offset in at.items()}
    assert links == {**pages, "details": f"{sandbox.url}/events/{{id}}"}
    assert {rel: link["url"] for rel, link in response.links.items()} == links
    assert {link["templated"] for link in response.links.values()} == {"true", "false"}
    assert "next" not in get(sandbox, "/events", limit=5, offset=20).links


@pytest.mark.parametrize("form", ["envelope", "bare"])
def test_pages_of_core_add_up_to_the_account(sandbox: Sandbox, form: Form) -> None:
    sandbox.form = form
    for limit, cap in ((7, None), (1000, 4)):
        sandbox.cap = cap
        for resource in RESOURCES:
            assert walk(sandbox, f"/{resource}", limit) == sandbox.account.records[resource]
        for resource, parent in PARENTS.items():
            parts = [walk(sandbox, f"/{parent}/{each}/{resource}", limit) for each in sandbox.account.ids(parent)]
            assert sorted(row["id"] for part in parts for row in part) == sorted(sandbox.account.ids(resource))


def test_pages_of_v3_add_up_to_the_account(v3: Sandbox) -> None:
    for limit, cap in ((7, None), (1000, 9)):
        v3.cap = cap
        assert walk(v3, "/products/", limit) == v3.account.records["products"]
        for resource in QUERY_RESOURCES[1:]:
            parts = [walk(v3, f"/products/{each}/{resource}", limit) for each in v3.account.ids("products")]
            assert sorted(row["id"] for part in parts for row in part) == v3.account.ids(resource)
    v3.cap = None
    assert len(get(v3, f"/products/{v3.account.ids('products')[0]}/events/").json()["data"]) <= 50


def test_a_limit_above_the_cap_is_cut_or_refused(sandbox: Sandbox) -> None:
    sandbox.cap = 3
    body = get(sandbox, "/events", limit=10).json()
    assert (len(body["data"]), body["pagination"]["limit"]) == (3, 3)
    sandbox.over_cap = 422
    assert get(sandbox, "/events", limit=10).status_code == 422
    assert get(sandbox, "/events", limit=3).status_code == 200


def test_bare_lists_and_details(sandbox: Sandbox) -> None:
    record = sandbox.account.records["reports"][1]
    assert get(sandbox, f"/reports/{record['id']}").json()["data"] == {**record, "links": []}
    owner = sandbox.account.records["accounts"][1]
    assert get(sandbox, f"/accounts/{owner['id']}").json()["data"] == owner
    sandbox.form = "bare"
    assert get(sandbox, f"/accounts/{owner['id']}").json() == owner
    response = get(sandbox, "/events", offset=24)
    assert (response.json(), "Link" in response.headers) == (sandbox.account.records["events"][24:], False)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("data", ["data", "data", "data"]),
        ("resource", ["products", "events", "properties"]),
        ("events", ["data", "events", "events"]),
    ],
)
def test_lists_of_v3_have_their_rows_under_a_key(v3: Sandbox, key: ArrayKey, names: list[str]) -> None:
    v3.array_key = key
    product = f"/products/{v3.account.ids('products')[0]}"
    bodies = [get(v3, path).json() for path in ("/products", f"{product}/events", f"{product}/properties")]
    assert [list(body) for body in bodies] == [[name] for name in names]


def test_other_paths_methods_and_arguments_are_refused(sandbox: Sandbox, v3: Sandbox) -> None:
    def code(body: Any) -> int:
        status: int = body.get("status") or body["meta"]["status"]
        return status

    unknown = {
        sandbox: ("/", "/nothing", "/events/", "//events", "/events/no", "/products/no/events", "/accounts/no/events"),
        v3: ("", "/", "/events", "/products/1/events", "/products/11001", "/metrics", "/../v2"),
    }
    for api, paths in unknown.items():
        for path in paths:
            response = get(api, path)
            assert response.status_code == code(response.json()) == 404, path
        for name, value in (("limit", "x"), ("limit", -1), ("offset", 1.5), ("offset", ""), ("limit", "٣")):
            assert code(get(api, "/products", **{name: value}).json()) == 400
        assert code(send(api, "POST", f"{api.url}/products", {"a": 1}).json()) == 405
        assert api.requests[-1].body == b'{"a": 1}'


def test_text_that_utf8_cannot_hold_is_escaped(sandbox: Sandbox) -> None:
    sandbox.account.records["events"][0]["name"] = "half \ud83d of it"
    assert get(sandbox, "/events").json()["data"] == sandbox.account.records["events"][:20]


def test_long_lists_show_a_record_that_was_replaced() -> None:
    with Sandbox(make_account(events=CACHE_FROM)) as sandbox:
        sandbox.warm()
        old = sandbox.account.records["events"][0]
        assert get(sandbox, "/events", limit=1).json()["data"] == [old]
        sandbox.account.records["events"][0] = old | {"name": "renamed"}
        assert get(sandbox, "/events", limit=1).json()["data"] == [old | {"name": "renamed"}]
