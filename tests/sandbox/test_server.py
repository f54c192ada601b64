"""The HTTP server: compression, its port, and errors of the sandbox itself."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox import Account, Sandbox, faults
from tests.sandbox.client import AUTHORIZED, get, raw


def test_long_bodies_are_compressed_for_who_accepts_it(sandbox: Sandbox) -> None:
    for accepted, limit, encoding in (("gzip", 20, "gzip"), ("gzip", 0, None), ("identity", 20, None)):
        headers = {**AUTHORIZED, "Accept-Encoding": accepted}
        response = requests.get(f"{sandbox.url}/events?limit={limit}", headers=headers, timeout=5)
        assert response.headers.get("Content-Encoding") == encoding
        assert response.json()["data"] == sandbox.account.records["events"][:limit]


def test_responses_take_their_time(sandbox: Sandbox) -> None:
    sandbox.latency = 0.1
    start = time.monotonic()
    get(sandbox, "/events")
    assert time.monotonic() - start >= 0.1


def test_the_port_is_free_at_once(account: Account) -> None:
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


def test_an_error_of_its_own_is_raised(account: Account) -> None:
    sandbox = Sandbox(account)
    sandbox.on_request(lambda _sandbox, request: request.number / 0)
    sandbox.start()
    assert get(sandbox, "/events").status_code == 500
    with pytest.raises(ZeroDivisionError):
        sandbox.__exit__(None, None, None)
