"""The clock of waits, retry budgets, rate limits, progress and date ranges.

Tests replace these functions, so they never wait.
"""

from __future__ import annotations

import datetime as dt
import time


def monotonic() -> float:
    """Seconds since an arbitrary moment; never goes back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Block the calling thread."""
    time.sleep(seconds)


def now() -> dt.datetime:
    """Return the date and time, in UTC."""
    return dt.datetime.now(dt.UTC)
