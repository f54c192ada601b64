"""Writing messages so that no line is ever cut."""

from __future__ import annotations

import os
import sys
import typing as t

from singer_sdk.io_base import SingerWriter
from singer_sdk.singerlib import ActivateVersionMessage
from typing_extensions import override

from tap_kissmetrics.errors import OutputError

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message


class MessageWriter(SingerWriter):
    """Writes whole lines to stdout.

    ACTIVATE_VERSION makes a target remove what did not come with the new version. The
    SDK writes it before the records; here it is held back until the stream is known
    to be complete.

    Attributes:
        started: Whether anything was written.
    """

    def __init__(self) -> None:
        """Start with nothing written."""
        super().__init__()
        self.started = False
        self._held: list[Message] = []
        self._writing = False
        self._waiting: t.Callable[[], None] | None = None

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, ActivateVersionMessage):
            self._held.append(message)
            return
        self._write_line(self.format_message(message))

    def release(self) -> None:
        """Write the ACTIVATE_VERSION messages of a stream that is complete."""
        held, self._held = self._held, []
        for message in held:
            self._write_line(self.format_message(message))

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

    def _write_line(self, line: str) -> None:
        if t.cast("t.TextIO | None", sys.stdout) is None:
            msg = "the output cannot be written: it is closed"
            raise OutputError(msg)
        self.started = True
        self._writing = True
        try:
            sys.stdout.buffer.write(line.encode() + b"\n")
            sys.stdout.buffer.flush()
        except OSError as error:
            _abandon_stdout()
            if isinstance(error, BrokenPipeError):
                msg = "the reader of the output went away; nothing more can be written"
            else:
                msg = f"the output cannot be written: {error.strerror}"
            raise OutputError(msg) from error
        finally:
            self._writing = False
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            waiting()


def _abandon_stdout() -> None:
    """Keep the interpreter from writing the rest of the buffer again at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
