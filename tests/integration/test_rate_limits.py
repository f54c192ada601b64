"""`requests_per_minute` is never exceeded, and costs nothing where it is not reached."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import faults
from tests.support.fault_runs import assert_every_record_once, small_sandbox, watched_sync
from tests.support.results import all_report_rows, result_sandbox, results
from tests.support.run import settings_for
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_minute_holds_more_requests_than_were_set(tmp_path: Path) -> None:
    """One of two tests that take a minute: only a real one proves this. Tries that failed count as well."""
    pace = 16
    with small_sandbox(
        faults.status(503, resource="events", nth=2),
        faults.reset("after_headers", resource="properties", nth=2),
        faults.rate_limit(pace, 60),
    ) as sandbox:
        config = settings_for(sandbox, requests_per_minute=pace, page_size=9)
        run = run_tap(folder=tmp_path, config=config).succeeded()
    assert_every_record_once(run, sandbox.account)
    times = [request.at for request in sandbox.requests]
    assert pace < len(times) < 2 * pace
    for first, beyond in zip(times, times[pace:], strict=False):
        assert beyond - first > 60
    assert times[pace - 1] - times[0] < 15  # the first of them need no pause
    assert 429 not in {request.status for request in sandbox.requests}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_query_api_is_never_asked_too_often_by_default(tmp_path: Path) -> None:
    """With default settings: lists and a report, more than 15 requests, no 429, and one minute is enough."""
    with result_sandbox("query", reports=1, polls_until_complete=1, rate_limit=15, cap=10) as sandbox:
        config = {"api": "query", "api_url": sandbox.url, "username": sandbox.username, "password": sandbox.password}
        run = run_tap(folder=tmp_path, config={**config, "report_ids": ["*"]}).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert results(run) == all_report_rows(sandbox)
    times = [request.at for request in sandbox.requests]
    assert 20 <= len(times) < 30
    assert sandbox.most_in_a_minute() <= 15
    assert {request.status for request in sandbox.requests} == {200}
    assert len(re.findall(r"Waiting \d\d s to stay within 15 requests a minute\n", run.stderr)) == 1
    assert 60 < times[-1] - times[0] < 80


def test_a_pace_that_is_not_reached_costs_nothing(tmp_path: Path) -> None:
    """Fourteen requests of sixty are no reason to wait."""
    with small_sandbox() as sandbox:
        started = time.monotonic()
        run = watched_sync(sandbox, tmp_path, requests_per_minute=60).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert time.monotonic() - started < 30
