"""The tap's `main()` in this process: real arguments, files, environment and output, without an interpreter to start.

What a run changes in the process is put back after it, so that each run finds what a new process has. A test of what
belongs to a process as such (signals, a closed stdout, the end of the interpreter) needs one of its own.
"""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import signal
import sys
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.support.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def signals_kept() -> Iterator[None]:
    """Restore the signal handlers, which are the tap's during a run and pytest's after it."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


with signals_kept():  # the module resets SIGINT as it is imported
    from tap_kissmetrics.__main__ import main
    from tap_kissmetrics.sdk_extensions.logs import REDACTOR, Redactor


def run_in_process(arguments: list[str], *, folder: Path, env: dict[str, str]) -> Run:
    """Call `main()` as the command line does."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        code = run_into(stdout, stderr, arguments, folder=folder, env=env)
        written = []
        for file in (stdout, stderr):
            file.seek(0)
            written.append(file.read().decode())
    if code == 128 + signal.SIGINT:  # no test sends a signal here: it is somebody at the keyboard
        raise KeyboardInterrupt
    return Run(code, *written)


def run_into(stdout: Any, stderr: Any, arguments: list[str], *, folder: Path, env: dict[str, str]) -> int:
    """Call `main()` with these binary files as its output and its log; give the exit code."""
    out = io.TextIOWrapper(stdout, encoding="utf-8")
    errors = io.TextIOWrapper(stderr, encoding="utf-8", errors="backslashreplace", write_through=True)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(gc.unfreeze)
            stack.callback(gc.set_threshold, *gc.get_threshold())
            for kept in (
                mock.patch.dict(os.environ, env, clear=True),
                mock.patch.dict(vars(REDACTOR), vars(Redactor())),
                mock.patch.multiple(sys, argv=["tap-kissmetrics", *arguments], excepthook=sys.excepthook),
                mock.patch.multiple(sys, stdout=out, stderr=errors),
                contextlib.chdir(folder),
                warnings.catch_warnings(),
                signals_kept(),
                _logging_kept(),
            ):
                stack.enter_context(kept)
            return _exit_code()
    finally:
        out.flush()
        for file in (out, errors):
            file.detach()


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    message = "main() returned: it exits"
    raise AssertionError(message)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Begin with a root logger as a new process has it, and leave loggers as they were, or as new ones are."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    before = {
        logger: (logger.level, [*logger.handlers], [*logger.filters], logger.propagate, logger.disabled)
        for logger in _loggers()
    }
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        logging.setLogRecordFactory(factory)
        for logger in _loggers():
            new: Any = (logging.NOTSET, [], [], True, False)
            level, handlers, logger.filters, logger.propagate, logger.disabled = before.get(logger, new)
            for handler in logger.handlers:
                if handler not in handlers:
                    handler.close()
            logger.handlers = handlers
            logger.setLevel(level)


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in known if isinstance(logger, logging.Logger))]
