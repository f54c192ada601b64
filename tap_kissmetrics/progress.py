"""What a person wants to know of a sync while it goes on: how much, how far, how long."""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    import logging

INTERVAL: t.Final = 10.0
"""Seconds between two lines on the same stream."""


class Progress:
    """Counts what a stream reads, and tells it now and then.

    Attributes:
        records: Records read so far, before any is left out.
        requests: Requests sent so far.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """Begin.

        Args:
            logger: Takes the lines.
        """
        self.records = 0
        self.requests = 0
        self._logger = logger
        self._begun = self._told = time.monotonic()

    def page(self, count: int, total: int | None) -> None:
        """Take in a page.

        Args:
            count: Its records.
            total: Records of the whole stream; None where that is not known.
        """
        if not self.records and total:
            self._logger.info("%s records to read", f"{total:,}")
        self.records += count
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            so_far = f"{self.records:,} records"
            if total:
                so_far = f"{self.records:,} of {total:,} records ({min(self.records / total, 1):.0%})"
            self._logger.info("%s, %.0f s", so_far, now - self._begun)

    def done(self) -> None:
        """Tell that the stream is complete."""
        self._logger.info("Complete: %s", summary(self.records, self.requests, time.monotonic() - self._begun))


def summary(records: int, requests: int, seconds: float) -> str:
    """Say what was read.

    Args:
        records: How many records.
        requests: With how many requests.
        seconds: In which time.

    Returns:
        For instance "65,535 records, 66 requests, 8.4 s".
    """
    return f"{_many(records, 'record')}, {_many(requests, 'request')}, {seconds:.1f} s"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
