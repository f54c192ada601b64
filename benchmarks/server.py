"""The sandbox in a process of its own, so that its work is nobody else's CPU, memory or turn to run."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from benchmarks.measure import BenchmarkError
from tests.sandbox import Sandbox, make_account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from types import TracebackType

_SPAWN = multiprocessing.get_context("spawn")
_STOP = 10  # seconds


@dataclass(frozen=True)
class Asked:
    """What the sandbox saw of one run.

    Attributes:
        requests: The number of requests for each list.
        at_once: How many requests were being answered at the same time, at most.
    """

    requests: dict[str, int]
    at_once: int


class SandboxProcess:
    """A sandbox in another process; a context manager.

    Attributes:
        env: The environment variables that point the tap there.
    """

    def __init__(self, counts: Mapping[str, int], latency: float = 0.0) -> None:
        """Take note of what to serve.

        Args:
            counts: How many records of each resource.
            latency: Seconds to wait before each answer.
        """
        self.env: dict[str, str] = {}
        self._line, line = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(line, dict(counts), latency), daemon=True)
        self._other_end = line

    def __enter__(self) -> Self:
        """Start it, and wait until all of its records are ready to be sent."""
        self._process.start()
        self._other_end.close()
        self.env = self._receive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self._line.close()
        self._process.join(_STOP)
        if self._process.is_alive():
            self._process.kill()

    def asked(self) -> Asked:
        """Tell what was asked since the last call."""
        self._line.send(None)
        answer: Asked = self._receive()
        return answer

    def _receive(self) -> Any:  # noqa: ANN401 - what _serve sends
        try:
            return self._line.recv()
        except EOFError:
            message = "the sandbox has failed; what it said is above"
            raise BenchmarkError(message) from None


def _serve(line: Connection, counts: dict[str, int], latency: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which then closes the line
    sandbox = Sandbox(make_account(**counts), latency=latency)
    sandbox.warm()
    gc.freeze()  # or it would go through a million records every now and then, while a client waits
    with sandbox:
        line.send(sandbox.env)
        while True:
            try:
                line.recv()
            except EOFError:
                return
            with sandbox.lock:
                requests = Counter(request.resource for request in sandbox.requests if request.resource)
                asked = Asked(dict(requests), sandbox.max_in_flight)
                sandbox.requests.clear()
                sandbox.max_in_flight = 0
            line.send(asked)
