"""What a person reads while a sync goes on: how much there is, how far it is, what it took; and no idle warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.fault_runs import SMALL
from tests.sandbox import Sandbox, make_account
from tests.tap_process import sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tap_process import Run


def lines_of(run: Run, logger: str) -> list[str]:
    """Give what a logger said at the level of people's lines."""
    return [line.split(" | ", 3)[3] for line in run.stderr.splitlines() if re.search(rf"INFO +\| {logger} +\|", line)]


def test_each_stream_tells_how_much_there_is_and_what_it_took(tmp_path: Path) -> None:
    """The last line is on all of them."""
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path, page_size=100).succeeded()
    for name, count in sandbox.account.counts.items():
        said = lines_of(run, rf"tap-kissmetrics\.{name}")
        asked = sum(request.resource == name for request in sandbox.requests)
        assert f"{count} records to read" in said
        assert re.fullmatch(rf"Complete: {count} records, {asked} requests?, \d+\.\d s", said[-1])
    total, requests = sum(sandbox.account.counts.values()), len(sandbox.requests)
    assert re.fullmatch(
        rf"In all: {total} records, {requests} requests, \d+\.\d s", lines_of(run, "tap-kissmetrics")[-1]
    )


def test_the_accounts_are_named(tmp_path: Path) -> None:
    """So that a wrong token is seen."""
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path).succeeded()
    (line,) = [line for line in lines_of(run, r"tap-kissmetrics\.accounts") if "may see" in line]
    assert all(repr(account["name"]) in line for account in sandbox.account.records["accounts"])


def test_a_long_stream_tells_how_far_it_is(tmp_path: Path) -> None:
    """Every ten seconds, in records and per cent."""
    with Sandbox(make_account(**{**SMALL, "events": 400}), latency=0.35) as sandbox:
        run = sync(sandbox, tmp_path, page_size=11, max_concurrency=1, request_timeout=30).succeeded()
    said = [line for line in lines_of(run, r"tap-kissmetrics\.events") if "%" in line]
    assert len(said) == 1
    match = re.fullmatch(r"(\d+) of 400 records \((\d+)%\), (\d+) s", said[0])
    assert match, said
    assert 200 < int(match[1]) < 400
    assert int(match[2]) == round(int(match[1]) / 4)
    assert 10 <= int(match[3]) <= 13


@pytest.mark.parametrize("arguments", [(), ("--test",)])
def test_a_good_run_warns_of_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Nor is there a line for each request."""
    with Sandbox() as sandbox:
        run = sync(sandbox, tmp_path, *arguments, page_size=20).succeeded()
    assert "| WARNING" not in run.stderr
    assert "| ERROR" not in run.stderr
    assert "http_request_duration" not in run.stderr
    assert "http_request_count" in run.stderr
