"""Each request gets its own response: a scripted server sends interim and misdirected ones."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.assertions import assert_every_record_once, assert_streams
from tests.support.cases import EVENTS, HASTY, SMALL, small_sandbox, watched_sync
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from tests.support.run import Run

COUNT = 5
"""Records of each list."""


def record(resource: str, number: int) -> dict[str, Any]:
    """Make a record that names its list."""
    return {"id": f"{resource}-{number}", "name": resource}


class ScriptedServer:
    """Serves lists on raw sockets; `before` decides what stands before each response on its connection."""

    def __init__(self, before: Callable[[int], bytes]) -> None:
        self._before = before
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/core"
        self.connections = 0
        self.requests: list[str] = []

    def __enter__(self) -> Self:
        """Start to serve."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                while reader.readline().strip():
                    pass
                target = line.split()[1].decode()
                self.requests.append(target)
                before = self._before(len(self.requests))
                try:
                    connection.sendall(before + self._response(target))
                except OSError:
                    return

    @staticmethod
    def _response(target: str) -> bytes:
        path, _, query = target.partition("?")
        offset = int(dict(part.split("=") for part in query.split("&"))["offset"])
        resource = path.rpartition("/")[2]
        rows = [record(resource, number) for number in range(offset, COUNT)]
        return http_response(json.dumps(rows).encode())


def http_response(body: bytes) -> bytes:
    """Write a response with a body."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def read(server: ScriptedServer, folder: Path) -> Run:
    """Sync from the server."""
    settings = {"api_url": server.url, "api_token": "a-token-for-this-server", "max_concurrency": 1}
    run = run_tap(folder=folder, config={**settings, "backoff_factor": 0.01, "retry_timeout": 2, "request_timeout": 5})
    return run.succeeded()


def assert_each_in_its_stream(run: Run) -> None:
    """Check that each stream has its own records, once."""
    for resource in RESOURCES:
        assert [each["id"] for each in run.records(resource)] == [f"{resource}-{n}" for n in range(COUNT)], resource


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("before", [EARLY_HINTS, b"HTTP/1.1 102 Processing\r\n\r\n", EARLY_HINTS * 3], ids=str)
@pytest.mark.parametrize("every", [3, 4])
def test_no_request_gets_the_response_that_follows_an_interim_one(before: bytes, every: int, tmp_path: Path) -> None:
    """The interim one is taken for a failure, and its connection is not used again."""
    with ScriptedServer(lambda number: before if number % every == 0 else b"") as server:
        assert_each_in_its_stream(read(server, tmp_path))
    assert server.connections > 1


def test_100_continue_is_skipped(tmp_path: Path) -> None:
    """However often it comes."""
    with ScriptedServer(lambda _: CONTINUE * 2) as server:
        assert_each_in_its_stream(read(server, tmp_path))
    assert server.connections == 1


def test_connections_are_kept_alive_where_nothing_is_odd(tmp_path: Path) -> None:
    """All requests go over one."""
    with ScriptedServer(lambda _: b"") as server:
        assert_each_in_its_stream(read(server, tmp_path))
    assert server.connections == 1


@pytest.mark.parametrize("times", [1, None])
def test_the_list_of_another_resource_is_refused(times: int | None, tmp_path: Path) -> None:
    """Where its `links` say so: it is requested again, and finally the stream fails."""

    def mix_up(body: dict[str, Any]) -> None:
        body["links"] = [{"rel": "self", "href": "https://api.example.com/core/metrics?limit=10&offset=0"}]

    with small_sandbox(faults.rewrite(mix_up, resource="events", times=times)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
        assert_every_record_once(run, sandbox.account, but=["events"] if times is None else [])
    says = "the response is for https://api.example.com/core/metrics?limit=10&offset=0, not for /events"
    if times is None:
        assert run.failed == ["events"]
        assert says in run.errors[0]
    else:
        assert run.code == 0
        assert any(says in line for line in run.warnings)


def test_the_page_of_another_offset_is_refused(tmp_path: Path) -> None:
    """Where its `pagination` says so."""

    def shift(body: dict[str, Any]) -> None:
        body["pagination"]["offset"] += 1

    with small_sandbox(faults.rewrite(shift, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert run.failed == ["events"]
    assert "the response is for offset 1, not for 0" in run.errors[0]


def test_links_of_other_hosts_are_no_fault(tmp_path: Path) -> None:
    """Behind a proxy the API may not know its own address."""

    def rename(body: dict[str, Any]) -> None:
        body["links"] = [{"rel": "self", "href": "http://internal.example.com:8080/x/events/?limit=1"}, None, "text"]

    with Sandbox(make_account(**SMALL), faults=[faults.rewrite(rename, **EVENTS)]) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        assert_streams(run, sandbox.account.records)


@pytest.mark.parametrize("href", ["/core/events{?limit,offset}", "?limit=10&offset=0", "", "/", "/core/events/#top"])
def test_self_links_in_other_forms(href: str, tmp_path: Path) -> None:
    """Templates and relative addresses name the same list."""
    links = [{"rel": "self", "href": href}]
    with small_sandbox(faults.rewrite(lambda body: {**body, "links": links}, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY).succeeded()
        assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize("links", [5, True, "self", {}, [5], [{"rel": "self"}], [{"rel": "self", "href": 5}]], ids=str)
def test_links_that_name_nothing_are_no_fault(links: object, tmp_path: Path) -> None:
    """They are of another form, or have no address."""
    with small_sandbox(faults.rewrite(lambda body: {**body, "links": links}, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize("is_of_product", [True, False])
def test_the_list_of_another_product_is_refused(is_of_product: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Ids are compared without their case; a list of one product may name itself without the product."""
    with small_sandbox() as sandbox:
        first, second = sandbox.account.ids("products")[:2]
        path = f"products/{first.upper()}/events" if is_of_product else "events"
        own = [{"rel": "self", "href": f"https://api.example.com/core/{path}?limit=10"}]
        sandbox.faults.append(faults.rewrite(lambda body: {**body, "links": own}, **EVENTS))
        run = watched_sync(sandbox, tmp_path, product_ids=[first], **HASTY)
        assert run.code == 0
        other = watched_sync(sandbox, tmp_path, product_ids=[second], **HASTY)
    assert other.code == (1 if is_of_product else 0)
