"""A clock for runs in this process: waiting takes no time, yet the time that was waited has passed."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from tap_kissmetrics.sdk_extensions import waiting

if TYPE_CHECKING:
    import pytest


class Clock:
    """The real clock, ahead by what the tap has slept; `sleeps` are the seconds of each sleep.

    Once it is frozen, sleeps alone take time. The date and time are the real ones, unless `today` is set.
    """

    def __init__(self) -> None:
        """Start with the real time."""
        self.sleeps: list[float] = []
        self.today: dt.datetime | None = None
        self._ahead = 0.0
        self._frozen_at: float | None = None

    def freeze(self) -> None:
        """Let the work of the tap take no time, however busy the machine is."""
        self._frozen_at = time.monotonic()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return (time.monotonic() if self._frozen_at is None else self._frozen_at) + self._ahead

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass."""
        self.sleeps.append(seconds)
        self._ahead += seconds

    def now(self) -> dt.datetime:
        """The date and time."""
        return self.today or dt.datetime.now(dt.UTC)

    @property
    def slept(self) -> float:
        """Seconds of all sleeps."""
        return sum(self.sleeps)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the tap use it."""
        monkeypatch.setattr(waiting, "monotonic", self.monotonic)
        monkeypatch.setattr(waiting, "sleep", self.sleep)
        monkeypatch.setattr(waiting, "now", self.now)
