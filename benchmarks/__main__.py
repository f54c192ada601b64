"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import BenchmarkError
from benchmarks.report import machine, report, summary, write
from benchmarks.sections import FULL, QUICK, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT, README = PROJECT / "docs" / "performance.md", PROJECT / "README.md"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the tap against bare loops that read the same lists from a sandbox in another process. "
        "The exit code is 1 if a command fails or does not bring every record exactly once; never for being slow.",
    )
    parser.add_argument("--quick", action="store_true", help="small lists and one round: shows that all of it works")
    parser.add_argument("--runs", type=_rounds, metavar="N", help="rounds of every section (default: its own)")
    parser.add_argument(
        "--only", type=_names, default=list(SECTIONS), metavar="NAMES", help=f"some of {','.join(SECTIONS)}"
    )
    parser.add_argument("--peers", action="store_true", help="install the peers that are missing (uv keeps them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run, as it was measured, to a file")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{DOCUMENT.name} and README.md")
    return parser


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        message = f"{text!r} is not a number of 1 or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        message = f"there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}"
        raise argparse.ArgumentTypeError(message)
    return [name for name in SECTIONS if name in names]


def _tell(section: str, line: str) -> None:
    print(f"{section}: {line}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.write and (options.quick or options.only != list(SECTIONS)):
        parser.error("--write is for all of the figures: neither --quick nor --only")
    plan = QUICK if options.quick else FULL
    if options.runs:
        plan = replace(plan, rounds=options.runs, long_rounds=options.runs)
    if options.peers:
        plan = replace(plan, peers="all")
    tables = []
    for name in options.only:
        try:
            tables += SECTIONS[name](plan, partial(_tell, name))
        except BenchmarkError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    text = report(tables)
    print(text)
    if options.json:
        runs = {"machine": machine(), "tables": [table.json() for table in tables]}
        options.json.write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    if options.write:
        write(DOCUMENT, f"\n{text}\n")
        write(README, summary(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
