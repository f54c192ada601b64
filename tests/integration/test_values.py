"""Each value comes out as the API sent it, or as its column needs it where nothing is lost; none ends a sync."""

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
from tests.support.examples import examples
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAME = ""
"""The value comes out as it went in."""

# Columns of an event, what the API sends in JSON, and what is emitted.
VALUES = [
    ("name", "null", SAME),
    ("name", '""', SAME),
    ("name", "42", '"42"'),
    ("name", '{"a":["ü",null]}', json.dumps('{"a":["ü",null]}')),
    ("name", r'"a\u0000b\u001f\u007f\u2028"', SAME),
    ("name", '"a\tb\x01c"', r'"a\tb\u0001c"'),
    ("name", r'"\ud83d"', SAME),
    ("name", r'"x\udc80y"', SAME),
    ("name", '"😀\U0010ffff\ufeff"', SAME),
    ("name", r'"\"\\\n\r\t</script>"', SAME),
    ("name", f'"{"5" * 5_000_000}"', SAME),
    ("total", '" -12 "', "-12"),
    ("total", '"many"', SAME),
    ("total", str(2**64 + 1), SAME),
    ("total", str(-(2**80)), SAME),
    ("total", "8.0", "8"),
    ("total", "8.5", SAME),
    ("total", "true", SAME),
    ("total", "12345678901234567890.5", SAME),
    ("total", "1e5", "100000"),
    ("total", "1e400", str(10**400)),
    ("total", "1e999999999999999999999", '"1e999999999999999999999"'),
    ("total", "9" * 5000, f'"{"9" * 5000}"'),  # which no target in Python would read as a number
    ("total", "NaN", '"NaN"'),
    ("total", "-Infinity", '"-Infinity"'),
    ("is_visible", '"False"', "false"),
    ("is_visible", "1", "true"),
    ("is_visible", "2", SAME),
    ("last_used_at", '"0000-00-00T00:00:00Z"', SAME),
    ("last_used_at", '"2014-09-02T21:46:43.123456789+02:00"', SAME),
    ("last_used_at", "1700000000", '"1700000000"'),
    ("links", "null", SAME),
    ("links", '"none"', SAME),
    ("links", '[null, {"href": 1, "more": {"deep": [0.0000001]}}]', '[null,{"href":1,"more":{"deep":[1E-7]}}]'),
    ("id", "12345", '"12345"'),
]


@pytest.fixture(scope="module")
def roomy() -> Iterator[Sandbox]:
    """A sandbox for many runs; each sets its events."""
    with Sandbox(make_account(accounts=1, products=1, reports=0, events=1, properties=0, metrics=0)) as running:
        yield running


def exactly(document: str) -> Any:
    """Decode JSON with the digits of its numbers."""

    def number(digits: str) -> tuple[str]:
        return (digits,)

    return json.loads(document, parse_int=number, parse_float=number, parse_constant=number, strict=False)


def test_each_value_comes_out_as_it_was_sent_or_as_its_column_needs_it(tmp_path: Path) -> None:
    def insert(body: bytes) -> bytes:
        for number, (_, sent, _) in enumerate(VALUES):
            body = body.replace(f'"the value {number}."'.encode(), sent.encode())
        return body

    with Sandbox(make_account(events=len(VALUES)), faults=[faults.raw_rewrite(insert)]) as sandbox:
        events = sandbox.account.records["events"]
        for number, (column, _, _) in enumerate(VALUES):
            events[number][column] = f"the value {number}."
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert_every_record_once(run, sandbox.account, but=["events"])
    for line, event, (column, sent, emitted) in zip(run.lines_of_records("events"), events, VALUES, strict=True):
        wanted = exactly(json.dumps(event)) | {column: exactly(emitted or sent)}
        assert exactly(line)["record"] == wanted, (column, sent[:50])


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


@pytest.mark.parametrize("nulls", [True, False])
def test_a_record_may_be_nothing_but_its_id(nulls: bool, sandbox: Sandbox) -> None:  # noqa: FBT001
    for records in sandbox.account.records.values():
        records[:] = [(dict.fromkeys(record) if nulls else {}) | {"id": record["id"]} for record in records]
    assert_complete(sync_here(sandbox), sandbox.account)


def test_a_record_without_its_id_ends_its_stream_alone(tmp_path: Path) -> None:
    def spoil(body: dict[str, Any]) -> None:
        del body["data"][3]["id"]

    with small_sandbox(faults.rewrite(spoil, resource="events", nth=2)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1)
    assert run.failed == ["events"]
    assert re.match(r"events: the record at offset 1\d has no id", run.errors[0])
    assert_every_record_once(run, sandbox.account, but=["events"])


def test_each_unknown_field_is_dropped_with_one_warning_per_stream(sandbox: Sandbox, tmp_path: Path) -> None:
    known = {name: [dict(record) for record in records] for name, records in sandbox.account.records.items()}
    for resource in ("events", "metrics"):
        for number, record in enumerate(sandbox.account.records[resource]):
            record["color_of_the_sky"] = number
            if number >= 3:
                record["a_later_one"] = {"nested": True}
    run = sync(sandbox, tmp_path, page_size=3).succeeded()
    sandbox.account.records.update(known)
    assert_complete(run, sandbox.account)
    dropped = [re.sub(r".*\| (\w+): dropped .*: ", r"\1 ", line) for line in run.warnings]
    assert sorted(dropped) == [
        f"{name} '{field}'" for name in ("events", "metrics") for field in ("a_later_one", "color_of_the_sky")
    ]


def test_malformed_json_is_repaired_with_one_warning_per_stream(tmp_path: Path) -> None:
    def spoil(body: bytes) -> bytes:
        return re.sub(rb'"name": ?"', rb"\g<0>\\d", body)

    with small_sandbox(faults.raw_rewrite(spoil, resource="events")) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        wanted = [rf"\d{event['name']}" for event in sandbox.account.records["events"]]
    assert [event["name"] for event in run.records("events")] == wanted
    (warning,) = run.warnings
    assert "events: the API sends malformed JSON, which the tap repairs: " in warning
    assert warning.endswith("in field 'name' is not a valid escape")
