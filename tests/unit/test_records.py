"""What a value of the API becomes in a column of another type, and what is logged."""

from __future__ import annotations

import decimal
import logging
from typing import Any

import pytest

from tap_kissmetrics.sdk_extensions.logs import StreamLogger
from tap_kissmetrics.sdk_extensions.values import MAX_INTEGER_DIGITS, RecordConformer, to_number

SAME: Any = "as it is"
"""Stands for the value as it is, and a warning."""

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


def same(column: str, values: list[Any]) -> list[tuple[str, Any, Any]]:
    """Values that pass a column as they are."""
    return [(column, value, SAME) for value in values]


CONVERSIONS: list[tuple[str, Any, Any]] = [
    ("boolean", "true", True),
    ("boolean", " False ", False),
    ("boolean", 0, False),
    ("boolean", 1, True),
    ("boolean", D("1.0"), True),
    *same("boolean", ["", "yes", 2, -1, D("0.5"), []]),
    ("integer", "8", 8),
    ("integer", " -12 ", -12),
    ("integer", D("8.0"), 8),
    ("integer", D("1e5"), 100_000),
    ("integer", D("1e400"), 10**400),
    ("integer", D(10) ** (MAX_INTEGER_DIGITS - 1), 10 ** (MAX_INTEGER_DIGITS - 1)),
    *same("integer", ["007", "-01", "00", "+7", "1_000", "٣", "0x1f", "1e3"]),
    *same("integer", ["", "many", "8.0", "--8", "²", "1 2", True, D("8.5"), D("NaN"), D("Infinity")]),
    ("integer", D(10) ** MAX_INTEGER_DIGITS, SAME),
    ("integer", D("1e999999"), SAME),
    *same("number", ["8", True, []]),
    ("string", 42, "42"),
    ("string", D("1.50"), "1.50"),
    ("string", True, "true"),
    ("string", False, "false"),
    ("string", {"a": ["ü", None]}, '{"a":["ü",null]}'),
    ("string", [], "[]"),
    *same("array", ["none", {}, 0]),
    *same("object", ["none", [], 0]),
    *same("either", [True, []]),
]

PASSING: list[tuple[str, Any]] = [
    *((column, None) for column in COLUMNS),
    ("boolean", True),
    ("integer", -(2**80)),
    ("number", 5),
    ("number", D("12345678901234567890.5")),
    ("string", "\ud800\x00"),
    ("array", [None, {"deep": [D("1e-7")]}]),
    ("object", {}),
    ("any", 5),
    ("any", []),
    ("either", 5),
    ("either", "text"),
    ("unheard of", 5),
]


@pytest.fixture
def conformer() -> RecordConformer:
    """A conformer to `COLUMNS`."""
    return RecordConformer({"properties": COLUMNS}, StreamLogger(logging.getLogger("unit"), "events"))


def exact(value: object) -> tuple[type, str]:
    """Make 1, 1.0 and true differ."""
    return type(value), str(value)


@pytest.mark.parametrize(("column", "value", "expected"), CONVERSIONS, ids=repr)
def test_a_conversion(
    column: str, value: object, expected: object, conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    """Only where nothing is lost; otherwise there is one warning, however many records have it."""
    wanted = value if expected is SAME else expected
    for _ in range(3):
        assert exact(conformer.conform({column: value})[column]) == exact(wanted)
    kind = COLUMNS[column]["type"]
    names = " or ".join(name for name in ([kind] if isinstance(kind, str) else kind) if name != "null")
    says = f"events: column '{column}' is of type {names}, but the API sent {type(value).__name__}; it is passed "
    says += "through unchanged"
    assert caplog.messages == [says] * (expected is SAME)


@pytest.mark.parametrize(("column", "value"), PASSING, ids=repr)
def test_a_value_of_its_type(
    column: str, value: object, conformer: RecordConformer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the very same object."""
    assert conformer.conform({column: value})[column] is value
    assert caplog.messages == []


def test_unknown_columns(conformer: RecordConformer, caplog: pytest.LogCaptureFixture) -> None:
    """They are dropped, and each is named once."""
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


@pytest.mark.parametrize("value", [0, D("0e-400"), 10**307, D("-9.9e307"), D("1e-307")], ids=repr)
def test_a_number_that_a_float_holds(value: object) -> None:
    """It keeps its digits."""
    assert exact(to_number(value)) == exact(value)


@pytest.mark.parametrize("value", [10**308, D("-1e308"), D("9.9e-308"), True, None, "1e308", "1,5", []], ids=repr)
def test_what_is_no_number_or_too_large_or_too_small(value: object) -> None:
    """It stays text."""
    assert to_number(value) is None
