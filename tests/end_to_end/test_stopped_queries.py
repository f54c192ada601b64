"""A sync that is stopped while a query runs ends the query on the server, at once and within the pace."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_discreet, assert_says
from tests.support.process import WAITS, live_tap
from tests.support.results import is_page, is_poll, is_start, only, result_sandbox, results
from tests.support.run import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.process import LiveTap
    from tests.support.run import Run

REPORTS: dict[str, Any] = {**WAITS, "report_ids": ["*"]}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Queries that never complete."""
    with result_sandbox("query", query_outcome="never") as running:
        yield running


def stop(tap: LiveTap, *, within: float = 4.0) -> Run:
    """Stop a tap, and check that it ends soon and says so; the last line is a STATE."""
    at = time.monotonic()
    tap.process.send_signal(signal.SIGTERM)
    run = tap.ends()
    assert time.monotonic() - at < within
    assert run.code == 128 + signal.SIGTERM, run.stderr
    assert run.errors == []
    assert_says(run, "WARNING.*Stopped by SIGTERM")
    assert run.stdout.endswith("\n")
    assert run.messages[-1]["type"] == "STATE"
    return run


def methods(sandbox: Sandbox) -> list[str]:
    """Give the methods of the requests for queries."""
    return [request.method for request in sandbox.requests if request.resource == "queries"]


def test_a_query_that_runs_is_cancelled_and_no_other_is_started(sandbox: Sandbox, tmp_path: Path) -> None:
    """The lists that were read before are whole."""
    with live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: methods(sandbox).count("GET") >= 2)
        run = stop(tap)
    assert_discreet(run, sandbox)
    (query,) = sandbox.queries
    assert query.cancelled
    assert sandbox.requests[-1].path == f"/v3/queries/{query.id}"
    assert methods(sandbox).count("DELETE") == 1
    assert_says(run, f"query {query.id} was cancelled")
    assert run.records("reports") == sandbox.account.records["reports"]
    assert results(run) == []


@pytest.mark.parametrize("fault", [faults.hang(where=is_poll), faults.status(503, where=is_poll)],
                         ids=["a poll that hangs", "a back-off"])  # fmt: skip
def test_neither_an_answer_nor_a_back_off_is_waited_for(fault: faults.Fault, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.append(fault)
    with live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: "GET" in methods(sandbox) and (fault.name == "hang" or "retrying in" in tap.log))
        stop(tap)
    assert [query.cancelled for query in sandbox.queries] == [True]


def test_the_cancellation_does_not_wait_for_the_pace(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both requests of the minute are used up; the cancellation is sent all the same."""
    query = {"name": "endless", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
    settings: dict[str, Any] = {**WAITS, "queries": [query], "requests_per_minute": 2}
    catalog = write_json(tmp_path / "catalog.json", only(sandbox, "endless", **settings))
    with live_tap(sandbox, tmp_path, "--catalog", catalog, **settings) as tap:
        tap.until(lambda: "to stay within 2 requests a minute" in tap.log)
        assert len(sandbox.requests) == 2
        stop(tap)
    assert [query.cancelled for query in sandbox.queries] == [True]
    assert [request.method for request in sandbox.requests] == ["POST", "GET", "DELETE"]


@pytest.mark.parametrize(
    ("fault", "within"),
    [
        pytest.param(faults.status(500, method="DELETE"), 4, id="500"),
        pytest.param(faults.redirect("/elsewhere", method="DELETE"), 4, id="a redirect"),
        pytest.param(faults.hang(method="DELETE"), 9, id="hangs", marks=pytest.mark.slow),
    ],
)
def test_a_cancellation_that_fails_is_tried_once_and_named(
    fault: faults.Fault, within: float, sandbox: Sandbox, tmp_path: Path
) -> None:
    """For five seconds at most."""
    sandbox.faults.append(fault)
    with live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: "GET" in methods(sandbox))
        run = stop(tap, within=within)
    assert methods(sandbox).count("DELETE") == 1
    assert_says(run, f"WARNING.*query {sandbox.queries[0].id} is still running: it could not be cancelled")
    assert_discreet(run, sandbox)


def test_a_query_that_is_being_started_is_cancelled_once_it_has_an_id(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only the response to the POST names the query, so that response is still read."""
    sandbox.faults.append(faults.drip(0.3, part="all", size=200, where=is_start))
    with live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: "POST" in methods(sandbox))
        stop(tap, within=8)
    assert [query.cancelled for query in sandbox.queries] == [True]


@pytest.mark.slow
def test_a_query_without_an_id_is_named_by_what_it_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.append(faults.hang(where=is_start))
    with live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: "POST" in methods(sandbox))
        run = stop(tap, within=8)
    assert_says(run, r"WARNING.*report \d+ \('.*'\): stopped while the query was being started; it may be running")


def test_a_query_that_takes_its_completion_back_is_cancelled(tmp_path: Path) -> None:
    """Its first page came; the second is said not to be there yet."""
    undone = faults.rewrite(lambda body: {**body, "completed": False}, where=is_page, skip=1)
    with result_sandbox("query", reports=1, faults=[undone]) as sandbox, live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: undone.seen >= 3)
        stop(tap)
    assert methods(sandbox).count("DELETE") == 1


def test_a_completed_query_is_not_cancelled_and_its_rows_are_whole(tmp_path: Path) -> None:
    hangs = faults.hang(where=is_page, nth=3)
    with result_sandbox("query", reports=1, faults=[hangs]) as sandbox, live_tap(sandbox, tmp_path, **REPORTS) as tap:
        tap.until(lambda: hangs.seen == 3)
        run = stop(tap)
    assert "DELETE" not in methods(sandbox)
    rows = sandbox.queries[0].result or []
    assert results(run)
    assert [record["data"] for record in results(run)] == rows[: len(results(run))]


@pytest.mark.parametrize("setting", ["report_ids", "metric_ids"])
def test_the_core_api_cannot_cancel_a_query_so_it_is_named(setting: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**WAITS, setting: ["*"]}
    core = result_sandbox("core", query_outcome="never")
    with core as sandbox, live_tap(sandbox, tmp_path, **settings) as tap:
        tap.until(lambda: "GET" in methods(sandbox))
        run = stop(tap)
    assert "DELETE" not in methods(sandbox)
    assert_says(run, f"query {sandbox.queries[0].id} is still running: the Core API cannot cancel it")
    assert_discreet(run, sandbox)
