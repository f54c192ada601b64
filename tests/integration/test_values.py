"""Values that no schema foresees pass unchanged, or as a person would want; none ends a sync, none vanishes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import Sandbox, faults, make_account
from tests.support.assertions import assert_complete, assert_every_record_once
from tests.support.cases import small_sandbox, watched_sync
from tests.support.catalogs import choose
from tests.support.examples import examples
from tests.support.run import write_json
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Record
    from tests.support.run import Run

PLACE = 13
"""Offset of the record that is odd: on the second page."""

SAME: Any = object()
"""The value comes out as it went in."""

VALUES = [
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
    pytest.param("description", "x" * 300_000, SAME, id="a long text"),
    pytest.param("name", '"\\\n\r\t</script>', SAME, id="what JSON escapes"),
    pytest.param("last_sent_at", "2014-09-02T21:46:43.123456789+02:00", SAME, id="a date with nanoseconds"),
    pytest.param("last_sent_at", "2014-09-02 19:46:43", SAME, id="a date with a blank"),
    pytest.param("id", 12345, "12345", id="a number for an id"),
]  # fmt: skip
"""Columns of an event, what the API sends, and what is emitted."""

RAW = [
    pytest.param("1e400", str(10**400), id="1e400"),
    pytest.param("1e5", "100000", id="1e5"),
    pytest.param("1.0", "1", id="1.0"),
    pytest.param("12345678901234567890.5", "12345678901234567890.5", id="a fraction of many digits"),
    pytest.param("9" * 5000, f'"{"9" * 5000}"', id="5000 digits, which no Python target would read as a number"),
    pytest.param("NaN", '"NaN"', id="NaN"),
    pytest.param("-Infinity", '"-Infinity"', id="minus infinity"),
    pytest.param('"a\tb\x01c"', r'"a\tb\u0001c"', id="raw control characters"),
    pytest.param(r'"\ud800"', r'"\ud800"', id="an escaped lone surrogate"),
]
"""Values that no JSON writer writes, and how they are emitted as the total of an event."""


def raw_total(number: int) -> int:
    """The total that stands for a raw value until the body is sent."""
    return 123456700 + number


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Record]]:
    """A sync with an odd value in each event, and the events as the sandbox holds them."""

    def insert(body: bytes) -> bytes:
        for number, row in enumerate(RAW):
            body = body.replace(str(raw_total(number)).encode(), str(row.values[0]).encode())
        return body

    with Sandbox(make_account(events=len(VALUES) + len(RAW) + 2), faults=[faults.raw_rewrite(insert)]) as sandbox:
        records = sandbox.account.records["events"]
        for record, row in zip(records, VALUES, strict=False):
            column, value, _ = row.values
            record[str(column)] = value
        for number in range(len(RAW)):
            records[len(VALUES) + number]["total"] = raw_total(number)
        run = watched_sync(sandbox, tmp_path_factory.mktemp("odd"))
    run.succeeded()
    assert len(run.lines_of_records("events")) == len(records)
    assert_every_record_once(run, sandbox.account, but=["events"])
    return run, records


@pytest.fixture(scope="module")
def roomy() -> Iterator[Sandbox]:
    """A sandbox for many runs; each sets its events."""
    with Sandbox(make_account(accounts=1, products=1, reports=0, events=1, properties=0, metrics=0)) as running:
        yield running


@pytest.mark.parametrize("number", [pytest.param(n, id=row.id) for n, row in enumerate(VALUES)])
def test_a_value(number: int, odd_run: tuple[Run, list[Record]]) -> None:
    """One column of one event; the other columns are as they were."""
    run, records = odd_run
    column, _, emitted = VALUES[number].values
    odd = json.loads(run.lines_of_records("events")[number])["record"]
    wanted = records[number] if emitted is SAME else {**records[number], str(column): emitted}
    assert json.dumps(odd) == json.dumps(wanted)


@pytest.mark.parametrize("number", [pytest.param(n, id=row.id) for n, row in enumerate(RAW)])
def test_a_value_that_no_json_writer_writes(number: int, odd_run: tuple[Run, list[Record]]) -> None:
    """Compared as text, for a decoder would hide the difference."""
    run, records = odd_run
    line = run.lines_of_records("events")[len(VALUES) + number]
    assert records[len(VALUES) + number]["id"] in line
    found = re.search(r'"total": ?("[^"]*"|[^,}]*)', line)
    assert found
    assert found[1] == RAW[number].values[1]


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
    """No date, no bookmark; the newest of the true ones, by instant, is it."""
    dates = ["2024-01-01T08:00:00Z", "2024-01-01T09:00:00+02:00", "zzz", None, 17, "9999-12-31T23:59:59Z", "2024-13-01"]
    with small_sandbox() as sandbox:
        while len(sandbox.account.records["accounts"]) < len(dates):
            sandbox.account.insert("accounts", 0)
        for record, date in zip(sandbox.account.records["accounts"], dates, strict=True):
            record["updated_at"] = date
        catalog = write_json(tmp_path / "catalog.json", choose(accounts="updated_at"))
        run = watched_sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
    assert len(run.records("accounts")) == len(dates)
    assert run.state["bookmarks"]["accounts"]["replication_key_value"] == dates[0]


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        pytest.param({"id": None, "name": "x"}, "has no id", id="id null"),
        pytest.param({"name": "x"}, "has no id", id="id missing"),
        pytest.param(None, "is not an object", id="null"),
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


def test_ids_that_come_twice(tmp_path: Path) -> None:
    """Two records with one id are one row of a table: the first is emitted."""
    with small_sandbox() as sandbox:
        records = list(sandbox.account.records["events"])
        sandbox.account.insert("events", 30, {**records[PLACE], "name": "the other"})
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert run.records("events") == records


def test_unknown_fields_are_reported_once_per_stream(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each field by one line, however many records have it."""
    known = {name: [dict(record) for record in records] for name, records in sandbox.account.records.items()}
    for resource in ("events", "metrics"):
        for number, record in enumerate(sandbox.account.records[resource]):
            record["color_of_the_sky"] = number
            if number >= 3:
                record["a_later_one"] = {"nested": True}
    run = sync(sandbox, tmp_path, page_size=3).succeeded()
    sandbox.account.records.update(known)
    assert_complete(run, sandbox.account)
    lines = run.warnings
    for resource in ("events", "metrics"):
        own = [line for line in lines if f"tap-kissmetrics.{resource}" in line]
        assert [sum(name in line for line in own) for name in ("color_of_the_sky", "a_later_one")] == [1, 1]
    assert len(lines) == 4


def test_records_may_be_nothing_but_an_id(sandbox: Sandbox) -> None:
    """In each list."""
    for records in sandbox.account.records.values():
        records[:] = [{"id": record["id"]} for record in records]
    assert_complete(sync_here(sandbox), sandbox.account)


def test_everything_but_the_id_may_be_null(sandbox: Sandbox) -> None:
    """In each list."""
    for records in sandbox.account.records.values():
        records[:] = [dict.fromkeys(record) | {"id": record["id"]} for record in records]
    assert_complete(sync_here(sandbox), sandbox.account)


def test_enumerated_fields_may_have_a_value_that_is_not_listed(sandbox: Sandbox) -> None:
    """As the vendor may add one tomorrow."""
    columns = {
        "accounts": ["status"],
        "products": ["status", "environment"],
        "reports": ["report_type"],
        "properties": ["type"],
        "metrics": ["unit_type", "status"],
    }
    for resource, names in columns.items():
        for record in sandbox.account.records[resource]:
            record.update(dict.fromkeys(names, "something new"))
    assert_complete(sync_here(sandbox), sandbox.account)


def test_status_of_a_metric_is_text(sandbox: Sandbox) -> None:
    """The reference says boolean and shows text."""
    values: list[Any] = [True, False, "pending", "True", None]
    metrics = sandbox.account.records["metrics"]
    for metric, value in zip(metrics, values, strict=True):
        metric["status"] = value
    emitted = [metric["status"] for metric in sync_here(sandbox).records("metrics")]
    assert emitted == ["true", "false", "pending", "True", None]


@pytest.mark.no_cover  # traced, it takes twice as long
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(),
                "description": st.none() | st.text(),
                "total": st.integers(),
                "is_visible": st.booleans(),
            }
        ),
        max_size=30,
    )
)
@examples(4)
def test_any_text_and_number_pass_unchanged(roomy: Sandbox, values: list[dict[str, Any]]) -> None:
    """Many events with any values in each run."""
    with roomy.lock:
        roomy.account.records["events"] = [roomy.account.fresh("events") | each for each in values]
    assert_complete(sync_here(roomy), roomy.account)


def test_malformed_json_is_repaired_with_one_warning_per_stream(tmp_path: Path) -> None:
    """However many pages have a defect."""

    def spoil(body: bytes) -> bytes:
        return re.sub(rb'"name": ?"', rb"\g<0>\\d", body)

    with small_sandbox(faults.raw_rewrite(spoil, resource="events")) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        wanted = [rf"\d{event['name']}" for event in sandbox.account.records["events"]]
    assert [event["name"] for event in run.records("events")] == wanted
    (warning,) = run.warnings
    assert "events: the API sends malformed JSON, which the tap repairs: " in warning
    assert warning.endswith("in field 'name' is not a valid escape")
