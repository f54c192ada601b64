"""What must hold after a run: every record once and unchanged, no secret and no traceback, one line for an error."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.sandbox import Account, Record, Sandbox
    from tests.support.run import Run

_PIECE = 12
"""Characters of a secret in a row that are taken for a leak."""


def expected(stream: str, records: Iterable[Record]) -> list[Record]:
    """Return the records that a stream must emit for those of the API.

    They are the same; only a metric's status, text by its schema, is "true" or "false" where the API sends a boolean.
    """
    return [
        record | {"status": str(record["status"]).lower()}
        if stream == "metrics" and isinstance(record.get("status"), bool)
        else record
        for record in records
    ]


def exact(record: Record) -> str:
    """Write a record so that 1, 1.0 and true differ, as in JSON; what JSON does not have, as Python shows it."""
    return json.dumps(record, sort_keys=True, default=repr)


def in_order_of_sync(streams: Iterable[str]) -> list[str]:
    """Return lists in the order in which a sync reads them: those that others need come first, the rest by name."""
    first = ("accounts", "products", "reports")
    return sorted(streams, key=lambda name: (first.index(name) if name in first else len(first), name))


def assert_streams(run: Run, streams: Mapping[str, Iterable[Record]]) -> None:
    """Assert that each stream brought the records that the API has of it, in order, and that there is no other."""
    for stream, records in streams.items():
        got, wanted = run.records(stream), expected(stream, records)
        assert [record["id"] for record in got] == [record["id"] for record in wanted], stream
        assert list(map(exact, got)) == list(map(exact, wanted)), stream
    assert {message["stream"] for message in run.of_type("RECORD")} <= streams.keys()


def assert_complete(run: Run, account: Account) -> None:
    """Assert that each record of the account that was read came exactly once, unchanged."""
    assert_streams(run, account.records)


def assert_every_record_once(run: Run, account: Account, *, but: Iterable[str] = ()) -> None:
    """Assert that every record of an account came whole and exactly once, in any order, save those of some streams."""
    for stream in account.records.keys() - set(but):
        wanted = expected(stream, account.records[stream])
        assert sorted(record["id"] for record in run.records(stream)) == sorted(record["id"] for record in wanted)
        assert sorted(map(exact, run.records(stream))) == sorted(map(exact, wanted)), stream


def secrets_of(sandbox: Sandbox) -> list[str]:
    """Give what opens a sandbox, in each form in which it is sent."""
    if sandbox.api == "core":
        return [sandbox.token]
    login = base64.b64encode(f"{sandbox.username}:{sandbox.password}".encode()).decode()
    return [*filter(None, (sandbox.username, sandbox.password)), login]


def assert_discreet(run: Run, sandbox: Sandbox) -> None:
    """Check that no part of a secret is in what was written, and no traceback; nor a secret in any URL or body."""
    for secret in secrets_of(sandbox):
        for form in (secret, quote(secret, safe="")):
            pieces = {form[start : start + _PIECE] for start in range(max(len(form) - _PIECE, 0) + 1)}
            assert not [piece for piece in pieces if piece in run.stdout or piece in run.stderr]
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


def assert_only_the_events_failed(run: Run, sandbox: Sandbox, says: str) -> None:
    """Check the two lines, that the others are complete with their state, and that the events are not."""
    assert run.code == 1
    assert run.failed == ["events"]
    assert re.search(says, run.errors[0]), run.errors[0]
    assert_every_record_once(run, sandbox.account, but=["events"])
    emitted = [record["id"] for record in run.records("events")]
    assert len(emitted) == len(set(emitted))
    complete = {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}
    assert complete == sandbox.account.records.keys() - {"events"}
    assert "replication_key_value" not in run.state["bookmarks"].get("events", {})


def assert_refused(run: Run, sandbox: Sandbox, *says: str, code: int = 1) -> None:
    """Check that the one line names what is wrong, and how little else happened."""
    asked = sandbox.requests.copy()
    sandbox.requests.clear()
    assert asked == []
    assert run.code == code, run.stderr
    assert_discreet(run, sandbox)
    assert run.stdout == ""
    (line,) = run.errors or run.stderr.splitlines()
    assert not [word for word in says if word not in line], line
    assert len(line) < 500, line
