"""The pace of requests, where the limit of the account is known."""

from __future__ import annotations

import time
import typing as t
from collections import deque

if t.TYPE_CHECKING:
    import logging

WINDOW = 61.0
"""Seconds; one more than a minute, for the server counts when a request arrives."""

LONG: t.Final = 5.0
"""Seconds from which on a wait is logged."""


class Pace:
    """Lets only so many requests begin within a minute; for one request at a time."""

    def __init__(self, per_minute: int, logger: logging.Logger) -> None:
        """Begin with none.

        Args:
            per_minute: The most requests that begin within a minute.
            logger: Takes a line on each long wait.
        """
        self.per_minute = per_minute
        self._logger = logger
        self._begun: deque[float] = deque(maxlen=per_minute)

    def wait(self) -> None:
        """Wait until another request may begin, and count it."""
        if len(self._begun) == self.per_minute:
            pause = max(self._begun[0] + WINDOW - time.monotonic(), 0)
            if pause >= LONG:
                self._logger.info("Waiting %.0f s to stay within %d requests a minute", pause, self.per_minute)
            time.sleep(pause)
        self._begun.append(time.monotonic())
