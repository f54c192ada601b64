"""Tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table.

    Args:
        head: The cells of its first line.
        rows: Those of the others.

    Returns:
        Its lines.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(names: Sequence[str]) -> str:
    """Make a list of names, each as code."""
    return ", ".join(f"`{name}`" for name in names)
