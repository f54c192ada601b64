"""The stream of raw events, which reads files of the raw data export instead of an API."""

from __future__ import annotations

import datetime as dt
import functools
import typing as t
from contextlib import suppress
from importlib.resources import files

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_kissmetrics.exports import INDEX, REVISIONS, Export, split_lines
from tap_kissmetrics.raw_lines import LineEncoder, RevisionReader
from tap_kissmetrics.sdk_extensions.files import Folder, parse_folder_url
from tap_kissmetrics.sdk_extensions.logs import plural
from tap_kissmetrics.sdk_extensions.state import NumberStateManager, parse_instant
from tap_kissmetrics.sdk_extensions.stream import ExtendedStream

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.exports import Plan
    from tap_kissmetrics.sdk_extensions.files import File

MAX_LINE_SIZE: t.Final = 2**26
"""Bytes of a line, which is held in memory whole."""

_OTHER_KINDS: t.Final = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""First bytes of files whose lines cannot be read."""


class RawEventsStream(ExtendedStream):
    """Raw events (support pages: "Raw data export"); each export is a partition."""

    name = "raw_events"
    path = ""  # the SDK requires one
    url_base = ""
    primary_keys = ("export", "revision", "line")
    replication_key = "revision"
    valid_replication_keys = ("revision",)
    schema = StreamSchema(SchemaDirectory(files(__package__) / "schemas" / "export"))

    @override
    def __init__(self, *args: t.Any, max_read_time: float, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_read_time = max_read_time
        self._revisions = self._revisions_read = self._size = 0

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return False  # the target keeps what the export has deleted

    @functools.cached_property
    @override
    def state_manager(self) -> NumberStateManager:
        return NumberStateManager(
            stream_name=self.name,
            tap_state=self.tap_state,
            tap_name=self.tap_name,
            sync_start=dt.datetime.now(dt.UTC),
            logger=self.stream_logger,
        )

    @functools.cached_property
    def _exports(self) -> list[str]:
        """The exports, each once. They keep their spelling in the state, which is part of the primary key."""
        known = {}
        for partition in self.state_manager.get_state_partitions() or ():
            with suppress(AttributeError, TypeError, ValueError):  # the partition of another tap
                name = partition["context"].get("export")
                known[parse_folder_url(name)] = name
        exports: dict[t.Any, str] = {}
        for url in self.config["export_urls"]:
            folder = parse_folder_url(url)
            name = known.get(folder, url)
            if folder in exports:
                self.stream_logger.warning("export_urls has %s twice: it is read once, as %s", url, exports[folder])
            elif name != url:
                self.stream_logger.info("%s is called %s, as in the state", url, name)
            exports.setdefault(folder, name)
        return list(exports.values())

    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]]:
        return [{"export": export} for export in self._exports]

    # Files

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        for reader, lines in self._read_lines(context):
            for record in reader.records(lines):
                self.progress.update(1, done=self._revisions_read)
                yield record

    @override
    def write_plain(self, context: Context | None) -> None:
        for reader, lines in self._read_lines(context):
            for piece in reader.messages(lines):
                if isinstance(piece, dict):
                    count = 1
                    self.write_record(t.cast("Record", self.post_process(piece, context)))
                else:
                    messages, count = piece
                    self.services.writer.write_records(messages)
                    self.record_counter.increment(count)
                self.progress.update(count, done=self._revisions_read)

    def _read_lines(self, context: Context | None) -> Iterator[tuple[RevisionReader, list[bytes]]]:
        """Yield lines of the revisions, each list with the reader of its revision."""
        name = t.cast("str", context["export"]) if context else ""
        url = parse_folder_url(name)
        folder = Folder(
            url,
            shutdown=self.services.shutdown,
            retry=lambda function: self.retrying(function, lambda: url.protocol),
            max_concurrency=int(self.config["max_concurrency"]),
            timeout=self.timeout,
            max_time=self._max_read_time,
        )
        try:
            yield from self._read_export(Export(name, folder, self.stream_logger), context)
        finally:
            folder.close()

    def _read_export(self, export: Export, context: Context | None) -> Iterator[tuple[RevisionReader, list[bytes]]]:
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        start_date = parse_instant(self.config.get("start_date"))
        plan = export.make_plan(
            self.state_manager.bookmark(context) if is_incremental else None,
            start_date.timestamp() if start_date else None,
        )
        self._expect(export, plan)
        encoder = LineEncoder(self.name, export.name)
        empty = 0
        numbers = {file: revision for revision, file in plan.revisions}
        for file, blocks in export.folder.read(list(numbers)):
            revision = numbers[file]
            reader = RevisionReader(export.name, revision, encoder)
            for lines in split_lines(self._checked(file, blocks)):
                yield reader, lines
            if defects := reader.describe_defects():
                self.stream_logger.warning("%s: revision %d: %s", export.name, revision, defects)
            empty += reader.empty
            self._revisions_read += 1
            if is_incremental:
                self.state_manager.advance(context, self.replication_key, revision)
                self.finalize_state_progress_markers(self.get_context_state(context))  # and write a STATE
        if empty:
            self.stream_logger.info("%s: %s skipped", export.name, plural(empty, "empty line"))
        if plan.missing is not None:
            msg = (
                f"{export.name}: {INDEX} lists {REVISIONS}/{plan.missing}.json, which does not exist; everything "
                "before it was read, and the next run begins with it"
            )
            raise FatalAPIError(msg)

    def _expect(self, export: Export, plan: Plan) -> None:
        """Add what is to be read of an export to the expected total."""
        self._revisions += len(plan.revisions)
        self._size += sum(file.size for _, file in plan.revisions)
        self.progress.expect(self._revisions, "revision", self._size)
        if len(self._exports) > 1:
            self.progress.part = f"export {self._exports.index(export.name) + 1} of {len(self._exports)}"

    def _checked(self, file: File, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks of a file; raise `FatalAPIError` if they hold no lines, or a line that is too long."""
        line_size = 0
        for number, block in enumerate(blocks):
            if number == 0 and (kind := next(filter(block.startswith, _OTHER_KINDS), None)):
                msg = f"{file.path} is {_OTHER_KINDS[kind]}, not lines of JSON in UTF-8: unpack or convert it"
                raise FatalAPIError(msg)
            end = block.rfind(b"\n")
            line_size = len(block) - end - 1 if end >= 0 else line_size + len(block)
            if line_size > MAX_LINE_SIZE:
                msg = f"{file.path} has a line of more than {MAX_LINE_SIZE >> 20} MiB"
                raise FatalAPIError(msg)
            yield block
            self.progress.update(0, done=self._revisions_read, size=len(block))
