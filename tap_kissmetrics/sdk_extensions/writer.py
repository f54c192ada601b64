"""Write Singer messages in whole lines, with ACTIVATE_VERSION after the records, and batch files."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import sys
import typing as t

import msgspec
from singer_sdk.batch import Batcher
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.io_base import SingerWriter
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage, SchemaMessage, StateMessage
from singer_sdk.singerlib.json import serialize_json
from typing_extensions import override

from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.logs import describe_cause, is_disk_full

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.singerlib import Message

    from tap_kissmetrics.sdk_extensions.values import Record
    from tap_kissmetrics.sdk_extensions.waiting import Shutdown


BUFFER_SIZE: t.Final = 2**16
"""Bytes of RECORD lines that are written at once: the capacity of a pipe on Linux."""

_encode_into: t.Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode_into


class OutputError(SingerSDKError):
    """Nothing more can be written: the target has ended, or the disk is full."""


class BufferedWriter(SingerWriter):
    """Write whole lines to stdout: RECORD messages in blocks of `BUFFER_SIZE` bytes, other messages at once.

    Some targets empty their files at a SCHEMA, and all delete at an ACTIVATE_VERSION what did not arrive with the new
    version. So during a sync a SCHEMA waits for the first record of its stream, and an ACTIVATE_VERSION for the end.
    """

    shutdown: Shutdown | None = None
    """Checked after each RECORD line."""

    hold_schemas = False
    """Whether SCHEMA waits for the first record, or for the end of a stream that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.has_written = False
        self._schemas: list[Message] = []
        self._versions: list[Message] = []
        self._buffer = bytearray()

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, ActivateVersionMessage):
            self._versions.append(message)
        elif isinstance(message, SchemaMessage):
            message.schema = _without_annotations(message.schema)
            message.key_properties = message.key_properties or []  # some targets require them
            self._schemas.append(message)
            if not self.hold_schemas:
                self._write_schemas()
        else:
            if not isinstance(message, StateMessage):
                self._write_schemas()
            self._write(message)

    def write_record(self, stream: str, record: Record, version: int | None = None) -> None:
        """Write a RECORD message, as the SDK would write it."""
        line: dict[str, t.Any] = {"type": "RECORD", "stream": stream, "record": record}
        if version is not None:
            line["version"] = version
        line["time_extracted"] = dt.datetime.now(dt.UTC)
        self._write_schemas()
        self._append(line)
        self._after_record()

    def write_records(self, lines: bytearray) -> None:
        """Write RECORD messages, which are whole lines already."""
        if lines:
            self._write_schemas()
            self._buffer += lines
            self._after_record()

    def release(self) -> None:
        """End a stream that is complete: write its SCHEMA, if it had no record, and its ACTIVATE_VERSION."""
        self._write_schemas()
        for message in self._versions:
            self._write(message)
        self._versions = []

    def discard_activate_version(self) -> bool:
        """End a stream that may be incomplete, without its ACTIVATE_VERSION; return whether it had one."""
        self._write_schemas()
        versions, self._versions = self._versions, []
        return bool(versions)

    def discard(self) -> None:
        """End a stream that failed: drop its ACTIVATE_VERSION, and its SCHEMA if no record was written."""
        self._versions = []
        self._schemas = []

    def flush(self) -> None:
        """Write what is buffered; raise `OutputError` if that is impossible."""
        if not self._buffer:
            return
        try:
            _write_all(self._buffer)
        except OSError as error:
            abandon_stdout()
            if isinstance(error, BrokenPipeError):
                msg = "the target has ended (see its error above); nothing more can be written"
            else:
                msg = f"the output cannot be written: {error.strerror}"
            raise OutputError(msg) from error
        finally:
            self._buffer.clear()

    def _write_schemas(self) -> None:
        for message in self._schemas:
            self._write(message)
        self._schemas = []

    def _write(self, message: Message) -> None:
        self._append(message.to_dict())
        if isinstance(message, RecordMessage):
            self._after_record()
        else:
            self.flush()

    def _append(self, line: dict[str, t.Any]) -> None:
        self.has_written = True
        start = len(self._buffer)
        try:
            _encode_into(line, self._buffer, -1)
        except UnicodeEncodeError:  # a lone surrogate, which only the SDK's slower encoder escapes
            del self._buffer[start:]
            self._buffer += serialize_json(line).encode()
        except BaseException:
            del self._buffer[start:]  # no part of a line may be written
            raise
        self._buffer += b"\n"

    def _after_record(self) -> None:
        if len(self._buffer) >= BUFFER_SIZE:
            self.flush()
        if self.shutdown:
            self.shutdown.check()


def _without_annotations(schema: dict[str, t.Any]) -> dict[str, t.Any]:
    """Leave out what is of no use to a target, and what some refuse."""
    plain = {name: value for name, value in schema.items() if name not in {"$id", "$schema", "title"}}
    if columns := plain.get("properties"):
        plain["properties"] = {name: _without_annotations(column) for name, column in columns.items()}
    if items := plain.get("items"):
        plain["items"] = _without_annotations(items)
    return plain


def _write_all(lines: bytearray) -> None:
    """Write to the end, also where PYTHONUNBUFFERED makes a full pipe cut a write short."""
    with memoryview(lines) as view:
        done = 0
        while done < len(view):
            # None: a pipe that does not block is full, and nothing was written.
            written = t.cast("int | None", sys.stdout.buffer.write(view[done:]))
            if written is None:
                waiting.sleep(0.01)
            done += written or 0
    sys.stdout.buffer.flush()


def abandon_stdout() -> None:
    """Keep the interpreter from writing the rest of its buffer again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_batches(
    records: Iterator[Record], batch_config: BatchConfig, *, tap_name: str, stream_name: str
) -> Iterator[list[str]]:
    """Write records to files, and yield the names of each file once it holds all records that were read.

    Raises `OutputError` for whatever the library of a storage raises.
    """
    if batch_config.encoding.format == "jsonl":
        batch_config.encoding.compression = "gzip"  # which the SDK uses in any case, and a target has to know
    batcher = Batcher(tap_name=tap_name, stream_name=stream_name, batch_config=batch_config)
    while batch := list(itertools.islice(records, batch_config.batch_size)):
        try:
            manifests = list(batcher.get_batches(iter(batch)))
        except Exception as error:
            msg = f"batch_config: {'no space left on the disk' if is_disk_full(error) else describe_cause(error)}"
            raise OutputError(msg) from error
        yield from manifests
