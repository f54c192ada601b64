"""The command line in a process that starts for it: to its end, or while it runs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from tests.support.run import Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.sandbox import Sandbox

TAP = [sys.executable, "-m", "tap_kissmetrics"]

WAITS: dict[str, Any] = {"page_size": 10, "backoff_factor": 5, "retry_timeout": 600, "request_timeout": 60}
"""Waits so long that a tap which sits them out fails the test."""

PIPE = subprocess.PIPE

_TIMEOUT = 45.0
"""Seconds until a test that waits for something fails. Nothing takes so long but on a machine that is overloaded."""


def run_started(arguments: list[str], *, folder: Path, env: dict[str, str]) -> Run:
    """Run it as a shell does."""
    done = subprocess.run([*TAP, *arguments], cwd=folder, env=env, capture_output=True, timeout=_TIMEOUT, check=False)
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


class LiveTap:
    """A tap that runs; `stdout` is the reading end of its output, where that is a pipe."""

    stdout: IO[bytes]

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Watch a process whose log, and its output unless that is a pipe, goes to a file in a folder."""
        self.process = process
        self._folder = folder
        if process.stdout:
            self.stdout = process.stdout

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return (self._folder / "stderr").read_text()

    @property
    def written(self) -> bytes:
        """What it has written to stdout so far, where that is a file."""
        return (self._folder / "stdout").read_bytes()

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something happened, and fail if the tap ends before that or it takes too long."""
        end = time.monotonic() + _TIMEOUT
        while not happened():
            ended = self.process.poll() is not None and not happened()
            assert not ended, f"exit code {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < end, f"waited in vain:\n{self.log}"
            time.sleep(0.005)

    def ends(self, stdout: bytes | None = None) -> Run:
        """Wait for its end; `stdout` is what the test itself has read."""
        code = self.process.wait(_TIMEOUT)
        return Run(code, (self.written if stdout is None else stdout).decode(), self.log)


@contextlib.contextmanager
def start(
    command: list[str], folder: Path, *, stdout: str | int = "stdout", env: Mapping[str, str] | None = None
) -> Iterator[LiveTap]:
    """Start a command in a folder, which also gets its log; it is killed if it runs in the end.

    Its output goes to a file of the folder too, unless `stdout` is the path of something else, or `PIPE`.
    """
    with contextlib.ExitStack() as stack:
        out = stack.enter_context((folder / stdout).open("wb")) if isinstance(stdout, str) else stdout
        errors = stack.enter_context((folder / "stderr").open("wb"))
        process = stack.enter_context(
            subprocess.Popen(command, cwd=folder, env=environment(env, measured=False), stdout=out, stderr=errors)
        )
        stack.callback(process.kill)
        yield LiveTap(process, folder)


@contextlib.contextmanager
def live_tap(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    stdout: str | int = "stdout",
    env: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[LiveTap]:
    """Start the tap on a sandbox, as `start` does."""
    config = write_json(folder / "config.json", settings_for(sandbox, **settings))
    command = [*TAP, "--config", str(config), *map(str, arguments)]
    with start(command, folder, stdout=stdout, env=env) as tap:
        yield tap
