"""What a person wants to know of a sync while it goes on: how much, how far, how long."""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    from tap_kissmetrics.logs import StreamLogger

INTERVAL: t.Final = 10.0
"""Seconds between two lines on the same stream."""


class Progress:
    """Counts what a stream reads, and tells it now and then.

    Attributes:
        records: Records read so far.
        left_out: How many of them were left out, for they are before the bookmark.
        requests: Requests so far, those that failed included; not what was sent ahead and never asked for.
        part: Which part of the stream is read, where it has several: "product 2 of 3".
    """

    def __init__(self, logger: StreamLogger) -> None:
        """Begin with nothing.

        Args:
            logger: Takes the lines.
        """
        self.records = 0
        self.left_out = 0
        self.requests = 0
        self.part = ""
        self._logger = logger
        self._begun = self._told = 0.0

    def request(self) -> None:
        """Count a request that is about to be sent; with the first one the clock starts."""
        if not self.requests:
            self._begun = self._told = time.monotonic()
        self.requests += 1

    def page(self, count: int, total: int | None) -> None:
        """Take in a page.

        Args:
            count: Its records.
            total: Records of the whole stream; None where that is not known.
        """
        if not self.records and total:
            self._logger.info("%s to read", many(total, "record"))
        self.records += count
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            so_far = f"{self.records:,} records"
            if total:
                so_far = f"{self.records:,} of {total:,} records ({min(self.records / total, 1):.0%})"
            self._logger.info("%s", ", ".join(filter(None, (so_far, self.part, f"{now - self._begun:.0f} s"))))

    def done(self) -> None:
        """Tell that the stream is complete."""
        seconds = time.monotonic() - self._begun if self.requests else 0.0
        left_out = f", {self.left_out:,} of them before the bookmark and left out" if self.left_out else ""
        self._logger.info("complete: %s%s", summary(self.records, self.requests, seconds), left_out)


def summary(records: int, requests: int, seconds: float) -> str:
    """Say what was read.

    Args:
        records: How many records.
        requests: With how many requests.
        seconds: In which time.

    Returns:
        For instance "65,535 records, 66 requests, 8.4 s".
    """
    return f"{many(records, 'record')}, {many(requests, 'request')}, {seconds:.1f} s"


def many(count: int, what: str) -> str:
    """Say how many there are of something.

    Args:
        count: How many.
        what: The word for one of them.

    Returns:
        For instance "1 stream" or "6 streams".
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
