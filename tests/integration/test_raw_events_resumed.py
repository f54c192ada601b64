"""An export grows, is read, and the reading is killed: each line is in the target once, whatever the sequence.

A target is modelled: it stores each RECORD by its key. A run that is killed is one whose output ends anywhere between
two lines; the next run starts from the last STATE before that.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.sdk_extensions import files
from tests.sandbox.export import Export
from tests.support.examples import examples
from tests.support.exports import STREAM, bookmarks, read_exports, record_of

NAMES = ("one", "two")

grow = st.tuples(st.just("grow"), st.sampled_from(NAMES), st.integers(1, 3), st.integers(0, 4))
late = st.tuples(st.just("late"), st.sampled_from(NAMES))
drop = st.tuples(st.just("drop"), st.sampled_from(NAMES))
run = st.tuples(
    st.just("run"),
    st.sampled_from([NAMES, NAMES, NAMES[:1], NAMES[::-1]]),
    st.none() | st.floats(0, 1),
    st.sampled_from(["", "", "loses", "maps"]),
)


class Target:
    """The table of a target, and the last state that it gave back."""

    def __init__(self) -> None:
        """Begin with an empty table."""
        self.table: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.state: dict[str, Any] = {}

    def load(self, lines: list[str]) -> set[tuple[str, int]]:
        """Take in the output of a run; give the revisions with lines that were here before."""
        again = set()
        for message in map(json.loads, lines):
            if message["type"] == "RECORD":
                record = message["record"]
                key = record["export"], record["revision"], record["line"]
                if key in self.table:
                    again.add(key[:2])
                self.table[key] = record
            elif message["type"] == "STATE":
                self.state = message["value"]
        return again


class World:
    """Exports, what was ever in them, and a target."""

    def __init__(self, folder: Path) -> None:
        """Begin with a revision in each export."""
        self.folder = folder
        self.exports = {name: Export(folder / name) for name in NAMES}
        self.lines: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.unlisted: dict[str, int] = {}
        self.target = Target()
        for name in NAMES:
            self.grow(name, 1, 2)

    def grow(self, name: str, revisions: int, lines: int) -> None:
        """Add revisions, and list what was not listed yet."""
        export = self.exports[name]
        if (revision := self.unlisted.pop(name, None)) is not None:
            export.list(revision)
        export.grow(revisions, lines)
        for (revision, line), fields in export.expected().items():
            self.lines[name, revision, line] = record_of(name, (revision, line), fields)

    def late(self, name: str) -> None:
        """Take the last revision out of the index, as if it was not written whole."""
        export = self.exports[name]
        if name not in self.unlisted and export.newest > (self.bookmark(name) or 0):
            self.unlisted[name] = export.newest
            export.unlist(export.newest)

    def drop(self, name: str) -> None:
        """Delete the files of all that was read but the last, as the vendor does."""
        for path in (self.exports[name].folder / "revisions").glob("*.json"):
            if int(path.stem) < (self.bookmark(name) or 0):
                path.unlink()

    def bookmark(self, name: str) -> int | None:
        """The last revision that was read whole, as the target knows it."""
        return bookmarks(self.target.state).get(name) if self.target.state else None

    def run(self, names: tuple[str, ...], kept: float | None, trouble: str) -> None:
        """Read exports; a run that is killed leaves a part of its output."""
        newest = self.exports[names[0]].newest
        lost = self.exports[names[0]].path(newest)
        is_lost = trouble == "loses" and newest > (self.bookmark(names[0]) or 0) and lost.exists()
        if is_lost:
            lost.rename(self.folder / "lost")
        maps: dict[str, Any] = {"stream_maps": {STREAM: {"line": "line"}}} if trouble == "maps" else {}
        done = read_exports(self.folder, *names, state=self.target.state, max_concurrency=3, **maps)
        if is_lost:
            (self.folder / "lost").rename(lost)
        assert done.code in {0, 1}
        assert done.code == 0 or is_lost, done.stderr
        lines = done.lines if kept is None else done.lines[: int(len(done.lines) * kept)]
        again = self.target.load(lines)
        assert len({name for name, _ in again}) == len(again), "only the revision that was begun is read again"

    def assert_complete(self) -> None:
        """List and read all that is left: then each line is there, and nothing else."""
        for name in NAMES:
            self.grow(name, 1, 1)
        self.run(NAMES, None, "")
        assert self.target.table == self.lines


@pytest.mark.no_cover  # traced, it takes twice as long
@examples(4)
@given(st.lists(grow | late | drop | run | run, max_size=12))
def test_any_sequence(steps: list[tuple[Any, ...]]) -> None:
    """Revisions that are late, lost for one run, or deleted once they were read, are among it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_SIZE", 300)
        world = World(Path(folder))
        for kind, *arguments in steps:
            getattr(world, kind)(*arguments)
        world.assert_complete()
