"""The clock that every wait and every time limit uses. Tests replace both functions, so that no test waits."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds since an arbitrary moment; never goes back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Block the calling thread."""
    time.sleep(seconds)
