"""Counts what a command wrote: `records.py FORM PATH` prints, for each stream, its records and how many differ.

A program of its own, not a function of the benchmark: a process hands its peak of memory down to those that it starts,
and counting half a million ids would be taken for the peak of every command that comes after.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Found = Iterator[tuple[str, str]]


def _lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _singer(path: Path) -> Found:
    for message in _lines(path):
        if message["type"] == "RECORD":
            record = message["record"]
            yield message["stream"], record["id"] if "id" in record else f"{record['revision']} {record['line']}"


def _airbyte(path: Path) -> Found:
    for message in _lines(path):
        if message["type"] == "RECORD":
            yield message["record"]["stream"], message["record"]["data"]["id"]


def _files(path: Path) -> Found:
    """Read what dlt loads: a folder for each stream, beside its own, which begin with an underscore."""
    for file in path.glob("loaded/lists/[!_]*/*.jsonl"):
        for record in _lines(file):
            yield file.parent.name, record["id"]


FORMS = {"singer": _singer, "airbyte": _airbyte, "files": _files}
"""For each form of output: how the stream and the id of each record are read from it."""


def count(form: str, path: Path) -> dict[str, list[int]]:
    """Count records."""
    records: Counter[str] = Counter()
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for stream, record_id in FORMS[form](path):
        records[stream] += 1
        ids[stream].add(record_id)
    return {stream: [records[stream], len(ids[stream])] for stream in records}


if __name__ == "__main__":
    json.dump(count(sys.argv[1], Path(sys.argv[2])), sys.stdout)
