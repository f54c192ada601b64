"""What a table of a target must hold: every record of a stream, every value."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from typing import TYPE_CHECKING, Any

from scripts.about import ENTRIES
from tests.sandbox import QUERY_RESOURCES, RESOURCES
from tests.support.assertions import exact, expected
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.sandbox import Record


def columns_of(kind: str, *apis: str) -> set[str]:
    """Return the columns that have a format or, without one, a type, in all lists of some APIs, by default of both."""
    lists = {"core": RESOURCES, "query": QUERY_RESOURCES}
    schemas = [ENTRIES[api][name]["schema"] for api in apis or lists for name in lists[api]]
    return {
        column
        for schema in schemas
        for column, field in schema["properties"].items()
        if kind == field.get("format") or ("format" not in field and kind in field["type"])
    }


DATES = columns_of("date-time")
"""The columns that hold dates."""


def code_block(page: str, marker: str, folder: Path = PROJECT / "docs") -> str:
    """Return the block of code after a comment of a page: the tests do just what it tells to run or to set."""
    found = {name: text for name, _, text in code_blocks(page, folder)}
    return found[marker]


def code_blocks(page: str, folder: Path = PROJECT / "docs") -> Iterator[tuple[str, str, str]]:
    """Yield the marker, the language and the text of each code block of a page; a marker may be empty."""
    text = (folder / f"{page}.md").read_text(encoding="utf-8")
    for found in re.finditer(r"^(?:<!-- ([^\n]+) -->\n)? *```(\w+)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield found[1] or "", found[2], textwrap.dedent(found[3])


def utc(text: str) -> dt.datetime:
    """Read a date-time; one without an offset is in UTC."""
    value = dt.datetime.fromisoformat(text)
    return value.replace(tzinfo=value.tzinfo or dt.UTC).astimezone(dt.UTC)


def assert_same(
    stream: str,
    rows: Iterable[Mapping[str, Any]],
    records: Iterable[Record],
    *,
    read: Callable[[str, Any], object] = lambda _column, value: value,
) -> None:
    """Compare a table with the API's records: each must be there once, with each of its values.

    `read` makes of a column's name and value what the API says; dates are compared as instants. Columns whose names
    begin with `_sdc_` are the target's own.
    """

    def of_table(row: Mapping[str, Any]) -> dict[str, Any]:
        values = {column: read(column, value) for column, value in row.items() if not column.startswith("_sdc_")}
        return {c: utc(v) if c in DATES and isinstance(v, str) else v for c, v in values.items()}

    def of_api(record: Record) -> dict[str, Any]:
        return {c: utc(v) if c in DATES and v is not None else v for c, v in record.items()}

    got = sorted(map(of_table, rows), key=lambda row: str(row["id"]))
    wanted = sorted(map(of_api, expected(stream, records)), key=lambda record: str(record["id"]))
    assert [row["id"] for row in got] == [record["id"] for record in wanted], stream
    for row, record in zip(got, wanted, strict=True):
        assert exact(row) == exact(record), stream
