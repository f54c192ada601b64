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


def compared(wanted: dict[str, Any], *rows: dict[str, Any], again: Again = "updates") -> list[str]:
    """Compare one record with the rows of a target; return the changes."""
    return list(compare("events", SCHEMA, [{"id": 1, **wanted}], [{"id": 1, **row} for row in rows], again=again))


@pytest.mark.parametrize(
    ("value", "got", "change"),
    [
        ([1], "[1]", "a list or object is JSON text"),
        ({"a": None}, "{'a': None}", "a list or object is text in Python's notation"),
        (None, "", "None becomes ''"),
        ("", None, "'' becomes None"),
        (0.123456789, 0.12345679, "a number is rounded to 7 digits"),
    ],
)
def test_a_known_change_is_named(value: object, got: object, change: str) -> None:
    assert compared({"value": value}, {"value": got}) == [change]


@pytest.mark.parametrize(
    ("value", "got"),
    [("a", "b"), (1, "1"), (1, 1.0), (1, None), (None, 1), (True, False), ([1], "[2]"), ([1], [2]), (0.5, 0.6)],
)
def test_another_change_is_an_error(value: object, got: object) -> None:
    with pytest.raises(DifferenceError, match="value"):
        compared({"value": value}, {"value": got})


@pytest.mark.parametrize(
    ("again", "rows"), [("updates", [2]), ("keeps", [1]), ("appends", [1, 2]), ("appends", [2, 1])]
)
def test_of_a_record_that_comes_again_there_are_as_many_rows_as_the_target_stores(
    again: Again, rows: list[int]
) -> None:
    records = [{"id": 1, "value": value} for value in (1, 2)]
    compare("events", SCHEMA, records, [{"id": 1, "value": value} for value in rows], again=again)
    for wrong in ([], [3], [1, 1], [2, 2], [1, 2, 2], [*rows, 1]):
        with pytest.raises(DifferenceError, match="events"):
            compare("events", SCHEMA, records, [{"id": 1, "value": value} for value in wrong], again=again)


@pytest.mark.parametrize(
    ("got", "changes"),
    [
        ("2024-02-29T18:29:59.123456", []),
        ("2024-02-29T18:29:59.123Z", ["a date is cut to milliseconds"]),
        ("2024-02-29T18:29:59", ["a date is cut to seconds"]),
        ("2024-02-29T18:30:00", ["a date is rounded to seconds"]),
    ],
)
def test_dates_are_instants_and_what_is_cut_is_named(got: str, changes: list[str]) -> None:
    assert compared({"at": AT}, {"at": got}) == changes
    with pytest.raises(DifferenceError, match="at"):
        compared({"at": AT}, {"at": "2024-02-29T19:29:59"})


def test_an_object_may_be_spread_over_columns() -> None:
    contact = {"contact": {"name": "a", "phone": None}}
    row = {"contact__name": "a", "contact__phone": None}
    assert compared(contact, row) == ["an object is spread over columns"]
    for wrong in (row | {"contact__name": "b"}, {}):
        with pytest.raises(DifferenceError, match="contact"):
            compared(contact, wrong)
