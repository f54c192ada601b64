"""`requests_per_minute` is never exceeded, and costs nothing where it is not reached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_every_record_once
from tests.support.cases import small_sandbox, watched_sync
from tests.support.results import all_report_rows, result_sandbox, results
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Fault
    from tests.support.clock import Clock


def test_no_minute_holds_more_requests_than_were_set(clock: Clock, tmp_path: Path) -> None:
    """Requests that failed count as well; the first of them need no wait."""
    limit = 7
    times: list[float] = []
    happening = [
        faults.status(503, resource="events", nth=2),
        faults.reset("after_headers", resource="properties", nth=2),
    ]
    with small_sandbox(*happening) as sandbox:
        sandbox.on_request(lambda *_: times.append(clock.monotonic()))
        run = sync(sandbox, tmp_path, requests_per_minute=limit, page_size=9, retry_timeout=120).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert len(times) > 2 * limit
    for first, beyond in zip(times, times[limit:], strict=False):
        assert 60 < beyond - first < 75
    assert times[limit - 1] - times[0] < 15
    assert (
        len(re.findall(rf"Waiting \d\d s before GET /\S+, to stay within {limit} requests a minute\n", run.stderr)) >= 2
    )


@pytest.mark.parametrize("fault", [faults.status(503, resource="events", nth=2), faults.close("before", nth=3)])
def test_waiting_to_stay_within_it_is_no_failure(fault: Fault, clock: Clock, tmp_path: Path) -> None:
    """A request that fails is sent again, however long it has to wait for its turn."""
    with small_sandbox(fault) as sandbox:
        run = watched_sync(sandbox, tmp_path, requests_per_minute=1, retry_timeout=5, max_concurrency=1).succeeded()
        assert sandbox.faults[0].seen > 1
    assert_every_record_once(run, sandbox.account)
    assert clock.slept > 600


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_query_api_is_never_asked_too_often_by_default(tmp_path: Path) -> None:
    """A real minute, by the clock of a server that counts: with default settings no 429, and one minute is enough."""
    with result_sandbox("query", reports=1, polls_until_complete=1, rate_limit=15, cap=10) as sandbox:
        config = {"api": "query", "api_url": sandbox.url, "username": sandbox.username, "password": sandbox.password}
        run = run_tap(folder=tmp_path, config={**config, "report_ids": ["*"]}).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert results(run) == all_report_rows(sandbox)
    times = [request.at for request in sandbox.requests]
    assert 20 <= len(times) < 30
    assert sandbox.most_in_a_minute() <= 15
    assert {request.status for request in sandbox.requests} == {200}
    assert len(re.findall(r"Waiting \d\d s before \w+ /\S+, to stay within 15 requests a minute\n", run.stderr)) == 1
    assert 60 < times[-1] - times[0] < 80


def test_a_pace_that_is_not_reached_costs_nothing(clock: Clock, tmp_path: Path) -> None:
    """Fourteen requests of sixty are no reason to wait."""
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, requests_per_minute=60).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert sum(clock.sleeps) == 0
