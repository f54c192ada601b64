"""The tap's `main()` in this process: real arguments, files, environment and output, without an interpreter to start.

What a run changes in the process is put back after it, so that each run finds what a new process has. A test of what
belongs to a process as such (signals, a closed stdout, the end of the interpreter) needs one of its own.
"""

from __future__ import annotations

import contextlib
import copy
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

from tests.support.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
    from tap_kissmetrics.sdk_extensions.logs import REDACTOR


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
        with process_restored():
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(env)
            sys.argv = ["tap-kissmetrics", *arguments]
            sys.stdout, sys.stderr = out, errors
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
def process_restored() -> Iterator[None]:
    """Put back what a run changes in its process."""
    folder, variables, argv = os.getcwd(), dict(os.environ), sys.argv  # noqa: PTH109
    streams, hooks = (sys.stdout, sys.stderr), (sys.excepthook, sys.unraisablehook)
    thresholds = gc.get_threshold()
    secrets = {name: copy.copy(value) for name, value in vars(REDACTOR).items()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(signals_kept())
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_logging_restored())
        try:
            yield
        finally:
            vars(REDACTOR).update(secrets)
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            sys.stdout, sys.stderr = streams
            sys.excepthook, sys.unraisablehook = hooks
            sys.argv = argv
            os.environ.clear()
            os.environ.update(variables)
            os.chdir(folder)


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Begin with a root logger as a new process has it, and leave loggers as they were."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    before = {logger: _configuration(logger) for logger in _loggers()}
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        logging.setLogRecordFactory(factory)
        for logger in _loggers():
            level, handlers, filters, logger.propagate, logger.disabled = before.get(logger, _NEW)
            for handler in logger.handlers:
                if handler not in handlers:
                    handler.close()
            logger.handlers, logger.filters = list(handlers), list(filters)
            logger.setLevel(level)


_NEW: Any = (logging.NOTSET, (), (), True, False)
"""How a logger is that was not there before."""


def _configuration(logger: logging.Logger) -> Any:
    return logger.level, tuple(logger.handlers), tuple(logger.filters), logger.propagate, logger.disabled


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in known if isinstance(logger, logging.Logger))]
