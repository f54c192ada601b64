"""What a value of the API becomes in a column of another type, and what is logged."""

from __future__ import annotations

import decimal
import logging
from typing import Any

import pytest

from tap_kissmetrics.sdk_extensions.logs import StreamLogger
from tap_kissmetrics.sdk_extensions.values import MAX_INTEGER_DIGITS, RecordConformer, to_number

D = decimal.Decimal

COLUMNS: dict[str, dict[str, Any]] = {
    "boolean": {"type": ["boolean", "null"]},
    "integer": {"type": ["integer", "null"]},
    "number": {"type": ["number", "null"]},
    "string": {"type": ["string", "null"]},
    "array": {"type": ["array", "null"]},
    "object": {"type": ["object", "null"]},
    "id": {"type": "string"},
    "any": {},
    "either": {"type": ["integer", "string"]},
    "unheard of": {"type": ["string", "file", "null"]},
}

CONVERSIONS: list[tuple[str, Any, Any]] = [
    ("boolean", "true", True),
    ("boolean", " False ", False),
    ("boolean", 0, False),
    ("boolean", D("1.0"), True),
    ("integer", "8", 8),
    ("integer", " -12 ", -12),
    ("integer", D("8.0"), 8),
    ("integer", D("1e400"), 10**400),
    ("integer", D(10) ** (MAX_INTEGER_DIGITS - 1), 10 ** (MAX_INTEGER_DIGITS - 1)),
    ("string", 42, "42"),
    ("string", D("1.50"), "1.50"),
    ("string", True, "true"),
    ("string", {"a": ["ü", None]}, '{"a":["ü",null]}'),
]

KEPT: dict[str, list[Any]] = {
    "boolean": ["", "yes", 2, -1, D("0.5"), []],
    "integer": ["007", "+7", "1_000", "٣", "1e3", "8.0", "", True, D("8.5"), D("NaN"), D(10) ** MAX_INTEGER_DIGITS],
    "number": ["8", True],
    "array": [{}],
    "object": ["none"],
    "either": [True],
}
"""Values that are not of their column's type, and would lose something."""

FITTING: list[tuple[str, Any]] = [
    *((column, None) for column in COLUMNS),
    ("boolean", True),
    ("integer", -(2**80)),
    ("number", 5),
    ("number", D("12345678901234567890.5")),
    ("string", "\ud800\x00"),
    ("array", [None, {"deep": [D("1e-7")]}]),
    ("object", {}),
    ("any", []),
    ("either", 5),
    ("either", "text"),
    ("unheard of", 5),
]


@pytest.fixture
def conformer() -> RecordConformer:
    """A conformer to `COLUMNS`."""
    return RecordConformer({"properties": COLUMNS}, StreamLogger(logging.getLogger("unit"), "events"))


@pytest.mark.parametrize(("column", "value", "wanted"), CONVERSIONS, ids=repr)
def test_a_value_is_converted_where_nothing_is_lost(
    column: str, value: object, wanted: object, conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    found = conformer.conform({column: value})[column]
    assert (type(found), found) == (type(wanted), wanted)
    assert caplog.messages == []


@pytest.mark.parametrize(("column", "value"), [(name, each) for name in KEPT for each in KEPT[name]], ids=repr)
def test_another_value_is_kept_with_one_warning(
    column: str, value: object, conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert conformer.conform({column: value})[column] is value
    names = "integer or string" if column == "either" else column
    says = f"events: column '{column}' is of type {names}, but the API sent {type(value).__name__}; it is passed "
    assert caplog.messages == [f"{says}through unchanged"]


@pytest.mark.parametrize(("column", "value"), FITTING, ids=repr)
def test_a_value_of_its_type_is_the_very_same_object(
    column: str, value: object, conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    assert conformer.conform({column: value})[column] is value
    assert caplog.messages == []


def test_unknown_columns_are_dropped_and_named_once(
    conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert conformer.conform({"id": "a", "sky": 1, "sea": {}}) == {"id": "a"}
    assert conformer.conform({"sea": 1, "land": 2, "integer": "8"}) == {"integer": 8}
    assert caplog.messages == [
        "events: dropped fields that are not in the schema: 'sea', 'sky'",
        "events: dropped fields that are not in the schema: 'land'",
    ]


def test_a_known_shape_does_not_hide_another(conformer: RecordConformer) -> None:
    """Records of the same columns and other types are converted, after many that needed nothing."""
    for number in range(3):
        assert conformer.conform({"id": "a", "integer": number}) == {"id": "a", "integer": number}
    assert conformer.conform({"id": "a", "integer": "8"}) == {"id": "a", "integer": 8}
    assert conformer.conform({"integer": 8, "id": 5}) == {"integer": 8, "id": "5"}
    assert conformer.conform({"id": "a", "integer": 5, "more": 1}) == {"id": "a", "integer": 5}


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), (D("-9.9e307"), D("-9.9e307")), (D("1e-307"), D("1e-307")), ("-1.5", D("-1.5"))],
    ids=repr,
)
def test_a_number_that_a_float_holds_keeps_its_digits(value: object, number: object) -> None:
    found = to_number(value)
    assert (type(found), found) == (type(number), number)


@pytest.mark.parametrize("value", [10**308, D("9.9e-308"), True, None, "1e308", "1,5", []], ids=repr)
def test_what_is_no_number_or_beyond_a_float_stays_text(value: object) -> None:
    assert to_number(value) is None
