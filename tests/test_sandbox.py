"""The sandbox itself, what the other tests take for granted: its data, the API, the server."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.plain_client import AUTHORIZED, get, raw, walk
from tests.sandbox import RESOURCES, TOKEN, Form, Request, Sandbox, faults, make_account
from tests.sandbox.data import PARENTS
from tests.sandbox.lists import CACHE_FROM

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: dict[str, Any] = {"reports": 7, "events": 25, "properties": 9, "metrics": 5}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox with few records and no faults."""
    with Sandbox(make_account(**SMALL)) as running:
        yield running


class TestAccount:
    """The made-up data."""

    def test_is_the_same_for_the_same_seed_only(self) -> None:
        assert make_account(3).records == make_account(3).records
        assert make_account(3).records != make_account(4).records

    def test_has_the_counts_it_is_asked_for(self) -> None:
        counts = dict(zip(RESOURCES, itertools.cycle((1, 2, 3, 40, 5, 0)), strict=False))
        assert make_account(**counts).counts == counts
        assert set(make_account(**dict.fromkeys(RESOURCES, 0)).counts.values()) == {0}

    def test_ids_are_unique_uuids_and_parents_exist(self) -> None:
        account = make_account()
        ids = [record["id"] for records in account.records.values() for record in records]
        assert [str(uuid.UUID(text)) for text in ids] == ids
        assert len(set(ids)) == len(ids)
        for resource, parent in PARENTS.items():
            assert {r[f"{parent[:-1]}_id"] for r in account.records[resource]} <= set(account.ids(parent))
        owners = {product["id"]: product["account_id"] for product in account.records["products"]}
        assert all(report["account_id"] == owners[report["product_id"]] for report in account.records["reports"])
        assert not account.scoped("events", account.ids("products")[-1])

    def test_holds_what_the_api_may_send(self) -> None:
        records = make_account().records
        events, metrics, products = records["events"], records["metrics"], records["products"]
        assert {type(metric["status"]) for metric in metrics} == {str, bool}
        assert {entry["type"] for entry in records["properties"]} == {
            None,
            "automatic",
            "text",
            "number",
        }
        assert max(event["total"] for event in events) > 2**53
        assert any(event["last_sent_at"] is None and event["last_used_at"] for event in events)
        assert any(event["first_used_at"] is None for event in events)
        assert {"", None} <= {event["description"] for event in events}
        assert any(product["url"] is None for product in products)
        assert any(product["environment"] == "" for product in products)
        assert all(product["links"][0]["href"].startswith("https://apikissmetrics.com/") for product in products)
        assert any(link["rel"] == "run" for report in records["reports"] for link in report["links"])
        names = "".join(event["name"] for event in events)
        assert all(sign in names for sign in "🎉ñ\u0301\"'ש购\t\\")

    def test_dates_are_in_order_and_in_the_past(self) -> None:
        records = make_account().records
        now = dt.datetime.now(dt.UTC)
        for event in records["events"] + records["properties"]:
            for what in ("used", "sent"):
                first, last = event[f"first_{what}_at"], event[f"last_{what}_at"]
                assert (first is None) == (last is None)
                if first is not None:
                    assert dt.datetime.fromisoformat(first) < dt.datetime.fromisoformat(last) < now
        assert all(account["updated_at"].endswith("Z") for account in records["accounts"])
        assert all(product["created_at"].endswith("+00:00") for product in records["products"])

    def test_inserts_and_deletes(self) -> None:
        account = make_account(**SMALL)
        before = list(account.records["events"])
        product_id = account.ids("products")[1]
        new = account.insert("events", 4, parent_id=product_id)
        assert new["product_id"] == product_id
        assert new.keys() == before[0].keys()
        assert account.records["events"] == [*before[:4], new, *before[4:]]
        assert account.delete("events", new["id"]) is new
        assert account.delete("events", 0) is before[0]
        assert account.records["events"] == before[1:]
        with pytest.raises(ValueError, match="no product nowhere"):
            account.fresh("events", parent_id="nowhere")


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
    def test_pages_add_up_to_the_account(self, form: Form, limit: int, cap: int | None) -> None:
        with Sandbox(make_account(**SMALL), form=form, cap=cap) as sandbox:
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


class TestServer:
    """The sockets, and what is recorded."""

    def test_records_requests(self, sandbox: Sandbox) -> None:
        get(sandbox, "/events", limit=5)
        get(sandbox, "")
        first, second = sandbox.requests
        assert (first.number, first.method, first.path, first.query) == (
            1,
            "GET",
            "/core/events",
            {"limit": "5"},
        )
        assert (first.resource, first.is_list, first.status) == ("events", True, 200)
        assert first.headers["authorization"] == f"Bearer {TOKEN}"
        assert first.at < second.at <= time.monotonic()
        assert (second.resource, second.is_list) == (None, False)
        assert sandbox.env == {
            "TAP_KISSMETRICS_API_URL": sandbox.url,
            "TAP_KISSMETRICS_API_TOKEN": TOKEN,
            "TAP_KISSMETRICS_QUERY_URL": sandbox.query_url,
        }

    def test_counts_requests_in_flight_and_waits(self, sandbox: Sandbox) -> None:
        get(sandbox, "")
        assert sandbox.max_in_flight == 1
        sandbox.latency = 0.2
        start = time.monotonic()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: get(sandbox, "/events"), range(3)))
        assert 0.2 <= time.monotonic() - start < 0.6
        assert sandbox.max_in_flight == 3
        assert sorted(request.in_flight for request in sandbox.requests) == [1, 1, 2, 3]

    def test_compresses_what_is_worth_it(self, sandbox: Sandbox) -> None:
        for accept, is_on, limit, expected in [
            ("gzip, deflate", True, 20, "gzip"),
            ("gzip, deflate", True, 0, None),
            ("identity", True, 20, None),
            ("gzip, deflate", False, 20, None),
        ]:
            sandbox.gzip = is_on
            headers = {**AUTHORIZED, "Accept-Encoding": accept}
            response = requests.get(f"{sandbox.url}/events?limit={limit}", headers=headers, timeout=5)
            assert response.headers.get("Content-Encoding") == expected
            assert response.json()["data"] == sandbox.account.records["events"][:limit]

    def test_keeps_the_connection(self, sandbox: Sandbox) -> None:
        address = urlsplit(sandbox.url)
        request = f"GET /core/events?limit=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            for _ in range(3):
                connection.sendall(request)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_frees_its_port_at_once(self) -> None:
        with Sandbox(make_account(**SMALL), faults=[faults.hang()]) as sandbox:
            port = urlsplit(sandbox.url).port or 0
            client = threading.Thread(target=raw, args=(sandbox, "/events", 5.0))
            client.start()
            while not sandbox.requests:
                time.sleep(0.01)
            start = time.monotonic()
        client.join()
        assert time.monotonic() - start < 1
        with Sandbox(make_account(**SMALL), port=port) as sandbox:
            assert get(sandbox, "/events").status_code == 200
            with pytest.raises(OSError, match="in use"):
                Sandbox(port=port)

    def test_a_mistake_within_is_raised(self) -> None:
        sandbox = Sandbox(make_account(**SMALL))
        sandbox.on_request(lambda _sandbox, request: request.number / 0)
        sandbox.start()
        assert get(sandbox, "/events").status_code == 500
        with pytest.raises(ZeroDivisionError):
            sandbox.__exit__(None, None, None)

    def test_the_account_changes_between_pages(self, sandbox: Sandbox) -> None:
        before = list(sandbox.account.records["events"])

        @sandbox.on_request
        def change(running: Sandbox, request: Request) -> None:
            if request.query.get("offset") == "10":
                running.delete("events", 0)
                running.insert("events", 12)

        assert get(sandbox, "/events", limit=10).json()["data"] == before[:10]
        body = get(sandbox, "/events", limit=10, offset=10).json()
        assert body["data"] == sandbox.account.records["events"][10:20]
        assert body["data"][:2] == before[11:13]
        assert body["pagination"]["total"] == 25
