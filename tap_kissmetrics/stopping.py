"""The end on a signal, wherever in the program the signal comes."""

from __future__ import annotations

import signal
import sys
import typing as t

from tap_kissmetrics.errors import OutputError, StoppedError

AGAIN: t.Final = 0.2
"""Seconds after which it is seen whether the program is about to end."""


def insist(stop: t.Callable[[], None]) -> None:
    """Stop again and again until the program ends.

    Python drops what is raised while it disposes of an object, of a response that was
    read for instance, and a signal may come just then. Where it would show a traceback
    of what it drops, that is left out: objects that the signal left half made fail as they
    are disposed of, and the end has a line of its own.

    Args:
        stop: Raises `StoppedError`; called every `AGAIN` seconds in which that is not on its way.
    """

    def look(number: int, frame: object) -> None:  # noqa: ARG001
        if not _is_ending():
            stop()

    sys.unraisablehook = _leave_out
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)


def desist() -> None:
    """Let the program end in peace."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _leave_out(dropped: sys.UnraisableHookArgs) -> None:
    """Show nothing of an error that Python drops."""


def _is_ending() -> bool:
    """Tell whether this is called while the error passes through a `finally` or an `except`."""
    error = sys.exception()
    while error and not isinstance(error, (OutputError, StoppedError)):
        error = error.__context__
    return error is not None
