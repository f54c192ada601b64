"""Weeks of an account: it changes every night, servers fail, runs are killed, and the target's tables stay right.

A target is modelled: it stores each RECORD by its key, and deletes what an ACTIVATE_VERSION leaves behind. A run that
is killed is one whose output ends anywhere between two lines; the next run starts from the last STATE before that.
CONTRIBUTING.md has the command that plays 10,000 nights.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.sandbox import Account, Fault, Sandbox, faults, make_account
from tests.support.assertions import exact, expected
from tests.support.examples import examples
from tests.support.tap import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox import Record

STREAMS = ("accounts", "products", "reports", "events", "properties", "metrics")

KEYS = {"accounts": "updated_at", "events": "last_sent_at", "properties": "last_used_at"}
"""Replication keys of the streams that are INCREMENTAL in some of the examples."""

FAULTS: dict[str, Fault] = {
    "none": faults.status(500, times=0),
    "503 for a while": faults.status(503, skip=2, times=2),
    "500 for good": faults.status(500, resource="events", skip=1),
    "403": faults.status(403, resource="reports"),
    "401": faults.status(401, skip=3),
    "429": faults.retry_after(0.01, skip=1, times=2),
    "reset": faults.reset("in_body", skip=1, times=1),
    "body cut off": faults.truncated_json(resource="properties", times=2),
    "HTML": faults.html_page(resource="events", skip=1),
    "an error beside an empty list": faults.body(b'{"data": [], "status": 500}', resource="events"),
    "an empty list for good": faults.body(b'{"data": []}', resource="metrics"),
    "an empty page": faults.empty_page(resource="events", nth=2),
    "no total": faults.total(faults.MISSING),
    "total too small": faults.total(lambda true: true // 2),
    "pages that overlap": faults.overlap(2, resource="properties"),
    "offset ignored": faults.ignore_offset(resource="events"),
}

change = st.tuples(st.sampled_from(["insert", "delete", "update"]), st.sampled_from(STREAMS[2:]), st.integers(0, 400))
night = st.fixed_dictionaries(
    {
        "before": st.lists(change, max_size=4),
        "during": st.lists(st.tuples(st.integers(0, 25), change), max_size=3),
        "fault": st.sampled_from([*["none"] * len(FAULTS), *FAULTS]),
        "killed": st.one_of(st.none(), st.none(), st.floats(0, 1)),
        "max_concurrency": st.sampled_from([1, 4]),
    }
)


class Target:
    """The tables of a target, and the last state that it passed on."""

    def __init__(self) -> None:
        """Begin with no table."""
        self.tables: dict[str, dict[Any, Record]] = {}
        self.state: Any = None
        self._versions: dict[tuple[str, Any], int | None] = {}
        self._keys: dict[str, list[str]] = {}

    def read(self, lines: list[str]) -> None:
        """Take in the output of a run, or what came of it."""
        for message in map(json.loads, lines):
            getattr(self, f"_read_{message['type'].lower()}")(message)

    def _read_schema(self, message: dict[str, Any]) -> None:
        self._keys[message["stream"]] = message["key_properties"]
        self.tables.setdefault(message["stream"], {})

    def _read_record(self, message: dict[str, Any]) -> None:
        stream, record = message["stream"], message["record"]
        key = tuple(record[column] for column in self._keys[stream])
        self.tables[stream][key] = record
        self._versions[stream, key] = message.get("version")

    def _read_activate_version(self, message: dict[str, Any]) -> None:
        table = self.tables[message["stream"]]
        for key in [key for key in table if self._versions[message["stream"], key] != message["version"]]:
            del table[key]

    def _read_state(self, message: dict[str, Any]) -> None:
        self.state = message["value"]


_RENAMED = itertools.count()


def apply(account: Account, operation: str, stream: str, at: int) -> None:
    """Change an account: a record comes, goes, or is changed."""
    records = account.records[stream]
    if operation == "insert":
        account.insert(stream, at % (len(records) + 1))
    elif records and operation == "delete":
        account.delete(stream, at % len(records))
    elif records:
        column = "title" if stream == "metrics" else "name"
        # No name comes again: what is the same before and after a run was the same all the time.
        records[at % len(records)] = {**records[at % len(records)], column: f"renamed {next(_RENAMED)}"}


@pytest.fixture
def nights_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass between two runs: the version of a table is made of seconds."""
    seconds = itertools.count()
    moment = SimpleNamespace(time=lambda: time.time() + next(seconds) - 1_000_000)
    monkeypatch.setattr("singer_sdk.plugin_base.time", moment)


CAME_AND_WENT: dict[str, Any] = {
    "before": [],
    "during": [(0, ("insert", "reports", 0)), (6, ("delete", "reports", 0))],
    "fault": "none",
    "killed": None,
    "max_concurrency": 1,
}
"""A record that is read, and is gone when the run ends: the next run removes it."""

Snapshot = dict[str, dict[str, Any]]


def play(
    sandbox: Sandbox, target: Any, nights: list[dict[str, Any]], **settings: object
) -> Iterator[tuple[set[str], Snapshot, Snapshot, dict[str, set[str]]]]:
    """Play one night after the other, for a target with `tables`, a `state`, and `read` for the lines of a run.

    Yields what a run that ended well read, account and tables before it, and the ids that the account had at any time.
    """
    for number, this in enumerate(nights):
        for operation in this["before"]:
            apply(sandbox.account, *operation)
        account = snapshot(sandbox.account)
        had = {name: set(records) for name, records in account.items()}
        tables = {name: dict(table) for name, table in target.tables.items()}
        during = sorted(this["during"], key=lambda pair: pair[0])
        asked = len(sandbox.requests)
        sandbox.faults[:] = [dataclasses.replace(FAULTS[this["fault"]], seen=0)]

        def happen(running: Sandbox, _: object, *, this: Any = (number, during, asked, had)) -> None:
            number, during, asked, had = this
            if number == sandbox.night:  # type: ignore[attr-defined]
                while during and during[0][0] <= len(running.requests) - asked:
                    apply(running.account, *during.pop(0)[1])
                    for name, records in snapshot(running.account).items():
                        had[name] |= records.keys()

        sandbox.night = number  # type: ignore[attr-defined]
        sandbox.on_request(happen)
        run = attempt(
            sandbox,
            state=target.state,
            page_size=7,
            retry_timeout=0.1,
            backoff_factor=0.005,
            max_concurrency=this["max_concurrency"],
            **settings,
        )
        assert "Traceback" not in run.stderr, run.stderr
        lines = run.lines
        if this["killed"] is not None:
            lines = lines[: int(len(lines) * this["killed"])]
        target.read(lines)
        read = {message["stream"] for message in run.of_type("RECORD")}
        yield read if run.code == 0 and this["killed"] is None else set(), account, tables, had
    gc.collect()  # which closes the connections of these runs: thousands of them would be too many


def snapshot(account: Account) -> Snapshot:
    """Copy the records of an account by their ids."""
    return {name: {record["id"]: record for record in records} for name, records in account.records.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("nights_apart")
@pytest.mark.parametrize("activates", [True, False], ids=["ACTIVATE_VERSION", "no ACTIVATE_VERSION"])
@examples(25)
@given(nights=st.lists(night, min_size=1, max_size=12))
@example(nights=[CAME_AND_WENT])
def test_many_nights(activates: bool, nights: list[dict[str, Any]]) -> None:  # noqa: FBT001
    """After a run that ended well the tables equal the account; after any other, nothing that was there is gone."""
    target = Target()
    with Sandbox(make_account(reports=5, events=20, properties=9, metrics=4)) as sandbox:
        for read, before, tables, had in play(sandbox, target, nights, emit_activate_version_messages=activates):
            now = snapshot(sandbox.account)
            for name in STREAMS:
                table = {key[0]: row for key, row in target.tables.get(name, {}).items()}
                stayed = before[name].keys() & now[name].keys()
                assert {key[0] for key in tables.get(name, {})} & stayed <= table.keys(), name
                if name in read:  # a list that is empty, and may be by mistake, changes nothing
                    # A record that changes while its list is read may be read in its old form.
                    same = [key for key in stayed if before[name][key] == now[name][key]]
                    wanted = {row["id"]: exact(row) for row in expected(name, [now[name][key] for key in same])}
                    assert {key: exact(table[key]) for key in same} == wanted, name
                    if activates and now[name]:
                        assert table.keys() <= had[name], name
