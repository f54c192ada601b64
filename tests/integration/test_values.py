"""Values that nobody expects pass unchanged, or as a person would want; none ends a sync, and none vanishes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.fault_runs import assert_every_record_once, small_sandbox, watched_sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Record
    from tests.support.run import Run


PLACE = 13
"""Offset of the record that is odd: on the second page."""

SAME: Any = object()
"""The value comes out as it went in."""


def sync_with(folder: Path, change: Callable[[Record], object], stream: str = "events") -> tuple[Run, list[Record]]:
    """Sync an account with one odd record.

    Returns:
        The run, and the records that the sandbox holds.
    """
    with small_sandbox() as sandbox:
        records = sandbox.account.records[stream]
        change(records[PLACE])
        run = watched_sync(sandbox, folder, retry_timeout=0.3)
    return run, records


def only_odd(run: Run, records: list[Record]) -> Record:
    """Check that all went well, and that all the other events are as they were; return the odd one."""
    run.succeeded()
    emitted = run.records("events")
    assert len(emitted) == len(records)
    assert emitted[:PLACE] + emitted[PLACE + 1 :] == records[:PLACE] + records[PLACE + 1 :]
    return emitted[PLACE]


@pytest.mark.parametrize(
    ("column", "value", "emitted"),
    [
        pytest.param("name", None, SAME, id="name null"),
        pytest.param("name", "", SAME, id="name empty"),
        pytest.param("name", 42, "42", id="a number for text"),
        pytest.param("name", True, "true", id="true for text"),
        pytest.param("name", {"a": ["ü", None]}, '{"a":["ü",null]}', id="an object for text"),
        pytest.param("name", "\x00", SAME, id="NUL"),
        pytest.param("name", "a\x00b\x1f\x7f\u2028", SAME, id="control characters"),
        pytest.param("name", "\ud83d", SAME, id="lone high surrogate"),
        pytest.param("name", "x\udc80y", SAME, id="lone low surrogate"),
        pytest.param("name", "😀\U0010ffff\ufeff", SAME, id="beyond the first plane"),
        pytest.param("name", "5" * 5_000_000, SAME, id="a text of 5 MB"),
        pytest.param("total", "8", 8, id="text for an integer"),
        pytest.param("total", " -12 ", -12, id="text with blanks for an integer"),
        pytest.param("total", "many", SAME, id="words for an integer"),
        pytest.param("total", 2**63 - 1, SAME, id="64 bits"),
        pytest.param("total", 2**64 + 1, SAME, id="more than 64 bits"),
        pytest.param("total", -(2**80), SAME, id="negative, more than 64 bits"),
        pytest.param("total", 8.0, 8, id="8.0 for an integer"),
        pytest.param("total", 8.5, SAME, id="a fraction for an integer"),
        pytest.param("total", True, SAME, id="true for an integer"),
        pytest.param("is_visible", "false", False, id="text false for a boolean"),
        pytest.param("is_visible", "True", True, id="text True for a boolean"),
        pytest.param("is_visible", 0, False, id="0 for a boolean"),
        pytest.param("is_visible", 1, True, id="1 for a boolean"),
        pytest.param("is_visible", "", SAME, id="empty text for a boolean"),
        pytest.param("is_visible", 2, SAME, id="2 for a boolean"),
        pytest.param("is_visible", None, SAME, id="null for a boolean"),
        pytest.param("last_used_at", "yesterday", SAME, id="a date that is none"),
        pytest.param("last_used_at", "0000-00-00T00:00:00Z", SAME, id="a date of zeros"),
        pytest.param("last_used_at", "2024-02-30T00:00:00Z", SAME, id="30 February"),
        pytest.param("last_used_at", "2024-01-01T09:00:00+02:00", SAME, id="a date with an offset"),
        pytest.param("last_used_at", 1700000000, "1700000000", id="a number for a date"),
        pytest.param("links", None, SAME, id="links null"),
        pytest.param("links", [], SAME, id="links empty"),
        pytest.param("links", "none", SAME, id="text for links"),
        pytest.param("links", [None, {"href": 1, "more": {"deep": [1e-7]}}], SAME, id="odd links"),
    ],
)  # fmt: skip
def test_a_value(column: str, value: object, emitted: object, tmp_path: Path) -> None:
    """One column of one event."""
    run, records = sync_with(tmp_path, lambda record: record.update({column: value}))
    odd = only_odd(run, records)
    wanted = value if emitted is SAME else emitted
    assert json.dumps(odd) == json.dumps({**records[PLACE], column: wanted})


@pytest.mark.parametrize(
    ("raw", "emitted"),
    [
        pytest.param("1e400", str(10**400), id="1e400"),
        pytest.param("1e5", "100000", id="1e5"),
        pytest.param("1.0", "1", id="1.0"),
        pytest.param("12345678901234567890.5", "12345678901234567890.5", id="a fraction of many digits"),
        pytest.param("9" * 5000, f'"{"9" * 5000}"', id="5000 digits, which no Python target would read as a number"),
        pytest.param("NaN", '"NaN"', id="NaN"),
        pytest.param("-Infinity", '"-Infinity"', id="minus infinity"),
        pytest.param('"a\tb\x01c"', r'"a\tb\u0001c"', id="raw control characters"),
        pytest.param(r'"\ud800"', r'"\ud800"', id="an escaped lone surrogate"),
    ],
)
def test_a_value_that_no_json_writer_writes(raw: str, emitted: str, tmp_path: Path) -> None:
    """Written as the total of one event; compared as text, for a decoder would hide the difference."""
    with small_sandbox(faults.raw_rewrite(lambda body: body.replace(b"123456789", raw.encode()))) as sandbox:
        records = sandbox.account.records["events"]
        records[PLACE]["total"] = 123456789
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert_every_record_once(run, sandbox.account, but=["events"])
    (line,) = [line for line in run.lines if records[PLACE]["id"] in line]
    found = re.search(r'"total": ?("[^"]*"|[^,}]*)', line)
    assert found
    assert found[1] == emitted
    assert run.stdout.count('"stream":"events","record"') == len(records)


def test_an_exponent_beyond_all_measure(tmp_path: Path) -> None:
    """A number that would fill the memory is not written out, and ends nothing."""
    with small_sandbox(faults.raw_rewrite(lambda body: body.replace(b"123456789", b"1e999999999999999999999"))) as box:
        box.account.records["events"][PLACE]["total"] = 123456789
        run = watched_sync(box, tmp_path).succeeded()
    assert_every_record_once(run, box.account, but=["events"])
    assert run.stdout.count('"stream":"events","record"') == 60


def test_a_wrong_type_is_warned_of_once(tmp_path: Path) -> None:
    """One line for a column, not one for a record."""
    with small_sandbox() as sandbox:
        for record in sandbox.account.records["events"]:
            record["total"] = "many"
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert run.stderr.count("column 'total' is of type integer, but the API sent str") == 1


def test_odd_dates_do_not_move_a_bookmark(tmp_path: Path) -> None:
    """Accounts are INCREMENTAL: no date, no bookmark; the newest of the true ones, by instant, is it."""
    dates = ["2024-01-01T08:00:00Z", "2024-01-01T09:00:00+02:00", "zzz", None, 17, "9999-12-31T23:59:59Z", "2024-13-01"]
    with small_sandbox() as sandbox:
        while len(sandbox.account.records["accounts"]) < len(dates):
            sandbox.account.insert("accounts", 0)
        for record, date in zip(sandbox.account.records["accounts"], dates, strict=True):
            record["updated_at"] = date
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert len(run.records("accounts")) == len(dates)
    assert run.state["bookmarks"]["accounts"]["replication_key_value"] == dates[0]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        pytest.param({"id": None, "name": "x"}, "has no id", id="id null"),
        pytest.param({"name": "x"}, "has no id", id="id missing"),
        pytest.param({"id": ""}, "has no id", id="id empty"),
        pytest.param({"id": True}, "has no id", id="id true"),
        pytest.param({"id": {"a": 1}}, "has no id", id="id an object"),
        pytest.param({"id": 1.5}, "has no id", id="id a fraction"),
        pytest.param(None, "is not an object", id="null"),
        pytest.param("text", "is not an object", id="text"),
        pytest.param([], "is not an object", id="a list"),
    ],
)
def test_what_a_table_cannot_take(odd: object, says: str, tmp_path: Path) -> None:
    """The line names stream and offset; the other streams are complete."""

    def spoil(body: dict[str, Any]) -> None:
        body["data"][PLACE - body["pagination"]["offset"]] = odd

    with small_sandbox(faults.rewrite(spoil, resource="events", nth=2)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1)
    assert run.code == 1
    line, _ = run.errors
    assert line.startswith(f"events: the record at offset {PLACE} {says}")
    assert run.failed == ["events"]
    assert_every_record_once(run, sandbox.account, but=["events"])


def test_an_id_that_is_a_number(tmp_path: Path) -> None:
    """The schema says text: it becomes text."""
    run, records = sync_with(tmp_path, lambda record: record.update(id=12345))
    assert only_odd(run, records)["id"] == "12345"


def test_ids_that_come_twice(tmp_path: Path) -> None:
    """Two records with one id are one row of a table: the first is emitted."""
    with small_sandbox() as sandbox:
        records = list(sandbox.account.records["events"])
        sandbox.account.insert("events", 30, {**records[PLACE], "name": "the other"})
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert run.records("events") == records
