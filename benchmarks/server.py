"""The sandbox in a process of its own, so that its work is nobody else's CPU, memory or turn to run."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import BenchmarkError
from tests.sandbox import Sandbox, make_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from multiprocessing.connection import Connection

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
    """A sandbox in another process.

    Attributes:
        env: The environment variables that point the tap there.
    """

    def __init__(self, line: Connection) -> None:
        """Wait until all of its records are ready to be sent."""
        self._line = line
        self.env: dict[str, str] = self._receive()

    def asked(self) -> Asked:
        """Tell what was asked since the last call."""
        self._line.send(None)
        answer: Asked = self._receive()
        return answer

    def _receive(self) -> Any:
        try:
            return self._line.recv()
        except EOFError:
            message = "the sandbox has failed; what it said is above"
            raise BenchmarkError(message) from None


@contextmanager
def sandbox_process(counts: Mapping[str, int], latency: float = 0.0) -> Iterator[SandboxProcess]:
    """Start a sandbox."""
    line, other_end = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(other_end, dict(counts), latency), daemon=True)
    process.start()
    other_end.close()
    try:
        yield SandboxProcess(line)
    finally:
        line.close()
        process.join(_STOP)
        if process.is_alive():
            process.kill()


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
