"""Pieces of Markdown that are generated into a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(names: Sequence[str]) -> str:
    """Make a list of names as code."""
    return ", ".join(f"`{name}`" for name in names)


def plain(value: object) -> str:
    """Write a value as a user writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def between(name: str, text: str, marker: str, generated: str) -> str:
    """Replace what is between the comments `<!-- marker -->` and `<!-- /marker -->`."""
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        message = f"{name} must have {start.strip()} and {end} once each"
        raise ValueError(message)
    before, rest = text.split(start)
    return f"{before}{start}{generated}{end}{rest.split(end)[1]}"
