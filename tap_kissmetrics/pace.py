"""The pace of requests, where the limit of the account is known."""

from __future__ import annotations

import time
from collections import deque

WINDOW = 61.0
"""Seconds; one more than a minute, for the server counts when a request arrives."""


class Pace:
    """Lets only so many requests begin within a minute; for one request at a time."""

    def __init__(self, per_minute: int) -> None:
        """Begin with none.

        Args:
            per_minute: The most requests that begin within a minute.
        """
        self.per_minute = per_minute
        self.kept = 0
        """Requests that are kept free for what cannot wait."""
        self._begun: deque[float] = deque(maxlen=per_minute)

    def wait(self) -> None:
        """Wait until another request may begin, and count it."""
        allowed = max(self.per_minute - self.kept, 1)
        if len(self._begun) >= allowed:
            time.sleep(max(self._begun[-allowed] + WINDOW - time.monotonic(), 0))
        self._begun.append(time.monotonic())
