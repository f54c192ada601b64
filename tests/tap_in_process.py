"""Runs the tap in this process, over real HTTP, where a test needs more runs than it has seconds to start processes."""

from __future__ import annotations

import io
import signal
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from tap_kissmetrics.tap import TapKissmetrics
from tests.tap_process import Run, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox import Sandbox


@contextmanager
def signals_kept() -> Iterator[None]:
    """Give SIGINT and SIGTERM back afterwards: a tap takes them over as it is made."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sync_here(sandbox: Sandbox, *, catalog: object = None, state: object = None, **settings: object) -> Run:
    """Sync a sandbox's account.

    Args:
        sandbox: What to read.
        catalog: The catalog, as an object.
        state: The state, as an object.
        settings: Settings besides those that lead to the sandbox.

    Returns:
        What the tap wrote. An error is raised as it is, so the code is always 0; the log goes to pytest.
    """
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as stdout:
        with signals_kept(), redirect_stdout(stdout):
            TapKissmetrics(config=settings_for(sandbox, **settings), catalog=catalog, state=state).sync_all()
        stdout.flush()
        return Run(0, stdout.buffer.getvalue().decode(), "")
