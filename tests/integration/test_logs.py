"""What a person reads while a sync goes on: how much there is, how far it is, what it took; and no idle warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account, make_query_account
from tests.support.assertions import in_order_of_sync
from tests.support.cases import SMALL
from tests.support.catalogs import choose
from tests.support.run import write_json
from tests.support.tap import catalog_of, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.run import Run


def lines_of(run: Run) -> list[str]:
    """Give what was logged at the level of people's lines and above, without the SDK's metrics."""
    lines = [re.fullmatch(r"\S+ \S+ \| (\w+) +\| \S+ +\| (.*)", line) for line in run.stderr.splitlines()]
    return [line[2] for line in lines if line and line[1] != "DEBUG" and not line[2].startswith("METRIC")]


def assert_logged(run: Run, *patterns: str) -> None:
    """Check that the log holds these lines and no others."""
    lines = lines_of(run)
    wrong = [f"{line!r}, not {pattern!r}" for line, pattern in zip(lines, patterns, strict=False)
             if not re.fullmatch(pattern, line)]  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert len(lines) == len(patterns), lines


def each_request_takes(seconds: float, clock: Clock, sandbox: Sandbox) -> None:
    """Let time pass with each request."""
    sandbox.on_request(lambda *_: clock.sleep(seconds))


VERSION = r"tap-kissmetrics v\S+, Meltano SDK v\S+"


def test_a_sync_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """Where it reads, who has logged in, and for each stream how much there is and what it took."""
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path, page_size=100).succeeded()
    names = ", ".join(re.escape(repr(account["name"])) for account in sandbox.account.records["accounts"])
    expected = [VERSION, "Reading the Core API at " + re.escape(sandbox.url)]
    for number, name in enumerate(in_order_of_sync(RESOURCES), 1):
        count, asked = sandbox.account.counts[name], sum(request.resource == name for request in sandbox.requests)
        expected += [rf"{name}: started \(stream {number} of 6, FULL_TABLE\)"]
        expected += [f"{name}: {count} records to read"]
        expected += [f"accounts: these credentials can access {names}"] * (name == "accounts")
        expected += [rf"{name}: complete: {count} records, {asked} requests?, \d+\.\d s"]
    total, requests = sum(sandbox.account.counts.values()), len(sandbox.requests)
    assert_logged(run, *expected, rf"Total: {total} records, {requests} requests, \d+\.\d s")


def test_a_test_of_the_connection(tmp_path: Path) -> None:
    """It says how it ended, and nothing of failures: `--test` ends each stream after one record."""
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path, "--test").succeeded()
    assert lines_of(run)[-1] == "Connection test passed: every stream can be read"
    assert "fail" not in run.stderr
    assert "METRIC" not in run.stderr


def test_records_before_the_bookmark_are_counted_apart(tmp_path: Path) -> None:
    """What a target gets can be told from what was read."""
    with Sandbox() as sandbox:
        catalog = choose(accounts="updated_at")
        state = sync(sandbox, tmp_path, catalog=catalog).succeeded().state
        run = sync(sandbox, tmp_path, catalog=catalog, state=state).succeeded()
    read, written = sandbox.account.counts["accounts"], len(run.records("accounts"))
    assert written < read
    (line,) = [line for line in lines_of(run) if line.startswith("accounts: complete")]
    assert re.fullmatch(rf"accounts: complete: {read} read, {written} written, 2 requests, \d+\.\d s", line)
    assert lines_of(run)[-1].startswith(f"Total: {read} read, {written} written, ")


def test_requests_that_failed_count_and_so_do_waits(clock: Clock, tmp_path: Path) -> None:
    """The log has as many requests as the sandbox, and the time from the first of them on."""
    happening = [faults.status(503, resource="accounts", nth=1), faults.retry_after(1, resource="events", nth=1)]
    with Sandbox(faults=happening) as sandbox:
        each_request_takes(1.0, clock, sandbox)
        run = sync(sandbox, tmp_path).succeeded()
    lines = lines_of(run)
    assert any(re.fullmatch(r"accounts: HTTP 503: .*; retrying in \d\.\d s", line) for line in lines)
    waiting = "events: waiting 1.0 s because of the API's rate limit; set requests_per_minute to stay within it"
    assert waiting in lines
    (events,) = [line for line in lines if line.startswith("events: complete")]
    told = re.fullmatch(r"events: complete: 430 records, 3 requests, (\d+\.\d) s", events)
    assert told, events
    assert 4 <= float(told[1]) < 4.9
    assert f" {len(sandbox.requests)} requests" in lines[-1]


def test_a_failed_stream_is_told_from_those_that_are_done(tmp_path: Path) -> None:
    """Nothing says that a stream is skipped which is not."""
    with Sandbox(faults=[faults.status(403, resource="events")]) as sandbox:
        run = sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    assert "Skipping" not in run.stderr
    catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path, products={}))
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
    assert run.stderr.count("Skipping deselected stream") == len(RESOURCES) - 1


def test_a_long_stream_tells_how_far_it_is(clock: Clock, tmp_path: Path) -> None:
    """Every ten seconds, in records and per cent."""
    with Sandbox(make_account(**{**SMALL, "events": 400})) as sandbox:
        each_request_takes(0.8, clock, sandbox)
        run = sync(sandbox, tmp_path, page_size=11, max_concurrency=1).succeeded()
    said = [line for line in lines_of(run) if "%" in line]
    pattern = r"events: (\d+) of 400 records \((\d+)%\), 1\d/s, (\d+) s, about ([\d.]+) s left, stream 4 of 6"
    told = [re.fullmatch(pattern, line) for line in said]
    assert len(told) == 3  # 40 pages, 32 s
    for number, match in enumerate(told, 1):
        assert match, said
        assert 0 < int(match[1]) < 400
        assert int(match[2]) == round(int(match[1]) / 4)
        assert number * 10 <= int(match[3]) <= number * 11
        assert int(match[3]) + float(match[4]) == pytest.approx(32, abs=2)


@pytest.mark.parametrize(("count", "more"), [(10, ""), (12, " and 2 more")])
def test_of_the_query_api_the_product_is_told(count: int, more: str, clock: Clock, tmp_path: Path) -> None:
    """Lists have no total there, but the products are known. Ten of them are named."""
    account = make_query_account(products=count, reports=0, events=60, properties=0)
    names = [repr(product["name"]) for product in account.records["products"]]
    with Sandbox(account, api="query") as sandbox:
        each_request_takes(0.8, clock, sandbox)
        catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path, {"api": "query"}, products={}, events={}))
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
    lines = lines_of(run)
    assert f"products: these credentials can access {', '.join(names[:10])}{more}" in lines
    assert any(
        re.fullmatch(rf"events: \d+ records, (\d/s, )?\d\d s, product \d+ of {count}, stream 2 of 2", line)
        for line in lines
    )


@pytest.mark.parametrize("count", [1, 3])
def test_of_results_the_report_is_told(count: int, clock: Clock, tmp_path: Path) -> None:
    """Which of how many is run, also while it takes long."""
    with Sandbox(make_query_account(reports=count), api="query") as sandbox:
        each_request_takes(6, clock, sandbox)
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    parts = {re.sub(r"^.* s, ", "", line) for line in lines_of(run) if ", report " in line}
    assert len(sandbox.queries) == count
    assert parts == ({f"report {number} of 3, stream 5 of 5" for number in (1, 2, 3)} if count > 1 else set())


def test_a_wait_is_told_with_what_it_is_for(clock: Clock, tmp_path: Path) -> None:
    """Nothing more comes for a minute."""
    with Sandbox(make_query_account(products=2), api="query") as sandbox:
        run = sync(sandbox, tmp_path, requests_per_minute=5).succeeded()
    assert clock.slept > 60
    waits = [line for line in lines_of(run) if line.startswith("Waiting")]
    path = re.escape(urlsplit(sandbox.url).path)
    pattern = rf"Waiting 6[01] s before GET {path}/products/\d+/\w+, to stay within 5 requests a minute"
    assert waits
    assert all(re.fullmatch(pattern, line) for line in waits), waits


LOG_CONFIGURATION = """
version: 1
disable_existing_loggers: false
"""


@pytest.mark.parametrize(
    ("env", "shown"),
    [
        ({}, False),
        ({"LOGLEVEL": "WARNING"}, False),
        ({"TAP_KISSMETRICS_LOGLEVEL": "debug"}, True),
        ({"SINGER_SDK_LOG_CONFIG": "logging.yml"}, True),
        ({"SINGER_SDK_LOG_CONFIG": "logging.yml", "TAP_KISSMETRICS_LOGLEVEL": "WARNING"}, False),
    ],
    ids=str,
)
def test_metrics_are_for_programs(env: dict[str, str], shown: bool, sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: FBT001
    """The SDK's metrics are shown at DEBUG, and where a file configures the log; that of each request never."""
    (tmp_path / "logging.yml").write_text(LOG_CONFIGURATION, encoding="utf-8")
    run = sync(sandbox, tmp_path, env=env).succeeded()
    assert ("METRIC: " in run.stderr) == ("http_request_count" in run.stderr) == shown
    assert "http_request_duration" not in run.stderr
