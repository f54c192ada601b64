"""What is measured of raw data exports, which need no server."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import AS_IT_COMES, ONE_WORKER, Run, Series
from benchmarks.measure import Command, run
from benchmarks.server import Asked
from tests.sandbox.export import Export
from tests.support.process import TAP
from tests.support.run import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Tell

LOOP = "loop, json"
"""What the tap is held to."""

_LINES = 10_000
"""Lines of a revision: a file of 3 MiB, as an hour of a busy product has it."""

_TO_NOTHING = ("sh", "-c", 'exec "$@" > /dev/null', "sh")


@contextmanager
def _export(lines: int) -> Iterator[Path]:
    """Make an export whose revisions are one file under many names."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        export = Export(Path(folder))
        export.grow(1, min(lines, _LINES))
        for revision in range(2, lines // _LINES + 1):
            os.link(export.path(1), export.path(revision))
            export.list(revision, write=False)
        export.write_index()
        yield export.folder


def _tap(export: Path, name: str, **settings: object) -> Command:
    config = write_json(export / f"{len(settings)}.json", {"export_urls": [str(export)], **settings})
    return Command(name, (*TAP, "--config", str(config)), form="singer")


def beside_loop(lines: int, rounds: int, tell: Tell, *, warm_up: bool) -> list[Series]:
    """Run a bare loop over the lines and the tap in turn."""
    with _export(lines) as export:
        loop = (sys.executable, str(Path(__file__).parent / "loops" / "raw_export.py"), str(export))
        commands = [
            Command(LOOP, loop, form="singer"),
            _tap(export, ONE_WORKER, max_concurrency=1),
            _tap(export, AS_IT_COMES),
        ]
        series = [Series(command) for command in commands]
        for number in range(0 if warm_up else 1, rounds + 1):
            for one in series:
                tell(f"{f'round {number}/{rounds}' if number else 'warm-up'}: {one.command.name}")
                once = _run(one.command, {"raw_events": lines})
                if number:
                    one.runs.append(once)
    return series


def to_nothing(lines: int, tell: Tell) -> tuple[float, Series]:
    """Run the tap once, with an output that nobody keeps; give the MiB of the export too."""
    with _export(lines) as export:
        tell(f"memory: {lines:,} lines")
        tap = _tap(export, AS_IT_COMES)
        series = Series(Command(tap.name, (*_TO_NOTHING, *tap.argv)))
        series.runs.append(_run(series.command, {}))
        size = sum(path.stat().st_size for path in (export / "revisions").iterdir()) / 2**20
    return size, series


def _run(command: Command, expected: dict[str, int]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        return Run(run(command, Path(folder), expected=expected), Asked({}, 0))
