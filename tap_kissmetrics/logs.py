"""What is logged: no secrets, nothing of no use, and the name of the stream that a line is about."""

from __future__ import annotations

import logging
import re
import typing as t
from urllib.parse import quote

from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

HIDDEN: t.Final = "(hidden)"

SHORT: t.Final = 12
"""Characters below which a secret may be an everyday word: only whole words count."""


class Secrets:
    """Values that are shown nowhere."""

    def __init__(self) -> None:
        """Start without secrets."""
        self._patterns: dict[str, re.Pattern[str]] = {}

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these values from now on.

        Args:
            secrets: The values, as they are sent.
        """
        for secret in secrets:
            for form in filter(None, (secret, quote(secret, safe="", errors="surrogatepass"))):
                pattern = re.escape(form)
                if len(form) < SHORT:
                    pattern = rf"(?<!\w){pattern}(?!\w)"
                self._patterns[form] = re.compile(pattern)

    def clean(self, text: str) -> str:
        """Hide the secrets in a text.

        Args:
            text: Any text.

        Returns:
            The text without the secrets.
        """
        # The longest first: one may begin with another.
        for _, pattern in sorted(self._patterns.items(), key=lambda item: -len(item[0])):
            text = pattern.sub(HIDDEN, text)
        return text

    def clean_record(self, record: logging.LogRecord) -> None:
        """Hide the secrets in a log record.

        Args:
            record: The record, which is changed.
        """
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return  # a message that does not fit its arguments: logging reports that itself
        cleaned = self.clean(message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            if self.clean(trace) != trace:
                record.exc_info, record.exc_text = None, self.clean(trace)


SECRETS: t.Final = Secrets()
"""The secrets of this process."""


def hide_secrets(secrets: Iterable[str]) -> None:
    """Keep values out of every log of this process.

    Args:
        secrets: The values.
    """
    SECRETS.add(secrets)
    make_record = logging.getLogRecordFactory()
    if not isinstance(make_record, _CleanRecords):
        logging.setLogRecordFactory(_CleanRecords(make_record))


class _CleanRecords:
    """Makes records without secrets, for every logger and handler there is or will be."""

    def __init__(self, make_record: t.Callable[..., logging.LogRecord]) -> None:
        self._make_record = make_record

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._make_record(*args, **kwargs)
        SECRETS.clean_record(record)
        return record


class StreamLogger(logging.LoggerAdapter[logging.Logger]):
    """Begins each line with the name of the stream, for Meltano does not show which logger wrote it."""

    def __init__(self, logger: logging.Logger, stream: str) -> None:
        """Write to a logger.

        Args:
            logger: Takes the lines.
            stream: Name of the stream.
        """
        super().__init__(logger)
        self._stream = stream

    @override
    def process(self, msg: str, kwargs: MutableMapping[str, t.Any]) -> tuple[str, MutableMapping[str, t.Any]]:
        return f"{self._stream}: {msg}", kwargs


_OF_NO_USE: t.Final = {
    # Also when `--test` has read its one record; a stream that failed is reported by the tap itself, with its cause.
    "An unhandled error occurred while syncing '%s'",
    # Always: the tap reads the environment, and says so.
    "Skipping parse of env var settings...",
}


def drop_useless(record: logging.LogRecord) -> bool:
    """Drop lines of the SDK that tell a user nothing, or something that is not so.

    Args:
        record: A record of the logger of the tap or of a stream.

    Returns:
        Whether to keep it.
    """
    return record.msg not in _OF_NO_USE


def drop_deselected(record: logging.LogRecord) -> bool:
    """Drop the SDK's lines on streams that are deselected, where these are only done.

    Args:
        record: A record of the tap's logger.

    Returns:
        Whether to keep it.
    """
    return record.msg != "Skipping deselected stream '%s'."
