"""Which line a wrong file, state, catalog or map is refused with; `main()` proves that no request comes before it."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest

from scripts.about import ENTRIES
from tap_kissmetrics.sdk_extensions.inputs import InputError, mask_url, read_json_stream
from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import RESOURCES


def refusal(*, config: dict[str, Any] | None = None, **given: Any) -> str:
    """Give the line with which a catalog, a state or a setting is refused as the tap is made."""
    with pytest.raises(InputError) as caught:
        TapKissmetrics(config=config or {}, validate_config=False, **copy.deepcopy(given))
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert len(line) < 500
    return line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b" \n", " is empty; for a first run write {} into it"),
        (b"not JSON", " is not JSON in UTF-8: Expecting value: line 1 column 1 (char 0)"),
        (b'{\n "key": "SECRET', " is not JSON in UTF-8: Unterminated string starting at: line 2 column 9 (char 10)"),
        (b'{"key": "SECRET-\xff"}', " is not JSON in UTF-8: 'utf-8' codec can't decode byte 0xff in position 16"),
        (b'["SECRET"]', " must be a JSON object, not a list"),
        (b"[" * 100_000, " is not JSON in UTF-8: "),
        (b'{"key": ' + b"1" * 5000 + b"}", " is not JSON in UTF-8: "),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_a_file_holds_is_not_shown(content: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_json_stream(io.BytesIO(content), "state", "some.json")
    assert str(caught.value).startswith(f"state file some.json{says}")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"type": "STATE", "value": {"bookmarks": {}}}, "is a whole STATE message; give only its value"),
        ({"value": {"bookmarks": {}}}, "has no bookmarks, but value; give a state as this tap writes it, or {}"),
        ({"completed": {}, "partial": {}}, "has no bookmarks, but completed, partial; give a state as "),
        ({"bookmarks": []}, "cannot be used: AttributeError: "),
        ({"bookmarks": {"accounts": "2024-01-01"}}, "cannot be used: AttributeError: "),
        ({"bookmarks": {"events": {"partitions": [1]}}}, "cannot be used: AttributeError: "),
        ({"bookmarks": {"events": {"partitions": [{}]}}}, "cannot be used: KeyError: 'context'"),
        (
            {"bookmarks": {"events": {"partitions": [{"context": {"a": 1}}, {"context": {}}, {"context": {"a": 1}}]}}},
            "stream events has two bookmarks for the partition {'a': 1}",
        ),
    ],
    ids=lambda part: json.dumps(part)[:90],
)
def test_a_state_is_one_that_the_tap_may_have_written(state: object, says: str) -> None:
    assert refusal(state=state).startswith(f"state: {says}")


def test_an_empty_state_is_a_first_run(caplog: pytest.LogCaptureFixture) -> None:
    TapKissmetrics(config={}, validate_config=False, state={})
    assert not caplog.records


@pytest.mark.parametrize("value", ["not a date", "", 17, True])
def test_a_bookmark_of_a_list_is_a_date_time(value: object) -> None:
    says = f"state: the bookmark of stream events must be a date-time, not {value!r}"
    assert refusal(state={"bookmarks": {"events": {"replication_key_value": value}}}) == says


@pytest.mark.parametrize("value", ["2024-01-31", -1, True])
def test_a_bookmark_of_an_export_is_a_number(value: object) -> None:
    says = f"state: the bookmark of stream raw_events must be a number of 0 or more, not {value!r}"
    partition = {"context": {"export": "x"}, "replication_key_value": value}
    assert refusal(state={"bookmarks": {"raw_events": {"partitions": [partition]}}}) == says


def root(**metadata: object) -> list[dict[str, Any]]:
    """Make the metadata of a stream."""
    return [{"breadcrumb": [], "metadata": {"selected": True, **metadata}}]


COLUMNS = {"properties": {"id": {"type": "string"}}}

OWN = ENTRIES["core"]

CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"metadata": root(selected="false")}, "selected of [] of stream events must be true or false"),
    ({"schema": None}, "stream events: cannot be used: None is not of type 'object', 'boolean'"),
    ({"schema": {"type": "object"}}, "stream events: cannot be used: KeyError: 'properties'"),
    ({"schema": {"properties": {"id": {"type": 5}}}}, "stream events: cannot be used: 5 is not valid under any of"),
    ({"schema": {"properties": {"id": True}}}, "stream events: cannot be used: AttributeError"),
    ({"metadata": "all"}, "stream events: cannot be used: TypeError"),
    ({"metadata": [{}]}, "stream events: cannot be used: KeyError: 'metadata'"),
    ({"key_properties": 5}, "cannot be used: TypeError"),
    ({"key_properties": ["nope"]}, "key_properties of stream events must be a list of columns of its schema, not "),
    ({"key_properties": ["name"]}, "key_properties of stream events must be id, not name; make a new catalog with "),
    ({"key_properties": None, "metadata": root(**{"table-key-properties": ["nope"]})},
     "key_properties of stream events must be a list of columns of its schema, not ['nope']"),
    ({"replication_method": "LOG_BASED"},
     "replication-method of stream events must be FULL_TABLE or INCREMENTAL, not 'LOG_BASED'"),
    ({"metadata": root(**{"replication-method": "SOMETIMES"})},
     "replication-method of stream events must be FULL_TABLE or INCREMENTAL, not 'SOMETIMES'"),
    ({"replication_method": None, "metadata": root(**{"forced-replication-method": "LOG_BASED"})},
     "replication-method of stream events must be FULL_TABLE or INCREMENTAL, not 'LOG_BASED'"),
    ({"replication_method": "INCREMENTAL"},
     "replication-key of stream events must be one of last_sent_at, last_used_at, not None"),
    ({"replication_key": "nope"}, "replication-key of stream events must be one of last_sent_at, last_used_at, not "),
    ({"replication_method": None, "metadata": root(**{"replication-key": "total"})},
     "replication-key of stream events must be one of last_sent_at, last_used_at, not 'total'"),
    ({"replication_method": "INCREMENTAL", "replication_key": "last_sent_at", "schema": COLUMNS},
     "there is no replication-key of stream events, which can only be FULL_TABLE"),
    ({"stream": "renamed"}, "stream of events must be 'events'; to rename it, set an __alias__ in stream_maps"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), CHANGES, ids=lambda part: json.dumps(part)[:90])
def test_the_entry_of_a_stream_is_named(change: dict[str, Any], says: str) -> None:
    catalog = {"streams": [OWN["accounts"], OWN["events"] | change]}
    assert refusal(catalog=catalog).startswith(f"catalog: {says}")


@pytest.mark.parametrize(
    ("catalog", "says"),
    [
        ({}, "cannot be used: KeyError: 'streams'; make one with --discover"),
        ({"streams": []}, f"has none of the streams {', '.join(RESOURCES)}"),
        (
            {"streams": [{"tap_stream_id": "people", "schema": {}, "metadata": []}]},
            "has none of the streams accounts, ",
        ),
        ({"streams": ["events"]}, "cannot be used: TypeError: "),
        ({"streams": [OWN["events"], OWN["events"]]}, "has the stream events twice"),
    ],
    ids=lambda part: json.dumps(part)[:60],
)
def test_a_catalog_has_streams_of_this_tap(catalog: object, says: str) -> None:
    assert refusal(catalog=catalog).startswith(f"catalog: {says}")


@pytest.mark.parametrize(("made", "used"), [("core", "query"), ("query", "core")])
@pytest.mark.parametrize("stream", ["products", "events"])
def test_a_catalog_of_the_other_api_is_refused(made: str, used: str, stream: str) -> None:
    """Its keys would make one row of several products' records; where keys are the same, columns would be lost."""
    title = {"core": "Core API", "query": "Query API"}
    says = f"catalog: was made for the {title[made]}, not for the {title[used]}; make a new one with --discover"
    assert refusal(config={"api": used}, catalog={"streams": [ENTRIES[made][stream]]}).startswith(says)


@pytest.mark.parametrize(
    ("maps", "table"),
    [
        ({"events": {"__alias__": "Products"}}, "Products"),
        ({"*": {"__alias__": "everything"}}, "everything"),
        ({"a-b": {"__source__": "events"}, "a_b": {"__source__": "events"}}, "a_b"),
    ],
    ids=json.dumps,
)
def test_two_streams_of_one_table_are_refused(maps: dict[str, Any], table: str) -> None:
    """Each would delete the rows of the other; many databases ignore the case, and the kind of dash."""
    says = f"stream_maps: several streams would be written to the table {table}"
    assert refusal(config={"stream_maps": maps}) == says


@pytest.mark.parametrize(
    "maps",
    [
        {"events": {"__alias__": "products"}, "products": None},
        {"copy": {"__source__": "events"}},
        {"__else__": None, "events": {"__alias__": "accounts"}},
    ],
    ids=json.dumps,
)
def test_a_name_that_is_free_may_be_taken(maps: dict[str, Any]) -> None:
    TapKissmetrics(config={"stream_maps": maps}, validate_config=False)


@pytest.mark.parametrize("secret", ["?key=SECRET", "#SECRET", "#a?SECRET\nSECRET"])
def test_url_is_shown_without_its_query_and_fragment(secret: str) -> None:
    shown = mask_url("https://user:SECRET@host/core" + secret)
    assert shown == f"...@host/core{secret[0]}..."
