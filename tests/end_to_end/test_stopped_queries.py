"""A sync that is stopped while a query runs ends the query on the server, at once and within the pace."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_discreet, assert_says
from tests.support.process import WAITS, live_tap
from tests.support.results import is_page, is_poll, only, result_sandbox, results
from tests.support.run import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Request, Sandbox
    from tests.support.process import LiveTap
    from tests.support.run import Run

REPORTS: dict[str, Any] = {"report_ids": ["*"]}
QUERY: dict[str, Any] = {
    "queries": [{"name": "endless", "product_id": 11_001, "query_type": "people_search", "query_params": {}}]
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Queries that never complete."""
    with result_sandbox("query", query_outcome="never") as running:
        yield running


def polls(sandbox: Sandbox) -> int:
    """Count the questions whether a query is completed."""
    return sum(map(is_poll, sandbox.requests))


def cancellations(sandbox: Sandbox) -> list[Request]:
    """Give the requests that end a query."""
    return [request for request in sandbox.requests if request.method == "DELETE"]


def stop(tap: LiveTap, *, within: float = 4.0) -> Run:
    """Stop a tap, and check that it ends soon and says so; the last line is a STATE where there is any."""
    at = time.monotonic()
    tap.process.send_signal(signal.SIGTERM)
    run = tap.ends()
    assert time.monotonic() - at < within
    assert run.code == 128 + signal.SIGTERM, run.stderr
    assert run.errors == []
    assert_says(run, f"WARNING.*Stopped by {signal.SIGTERM.name}")
    assert run.stdout.endswith("\n")
    assert run.messages[-1]["type"] == "STATE"
    return run


def test_between_two_polls(sandbox: Sandbox, tmp_path: Path) -> None:
    """The lists that were read before are whole; of three reports only the one that runs was started."""
    with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
        tap.until(lambda: polls(sandbox) >= 2)
        run = stop(tap)
    assert_discreet(run, sandbox)
    (query,) = sandbox.queries
    assert query.cancelled
    assert [request.path for request in cancellations(sandbox)] == [f"/v3/queries/{query.id}"]
    assert sandbox.requests[-1].method == "DELETE"
    assert_says(run, f"query {query.id} was cancelled")
    assert run.records("reports") == sandbox.account.records["reports"]
    assert results(run) == []


@pytest.mark.parametrize("fault", [faults.hang(where=is_poll), faults.status(503, where=is_poll)],
                         ids=["a poll that hangs", "a back-off"])  # fmt: skip
def test_during_a_poll(fault: faults.Fault, sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither the answer nor the back-off is waited for."""
    sandbox.faults.append(fault)
    with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
        tap.until(lambda: polls(sandbox) and (fault.name == "hang" or "retrying in" in tap.log))
        stop(tap)
    assert [query.cancelled for query in sandbox.queries] == [True]


def test_the_cancellation_does_not_wait_for_the_pace(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both requests of the minute are used up; the cancellation is sent all the same."""
    settings = {**WAITS, **QUERY, "requests_per_minute": 2}
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
        pytest.param(faults.reset(method="DELETE"), 4, id="reset"),
        pytest.param(faults.hang(method="DELETE"), 9, id="hangs", marks=pytest.mark.slow),
    ],
)
def test_a_cancellation_that_fails(fault: faults.Fault, within: float, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is tried once, for five seconds at most; the log says that the query goes on."""
    sandbox.faults.append(fault)
    with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
        tap.until(lambda: polls(sandbox))
        run = stop(tap, within=within)
    assert len(cancellations(sandbox)) == 1
    assert_says(run, f"WARNING.*query {sandbox.queries[0].id} is still running: it could not be cancelled")
    assert_discreet(run, sandbox)


def test_while_it_is_being_started(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only the response to the POST names the query, so that response is still read."""
    sandbox.faults.append(faults.drip(0.3, part="all", size=200, method="POST"))
    with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
        tap.until(lambda: any(request.method == "POST" for request in sandbox.requests))
        stop(tap, within=8)
    assert [query.cancelled for query in sandbox.queries] == [True]


@pytest.mark.slow
def test_while_it_is_being_started_by_a_server_that_hangs(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is named by what it runs, for it has no id."""
    sandbox.faults.append(faults.hang(method="POST"))
    with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
        tap.until(lambda: any(request.method == "POST" for request in sandbox.requests))
        run = stop(tap, within=8)
    assert_says(run, r"WARNING.*report \d+ \('.*'\): stopped while the query was being started; it may be running")


def test_one_that_takes_its_completion_back(tmp_path: Path) -> None:
    """Its first page came; the second is said not to be there yet."""
    with result_sandbox("query", reports=1) as sandbox:
        undone = faults.rewrite(lambda body: {**body, "completed": False}, where=is_page, skip=1)
        sandbox.faults.append(undone)
        with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
            tap.until(lambda: undone.seen >= 3)
            stop(tap)
    assert len(cancellations(sandbox)) == 1


def test_while_rows_are_read(tmp_path: Path) -> None:
    """What is completed needs no cancellation; the rows that were written are whole, and the first of the result."""
    with result_sandbox("query", reports=1) as sandbox:
        sandbox.faults.append(faults.hang(where=lambda r: r.resource == "queries" and r.is_list, nth=3))
        with live_tap(sandbox, tmp_path, **WAITS, **REPORTS) as tap:
            tap.until(lambda: sum(r.resource == "queries" and r.is_list for r in sandbox.requests) == 3)
            run = stop(tap)
    assert cancellations(sandbox) == []
    rows = sandbox.queries[0].result or []
    assert [record["data"] for record in results(run)] == rows[: len(results(run))]
    assert len(results(run)) == 19


@pytest.mark.parametrize("setting", ["report_ids", "metric_ids"])
def test_in_the_core_api(setting: str, tmp_path: Path) -> None:
    """It has nothing to end a run with; the log says that it goes on."""
    settings: dict[str, Any] = {**WAITS, setting: ["*"]}
    core = result_sandbox("core", query_outcome="never")
    with core as sandbox, live_tap(sandbox, tmp_path, **settings) as tap:
        tap.until(lambda: polls(sandbox))
        run = stop(tap)
    assert cancellations(sandbox) == []
    assert_says(run, f"query {sandbox.queries[0].id} is still running: the Core API cannot cancel it")
    assert_discreet(run, sandbox)
