"""Processes of a command line that begin after its imports, which take longer than most runs.

As a program, this imports the command line whose name it is given, then forks for each order: one JSON object a line
from one descriptor; to another one a line with the process id, later one with the exit code. A run has its own process,
environment, working directory, input and output.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import json
import os
import select
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TRACER = "COVERAGE_PROCESS_"
"""Prefix of the variables by which coverage follows a process."""


class Fork:
    """A process, with the methods of `subprocess.Popen`."""

    def __init__(self, answers: IO[str]) -> None:
        """Wait for the process id."""
        self._answers = answers
        self.returncode: int | None = None
        self.pid = int(answers.readline())

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
    """The program that forks one command line, for as long as the tests last; it runs one process at a time."""

    def __init__(self, name: str, python: str | Path = sys.executable) -> None:
        """Take the command line's name, and the interpreter of its environment; start with the first run."""
        self._command = [python, __file__, name]
        self._last: Fork | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._orders: IO[str]
        self._answers: IO[str]

    def start(  # noqa: PLR0913
        self,
        arguments: list[str],
        *,
        folder: Path,
        env: dict[str, str],
        stdin: str = os.devnull,
        stdout: str = "stdout",
        stderr: str = "stderr",
    ) -> Fork:
        """Start the command line; its input and its output are files, as seen from the folder."""
        if self._server is None:
            self._serve({name: value for name, value in env.items() if not name.startswith(_TRACER)})
        assert not self._last or self._last.poll() is not None, "the process before runs still"
        files = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        order = {"arguments": arguments, "folder": str(folder), "env": env, **files}
        print(json.dumps(order), file=self._orders, flush=True)
        self._last = Fork(self._answers)
        return self._last

    def close(self) -> None:
        """End the program."""
        if self._server:
            self._orders.close()
            self._server.wait()
            self._answers.close()

    def _serve(self, env: dict[str, str]) -> None:
        (orders, ours), (answers, theirs) = os.pipe(), os.pipe()
        command = [*self._command, str(orders), str(theirs)]
        self._server = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, pass_fds=(orders, theirs), start_new_session=True
        )
        os.close(orders)
        os.close(theirs)
        self._orders, self._answers = open(ours, "w", encoding="utf-8"), open(answers, encoding="utf-8")  # noqa: PTH123, SIM115


FORKS = Forks("tap-kissmetrics")


def _run(name: str, main: Callable[[], object], order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, file in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(os.open(order[file], os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY), number)
    if any(variable.startswith(_TRACER) for variable in os.environ) and importlib.util.find_spec("coverage"):
        import coverage  # noqa: PLC0415 - not every environment has it

        coverage.process_startup()  # what it does by itself where a Python starts
    sys.argv = [name, *order["arguments"]]
    sys.exit(main())  # type: ignore[arg-type]


def _serve(name: str, orders: str, answers: str) -> None:
    sys.path.pop(0)  # this folder: the command line is the one that is installed
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=name)
    main = entry.load()
    if importlib.util.find_spec("coverage"):
        import coverage  # noqa: F401, PLC0415

        # As it starts, coverage looks at the stack; which module is of which file is then known to `inspect`.
        inspect.stack()
    with open(int(orders), encoding="utf-8") as lines:  # noqa: PTH123 - a descriptor
        for line in lines:
            child = os.fork()
            if not child:
                _run(name, main, json.loads(line))
            os.write(int(answers), f"{child}\n".encode())
            os.write(int(answers), f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


if __name__ == "__main__":
    _serve(*sys.argv[1:])
