"""Writing messages so that no line is ever cut."""

from __future__ import annotations

import os
import select
import sys
import typing as t

import msgspec
from singer_sdk.io_base import SingerWriter
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage
from typing_extensions import override

from tap_kissmetrics.errors import OutputError

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message


BUFFER: t.Final = 2**16
"""Bytes of RECORD lines that are written at once: as many as a pipe of Linux holds."""

_encode_into: t.Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode_into


class MessageWriter(SingerWriter):
    """Writes whole lines to stdout.

    RECORD messages are gathered, up to `BUFFER`; all others are written at once, and
    what was gathered before them.

    ACTIVATE_VERSION makes a target remove what did not come with the new version. The
    SDK writes it before the records; here it is held back until the stream is known
    to be complete.

    Attributes:
        started: Whether there was anything to write.
    """

    def __init__(self) -> None:
        """Start with nothing written."""
        super().__init__()
        self.started = False
        self._held: list[Message] = []
        self._lines = bytearray()
        self._writing = False
        self._waiting: t.Callable[[], None] | None = None

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, ActivateVersionMessage):
            self._held.append(message)
        else:
            self._write(message)

    def release(self) -> None:
        """Write the ACTIVATE_VERSION messages of a stream that is complete."""
        held, self._held = self._held, []
        for message in held:
            self._write(message)

    def discard(self) -> None:
        """Forget the ACTIVATE_VERSION messages of a stream that failed."""
        self._held = []

    def call_between_lines(self, func: t.Callable[[], None]) -> None:
        """Call a function as soon as no line is half written.

        Args:
            func: Called at once, or after the line that a signal interrupted.
        """
        if self._writing:
            self._waiting = func
        else:
            func()

    def flush(self) -> None:
        """Write what was gathered.

        Raises:
            OutputError: If it cannot be written.
        """
        self._writing = True
        try:
            self._flush()
        finally:
            self._writing = False
        self._call_waiting()

    def _write(self, message: Message) -> None:
        self.started = True
        self._writing = True
        try:
            self._append(message)
            if len(self._lines) >= BUFFER or not isinstance(message, RecordMessage):
                self._flush()
        finally:
            self._writing = False
        self._call_waiting()

    def _append(self, message: Message) -> None:
        start = len(self._lines)
        try:
            _encode_into(message.to_dict(), self._lines, -1)
        except UnicodeEncodeError:  # a lone surrogate: only the slow writer escapes it
            del self._lines[start:]
            self._lines += self.format_message(message).encode()
        self._lines += b"\n"

    def _flush(self) -> None:
        try:
            _write_all(self._lines)
        except OSError as error:
            abandon_stdout()
            if isinstance(error, BrokenPipeError):
                msg = "the reader of the output went away; nothing more can be written"
            else:
                msg = f"the output cannot be written: {error.strerror}"
            raise OutputError(msg) from error
        finally:
            self._lines.clear()

    def _call_waiting(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            waiting()


def _write_all(lines: bytearray) -> None:
    """Write to the end, also where PYTHONUNBUFFERED makes a signal or a full pipe cut a write short."""
    with memoryview(lines) as left:
        done = 0
        while done < len(left):
            # None: it is full, does not block, and nothing was written.
            written = t.cast("int | None", sys.stdout.buffer.write(left[done:]))
            if written is None:
                select.select([], [sys.stdout], [])
            done += written or 0
    sys.stdout.buffer.flush()


def abandon_stdout() -> None:
    """Keep the interpreter from writing the rest of the buffer again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
