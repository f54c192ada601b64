"""What is logged: never a secret, the name of the stream on each line, and how far a sync is."""

from __future__ import annotations

import base64
import errno
import html
import json
import logging
import os
import re
import sys
import threading
import typing as t
from contextlib import contextmanager, suppress
from urllib.parse import quote

from typing_extensions import override

from tap_kissmetrics.sdk_extensions import waiting

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping


REDACTED: t.Final = "(hidden)"

MIN_DISTINCTIVE_LENGTH: t.Final = 12
"""Characters below which a secret may be an everyday word: only whole words are redacted."""

MAX_LINE_LENGTH: t.Final = 480
"""Characters of a log message: with what stands before it, a line has 600 at most."""

MAX_QUOTED_LENGTH: t.Final = 200
"""Characters of foreign text, such as an error of the API, that are shown."""

Logger: t.TypeAlias = logging.Logger | logging.LoggerAdapter[t.Any]


class Redactor:
    """Replaces secrets in text by `REDACTED`: as they are, and as URLs, JSON, `repr`, HTML and Base64 write them."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pattern = re.compile(r"(?!)")  # matches nothing

    def add(self, secrets: Iterable[str]) -> None:
        """Redact these values from now on."""
        for secret in filter(str.strip, secrets):
            encoded = base64.b64encode(secret.encode(errors="surrogatepass")).decode()
            # Base64 comes with padding or without.
            self._texts |= {text.rstrip("=") for text in (secret, encoded)}
        self._texts.discard("")
        if self._texts:
            # The longest first: one secret may begin with another.
            texts = sorted(self._texts, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_pattern_of, texts)), re.IGNORECASE)

    def redact(self, text: str, *, is_own: bool = False) -> str:
        """Return the text without secrets. The tap's own text keeps those that may be everyday words."""

        def replace(match: re.Match[str]) -> str:
            is_word = is_own and match[0].isalpha() and len(match[0]) < MIN_DISTINCTIVE_LENGTH
            return match[0] if is_word else REDACTED

        return self._pattern.sub(replace, text)

    def redact_record(self, record: logging.LogRecord, own_logger: str) -> None:
        """Remove the secrets from a log record, in place. Foreign text in the tap's own lines is redacted before."""
        with suppress(TypeError, ValueError):  # arguments that do not fit the message: logging itself reports that
            message = record.getMessage()
            redacted = self.redact(message, is_own=record.name.startswith(own_logger))
            if len(redacted) > MAX_LINE_LENGTH:
                shown = redacted[:MAX_LINE_LENGTH]
                redacted = f"{shown.rpartition(' ')[0] or shown} ... ({len(redacted):,} characters)"
            if redacted != message:
                record.msg, record.args = redacted, ()
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, self.redact(trace)


def _pattern_of(text: str) -> str:
    """Return a pattern of a secret each of whose signs may be escaped."""
    pattern = ""
    for char in text:
        forms = {char}
        if not (char.isascii() and char.isalnum()):
            forms |= {
                quote(char, safe="", errors="surrogatepass"),
                json.dumps(char)[1:-1],
                repr(char)[1:-1],
                f"\\{char}",  # a slash in JSON, a quote in a `repr`
                html.escape(char),
                f"&#{ord(char)};",
                # Blanks in a query string, and the alphabet of Base64 for URLs.
                {" ": "+", "+": "-", "/": "_"}.get(char, char),
            }
        pattern += f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"
    pattern += "={0,2}"
    return pattern if len(text) >= MIN_DISTINCTIVE_LENGTH else rf"(?<!\w){pattern}(?!\w)"


REDACTOR: t.Final = Redactor()
"""The secrets of this process."""


def redact_logs(secrets: Iterable[str], own_logger: str) -> None:
    """Keep these values out of every log line of this process. The tap's own lines are those of `own_logger`."""
    REDACTOR.add(secrets)

    class RedactedRecord(logging.LogRecord):
        @override
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            REDACTOR.redact_record(self, own_logger)

    # As records are made, whichever logger and handler they are for.
    logging.setLogRecordFactory(RedactedRecord)


def truncate(text: str) -> str:
    """Make foreign text fit for a message: its beginning, on one line, printable, without secrets."""
    text = " ".join(REDACTOR.redact(text).split())
    text = "".join(filter(str.isprintable, text))
    return text if len(text) <= MAX_QUOTED_LENGTH else text[:MAX_QUOTED_LENGTH] + "..."


def shorten(text: str, length: int) -> str:
    """Leave out the middle of text that is too long, by whole words. What is left shows no part of a secret."""
    text = REDACTOR.redact(text, is_own=True)
    if len(text) <= length:
        return text
    start, end = text[: length * 2 // 3], text[-length // 3 :]
    return f"{start.rpartition(' ')[0] or start}...{end.partition(' ')[2] or end}"


def first_cause(error: BaseException) -> BaseException:
    """Follow a chain of exceptions, as HTTP libraries wrap them, to the first one."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    return error


def describe_cause(error: BaseException) -> str:
    """Quote the first error of a chain of exceptions."""
    first = first_cause(error)
    return truncate(str(first)) or type(first).__name__


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether a chain of exceptions is about a full disk."""
    while error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__cause__ or error.__context__
    return False


class StreamLogger(logging.LoggerAdapter[t.Any]):
    """Begins each line with the name of the stream, because Meltano does not show which logger wrote a line."""

    def __init__(self, logger: Logger, stream: str) -> None:
        super().__init__(logger)
        self.stream = stream

    @override
    def process(self, msg: str, kwargs: MutableMapping[str, t.Any]) -> tuple[str, MutableMapping[str, t.Any]]:
        return f"{self.stream}: {msg}", kwargs


_REDUNDANT: t.Final = {
    # Logged even when `--test` has read its one record; a stream that fails is reported with its cause.
    "An unhandled error occurred while syncing '%s'",
    # Wrong: this package reads the environment itself, and logs what it found.
    "Skipping parse of env var settings...",
    # Replaced by a line with the number of the stream.
    "Beginning sync of '%s' in %s mode",
    # Logged for `--discover` without credentials, which is fine; wrong settings are reported one by one.
    "Config validation failed",
}


def drop_redundant(record: logging.LogRecord) -> bool:
    """Filter out lines of the SDK that are useless or wrong in a tap that uses this package."""
    return record.msg not in _REDUNDANT


def is_log_detailed() -> bool:
    """Return whether the log is that of a developer or of a program: DEBUG, or a file configures it, as in Meltano."""
    return logging.getLogger().isEnabledFor(logging.DEBUG) or "SINGER_SDK_LOG_CONFIG" in os.environ


def plural(count: int, noun: str) -> str:
    """Count something in English, such as "1 stream" or "6 streams"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


LOG_INTERVAL: t.Final = 10.0
"""Seconds between two progress lines of a stream in the log."""

DRAW_INTERVAL: t.Final = 0.1
"""Seconds between two updates of the line of a terminal."""


class TerminalLine:
    """The last line of a terminal. Log handlers that write through this object write above it.

    The cursor rests in its first column, so that a program in the same pipe, such as a target, overwrites the line
    rather than appending to it.
    """

    def __init__(self, terminal: t.TextIO) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line; what does not fit is left out from a comma on. An empty text removes it."""
        # Without a terminal, as after SIGHUP under nohup, the sync goes on.
        with self._lock, suppress(OSError):
            # Not by shutil, which looks at stdout. Terminals that were not told their size have 0 columns.
            width = (os.get_terminal_size(self._terminal.fileno()).columns or 80) - 1  # a full line would wrap
            if len(text) > width:
                text = text[: width + 2].rpartition(", ")[0] or text[:width]
            self._terminal.write(f"\r{text.ljust(len(self._shown))}\r")
            self._terminal.flush()
            self._shown = text

    def write(self, text: str) -> None:
        """Write what a log handler writes, above the line."""
        with self._lock:
            blank = " " * len(self._shown)
            self._terminal.write(f"\r{blank}\r{text}\r{self._shown}\r" if self._shown else text)
            self._terminal.flush()


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
        line.show("")
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
        started_at = self._start()
        now = waiting.monotonic()
        if now - max(started_at, self._shown_at) < (DRAW_INTERVAL if self._line else LOG_INTERVAL):
            return
        self._shown_at = now
        text = self._describe(now - started_at)
        if self._line:
            self._line.show(f"{self._logger.stream}: {text}")
        else:
            self._logger.info("%s", text)

    def complete(self) -> None:
        """Log that the stream is complete."""
        started_at = self._start()
        seconds = waiting.monotonic() - started_at
        self._logger.info("complete: %s", summary(self.records, self.skipped, self.requests, seconds))
        if self.records and self.skipped == self.records:
            self._logger.warning("all records are older than the bookmark or start_date: nothing was written")

    def _start(self) -> float:
        """Return when the first request began, or the first page came of a list that is only looked up."""
        if self._started_at is None:
            self._started_at = waiting.monotonic()
        return self._started_at

    def _describe(self, elapsed: float) -> str:
        share = 0.0
        parts = []
        if self._total:
            share = min(self._size / self._total_size if self._total_size else self._done / self._total, 1)
            parts.append(f"{self._done:,} of {plural(self._total, self._unit)} ({share:.0%})")
        if self._size:
            of_total = f" of {format_size(self._total_size)}" if self._total_size else ""
            parts.append(f"{format_size(self._size)}{of_total}")
        if not self._total or self._unit != "record":
            parts.append(plural(self.records, "record"))
        if self.records >= elapsed > 0:
            parts.append(f"{self.records / elapsed:,.0f}/s")
        parts.append(duration(elapsed))
        if 0 < share < 1:
            parts.append(f"about {duration(elapsed * (1 - share) / share)} left")
        return ", ".join(filter(None, (*parts, self.part, self._position)))


def summary(records: int, skipped: int, requests: int, seconds: float) -> str:
    """Sum up a read: "65,535 records, 66 requests, 8.4 s", or "637 read, 636 written, 8 requests, 0.4 s"."""
    counts = f"{records:,} read, {records - skipped:,} written" if skipped else plural(records, "record")
    return f"{counts}, {plural(requests, 'request')}, {duration(seconds)}"


def duration(seconds: float) -> str:
    """Format a duration roughly: "0.4 s", "40 s", "12 min" or "3 h 20 min"."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def format_size(size: int) -> str:
    """Format a number of bytes, such as "1.2 MiB"."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:  # noqa: PLR2004
            break
        number, unit = number / 1024, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
