"""Trials of changes in forks of one process, which has imported the package and found the tests before."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections import defaultdict
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, NamedTuple

import pytest

from scripts.executed_lines import RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_SECONDS = 1200
"""Of a trial."""

OPTIONS = ["--exitfirst", "--quiet", "--timeout=30", "--timeout-method=thread"]
"""Of pytest; hypothesis would repeat a test that a signal ends."""


class Trial(NamedTuple):
    """A module with a change, tests to run in a fork, and what else returns the name of a test that fails, if any."""

    module: Path
    source: str
    tests: list[str]
    then: Callable[[], str]


class Trials:
    """A plugin of pytest that tries one change after another, instead of running the tests once."""

    def __init__(self, trials: list[Trial], jobs: int, report: Callable[[int, str], None]) -> None:
        """Take how many run at a time, and what is called with the index of a trial and the name of the test."""
        self._trials = trials
        self._jobs = jobs
        self._report = report
        self._failure = ""
        self._mine: tuple[Trial, int] | None = None

    def run(self) -> None:
        """Run all trials; raise a `RuntimeError` if pytest cannot even find the tests."""
        # Output is not captured: forks would share the file.
        code = pytest.main([*OPTIONS, "--capture=no", *RECORDED], plugins=[self])
        if self._mine:
            trial, writer = self._mine
            failure = self._failure or (f"pytest, which ended with {code}" if code else trial.then())
            os.write(writer, failure.encode())
            os._exit(0)
        if code:
            msg = f"pytest --collect-only {' '.join(RECORDED)} ends with {code}"
            raise RuntimeError(msg)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Fork for each trial; in the fork, pytest goes on with the tests concerned."""
        items = {item.nodeid: item for item in session.items}
        waiting = list(enumerate(self._trials))[::-1]
        running: dict[int, tuple[int, int]] = {}
        while waiting or running:
            if not waiting or len(running) == self._jobs:
                self._wait(running)
                continue
            index, trial = waiting.pop()
            reader, writer = os.pipe()
            if not (child := os.fork()):
                os.setsid()
                signal.alarm(MAX_SECONDS)
                for descriptor in (1, 2):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
                self._mine = trial, writer
                session.items[:] = [items[test] for test in trial.tests]
                if trial.tests:
                    replace_functions(trial.module, trial.source)
                return None
            os.close(writer)
            running[child] = index, reader
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure."""
        if report.failed and not self._failure:
            self._failure = report.nodeid

    def _wait(self, running: dict[int, tuple[int, int]]) -> None:
        child, status = os.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what a test that failed has left
        index, reader = running.pop(child)
        self._report(index, os.read(reader, 10_000).decode() or ("a process that ended early" if status else ""))
        os.close(reader)


def replace_functions(module: Path, source: str) -> None:
    """Let the functions of a module that is imported do what they do in a changed source."""
    before, after = (_codes(compile(text, module, "exec")) for text in (module.read_bytes(), source))
    changed = {
        (name, _places(old)): new
        for name, codes in before.items()
        for old, new in zip(codes, after[name], strict=False)
        if old != new
    }
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and (code := function.__code__).co_filename == str(module):
            function.__code__ = changed.get(((code.co_qualname, code.co_firstlineno), _places(code)), code)


def _codes(module: CodeType) -> defaultdict[tuple[str, int], list[CodeType]]:
    """Return the code of each function by name and line; those of several lambdas are in order."""
    found = defaultdict(list)
    codes = [module]
    while codes:
        code = codes.pop()
        found[code.co_qualname, code.co_firstlineno].append(code)
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def _places(code: CodeType) -> tuple[object, ...]:
    return tuple(code.co_positions())
