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


@pytest.mark.parametrize("most", [2, 8])
def test_never_more_at_once_than_the_setting(most: int, slow: Sandbox, tmp_path: Path) -> None:
    """And that many indeed; the requests are those of a sync that goes page by page, none of them beyond the end."""

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
    together = asked(slow)
    assert len(together) == len(set(together))
    assert all(int(each.query["offset"]) < slow.account.counts[each.resource or ""] for each in slow.requests)
    slow.faults.clear()
    slow.requests.clear()
    slow.max_in_flight = 0
    watched_sync(slow, tmp_path, max_concurrency=1).succeeded()
    assert together == asked(slow)
    assert slow.max_in_flight == 1


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


def test_it_gives_way_once_the_api_asks_for_a_pause(slow: Sandbox, tmp_path: Path) -> None:
    """What was under way comes to its end, and is used; from then on one request follows the other."""
    slow.faults.append(faults.status(429, resource="events", nth=5))
    run = watched_sync(slow, tmp_path, max_concurrency=8, backoff_factor=0.005).succeeded()
    assert_every_record_once(run, slow.account)
    refused = next(i for i, request in enumerate(slow.requests) if request.status == 429)
    assert slow.max_in_flight > 1
    assert len(slow.requests) == len(set(asked(slow))) + 1
    after = slow.requests[refused + 20 :]
    assert len(after) > 10
    assert all(request.in_flight == 1 for request in after)


def test_a_server_that_fails_gets_no_burst(slow: Sandbox, tmp_path: Path) -> None:
    """Each request that fails is sent again alone; those that were refused beside it are not kept."""
    slow.faults.append(faults.status(503, resource="events", skip=3, times=5))
    run = watched_sync(slow, tmp_path, max_concurrency=8).succeeded()
    assert_every_record_once(run, slow.account)
    assert len(slow.requests) <= len(set(asked(slow))) + 5


def test_a_test_asks_no_more_than_it_needs(slow: Sandbox, tmp_path: Path) -> None:
    """`--test` wants one record of each stream."""
    watched_sync(slow, tmp_path, "--test", max_concurrency=8).succeeded()
    assert len(slow.requests) == len(slow.account.records)
