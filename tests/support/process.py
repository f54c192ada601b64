"""The real command line while it runs: for signals, for readers that go away, for servers that come up late."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import IO, TYPE_CHECKING, Any

from tests.support.run import TAP, Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.sandbox import Sandbox

WAITS: dict[str, Any] = {"page_size": 10, "backoff_factor": 5, "retry_timeout": 600, "request_timeout": 60}
"""Waits so long that a tap which sits them out fails the test."""

_PATIENCE = 45.0
"""Seconds until a test that waits for something fails. Nothing takes so long but on a machine that is overloaded."""


class LiveTap:
    """A tap that runs.

    Attributes:
        process: Its process.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Watch a process."""
        self.process = process
        self._folder = folder

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return (self._folder / "stderr").read_text()

    @property
    def written(self) -> bytes:
        """What it has written to stdout so far, where that is the file `stdout`."""
        return (self._folder / "stdout").read_bytes()

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something happened.

        Raises:
            AssertionError: The tap ended before that, or it takes too long.
        """
        end = time.monotonic() + _PATIENCE
        while not happened():
            ended = self.process.poll() is not None and not happened()
            assert not ended, f"exit code {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < end, f"waited in vain:\n{self.log}"
            time.sleep(0.01)

    def ends(self, stdout: bytes | None = None) -> Run:
        """Wait for its end; `stdout` is what the test itself has read."""
        self.process.wait(_PATIENCE)
        return Run(self.process.returncode, (self.written if stdout is None else stdout).decode(), self.log)


@contextlib.contextmanager
def live_tap(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    stdout: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[LiveTap]:
    """Start the tap.

    Args:
        sandbox: Where it reads.
        folder: Its working directory; stderr goes to a file there.
        arguments: What stands on its command line, besides the config file.
        stdout: Where its output goes; None for a file in `folder`.
        env: Variables to add to its environment.
        settings: Besides those that lead to the sandbox.

    Yields:
        The tap, which is killed if it still runs in the end.
    """
    config = write_json(folder / "config.json", settings_for(sandbox, **settings))
    with (folder / "stdout").open("wb") as file, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [*TAP, "--config", config, *arguments],
            cwd=folder,
            env=environment(env, measured=False),
            stdout=file if stdout is None else stdout,
            stderr=errors,
        )
    try:
        yield LiveTap(process, folder)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
