"""Choose which revisions of a raw data export to read."""

from __future__ import annotations

import csv
import itertools
import math
import re
import typing as t
from contextlib import suppress

from singer_sdk.exceptions import FatalAPIError

from tap_kissmetrics.sdk_extensions.files import NotThereError
from tap_kissmetrics.sdk_extensions.logs import format_size, plural, truncate

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_kissmetrics.sdk_extensions.files import File, Folder
    from tap_kissmetrics.sdk_extensions.logs import StreamLogger

INDEX: t.Final = "index.csv"
STATUS: t.Final = "status.csv"
REVISIONS: t.Final = "revisions"

_COLUMNS: t.Final = ("filename", "min_timestamp", "max_timestamp", "min_utc_date", "max_utc_date")
"""The columns of an index without a header."""

# A revision is an integer that any database can hold.
_is_revision: t.Final = re.compile(r"([0-9]{1,18})\.json").fullmatch
_is_listed: t.Final = re.compile(rf"(?:(?:.*/)?{REVISIONS}/|\./)?([0-9]{{1,18}})\.json").fullmatch


class Index(t.NamedTuple):
    """What `index.csv` lists."""

    revisions: dict[int, float | None]
    """Complete revisions, each with the Unix time of its last event, if known."""

    unread: list[str]
    """Rows that name no revision."""


class Plan(t.NamedTuple):
    """What a run reads of an export."""

    revisions: list[tuple[int, File]]
    """The revisions to read, in order."""

    missing: int | None
    """The first listed revision without a file; nothing after it is read."""

    expired: list[int]
    """Listed revisions that were deleted before they were read: all files that are left have higher numbers."""

    left_out: int
    """The number of revisions that end before `start_date`."""


def parse_index(lines: Iterable[bytes]) -> Index:
    """Parse `index.csv`. Columns are found by the header; without one, they are in the documented order."""
    positions = {name: number for number, name in enumerate(_COLUMNS)}
    index = Index({}, [])
    is_first = True
    for line in lines:
        text = line.decode("utf-8-sig" if is_first else "utf-8", "replace").strip()
        cells: list[str] = []
        with suppress(csv.Error):
            cells = [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
        names = [cell.lower() for cell in cells]
        if "filename" in names:
            positions = {name: number for number, name in enumerate(names)}
        elif text:
            _read_row(text, cells, positions, index)
        is_first = is_first and not text
    return index


def _read_row(text: str, cells: list[str], positions: Mapping[str, int], index: Index) -> None:
    def cell(name: str) -> str:
        position = positions.get(name, len(cells))
        return cells[position] if position < len(cells) else ""

    if not (found := _is_listed(cell("filename"))):
        index.unread.append(text)
        return
    revision, end = int(found[1]), _to_seconds(cell("max_timestamp"))
    if revision in index.revisions:  # listed twice: the later end counts, so that nothing is left out
        other = index.revisions[revision]
        end = None if end is None or other is None else max(end, other)
    index.revisions[revision] = end


def _to_seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def find_revisions(listing: Mapping[str, File]) -> tuple[dict[int, File], list[tuple[str, str]]]:
    """Return the revisions among the files of a folder, and pairs of files with one number, such as 07 and 7."""
    revisions: dict[int, File] = {}
    twice = []
    for name, file in listing.items():
        if file.size >= 0 and (found := _is_revision(name)):
            other = revisions.setdefault(int(found[1]), file)
            if other is not file:
                twice.append((other.path, file.path))
    return revisions, twice


def make_plan(revisions: Mapping[int, File], index: Index | None, bookmark: int | None, start: float | None) -> Plan:
    """Choose the revisions after the bookmark that are complete and do not end before `start`, a Unix time."""
    ends: Mapping[int, float | None] = dict.fromkeys(revisions) if index is None else index.revisions
    first = min(revisions, default=None)
    plan = Plan([], None, [], 0)
    for revision in sorted(each for each in ends if bookmark is None or each > bookmark):
        end = ends[revision]
        if start is not None and end is not None and end < start:
            plan = plan._replace(left_out=plan.left_out + 1)
        elif file := revisions.get(revision):
            plan.revisions.append((revision, file))
        elif first is not None and revision < first:
            plan.expired.append(revision)
        else:
            return plan._replace(missing=revision)
    return plan


def describe_range(revisions: Iterable[int]) -> str:
    """Describe sorted revisions: "7", or "7 to 12"."""
    first, *rest = revisions
    return f"{first} to {rest[-1]}" if rest else str(first)


def split_lines(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Split blocks into lists of whole lines, without line ends. What follows the last line end is a line too."""
    pieces: list[bytes] = []
    for block in blocks:
        lines = block.split(b"\n")
        if len(lines) == 1:
            pieces.append(block)
            continue
        lines[0] = b"".join((*pieces, lines[0]))
        pieces = [lines.pop()]
        yield lines
    if last := b"".join(pieces):
        yield [last]


class Export:
    """An export in a folder; `name` is what messages and the state call it."""

    def __init__(self, name: str, folder: Folder, logger: StreamLogger) -> None:
        self.name = name
        self.folder = folder
        self._logger = logger

    def make_plan(self, bookmark: int | None, start: float | None) -> Plan:
        """Choose what to read after a bookmark, and log it; raise `FatalAPIError` if the folder holds no export."""
        try:
            top = self.folder.list()
        except NotThereError as error:
            msg = f"{error}; check export_urls"
            raise FatalAPIError(msg) from None
        # The index before the revisions: what it lists was written before.
        index = self._read_index(top[INDEX]) if INDEX in top else None
        if not {INDEX, STATUS, REVISIONS} & top.keys():
            msg = f"{self.name} is not a raw data export: it has no folder {REVISIONS}; check export_urls"
            raise FatalAPIError(msg)
        revisions, twice = find_revisions(self.folder.list(REVISIONS) if REVISIONS in top else {})
        if twice:
            msg = f"{self.name}: {' and '.join(twice[0])} have the same number"
            raise FatalAPIError(msg)
        if index is None:
            self._logger.warning(
                "%s has no %s: all revisions are read, whether complete or not, and start_date leaves none out",
                *(self.name, INDEX),
            )
        newest = max(revisions if index is None else index.revisions, default=None)
        if newest is not None and bookmark is not None and newest < bookmark:
            self._logger.warning(
                "%s ends with revision %d, but %d was read before: nothing is read; if the export was made again, "
                "delete its bookmark",
                *(self.name, newest, bookmark),
            )
        plan = make_plan(revisions, index, bookmark, start)
        self._log(plan, bookmark)
        return plan

    def _read_index(self, file: File) -> Index:
        ((_, blocks),) = self.folder.read([file])
        index = parse_index(itertools.chain.from_iterable(split_lines(blocks)))
        if index.unread:
            self._logger.warning(
                "%s: %s of %s without the name of a revision, such as %r",
                *(self.name, plural(len(index.unread), "row"), INDEX, truncate(index.unread[0])),
            )
        if not index.revisions:
            self._logger.warning("%s: %s lists no revision", self.name, INDEX)
        return index

    def _log(self, plan: Plan, bookmark: int | None) -> None:
        text = f"{plural(len(plan.revisions), 'revision')} to read"
        if plan.revisions:
            numbers = describe_range(revision for revision, _ in plan.revisions)
            text += f", {numbers}, {format_size(sum(file.size for _, file in plan.revisions))}"
        if bookmark is not None:
            text += f"; {bookmark} was the last one read"
        if plan.left_out:
            text += f"; {plan.left_out:,} before start_date left out"
        self._logger.info("%s: %s", self.name, text)
        if plan.expired and bookmark is not None:
            self._logger.warning(
                "%s: %s of %s deleted before they were read: %s",
                *(self.name, plural(len(plan.expired), "revision"), INDEX, describe_range(plan.expired)),
            )
