"""Runs of the tap under faults, each watched for what no run may ever do."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.expected import expected
from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.tap_process import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.sandbox import Account, ApiName, Fault
    from tests.tap_process import Run

SMALL: dict[str, Any] = {"products": 3, "reports": 7, "events": 60, "properties": 25, "metrics": 5}
"""Few records, yet several pages of `PAGE_SIZE`."""

SMALL_QUERY: dict[str, Any] = {**SMALL, "products": 1}
"""The same of the Query API; all are of one product, so that each list has the pages that it has in the Core API."""

PAGE_SIZE = 10

_PIECE = 12
"""Characters of a secret in a row that are taken for a leak."""


EVENTS: faults.When = {"resource": "events"}
"""Every page of the events."""

HASTY: dict[str, Any] = {"retry_timeout": 0.3, "emit_activate_version_messages": True}
"""A request may go on failing for 0.3 s."""

_IN_QUERY = {"/core/events": "/v3/products/11001/events", "api_token": "username"}


def in_words_of(api: ApiName, pattern: str) -> str:
    """Give a pattern that was written for the Core API as it is for another one."""
    for word, other in _IN_QUERY.items() if api == "query" else ():
        pattern = pattern.replace(word, other)
    return pattern


def small_sandbox(*happens: Fault, api: ApiName = "core", **switches: Any) -> Sandbox:
    """Make a sandbox with few records, and with faults that were not met yet."""
    fresh = [dataclasses.replace(fault, seen=0) for fault in happens]
    account = make_account(**SMALL) if api == "core" else make_query_account(**SMALL_QUERY)
    return Sandbox(account, api=api, faults=fresh, **switches)


def secrets_of(sandbox: Sandbox) -> list[str]:
    """Give what opens a sandbox, in each form in which it is sent."""
    if sandbox.api == "core":
        return [sandbox.token]
    login = f"{sandbox.username}:{sandbox.password}"
    return [secret for secret in (sandbox.username, sandbox.password) if secret] + [
        base64.b64encode(login.encode()).decode()
    ]


def watched_sync(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    **settings: object,
) -> Run:
    """Sync at the log level DEBUG, and check that neither a secret nor a traceback is shown."""
    settings = {"page_size": PAGE_SIZE, **settings}
    run = sync(sandbox, folder, *arguments, env={"LOGLEVEL": "DEBUG", **(env or {})}, **settings)
    assert "| DEBUG " in run.stderr
    assert_discreet(run, sandbox)
    return run


def assert_discreet(run: Run, sandbox: Sandbox) -> None:
    """Check that no part of a secret is in what was written, and no traceback; nor a secret in any URL or body."""
    for secret in secrets_of(sandbox):
        for form in (secret, quote(secret, safe="")):
            pieces = {form[start : start + _PIECE] for start in range(max(len(form) - _PIECE, 0) + 1)}
            shown = sorted(piece for piece in pieces if piece in run.stdout or piece in run.stderr)
            assert not shown
        for request in sandbox.requests:
            assert secret not in request.path
            assert secret not in "".join(request.query.values())
            assert secret.encode() not in request.body
    assert not any(request.body for request in sandbox.requests if request.method != "POST")
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


def assert_every_record_once(run: Run, account: Account, *, but: Iterable[str] = ()) -> None:
    """Check that every record of an account was emitted whole and exactly once, save those of some streams."""
    for resource, records in account.records.items():
        if resource in but:
            continue
        got = sorted(run.records(resource), key=lambda record: record["id"])
        wanted = sorted(expected(resource, records), key=lambda record: record["id"])
        assert [record["id"] for record in got] == [record["id"] for record in wanted], resource
        assert got == wanted, resource


def assert_only_the_events_failed(run: Run, sandbox: Sandbox, says: str) -> None:
    """Check the two lines, that the others are complete with their state, and that the events are not."""
    assert run.code == 1
    of_stream, _ = run.errors
    assert of_stream.startswith("events: ")
    says = in_words_of(sandbox.api, says)
    assert re.search(says, of_stream), f"{of_stream!r} does not match {says!r}"
    assert run.failed == ["events"]
    assert_every_record_once(run, sandbox.account, but=["events"])
    emitted = [record["id"] for record in run.records("events")]
    assert len(emitted) == len(set(emitted))
    complete = {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}
    assert complete == sandbox.account.records.keys() - {"events", "accounts"}
    assert "replication_key_value" not in run.state["bookmarks"].get("events", {})
    if sandbox.api == "query":
        return
    newest = max(record["updated_at"] for record in sandbox.account.records["accounts"])
    assert run.state["bookmarks"]["accounts"] == {"replication_key": "updated_at", "replication_key_value": newest}
