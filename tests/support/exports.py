"""Runs of the tap that read raw data exports, and what must come of each line."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from tests.support.run import QUICK, write_json
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.sandbox.export import Export
    from tests.support.run import Run

STREAM = "raw_events"

Key = tuple[int, int]
"""Revision and line."""


def read_exports(
    folder: Path,
    *urls: object,
    state: object = None,
    catalog: object = None,
    env: Mapping[str, str] | None = None,
    arguments: Iterable[str] = (),
    **settings: object,
) -> Run:
    """Read exports, and nothing else."""
    files = {"state": state, "catalog": catalog}
    given = {name: write_json(folder / f"given-{name}.json", value) for name, value in files.items() if value}
    options = [part for name, path in given.items() for part in (f"--{name}", path)]
    config = {"export_urls": [str(url) for url in urls], **QUICK, **settings}
    return run_tap(*options, *arguments, folder=folder, config=config, env=env)


def keys(run: Run, export: object = None) -> list[Key]:
    """Give revision and line of each record, in their order."""
    return [
        (record["revision"], record["line"])
        for record in run.records(STREAM)
        if export is None or record["export"] == str(export)
    ]


def bookmarks(state: Mapping[str, Any]) -> dict[str, int | None]:
    """Give the bookmark of each export."""
    partitions = state["bookmarks"].get(STREAM, {}).get("partitions", [])
    return {each["context"]["export"]: each.get("replication_key_value") for each in partitions}


def record_of(export: object, key: Key, line: Mapping[str, Any]) -> dict[str, Any]:
    """Give the record that a usual line must become."""
    fields = dict(line)
    return {
        "export": str(export),
        "revision": key[0],
        "line": key[1],
        "person": fields.pop("_p", None),
        "alias": fields.pop("_p2", None),
        "event": fields.pop("_n", None),
        "timestamp": dt.datetime.fromtimestamp(fields.pop("_t"), dt.UTC).isoformat(),
        "properties": fields,
        "raw": None,
    }


def assert_complete(run: Run, export: Export, *, after: int = 0, name: object = None) -> None:
    """Check that each line of the revisions after one came exactly once, in its order, with every value."""
    name = export.folder if name is None else name
    lines = {key: line for key, line in export.expected().items() if key[0] > after}
    records = [record for record in run.records(STREAM) if record["export"] == str(name)]
    wanted = [record_of(name, key, lines[key]) for key in sorted(lines)]
    assert [json.dumps(record) for record in records] == [json.dumps(record) for record in wanted]
