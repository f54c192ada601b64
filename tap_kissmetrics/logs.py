"""Log records without secrets."""

from __future__ import annotations

import logging
import re
import typing as t
from urllib.parse import quote

if t.TYPE_CHECKING:
    from collections.abc import Iterable

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
            for form in filter(None, (secret, quote(secret, safe=""))):
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
        for pattern in self._patterns.values():
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


def drop_unhandled(record: logging.LogRecord) -> bool:
    """Drop the SDK's line on a stream that was aborted.

    The SDK writes it as an ERROR also when `--test` has read its one record; a stream
    that failed is reported by the tap itself, with its cause.

    Args:
        record: A record of a stream's logger.

    Returns:
        Whether to keep it.
    """
    return record.msg != "An unhandled error occurred while syncing '%s'"
