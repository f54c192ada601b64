"""The command line in a process: to its end, or while it runs, for signals and for readers that go away."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from tests.support.fork import FORKS, Fork
from tests.support.run import Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.sandbox import Sandbox

TAP = [sys.executable, "-m", "tap_kissmetrics"]

WAITS: dict[str, Any] = {"page_size": 10, "backoff_factor": 5, "retry_timeout": 600, "request_timeout": 60}
"""Waits so long that a tap which sits them out fails the test."""

PIPE = "pipe"
"""Stands for a pipe, which the test reads."""

_TIMEOUT = 45.0
"""Seconds until a test that waits for something fails. Nothing takes so long but on a machine that is overloaded."""


def run_forked(arguments: list[str], *, folder: Path, env: dict[str, str]) -> Run:
    """Run it in a process that begins with the imports done."""
    process = FORKS.start(arguments, folder=folder, env=env)
    try:
        code = process.wait(_TIMEOUT)
    finally:
        process.kill()
    stdout, stderr = ((folder / name).read_bytes().decode() for name in ("stdout", "stderr"))
    return Run(code, stdout, stderr)


def run_started(arguments: list[str], *, folder: Path, env: dict[str, str]) -> Run:
    """Run it as a shell does, in an interpreter that starts for it."""
    done = subprocess.run([*TAP, *arguments], cwd=folder, env=env, capture_output=True, timeout=_TIMEOUT, check=False)
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


class LiveTap:
    """A tap that runs; `stdout` is the reading end of its output, where that is a pipe."""

    stdout: BinaryIO

    def __init__(self, process: Fork | subprocess.Popen[bytes], folder: Path) -> None:
        """Watch a process whose output goes to files in a folder."""
        self.process = process
        self._folder = folder

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
def live_tap(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    stdout: str = "stdout",
    env: Mapping[str, str] | None = None,
    started: bool = False,
    **settings: object,
) -> Iterator[LiveTap]:
    """Start the tap on a sandbox, in an interpreter of its own if `started`; it is killed if it runs in the end.

    Its stderr goes to a file in `folder`, its working directory, as does its output unless `stdout` has the path of
    something else, or is `PIPE`.
    """
    config = write_json(folder / "config.json", settings_for(sandbox, **settings))
    options = ["--config", str(config), *map(str, arguments)]
    variables = environment(env, measured=False)
    for name in ("stdout", "stderr"):
        (folder / name).write_bytes(b"")
    if stdout == PIPE:
        os.mkfifo(folder / PIPE)
    process: Fork | subprocess.Popen[bytes]
    if started:
        # `sh` opens the output, and waits there for the reader of a pipe.
        command = ["sh", "-c", 'exec "$@" >"$0" 2>stderr', stdout, *TAP, *options]
        process = subprocess.Popen(command, cwd=folder, env=variables)
    else:
        process = FORKS.start(options, folder=folder, env=variables, stdout=stdout)
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait, _TIMEOUT)
        stack.callback(process.kill)
        tap = LiveTap(process, folder)
        if stdout == PIPE:
            tap.stdout = stack.enter_context((folder / PIPE).open("rb"))
        yield tap
