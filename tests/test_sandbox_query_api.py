"""The sandbox's Query API v3: its data and its lists."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import requests

from tests.plain_client import get, send, walk
from tests.sandbox import PASSWORD, QUERY_RESOURCES, USERNAME, Sandbox, faults, make_query_account

if TYPE_CHECKING:
    from tests.sandbox import ArrayKey


class TestQueryAccount:
    """The made-up data of v3."""

    def test_is_the_same_for_the_same_seed_only(self) -> None:
        assert make_query_account(3).records == make_query_account(3).records
        assert make_query_account(3).records != make_query_account(4).records

    def test_has_counts_ids_and_parents(self) -> None:
        counts = dict(zip(QUERY_RESOURCES, itertools.cycle((3, 40, 43, 5)), strict=False))
        account = make_query_account(**counts)
        assert account.counts == counts
        ids = [record["id"] for records in account.records.values() for record in records]
        assert {type(each) for each in ids} == {int}
        assert len(set(ids)) == len(ids)
        products = account.ids("products")
        for resource in QUERY_RESOURCES[1:]:
            assert {record["product_id"] for record in account.records[resource]} == set(products[:-1])
            assert account.scoped(resource, products[0]) == account.scoped(resource, str(products[0]))
            assert account.scoped(resource, products[-1]) == []

    def test_holds_what_the_api_may_send(self) -> None:
        events = make_query_account().records["events"]
        assert any(event["first_used_at"] is None for event in events)
        assert max(event["total"] for event in events) > 2**53

    def test_inserts_and_deletes(self) -> None:
        account = make_query_account(reports=11, events=60, properties=17)
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
        ("key", "others"),
        [
            ("data", dict.fromkeys(QUERY_RESOURCES, "data")),
            ("resource", {}),
            ("events", {"products": "data", "properties": "events"}),
        ],
    )
    def test_the_rows_may_have_another_name(self, v3: Sandbox, key: ArrayKey, others: dict[str, str]) -> None:
        v3.array_key = key
        names = [others.get(resource, resource) for resource in QUERY_RESOURCES]
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
