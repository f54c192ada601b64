"""Runs of the tap under faults, each watched for what no run may ever do."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.sandbox import RESOURCES, Sandbox, make_account
from tests.tap_process import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.sandbox import Account, Fault, Record
    from tests.tap_process import Run

SMALL: dict[str, Any] = {"products": 3, "reports": 7, "events": 60, "properties": 25, "metrics": 5}
"""Few records, yet several pages of `PAGE_SIZE`."""

PAGE_SIZE = 10

_PIECE = 12
"""Characters of a token in a row that are taken for a leak."""


def small_sandbox(*faults: Fault, **switches: Any) -> Sandbox:  # noqa: ANN401 - those of a sandbox
    """Make a sandbox with few records, and with faults that were not met yet."""
    fresh = [dataclasses.replace(fault, seen=0) for fault in faults]
    return Sandbox(make_account(**SMALL), faults=fresh, **switches)


def watched_sync(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    **settings: object,
) -> Run:
    """Sync at the log level DEBUG, and check that neither a token nor a traceback is shown."""
    settings = {"page_size": PAGE_SIZE, **settings}
    run = sync(sandbox, folder, *arguments, env={"LOGLEVEL": "DEBUG", **(env or {})}, **settings)
    assert "| DEBUG " in run.stderr
    assert_discreet(run, sandbox)
    return run


def assert_discreet(run: Run, sandbox: Sandbox) -> None:
    """Check that no part of the token is in what was written, and no traceback; nor the token in any URL."""
    for form in (sandbox.token, quote(sandbox.token, safe="")):
        pieces = {form[start : start + _PIECE] for start in range(max(len(form) - _PIECE, 0) + 1)}
        shown = sorted(piece for piece in pieces if piece in run.stdout or piece in run.stderr)
        assert not shown
    for request in sandbox.requests:
        assert sandbox.token not in request.path
        assert sandbox.token not in "".join(request.query.values())
        assert not request.body
    assert "Traceback" not in run.stderr, run.stderr


def assert_says(run: Run, pattern: str) -> None:
    """Check that a line of the log matches a pattern; METRIC and DEBUG lines are not looked at."""
    lines = [line for line in run.stderr.splitlines() if "| DEBUG " not in line and "METRIC" not in line]
    found = any(re.search(pattern, line) for line in lines)
    assert found, "\n".join([f"nothing matches {pattern!r}:", *lines])


def assert_met(sandbox: Sandbox) -> None:
    """Check that each fault happened as often as it was meant to: else the run proves nothing."""
    for fault in sandbox.faults:
        assert fault.seen >= (fault.nth or fault.skip + (fault.times or 1)), f"{fault.name} was not met"


def as_emitted(resource: str, records: Iterable[Record]) -> list[Record]:
    """Give records as the tap emits them: `status` of metrics is text in the reference, true and false in answers."""
    if resource != "metrics":
        return list(records)
    words = {True: "true", False: "false"}
    return [{**record, "status": words.get(record["status"], record["status"])} for record in records]


def assert_every_record_once(run: Run, account: Account, *, but: Iterable[str] = ()) -> None:
    """Check that every record of an account was emitted whole and exactly once, save those of some streams."""
    for resource in RESOURCES:
        if resource in but:
            continue
        got = sorted(run.records(resource), key=lambda record: record["id"])
        expected = sorted(as_emitted(resource, account.records[resource]), key=lambda record: record["id"])
        assert [record["id"] for record in got] == [record["id"] for record in expected], resource
        assert got == expected, resource
