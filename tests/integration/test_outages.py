"""What rate limits and outages cost: waits that are told, one budget for an outage, and a last line that says why."""

from __future__ import annotations

import dataclasses
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, faults
from tests.support.assertions import assert_every_record_once, assert_says
from tests.support.cases import small_sandbox, watched_sync
from tests.support.exports import read_exports
from tests.support.results import all_report_rows, result_sandbox, results
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Fault, Request
    from tests.support.clock import Clock

PATIENT: dict[str, Any] = {"backoff_factor": 1, "retry_timeout": 120, "request_timeout": 5}


def closed_port() -> int:
    """Find a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# What the API asks for


@pytest.mark.parametrize(
    ("fault", "seconds", "reason"),
    [
        (faults.status(429), 60, " because of the API's rate limit"),
        (faults.meta_status(429), 60, " because of the API's rate limit"),
        (faults.retry_after(7), 7, " because of the API's rate limit"),
        (faults.retry_after(7, code=503), 7, ", as the server requires: HTTP 503"),
        (faults.retry_after("soon"), 60, " because of the API's rate limit"),
    ],
    ids=["429", "meta.status 429 in 200", "429 with Retry-After", "503 with Retry-After", "nonsense"],
)
@pytest.mark.parametrize(("api", "most"), [("core", 8), ("query", 1)])
def test_a_rate_limit_is_waited_for(  # noqa: PLR0913, PLR0917 - what varies
    fault: Fault, seconds: int, reason: str, api: Any, most: int, frozen_clock: Clock, tmp_path: Path
) -> None:
    """As long as the API asks, else a minute; `retry_timeout` is for failures alone."""
    with small_sandbox(dataclasses.replace(fault, resource="events", nth=2), api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=most, **PATIENT | {"retry_timeout": 0}).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert_says(run, rf"events: waiting {seconds}(\.0)? s{reason}")
    assert frozen_clock.slept == pytest.approx(seconds)


@pytest.mark.parametrize(
    "limit", [faults.rate_limit(8, 0.25, count_refused=True), faults.rate_limit(12, 0.5, tell=True)]
)
def test_a_server_that_counts_lets_every_request_pass(limit: Fault, tmp_path: Path) -> None:
    """In real time; a client that did not wait would never pass again, for what is refused may count too."""
    with small_sandbox(limit) as sandbox:
        run = watched_sync(sandbox, tmp_path, backoff_factor=0.005).succeeded()
        assert 429 in {request.status for request in sandbox.requests}
    assert_every_record_once(run, sandbox.account)


def test_the_wait_before_each_attempt_is_told(frozen_clock: Clock, tmp_path: Path) -> None:
    with small_sandbox(faults.status(503, resource="metrics", times=5)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **PATIENT).succeeded()
    assert_every_record_once(run, sandbox.account)
    told = [float(seconds) for seconds in re.findall(r"HTTP 503.*; retrying in ([\d.]+) s", run.stderr)]
    assert len(told) == 5
    assert sum(told) == pytest.approx(frozen_clock.slept, abs=0.75)  # told in tenths, or whole seconds


# `requests_per_minute`


def test_no_minute_holds_more_requests_than_were_set(clock: Clock, tmp_path: Path) -> None:
    """Requests that failed count as well; the first of them need no wait."""
    limit = 7
    times: list[float] = []
    with small_sandbox(
        faults.status(503, resource="events", nth=2), faults.reset("after_headers", resource="properties", nth=2)
    ) as sandbox:
        sandbox.on_request(lambda *_: times.append(clock.monotonic()))
        run = sync(sandbox, tmp_path, requests_per_minute=limit, page_size=9, retry_timeout=120).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert len(times) > 2 * limit
    assert all(60 < beyond - first < 75 for first, beyond in zip(times, times[limit:], strict=False))
    assert times[limit - 1] - times[0] < 15
    assert_says(run, rf"Waiting \d\d s before GET /\S+, to stay within {limit} requests a minute$")


def test_waiting_to_stay_within_it_is_no_failure(clock: Clock, tmp_path: Path) -> None:
    """A request that fails is sent again, however long it has to wait for its turn."""
    with small_sandbox(faults.status(503, resource="events", nth=2), faults.close("before", nth=3)) as sandbox:
        run = watched_sync(sandbox, tmp_path, requests_per_minute=1, retry_timeout=5, max_concurrency=1).succeeded()
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


# An outage costs one budget: each further stream, product, report or bucket gets one attempt


@pytest.mark.parametrize("api", ["core", "query"])
def test_where_nothing_listens_one_budget_is_spent(api: str, frozen_clock: Clock, tmp_path: Path) -> None:
    port = closed_port()
    login = {"api_token": "some-token"} if api == "core" else {"api": "query", "username": "some-user"}
    run = run_tap(folder=tmp_path, config={"api_url": f"http://127.0.0.1:{port}/core", **login, **PATIENT})
    assert run.code == 1
    assert 119 < frozen_clock.slept < 125
    assert len(run.failed) >= 4
    assert run.errors[0].endswith(f": connection refused by 127.0.0.1:{port}; gave up after 2 min")
    assert not run.of_type("SCHEMA")


NEEDS_IT: dict[int, Callable[[Request], bool]] = {
    6: lambda _: True,
    4: lambda request: "/products/" in request.path,
    1: lambda request: request.resource == "queries",
}
"""Requests, by the number of streams that need them."""


@pytest.mark.parametrize(
    ("refusal", "most"),
    [(faults.status(503), 121), (faults.status(429), 901), (faults.retry_after(120, code=503), 901)],
    ids=["503", "429", "Retry-After"],
)
def test_whatever_the_server_answers_one_budget_is_spent(
    refusal: Fault, most: float, frozen_clock: Clock, tmp_path: Path
) -> None:
    with result_sandbox("core", reports=3) as sandbox:
        products = sandbox.account.ids("products")
        for settings, failed in (({}, 6), ({"product_ids": products}, 4), ({"report_ids": ["*"]}, 1)):
            sandbox.faults[:] = [dataclasses.replace(refusal, where=NEEDS_IT[failed])]
            run = watched_sync(sandbox, tmp_path, **PATIENT, **settings)
            assert len(run.failed) == failed
            assert most - 2 < frozen_clock.slept < most
            frozen_clock.sleeps.clear()


def test_the_buckets_of_one_server_spend_one_budget(frozen_clock: Clock, tmp_path: Path) -> None:
    env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}", "AWS_ACCESS_KEY_ID": "a", "HOME": str(tmp_path)}
    env |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    run = read_exports(tmp_path, *(f"s3://bucket-{number}/x" for number in range(3)), env=env, **PATIENT)
    assert run.failed == ["raw_events"]
    assert "bucket-2" in run.errors[0]
    assert 100 < frozen_clock.slept < 125


def test_a_proxy_that_is_down_spends_one_budget_and_is_named(frozen_clock: Clock, tmp_path: Path) -> None:
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{closed_port()}", "NO_PROXY": ""}
    config = {"api_url": "https://api.example.invalid/core", "api_token": "some-token", **PATIENT}
    run = run_tap(folder=tmp_path, config=config, env=proxy)
    assert set(run.failed) == set(RESOURCES)
    assert run.errors[0].endswith(": connection refused by the proxy in the environment; gave up after 2 min")
    assert 119 < frozen_clock.slept < 125


def test_a_host_that_is_back_has_its_whole_budget_again(frozen_clock: Clock, tmp_path: Path) -> None:
    down = faults.close("before", resource="accounts")
    late = faults.close("before", resource="metrics", times=4)
    with small_sandbox(down, late) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **PATIENT)
    assert_every_record_once(run, sandbox.account, but=["accounts"])
    assert run.failed == ["accounts"]
    assert frozen_clock.slept > 120 + 15


# What the lines say


def test_a_host_that_no_name_server_knows_says_what_to_check(frozen_clock: Clock, tmp_path: Path) -> None:
    run = run_tap(folder=tmp_path, config={"api_url": "https://api.example.invalid/core", "api_token": "t", **PATIENT})
    assert "Name or service not known; check the network, VPN and DNS, and api_url" in run.errors[0]
    assert frozen_clock.slept


def test_an_address_without_its_path_says_how_it_ends(tmp_path: Path) -> None:
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, api_url=sandbox.url.removesuffix("/core"))
    assert "nothing at /accounts; check api_url, which ends with /core by default" in run.errors[0]


def test_the_last_line_names_each_stream_that_failed_with_its_cause(tmp_path: Path) -> None:
    """Shortened."""
    broken = [faults.status(403, resource="events"), faults.status(404, resource="metrics", body=b"x" * 5000)]
    with small_sandbox(*broken) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.failed == ["events", "metrics"]
    assert_every_record_once(run, sandbox.account, but=run.failed)
    last = run.stderr.splitlines()[-1]
    assert re.search(r"2 of 6 streams failed: events: HTTP 403: .*; metrics: HTTP 404: ", last), last
    assert len(last) < 700


def test_the_last_line_repeats_a_cause_once(frozen_clock: Clock, tmp_path: Path) -> None:
    """What several streams have in common, and what the products of one have."""
    with small_sandbox(faults.close("before")) as sandbox:
        run = watched_sync(sandbox, tmp_path, product_ids=sandbox.account.ids("products"), retry_timeout=1)
    streams = "accounts, products, reports, events, metrics, properties"
    assert run.errors[-1].startswith(f"6 of 6 streams failed: {streams}: no complete response from 127.0.0.1:")
    assert [line.count("no complete response") for line in run.errors] == [1] * 7
    assert frozen_clock.slept


def test_the_last_line_tells_the_end_of_a_long_cause(tmp_path: Path) -> None:
    """Where it is one long word, too, such as a path."""
    run = read_exports(tmp_path, tmp_path / "x" / ("y" * 200) / ("z" * 200))
    says = r"1 of 1 stream failed: raw_events: /.*yyy\.\.\.does not exist; check export_urls"
    assert re.fullmatch(says, run.errors[-1])
