"""Compare what a target stored with the records that it got, value by value."""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Literal

from tests.support.tables import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Record = dict[str, Any]


class DifferenceError(Exception):
    """A record is missing or doubled, or a value differs in a way that is not known."""


Again = Literal["updates", "appends", "keeps"]
"""What a target does when a record comes again: updates its row, appends another, or keeps the first as it is."""


def compare(
    stream: str, schema: Mapping[str, Any], records: Iterable[Record], rows: Iterable[Record], *, again: Again
) -> Counter[str]:
    """Compare a table with the records of its stream, and count in what known ways values are changed.

    `schema` is the whole SCHEMA message; the records are in their order. A `DifferenceError` says what is wrong.
    """
    keys = schema["key_properties"]
    wanted, got = _by_key(keys, records), _by_key(keys, rows)
    if wanted.keys() != got.keys():
        raise DifferenceError(f"{stream}: {wanted.keys() ^ got.keys()} missing or too many")
    dates = {c for c, field in schema["schema"]["properties"].items() if field.get("format") == "date-time"}
    changes: Counter[str] = Counter()
    for key, versions in wanted.items():
        if again != "appends":
            versions = versions[-1:] if again == "updates" else versions[:1]  # noqa: PLW2901
        if len(got[key]) != len(versions):
            raise DifferenceError(f"{stream}: {len(got[key])} rows of {key}, not {len(versions)}")
        for record in versions:
            found = [[*differences(record, row, dates)] for row in got[key]]
            best = min(range(len(found)), key=lambda at: sum(change.startswith("!") for change in found[at]))
            wrong = [change for change in found[best] if change.startswith("!")]
            if wrong:
                raise DifferenceError(f"{stream} {key}: {wrong}")
            changes.update(found[best])
            del got[key][best]
    return changes


def _by_key(keys: list[str], records: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        found[tuple(str(record[key]) for key in keys)].append(record)
    return found


def differences(record: Record, row: Record, dates: set[str]) -> Iterator[str]:
    """Yield in what ways the values of a row are changed; a way that is not known begins with `!`."""
    for column, value in record.items():
        if column in row:
            change = _change(value, row[column], is_date=column in dates)
        elif fields := {name.removeprefix(f"{column}__"): row[name] for name in row if name.startswith(f"{column}__")}:
            change = "an object is spread over columns" if fields == (value or dict.fromkeys(fields)) else "!fields"
        else:
            change = "!no column"
        if change:
            yield f"{change} {column}: {value!r}, {row.get(column)!r}" if change.startswith("!") else change


def _change(value: Any, got: Any, *, is_date: bool) -> str:
    if is_date and value is not None and got is not None:
        return _change_of_date(utc(value), utc(got))
    if isinstance(value, list | dict) and isinstance(got, str):
        return _change_of_text(value, got)
    if isinstance(value, bool) or value is None or got is None:
        if value == got:
            return ""
        return f"{value!r} becomes {got!r}" if not value and not got else "!"
    if isinstance(value, float) and isinstance(got, float) and value != got:
        return "a number is rounded to 7 digits" if math.isclose(value, got, rel_tol=1e-6) else "!"
    return "" if type(value) is type(got) and value == got else "!"


def _change_of_date(value: dt.datetime, got: dt.datetime) -> str:
    for digits, unit in ((0, ""), (3, "milliseconds"), (6, "seconds")):
        if value.replace(microsecond=value.microsecond // 10**digits * 10**digits) == got:
            return f"a date is cut to {unit}" if digits else ""
    # MySQL rounds instead.
    return "a date is rounded to seconds" if not got.microsecond and abs(value - got) < dt.timedelta(seconds=1) else "!"


def _change_of_text(value: Any, got: str) -> str:
    try:
        return "a list or object is JSON text" if json.loads(got) == value else "!"
    except ValueError:
        return "a list or object is text in Python's notation" if ast.literal_eval(got) == value else "!"
