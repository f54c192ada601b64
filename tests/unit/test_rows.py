"""The names of the values of a row, and what fits the columns of a metric."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_kissmetrics.rows import column_names, metric_columns, name_fields, unique_names
from tap_kissmetrics.sdk_extensions.values import decode_json, to_json


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (None, []),
        ("Visits", []),
        (["a", "b"], ["a", "b"]),
        ([{"display_name": "Visits", "type": "event"}, {"name": "x"}], ["Visits", "column_2"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["", " ", None, 1, "column_1"], ["column_1", "column_2", "column_3", "column_4", "column_1_2"]),
    ],
    ids=str,
)
def test_columns_are_named_once_each(columns: Any, names: list[str]) -> None:
    """A name that comes twice gets a number, and what has no name its position."""
    assert column_names(columns) == names


@given(st.lists(st.sampled_from(["", "a", "a_2", "a_2_2", "a_3", "column_1", "column_2", "b"]), max_size=9))
@example(["a", "a", "a_2", "a_2"])
def test_names_are_unique(names: list[str]) -> None:
    """And a name that comes once is kept."""
    unique = unique_names(names)
    assert len(set(unique)) == len(unique) == len(names)
    assert all(new == old for new, old in zip(unique, names, strict=True) if old and names.count(old) == 1)


@pytest.mark.parametrize(
    ("row", "names", "fields"),
    [
        ([1, "x"], ["id", "name"], {"id": 1, "name": "x"}),
        ([1, "x", 2], ["id", "name"], None),
        ([1], ["id", "name"], None),
        ([1], [], None),
        ([], [], None),
        ({"b": 1, "a": None}, ["x"], {"b": 1, "a": None}),
        ({"identity": "bob", "columns": [3, None]}, ["a", "b"], {"identity": "bob", "a": 3, "b": None}),
        ({"identity": "bob", "columns": [3]}, ["identity"], {"identity": "bob", "identity_2": 3}),
        ({"identity": "bob", "columns": [3]}, ["a", "b"], {"identity": "bob", "columns": [3]}),
        ({"identity": "bob", "columns": [3], "id": 7}, ["a"], {"identity": "bob", "columns": [3], "id": 7}),
        ({"identity": "bob", "columns": 3}, ["a"], {"identity": "bob", "columns": 3}),
        ("text", ["a"], None),
    ],
    ids=str,
)
def test_no_value_of_a_row_is_lost_or_given_a_name_by_guess(row: Any, names: list[str], fields: Any) -> None:
    assert name_fields(row, names) == fields


NO_TIMES: list[Any] = [None, "", "yesterday", "2024-02-30", "20240101", "1704067200", True, [], 10**30, 1704067200000]
NO_NUMBERS: list[Any] = [None, True, "", "many", "NaN", "1_0", "٣", [], Decimal("1E+308"), Decimal("1E-308"), 10**400]
NO_COUNTS: list[Any] = [None, True, "", "05", Decimal("5.5"), {}]


@pytest.mark.parametrize(
    ("column", "value", "fitting"),
    [
        ("timestamp", 1704067200, "2024-01-01T00:00:00+00:00"),
        ("timestamp", Decimal("1704067200.25"), "2024-01-01T00:00:00.250000+00:00"),
        ("timestamp", -86400, "1969-12-31T00:00:00+00:00"),
        ("timestamp", "2024-03-10T03:30:00-07:00", "2024-03-10T10:30:00+00:00"),
        ("timestamp", "2024-01-01", "2024-01-01T00:00:00+00:00"),
        ("timestamp", " 2024-01-01 00:00:00 ", "2024-01-01T00:00:00+00:00"),
        *(("timestamp", odd, None) for odd in NO_TIMES),
        ("value", Decimal("0.10"), Decimal("0.10")),
        ("value", "12.50", Decimal("12.50")),
        ("value", 2**70, 2**70),
        *(("value", odd, None) for odd in NO_NUMBERS),
        ("people_count", "5", 5),
        ("people_count", Decimal("5.0"), 5),
        ("people_count", 2**63, 2**63),
        *(("people_count", odd, None) for odd in NO_COUNTS),
        ("property_value", "Zürich", "Zürich"),
    ],
    ids=lambda value: repr(value)[:25],
)  # fmt: skip
def test_what_is_no_time_or_number_is_null_in_a_metric(column: str, value: object, fitting: object) -> None:
    columns = metric_columns({column: value})
    assert columns.pop(column) == fitting
    assert set(columns.values()) == {None}


def test_a_row_of_a_metric_without_names_has_no_values() -> None:
    assert set(metric_columns(None).values()) == {None}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
@example("\ud800")
@example({"a\x00b": ["\ud800", Decimal("1E+400"), Decimal("0.10"), 10**30]})
def test_json_keeps_every_value(value: Any) -> None:
    """Every digit, in text that UTF-8 can hold, and without the character NUL."""
    text = to_json(value)
    assert b"\0" not in text.encode()
    assert decode_json(text.encode()) == value


@pytest.mark.parametrize("digits", ["0.10", "1.50E-7", "12345678901234567890.12345678901234567890", "9007199254740993"])
def test_json_keeps_every_digit(digits: str) -> None:
    assert to_json(decode_json(f"[{digits}]".encode())) == f"[{digits}]"
