"""What an outage costs, and what the last line says of it."""

from __future__ import annotations

import dataclasses
import re
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.assertions import assert_every_record_once
from tests.support.cases import SMALL, small_sandbox, watched_sync
from tests.support.catalogs import choose
from tests.support.exports import read_exports
from tests.support.results import result_sandbox
from tests.support.run import settings_for
from tests.support.tap import catalog_of, run_tap, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import ApiName, Fault, Request
    from tests.support.clock import Clock

pytestmark = pytest.mark.usefixtures("frozen_clock")

PATIENT: dict[str, Any] = {"backoff_factor": 1, "retry_timeout": 120, "request_timeout": 5}


_BROKEN: dict[int, Callable[[Request], bool]] = {
    6: lambda _: True,
    4: lambda request: "/products/" in request.path,
    1: lambda request: request.resource == "queries",
}
"""Requests, by the number of streams that need them."""


def closed_port() -> int:
    """Find a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("api", ["core", "query"])
def test_an_outage_costs_one_retry_budget(api: str, clock: Clock, tmp_path: Path) -> None:
    """Where nothing listens, each further stream gets one attempt."""
    url = f"http://127.0.0.1:{closed_port()}/core"
    login = {"api_token": "some-token"} if api == "core" else {"api": "query", "username": "some-user"}
    run = run_tap(folder=tmp_path, config={"api_url": url, **login, **PATIENT})
    assert run.code == 1
    assert 119 < clock.slept < 125
    assert run.stdout.count('"SCHEMA"') == 0
    assert len(run.failed) >= 4


@pytest.mark.parametrize(
    ("refusal", "most"),
    [(faults.status(503), 121), (faults.status(500), 121), (faults.status(429), 901),
     (faults.status(503, headers={"Retry-After": "120"}), 901)],
    ids=["503", "500", "429", "Retry-After"],
)  # fmt: skip
def test_whatever_an_outage_answers(refusal: Fault, most: float, clock: Clock, tmp_path: Path) -> None:
    """The streams after the first get one attempt each; so do the products, and the reports, of one stream."""
    with result_sandbox("core", reports=3) as sandbox:
        products = sandbox.account.ids("products")
        for settings, failed in (({}, 6), ({"product_ids": products}, 4), ({"report_ids": ["*"]}, 1)):
            sandbox.faults[:] = [dataclasses.replace(refusal, where=_BROKEN[failed])]
            run = watched_sync(sandbox, tmp_path, **PATIENT, **settings)
            assert len(run.failed) == failed
            assert most - 2 < clock.slept < most
            clock.sleeps.clear()


def test_the_same_for_exports(clock: Clock, tmp_path: Path) -> None:
    """The buckets of one server."""
    env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}", "AWS_ACCESS_KEY_ID": "a", "HOME": str(tmp_path)}
    env |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    run = read_exports(tmp_path, *(f"s3://bucket-{number}/x" for number in range(3)), env=env, **PATIENT)
    assert run.failed == ["raw_events"]
    assert "bucket-2" in run.errors[0]
    assert 100 < clock.slept < 125


def test_the_same_for_a_proxy(clock: Clock, tmp_path: Path) -> None:
    """It is the host that does not answer."""
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{closed_port()}", "NO_PROXY": ""}
    config = {"api_url": "https://api.example.invalid/core", "api_token": "some-token", **PATIENT}
    run = run_tap(folder=tmp_path, config=config, env=proxy)
    assert set(run.failed) == set(RESOURCES)
    assert run.errors[0].endswith(": connection refused by the proxy in the environment; gave up after 2 min")
    assert 119 < clock.slept < 125


def test_a_host_that_is_back_has_its_whole_budget_again(clock: Clock, tmp_path: Path) -> None:
    """A stream that fails because of an outage does not shorten those after the outage."""
    down = faults.close("before", resource="accounts")
    late = faults.close("before", resource="metrics", times=4)
    with small_sandbox(down, late) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **PATIENT)
        assert_every_record_once(run, sandbox.account, but=["accounts"])
    assert run.failed == ["accounts"]
    assert clock.slept > 120 + 15


def test_an_outage_sends_no_schema(clock: Clock, tmp_path: Path) -> None:
    """target-csv would empty its files."""
    with small_sandbox(faults.status(503)) as sandbox:
        run = watched_sync(sandbox, tmp_path, retry_timeout=1)
    assert set(run.failed) == set(RESOURCES)
    assert not run.of_type("SCHEMA")
    assert clock.slept


def test_schema_comes_with_the_first_record_or_a_good_end(tmp_path: Path) -> None:
    """So a list without records has one too, and a stream that fails has none."""
    account = make_account(**SMALL)
    account.records["metrics"] = []
    with Sandbox(account, faults=[faults.status(403, resource="events")]) as sandbox:
        run = sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    assert {message["stream"] for message in run.of_type("SCHEMA")} == set(RESOURCES) - {"events"}


def test_a_stream_that_fails_before_its_first_record_has_no_schema(tmp_path: Path) -> None:
    """Even if a response was good: none of its records is new, or a stream map fails for the first."""
    with small_sandbox(faults.status(403, resource="events", skip=1)) as sandbox:
        state = {"bookmarks": {"events": {"replication_key": "last_sent_at", "replication_key_value": "2025-01-01"}}}
        catalog = choose(events="last_sent_at")
        old = sync(sandbox, tmp_path, catalog=catalog, state=state, page_size=2, max_concurrency=1)
        sandbox.faults.clear()
        mapped = sync(sandbox, tmp_path, catalog=catalog, stream_maps={"events": {"name": "1 / 0"}})
    for run in (old, mapped):
        assert run.failed == ["events"]
        assert not run.of_type("SCHEMA")


def test_what_is_looked_up_sends_no_schema(tmp_path: Path) -> None:
    """The lists of products, and the results of reports, look up another stream, which can be read."""
    for broken in ("events", "queries"):
        with small_sandbox(faults.status(500, resource=broken), api="query") as sandbox:
            chosen = [name for name in ("events", "report_results") if (name == "events") == (broken == "events")]
            config = settings_for(sandbox, report_ids=["*"])
            catalog = catalog_of(tmp_path, config, **{name: {} for name in chosen})
            run = watched_sync(sandbox, tmp_path, catalog=catalog, report_ids=["*"], retry_timeout=0.1)
        assert run.failed == chosen
        assert not run.of_type("SCHEMA")


def test_a_host_that_no_name_server_knows(clock: Clock, tmp_path: Path) -> None:
    """What to check is in the line; so it is for a product that does not exist, and a root without its path."""
    run = run_tap(folder=tmp_path, config={"api_url": "https://api.example.invalid/core", "api_token": "t", **PATIENT})
    assert "Name or service not known; check the network, VPN and DNS, and api_url" in run.errors[0]
    assert clock.slept


def test_an_address_without_its_path(tmp_path: Path) -> None:
    """The line says how it ends."""
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, api_url=sandbox.url.removesuffix("/core"))
    assert "nothing at /accounts; check api_url, which ends with /core by default" in run.errors[0]


@pytest.mark.parametrize("api", ["core", "query"])
def test_a_product_that_does_not_exist(api: ApiName, tmp_path: Path) -> None:
    """The line names its path and the setting."""
    gone = "5" * 8 if api == "query" else str(uuid.UUID(int=5))
    with small_sandbox(api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, product_ids=[gone])
    assert f"/products/{gone}/reports; check api_url and product_ids: API message: " in run.errors[0]


def test_the_last_line_tells_why(tmp_path: Path) -> None:
    """Each cause, shortened."""
    broken = [faults.status(403, resource="events"), faults.status(404, resource="metrics", body=b"x" * 5000)]
    with small_sandbox(*broken) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    last = run.stderr.splitlines()[-1]
    assert re.search(r"2 of 6 streams failed: events: HTTP 403: .*; metrics: HTTP 404: ", last), last
    assert len(last) < 700


def test_the_last_line_repeats_a_cause_once(clock: Clock, tmp_path: Path) -> None:
    """What several streams have in common, and what the products of one have."""
    with small_sandbox(faults.close("before")) as sandbox:
        run = watched_sync(sandbox, tmp_path, product_ids=sandbox.account.ids("products"), retry_timeout=1)
    streams = "accounts, products, reports, events, metrics, properties"
    assert run.errors[-1].startswith(f"6 of 6 streams failed: {streams}: no complete response from 127.0.0.1:")
    assert run.stderr.splitlines()[-1].count("no complete response") == 1
    assert [line.count("no complete response") for line in run.errors] == [1] * 7
    assert clock.slept


def test_the_last_line_tells_the_end_of_a_long_cause(tmp_path: Path) -> None:
    """Where it is one long word, too, such as a path."""
    run = read_exports(tmp_path, tmp_path / "x" / ("y" * 200) / ("z" * 200))
    assert re.fullmatch(
        r"1 of 1 stream failed: raw_events: /.*yyy\.\.\.does not exist; check export_urls", run.errors[-1]
    )


@pytest.mark.parametrize("skip", [0, 1])
def test_a_401_ends_the_run(skip: int, tmp_path: Path) -> None:
    """The first of all, and one after others were answered: nothing more is requested."""
    with small_sandbox(faults.status(401, resource="events", skip=skip)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1)
        assert sum(request.status == 401 for request in sandbox.requests) == 1
        assert sandbox.requests[-1].status == 401
    assert run.code == 1
    assert "HTTP 401" in run.errors[-1]


def test_a_firewall_is_not_about_access(tmp_path: Path) -> None:
    """403 with HTML."""
    page = faults.body(b"<html>Blocked</html>", "text/html", code=403, resource="events")
    with small_sandbox(page) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert "is refused by an HTML page" in run.errors[0]
    assert "widen the access" not in run.stderr
