"""Runs of the real command line that begin after its imports, which take longer than most runs.

As a program, this imports the tap and then forks once for each run that it is told of: one JSON object a line on stdin,
one exit code a line on stdout. A run has its own process, environment, working directory, stdout and stderr.
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
from typing import Any

_TRACER = "COVERAGE_PROCESS_"
"""How the variables begin by which coverage follows a process."""


class Forks:
    """The program, for as long as the tests last."""

    def __init__(self) -> None:
        """Do nothing yet."""
        self._server: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str], *, folder: str, env: dict[str, str], timeout: float) -> int:
        """Run the command line; its output goes to the files `stdout` and `stderr` in the folder.

        Args:
            arguments: What stands on its command line.
            folder: Its working directory.
            env: Its whole environment.
            timeout: Seconds after which it is killed.

        Returns:
            The exit code, negative where a signal ended it.

        Raises:
            TimeoutError: It had to be killed.
        """
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                env={name: value for name, value in env.items() if not name.startswith(_TRACER)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                start_new_session=True,
            )
        assert self._server.stdin
        assert self._server.stdout
        try:
            order = {"arguments": arguments, "folder": folder, "env": env}
            print(json.dumps(order), file=self._server.stdin, flush=True)
            answers, _, _ = select.select([self._server.stdout], [], [], timeout)
            code = int(self._server.stdout.readline()) if answers else None
        except BaseException:
            self._kill()  # or the next run would be given the exit code of this one
            raise
        if code is None:
            self._kill()
            message = f"the tap ran for more than {timeout} s"
            raise TimeoutError(message)
        return code

    def close(self) -> None:
        """End the program."""
        if self._server:
            self._server.communicate()

    def _kill(self) -> None:
        if self._server:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.communicate()
            self._server = None


def _run(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
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
        if child := os.fork():
            sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            sys.stdout.flush()
        else:
            _run(json.loads(line))


if __name__ == "__main__":
    _serve()
