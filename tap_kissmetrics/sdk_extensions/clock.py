"""The clock of waits, retry budgets, rate limits and progress. Tests replace both functions, so they never wait."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds since an arbitrary moment; never goes back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Block the calling thread."""
    time.sleep(seconds)
