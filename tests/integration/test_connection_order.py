"""Each request gets its own response, whatever stands before it on the connection. The records tell whose it is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Fault, faults
from tests.support.assertions import assert_every_record_once
from tests.support.cases import HASTY, small_sandbox, watched_sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Response, Wire

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


def connections(before: bytes, folder: Path, *, every: int = 1) -> int:
    """Sync with this before every such response, whose body does not name its list; return how many connections."""
    ports = set()
    numbers = itertools.count(1)

    def send(wire: Wire, response: Response) -> None:
        ports.add(wire._socket.getpeername())  # noqa: SLF001 - the sandbox keeps the connection to itself
        wire.send((before if next(numbers) % every == 0 else b"") + response.head() + response.body)

    with small_sandbox(Fault("interim", send=send), form="bare") as sandbox:
        run = watched_sync(sandbox, folder, max_concurrency=1, backoff_factor=0.01, request_timeout=5).succeeded()
        assert_every_record_once(run, sandbox.account)
    return len(ports)


@pytest.mark.parametrize("before", [b"", CONTINUE * 2], ids=["nothing", "100 Continue"])
def test_one_connection_serves_all_requests(before: bytes, tmp_path: Path) -> None:
    assert connections(before, tmp_path) == 1


@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_is_not_used_again_after_an_interim_response(times: int, tmp_path: Path) -> None:
    """No request gets the response that follows it, which belongs to the one before."""
    assert connections(EARLY_HINTS * times, tmp_path, every=3) > 1


def of_metrics(body: dict[str, Any]) -> None:
    """Let a page say that it is of another list."""
    body["links"] = [{"rel": "self", "href": "https://api.example.com/core/metrics?limit=10&offset=0"}]


def of_the_next_offset(body: dict[str, Any]) -> None:
    """Let a page say that it begins elsewhere."""
    body["pagination"]["offset"] += 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of_metrics, "the response is for https://api.example.com/core/metrics?limit=10&offset=0, not for /events"),
        (of_the_next_offset, "the response is for offset 1, not for 0"),
    ],
)
def test_the_response_to_another_request_is_not_taken(
    change: Callable[[dict[str, Any]], None], says: str, tmp_path: Path
) -> None:
    """It is requested again."""
    with small_sandbox(faults.rewrite(change, resource="events", times=1)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
        assert_every_record_once(run, sandbox.account)
    assert any(says in line for line in run.warnings)


def test_the_list_of_another_product_is_not_taken(tmp_path: Path) -> None:
    """Ids are compared without their case."""
    with small_sandbox() as sandbox:
        first, second = sandbox.account.ids("products")[:2]
        own = [{"rel": "self", "href": f"https://api.example.com/core/products/{first.upper()}/events?limit=10"}]
        sandbox.faults.append(faults.rewrite(lambda body: {**body, "links": own}, resource="events"))
        watched_sync(sandbox, tmp_path, product_ids=[first], **HASTY).succeeded()
        other = watched_sync(sandbox, tmp_path, product_ids=[second], **HASTY)
    assert other.failed == ["events"]
    assert other.records("events") == []
