"""The comparison of what targets stored, on which docs/targets.md is built, sees what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.compare import Again, DifferenceError, compare

SCHEMA: dict[str, Any] = {
    "key_properties": ["id"],
    "schema": {"properties": {"id": {}, "at": {"format": "date-time"}, "value": {}}},
}
AT = "2024-02-29T23:59:59.123456+05:30"


def compared(value: object, got: object, again: Again = "updates") -> dict[str, int]:
    """Compare one record with one row."""
    records = [{"id": 1, "at": AT, "value": value}]
    return compare("events", SCHEMA, records, [{"id": 1, "at": AT, "value": got}], again=again)


@pytest.mark.parametrize(
    ("value", "got", "change"),
    [
        ([1], "[1]", "a list or object is JSON text"),
        ({"a": None}, "{'a': None}", "a list or object is text in Python's notation"),
        (None, "", "None becomes ''"),
        (None, 0, "None becomes 0"),
        ("", None, "'' becomes None"),
        (0.123456789, 0.12345679, "a number is rounded to 7 digits"),
        (True, 1, None),
        ("é", "é", None),
    ],
)
def test_known_changes_are_named(value: object, got: object, change: str | None) -> None:
    """The page describes each of them."""
    assert compared(value, got) == ({change: 1} if change else {})


@pytest.mark.parametrize(
    ("value", "got"),
    [("a", "b"), (1, "1"), (1, 1.0), (1, None), (None, 1), (True, False), ([1], "[2]"), ([1], [2]), (0.5, 0.6)],
)
def test_other_changes_are_errors(value: object, got: object) -> None:
    """A value is lost or wrong."""
    with pytest.raises(DifferenceError, match="value"):
        compared(value, got)


@pytest.mark.parametrize(
    ("again", "rows"), [("updates", [2]), ("keeps", [1]), ("appends", [1, 2]), ("appends", [2, 1])]
)
def test_a_record_that_comes_again(again: Again, rows: list[int]) -> None:
    """Of each version there must be as many rows as the target stores."""
    records = [{"id": 1, "at": None, "value": value} for value in (1, 2)]
    stored = [{"id": 1, "at": None, "value": value} for value in rows]
    compare("events", SCHEMA, records, stored, again=again)
    for wrong in ([], [3], [1, 1], [2, 2], [1, 2, 2], [*rows, 1]):
        with pytest.raises(DifferenceError, match="events"):
            compare("events", SCHEMA, records, [{"id": 1, "at": None, "value": v} for v in wrong], again=again)


@pytest.mark.parametrize(
    ("got", "change"),
    [
        ("2024-02-29T18:29:59.123456", None),
        ("2024-02-29T18:29:59.123Z", "a date is cut to milliseconds"),
        ("2024-02-29T18:29:59", "a date is cut to seconds"),
        ("2024-02-29T18:30:00", "a date is rounded to seconds"),
    ],
)
def test_dates_are_instants(got: str, change: str | None) -> None:
    """Whatever their offset; what is cut is named."""
    found = compare("events", SCHEMA, [{"id": 1, "at": AT}], [{"id": 1, "at": got}], again="updates")
    assert found == ({change: 1} if change else {})
    with pytest.raises(DifferenceError, match="at"):
        compare("events", SCHEMA, [{"id": 1, "at": AT}], [{"id": 1, "at": "2024-02-29T19:29:59"}], again="updates")


def test_objects_may_be_spread_over_columns() -> None:
    """The values of all their fields count."""
    record = {"id": 1, "contact": {"name": "a", "phone": None}}
    row = {"id": 1, "contact__name": "a", "contact__phone": None}
    assert compare("accounts", SCHEMA, [record], [row], again="updates") == {"an object is spread over columns": 1}
    for wrong in (row | {"contact__name": "b"}, {"id": 1}):
        with pytest.raises(DifferenceError, match="contact"):
            compare("accounts", SCHEMA, [record], [wrong], again="updates")
