"""The HTTP server: its connections, the requests that it records, an account that changes while it is read."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox import PASSWORD, TOKEN, USERNAME, Account, Fault, Request, Sandbox, faults
from tests.sandbox.client import AUTHORIZED, get, raw

if TYPE_CHECKING:
    from tests.sandbox import Response, Wire


class TestServer:
    """The server, through HTTP clients."""

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

    def test_settings_of_v3(self, v3: Sandbox) -> None:
        assert v3.env == {
            "TAP_KISSMETRICS_API_URL": v3.url,
            "TAP_KISSMETRICS_USERNAME": USERNAME,
            "TAP_KISSMETRICS_PASSWORD": PASSWORD,
        }
        v3.password = ""
        assert "TAP_KISSMETRICS_PASSWORD" not in v3.env

    def test_counts_requests_in_flight(self, sandbox: Sandbox) -> None:
        together = threading.Barrier(3)

        def meet(wire: Wire, response: Response) -> None:
            together.wait(timeout=30)
            wire.send(response.head() + response.body)

        sandbox.faults.append(Fault("meet", send=meet))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: get(sandbox, "/events"), range(3)))
        assert sandbox.max_in_flight == 3
        assert sorted(request.in_flight for request in sandbox.requests) == [1, 2, 3]

    def test_latency(self, sandbox: Sandbox) -> None:
        sandbox.latency = 0.1
        start = time.monotonic()
        get(sandbox, "/events")
        assert time.monotonic() - start >= 0.1

    def test_compresses_long_bodies_for_clients_that_accept_it(self, sandbox: Sandbox) -> None:
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

    def test_keeps_connections_alive(self, sandbox: Sandbox) -> None:
        address = urlsplit(sandbox.url)
        request = f"GET /core/events?limit=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            for _ in range(3):
                connection.sendall(request)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_frees_its_port_at_once(self, account: Account) -> None:
        with Sandbox(account, faults=[faults.hang()]) as sandbox:
            port = urlsplit(sandbox.url).port or 0
            client = threading.Thread(target=raw, args=(sandbox, "/events", 5.0))
            client.start()
            while not sandbox.requests:
                time.sleep(0.01)
            start = time.monotonic()
        client.join()
        assert time.monotonic() - start < 1
        with Sandbox(account, port=port) as sandbox:
            assert get(sandbox, "/events").status_code == 200
            with pytest.raises(OSError, match="in use"):
                Sandbox(port=port)

    def test_its_own_errors_are_raised(self, account: Account) -> None:
        sandbox = Sandbox(account)
        sandbox.on_request(lambda _sandbox, request: request.number / 0)
        sandbox.start()
        assert get(sandbox, "/events").status_code == 500
        with pytest.raises(ZeroDivisionError):
            sandbox.__exit__(None, None, None)

    def test_the_account_changes_between_pages(self, sandbox: Sandbox) -> None:
        before = list(sandbox.account.records["events"])
        paths = []

        @sandbox.on_request
        def change(running: Sandbox, request: Request) -> None:
            paths.append(request.path)
            if request.query.get("offset") == "10":
                running.account.delete("events", 0)
                running.account.insert("events", 12)

        assert get(sandbox, "/events", limit=10).json()["data"] == before[:10]
        body = get(sandbox, "/events", limit=10, offset=10).json()
        assert body["data"] == sandbox.account.records["events"][10:20]
        assert body["data"][:2] == before[11:13]
        assert body["pagination"]["total"] == 25
        get(sandbox, f"/events/{before[1]['id']}")
        assert paths == ["/core/events"] * 2
