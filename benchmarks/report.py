"""From runs to tables, and from tables to text, JSON, docs/performance.md and README.md."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.bench import Series

SUMMARY = "Peers"
"""The table whose medians README.md shows."""

_START, _END = "<!-- benchmark -->\n", "<!-- /benchmark -->"


@dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes:
        title: Its heading.
        about: What was measured, in a sentence or two.
        head: The names of the columns.
        rows: The cells; the first ones of a row say what was run.
        series: The runs behind it.
    """

    title: str
    about: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    series: list[Series] = field(default_factory=list)

    def text(self) -> str:
        """Write it in Markdown, with columns that are straight in a terminal too."""
        lines = [self.head, *self.rows]
        is_text = [not any(row[n][:1].isdigit() for row in self.rows) for n in range(len(self.head))]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.head))]

        def row(cells: Sequence[str]) -> str:
            both = zip(cells, widths, is_text, strict=True)
            return f"| {' | '.join(cell.ljust(w) if left else cell.rjust(w) for cell, w, left in both)} |\n"

        rule = "|".join("-" * (w + 2) if left else "-" * (w + 1) + ":" for w, left in zip(widths, is_text, strict=True))
        return f"### {self.title}\n\n{self.about}\n\n{row(self.head)}|{rule}|\n{''.join(map(row, self.rows))}"

    def json(self) -> dict[str, Any]:
        """Give every run behind it, as it was measured."""
        return {
            "title": self.title,
            "about": self.about,
            "commands": [
                {"name": series.command.name, "piped": series.piped, "runs": [asdict(run) for run in series.runs]}
                for series in self.series
            ],
        }


def figure(values: Sequence[float], digits: int = 2) -> str:
    """Write the median, and the lowest and highest where there are several values."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def machine() -> str:
    """Describe what this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}, {cores} cores."


def report(tables: Iterable[Table]) -> str:
    """Write all of it."""
    about = "Each figure is the median of its rounds, with the lowest and the highest in brackets."
    return "\n".join([f"{machine()} {about}\n", *(table.text() for table in tables)])


def summary(text: str) -> str:
    """Make the one table of README.md: the medians of the table of peers, in a report of all figures."""
    _, _, rest = text.partition(f"\n### {SUMMARY}\n")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rest.partition("\n### ")[0].splitlines()]
    medians = [[cell.partition(" (")[0] for cell in row] for row in cells if len(row) == 6 and "---" not in row[0]]  # noqa: PLR2004
    _, *rows = [(command, cpu, wall, memory) for command, _, cpu, _, wall, memory in medians]
    about = "65,535 events and 5,000 properties"
    return (
        Table(SUMMARY, about, ("Command", "CPU, of the loop's", "wall time, of the loop's", "peak MiB"), rows)
        .text()
        .partition(f"{about}\n\n")[2]
    )


def between_markers(document: str) -> str:
    """Give what stands between the markers of a document."""
    return document.partition(_START)[2].partition(_END)[0]


def write(path: Path, text: str) -> None:
    """Put the report between the markers of a document."""
    document = path.read_text(encoding="utf-8")
    if document.count(_START) != 1 or document.count(_END) != 1:
        message = f"{path.name} must have {_START.strip()} and {_END} once each"
        raise ValueError(message)
    before, rest = document.split(_START)
    path.write_text(f"{before}{_START}{text}{_END}{rest.split(_END)[1]}", encoding="utf-8", newline="\n")
