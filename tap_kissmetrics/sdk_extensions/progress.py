"""How far a sync is: a line in the log every ten seconds, or one line of a terminal that is updated in place."""

from __future__ import annotations

import logging
import os
import sys
import threading
import typing as t
from contextlib import contextmanager, suppress

from tap_kissmetrics.sdk_extensions import clock
from tap_kissmetrics.sdk_extensions.logs import is_log_detailed, plural

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_kissmetrics.sdk_extensions.logs import StreamLogger

LOG_INTERVAL: t.Final = 10.0
"""Seconds between two progress lines of a stream in the log."""

DRAW_INTERVAL: t.Final = 0.1
"""Least seconds between two updates of the line of a terminal."""

MIN_MEASURED_TIME: t.Final = 1.0
"""Seconds from which on the rate of a stream is worth showing."""

DEFAULT_WIDTH: t.Final = 80
"""Columns of a terminal that does not tell."""


class TerminalLine:
    """The last line of a terminal. Log handlers that write through this object write above it.

    The cursor rests in its first column, so that a program in the same pipe, such as a target, overwrites the line
    rather than appending to it. No escape sequence is needed.
    """

    def __init__(self, terminal: t.TextIO) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line; what does not fit is left out from a comma on."""
        width = self._width() - 1  # a full line would wrap
        if len(text) > width:
            text = text[: width + 2].rpartition(", ")[0] or text[:width]
        with self._lock:
            self._draw(text)

    def clear(self) -> None:
        """Remove the line."""
        self.show("")

    def write(self, text: str) -> None:
        """Write what a log handler writes, above the line."""
        with self._lock:
            shown = self._shown
            self._draw("")
            self._terminal.write(text)
            self._draw(shown)

    def flush(self) -> None:
        """Flush the terminal."""
        self._terminal.flush()

    def _draw(self, text: str) -> None:
        if text or self._shown:
            # Without a terminal, as after SIGHUP under nohup, the sync goes on.
            with suppress(OSError):
                self._terminal.write(f"\r{text.ljust(len(self._shown))}\r")
                self._terminal.flush()
            self._shown = text

    def _width(self) -> int:
        try:
            # Not by shutil, which looks at stdout; 0 comes from terminals that were not told their size.
            return os.get_terminal_size(self._terminal.fileno()).columns or DEFAULT_WIDTH
        except OSError:
            return DEFAULT_WIDTH


@contextmanager
def terminal_line() -> Iterator[TerminalLine | None]:
    """Reserve the last line of the terminal that shows the log, if it is one and shows the usual log."""
    root, terminal = logging.getLogger(), sys.stderr
    is_usual = root.isEnabledFor(logging.INFO) and not is_log_detailed()
    if not is_usual or not terminal.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    line = TerminalLine(terminal)
    handlers = [each for each in root.handlers if isinstance(each, logging.StreamHandler) and each.stream is terminal]
    for handler in handlers:
        handler.setStream(line)
    try:
        yield line
    finally:
        line.clear()
        for handler in handlers:
            handler.setStream(terminal)


class Progress:
    """Counts the records and requests of one stream, and shows how far it is."""

    def __init__(self, logger: StreamLogger) -> None:
        self.records = 0
        self.skipped = 0
        """Records older than the bookmark, which are not emitted."""
        self.requests = 0
        self.part = ""
        """The part of the stream that is read, where it has several: "product 2 of 3"."""
        self._logger = logger
        self._line: TerminalLine | None = None
        self._position = ""
        self._total = 0
        self._unit = "record"
        self._total_size = 0
        self._done = 0
        self._size = 0
        self._started_at: float | None = None
        self._shown_at = 0.0

    def begin(self, position: str, mode: str, line: TerminalLine | None) -> None:
        """Log that the sync begins with this stream, such as "stream 4 of 6", and show it on a line of a terminal."""
        self._position, self._line = position, line
        self._logger.info("started (%s)", ", ".join(filter(None, (position, mode))))
        if line:
            line.show(f"{self._logger.stream}: {position or 'started'}")

    @contextmanager
    def count_requests(self, request_count: t.Callable[[], int]) -> Iterator[None]:
        """Count the requests of a block, failed ones included; `request_count` returns those of the whole run."""
        self._start()
        before = request_count()
        try:
            yield
        finally:
            self.requests += request_count() - before

    def expect(self, total: int, unit: str, size: int = 0) -> None:
        """Note how many files or other units there are to read, and how many bytes, if that is known."""
        self._total, self._unit, self._total_size = total, unit, size

    def update(self, records: int, total: int | None = None, *, done: int | None = None, size: int = 0) -> None:
        """Add the records that were read, and their bytes.

        `total` is the number of records of the whole stream, if it is known. After `expect`, `done` is the number of
        units that have been read.
        """
        if total:
            if not self._total and not self.records:
                self._logger.info("%s to read", plural(total, "record"))
            self._total = total
        self.records += records
        self._size += size
        self._done = self.records if done is None else done
        self.refresh()

    def refresh(self) -> None:
        """Show how far the stream is, unless that was done a moment ago."""
        now = self._start()
        if now - self._shown_at < (DRAW_INTERVAL if self._line else LOG_INTERVAL):
            return
        self._shown_at = now
        text = self._describe(now)
        if self._line:
            self._line.show(f"{self._logger.stream}: {text}")
        else:
            self._logger.info("%s", text)

    def complete(self) -> None:
        """Log that the stream is complete."""
        seconds = 0.0 if self._started_at is None else clock.monotonic() - self._started_at
        self._logger.info("complete: %s", summary(self.records, self.skipped, self.requests, seconds))
        if self.records and self.skipped == self.records:
            self._logger.warning("all records are older than the bookmark or start_date: nothing was written")

    def _start(self) -> float:
        now = clock.monotonic()
        if self._started_at is None:  # by the first request, or the first page of a list that is only looked up
            self._started_at = now
            self._shown_at = now - (DRAW_INTERVAL if self._line else 0.0)
        return now

    def _describe(self, now: float) -> str:
        elapsed = now - t.cast("float", self._started_at)
        share = 0.0
        parts = []
        if self._total:
            share = self._size / self._total_size if self._total_size else self._done / self._total
            parts.append(f"{self._done:,} of {plural(self._total, self._unit)} ({min(share, 1):.0%})")
        if self._size:
            of_total = f" of {self._total_size / 1e6:,.1f}" if self._total_size else ""
            parts.append(f"{self._size / 1e6:,.1f}{of_total} MB")
        if not self._total or self._unit != "record":
            parts.append(plural(self.records, "record"))
        if elapsed >= MIN_MEASURED_TIME:
            rate = self.records / elapsed
            parts += [f"{rate:,.0f}/s"] * (rate >= 1)
            parts.append(duration(elapsed))
            if 0 < share < 1:
                parts.append(f"about {duration(max(elapsed * (1 - share) / share, 1))} left")
        return ", ".join(filter(None, (*parts, self.part, self._position)))


def summary(records: int, skipped: int, requests: int, seconds: float) -> str:
    """Sum up a read: "65,535 records, 66 requests, 8.4 s", or "637 read, 636 written, 8 requests, 0.4 s"."""
    counts = f"{records:,} read, {records - skipped:,} written" if skipped else plural(records, "record")
    return f"{counts}, {plural(requests, 'request')}, {seconds:.1f} s"


def duration(seconds: float) -> str:
    """Say roughly how long something takes: "40 s", "12 min" or "3 h 20 min"."""
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
