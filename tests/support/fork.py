"""Processes of the real command line that begin after its imports, which take longer than most runs.

As a program, this imports the tap and then forks for each order: one JSON object a line on stdin, and on stdout a line
with the process id, later one with the exit code. A run has its own process, environment, working directory and output.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_TRACER = "COVERAGE_PROCESS_"
"""Prefix of the variables by which coverage follows a process."""


class Fork:
    """A process of the tap, with the methods of `subprocess.Popen`."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        """Wait for the process id."""
        assert server.stdout
        self._answers = server.stdout
        self.returncode: int | None = None
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """Return the exit code, negative after a signal, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Wait for the exit code, or raise `TimeoutExpired`."""
        code = self._look(timeout)
        if code is None:
            command = "tap"
            raise subprocess.TimeoutExpired(command, timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, if it runs."""
        self.send_signal(signal.SIGKILL)
        self.wait(60)

    def _look(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._answers], [], [], timeout)[0]:
            self.returncode = int(self._answers.readline())
        return self.returncode


class Forks:
    """The program, for as long as the tests last; it runs one process at a time."""

    def __init__(self) -> None:
        """Start it with the first run."""
        self._server: subprocess.Popen[str] | None = None
        self._last: Fork | None = None

    def start(self, arguments: list[str], *, folder: Path, env: dict[str, str], stdout: str = "stdout") -> Fork:
        """Start the command line; its output goes to `stdout` and the file `stderr`, both seen from the folder."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                env={name: value for name, value in env.items() if not name.startswith(_TRACER)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                start_new_session=True,
            )
        assert not self._last or self._last.poll() is not None, "the process before runs still"
        order = {"arguments": arguments, "folder": str(folder), "env": env, "stdout": stdout}
        print(json.dumps(order), file=self._server.stdin, flush=True)
        self._last = Fork(self._server)
        return self._last

    def close(self) -> None:
        """End the program."""
        if self._server:
            self._server.communicate()


FORKS = Forks()


def _run(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, name in ((0, os.devnull), (1, order["stdout"]), (2, "stderr")):
        os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if any(name.startswith(_TRACER) for name in os.environ):
        import coverage  # noqa: PLC0415 - the benchmarks do without it

        coverage.process_startup()  # what it does by itself where a Python starts
    sys.argv = ["tap-kissmetrics", *order["arguments"]]
    from tap_kissmetrics.__main__ import main  # noqa: PLC0415

    main()


def _serve() -> None:
    sys.path.pop(0)  # this folder: the tap is the one that is installed
    import tap_kissmetrics.__main__  # noqa: F401, PLC0415

    if importlib.util.find_spec("coverage"):
        import coverage  # noqa: F401, PLC0415

        # As it starts, coverage looks at the stack; which module is of which file is then known to `inspect`.
        inspect.stack()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        _answer(child)
        _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
