"""Pages that are fetched ahead: never more at once than the setting, none in vain, and none where it would hammer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account
from tests.support.assertions import assert_every_record_once
from tests.support.cases import SMALL, watched_sync
from tests.support.process import PIPE, live_tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Request, Response, Wire

PAGES = 40
"""Pages of the events, at 10 records a page."""


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    """An account with many events, on a server that takes a while for each page."""
    with Sandbox(make_account(**{**SMALL, "events": PAGES * 9}), latency=0.01) as running:
        yield running


def asked(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    """What was asked for, in an order that does not depend on time."""
    return sorted((request.path, *map(int, request.query.values())) for request in sandbox.requests)


@pytest.mark.parametrize("most", [1, 2, 8])
def test_never_more_at_once_than_the_setting(most: int, slow: Sandbox, tmp_path: Path) -> None:
    """And that many indeed; the requests are those of a sync that goes page by page."""

    def hold(wire: Wire, response: Response) -> None:
        for _ in range(500):
            if slow.max_in_flight == most:
                break
            wire.wait(0.02)
        wire.send(response.head() + response.body)

    slow.faults.append(faults.Fault("hold", send=hold, resource="events", skip=1))
    run = watched_sync(slow, tmp_path, max_concurrency=most).succeeded()
    assert_every_record_once(run, slow.account)
    assert slow.max_in_flight == most
    slow.faults.clear()
    together = asked(slow)
    slow.requests.clear()
    watched_sync(slow, tmp_path, max_concurrency=1).succeeded()
    assert together == asked(slow)
    assert len(together) == len(set(together))


def test_nothing_is_asked_for_beyond_total(slow: Sandbox, tmp_path: Path) -> None:
    """The last request is for the overlap alone, which proves the end."""
    watched_sync(slow, tmp_path, max_concurrency=32).succeeded()
    for request in slow.requests:
        total = len(slow.account.records[request.resource or ""])
        assert int(request.query["offset"]) < total
    events = [request for request in slow.requests if request.resource == "events"]
    assert len(events) == PAGES + 1


def test_a_list_of_another_length_each_page_is_not_fetched_in_vain(tmp_path: Path) -> None:
    """Where the next offsets cannot be foreseen, the tap goes page by page: at most one request in three is lost."""
    with Sandbox(make_account(**{**SMALL, "events": 300})) as sandbox:

        @sandbox.on_request
        def vary(running: Sandbox, request: Request) -> None:
            running.cap = 4 + int(request.query["offset"]) % 5

        run = watched_sync(sandbox, tmp_path, max_concurrency=8).succeeded()
        many = len(sandbox.requests)
        sandbox.requests.clear()
        watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert many <= 1.5 * len(sandbox.requests)


def test_a_slow_reader_stops_the_fetching(tmp_path: Path) -> None:
    """A pipe that nobody reads holds so much; what is fetched beside it is bounded by the setting."""
    with Sandbox(make_account(**{**SMALL, "events": 2000})) as sandbox:
        with live_tap(sandbox, tmp_path, stdout=PIPE, page_size=50, max_concurrency=8, request_timeout=60) as tap:
            tap.until(lambda: len(sandbox.requests) >= 3)
            counts = [0, 1]
            while counts[-1] != counts[-2]:
                time.sleep(0.3)
                counts.append(len(sandbox.requests))
            assert tap.process.poll() is None
            run = tap.ends(tap.stdout.read())
        assert counts[-1] < 10 + 8
        assert_every_record_once(run.succeeded(), sandbox.account)
        assert len(sandbox.requests) > 40


@pytest.mark.parametrize(
    "pause", [faults.status(429, resource="events", nth=5), faults.retry_after(0.1, resource="events", nth=6)]
)
def test_it_gives_way_once_the_api_asks_for_a_pause(pause: faults.Fault, slow: Sandbox, tmp_path: Path) -> None:
    """What was under way comes to its end; from then on one request follows the other."""
    pause.seen = 0
    slow.faults.append(pause)
    run = watched_sync(slow, tmp_path, max_concurrency=8, backoff_factor=0.005).succeeded()
    assert_every_record_once(run, slow.account)
    refused = next(i for i, request in enumerate(slow.requests) if request.status == 429)
    assert slow.max_in_flight > 1
    assert all(request.in_flight == 1 for request in slow.requests[refused + 20 :])
    assert len(slow.requests) - refused > PAGES / 2


def test_a_server_that_fails_gets_no_burst(slow: Sandbox, tmp_path: Path) -> None:
    """Each request that fails is sent again alone; those that were refused beside it are not kept."""
    slow.faults.append(faults.status(503, resource="events", skip=3, times=5))
    run = watched_sync(slow, tmp_path, max_concurrency=8).succeeded()
    assert_every_record_once(run, slow.account)
    assert len(slow.requests) <= len(set(asked(slow))) + 5


def test_a_paced_api_is_asked_one_by_one(tmp_path: Path) -> None:
    """With `requests_per_minute`, `max_concurrency` says nothing."""
    with Sandbox(make_account(**SMALL), latency=0.02) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=32, requests_per_minute=1000).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert sandbox.max_in_flight == 1


def test_a_test_asks_no_more_than_it_needs(slow: Sandbox, tmp_path: Path) -> None:
    """`--test` wants one record of each stream."""
    watched_sync(slow, tmp_path, "--test", max_concurrency=8).succeeded()
    assert len(slow.requests) == len(slow.account.records)
