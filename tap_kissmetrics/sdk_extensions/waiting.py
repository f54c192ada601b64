"""What the tap waits with: a clock that tests replace, and a flag that ends every wait when a signal arrives."""

from __future__ import annotations

import datetime as dt
import math
import os
import signal
import threading
import time
import typing as t
from concurrent.futures import FIRST_COMPLETED, Future, wait

if t.TYPE_CHECKING:
    from collections.abc import Iterable


def monotonic() -> float:
    """Seconds since an arbitrary moment; never goes back."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Block the calling thread."""
    time.sleep(seconds)


def now() -> dt.datetime:
    """Return the date and time, in UTC."""
    return dt.datetime.now(dt.UTC)


CHECK_INTERVAL: t.Final = 0.2
"""Seconds between two checks of the flag during a wait."""

DUPLICATE_INTERVAL: t.Final = 0.25
"""Seconds within which a further signal counts as the same one: a terminal and Meltano both pass on a Ctrl-C."""

SIGNALS: t.Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a run in good order. Windows has no SIGHUP."""

T = t.TypeVar("T")


class ShutdownRequested(SystemExit):
    """Raised where the flag is checked; `code` is 128 plus the number of the signal, as shells report it."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class Shutdown:
    """The flag of one tap.

    It is a plain attribute: a `threading.Event` that is set in a signal handler while the same thread waits for it can
    deadlock.
    """

    def __init__(self) -> None:
        self._signum: int | None = None
        self._requested_at = 0.0
        self._ignored = [signum for signum in SIGNALS if signal.getsignal(signum) is signal.SIG_IGN]

    def install(self, handler: t.Callable[[int, t.Any], None]) -> None:
        """Install a handler for `SIGNALS`, but for those that were ignored at first, as SIGHUP under `nohup`."""
        if threading.current_thread() is threading.main_thread():  # no other can
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_IGN if signum in self._ignored else handler)

    def request(self, signum: int) -> None:
        """Set the flag. A second signal ends the process at once, even one that is blocked on a pipe nobody reads."""
        now = time.monotonic()
        if self._signum is None:
            self._signum, self._requested_at = signum, now
        elif now - self._requested_at > DUPLICATE_INTERVAL:
            os._exit(128 + signum)

    def check(self) -> None:
        """Raise `ShutdownRequested` if a signal arrived."""
        if self._signum is not None:
            raise ShutdownRequested(self._signum)

    def sleep(self, seconds: float) -> None:
        """Sleep, or raise `ShutdownRequested` as soon as a signal arrives."""
        end = monotonic() + seconds
        self.check()
        while (left := end - monotonic()) > 0:
            sleep(min(left, CHECK_INTERVAL))
            self.check()

    def start(self, func: t.Callable[[], T]) -> Future[T]:
        """Run a function in a thread of its own, which nobody waits for when the process exits."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(func())
                except Exception as error:  # noqa: BLE001 - raised in the thread that asks for the result
                    future.set_exception(error)

        # Not a thread pool, which the interpreter waits for when it exits; a tap that is stopped exits at once.
        threading.Thread(target=run, daemon=True).start()
        return future

    def wait_for(self, future: Future[T], seconds: float = math.inf) -> T:
        """Wait for the result of a function that was started; raises as `wait_for_any` does."""
        self.wait_for_any([future], seconds)
        return future.result()

    def wait_for_any(self, futures: Iterable[Future[t.Any]], seconds: float = math.inf) -> None:
        """Wait until one of these is done, in seconds of real time.

        Raises `ShutdownRequested` as soon as a signal arrives, and `TimeoutError` if none is done in time.
        """
        pending = list(futures)
        deadline = time.monotonic() + seconds
        self.check()
        while not any(future.done() for future in pending):
            if (left := deadline - time.monotonic()) <= 0:
                msg = f"no result within {seconds:g} s"
                raise TimeoutError(msg)
            wait(pending, min(left, CHECK_INTERVAL), FIRST_COMPLETED)
            self.check()
