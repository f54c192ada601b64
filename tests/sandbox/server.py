"""The class that a test holds in its hand: what is served, what goes wrong, what was asked."""

from __future__ import annotations

import bisect
import hashlib
import threading
import zlib
from typing import TYPE_CHECKING, Self

from tests.sandbox.answers import rate_limit
from tests.sandbox.api import CoreApi
from tests.sandbox.messages import Request, Response
from tests.sandbox.override import override
from tests.sandbox.queries import Queries
from tests.sandbox.query_api import QueryApi
from tests.sandbox.runs import RunsApi
from tests.sandbox.sockets import Server
from tests.sandbox.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.sandbox.base import Api
    from tests.sandbox.fault import Fault
    from tests.sandbox.switches import ApiName
    from tests.sandbox.wire import Wire

    Change = Callable[["Sandbox", Request], object]

_GZIP_FROM = 1024  # bytes
_GZIP_CACHE = 256  # compressed bodies that are kept: enough for a benchmark to read a big list twice
_POLL = 0.02  # seconds that stopping may take
_MINUTE = 60.0  # seconds

_APIS: dict[ApiName, tuple[type[Api], ...]] = {"core": (CoreApi, RunsApi), "query": (QueryApi,)}


class Sandbox(Switches):
    """A Kissmetrics API on a loopback port. A context manager; its switches may be changed while it runs.

    Attributes:
        requests: Every request so far, in the order of their arrival.
        queries: Every query and report run so far, likewise.
        max_in_flight: How many requests were being answered at once, at most.
        errors: What was raised within the sandbox itself, by functions given to `on_request` or `rewrite` for
            instance. The first is raised when the `with` block ends without an error of its own.
        lock: Held while a request is answered, but not while the answer is sent.
        url: The root of the API: `http://127.0.0.1:PORT/core`, or of v3 `http://127.0.0.1:PORT/v3`; https with `tls`.
        query_url: The root of Core's report runs: `http://127.0.0.1:PORT/v2`.
    """

    @override
    def __post_init__(self) -> None:
        """Bind a port, without serving yet.

        Raises:
            OSError: The port is taken.
        """
        super().__post_init__()
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        queries = Queries(self)
        self.queries = queries.all
        self.max_in_flight = 0
        self.errors: list[Exception] = []
        self._stopping = threading.Event()
        self._server = Server(self.port, self.exchange, self._stopping, self.tls)
        origin = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self._apis = [api(self, queries, origin) for api in _APIS[self.api]]
        self.url = self._apis[0].url
        self.query_url = origin + RunsApi.base
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True)
        self._limit = rate_limit(lambda: self.rate_limit, _MINUTE)
        self._in_flight = 0
        self._changes: list[Change] = []
        self._compressed: dict[bytes, bytes] = {}

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point the tap here."""
        env = {"API_URL": self.url}
        if self.api == "core":
            env |= {"API_TOKEN": self.token, "QUERY_URL": self.query_url}
        else:
            env |= {"API": self.api, "USERNAME": self.username}
            env |= {"PASSWORD": self.password} if self.password else {}
        return {f"TAP_KISSMETRICS_{name}": value for name, value in env.items()}

    def most_in_a_minute(self) -> int:
        """Return the largest number of requests that arrived within any 60 seconds."""
        times = sorted(request.at for request in self.requests)
        return max((n + 1 - bisect.bisect_right(times, at - _MINUTE) for n, at in enumerate(times)), default=0)

    def on_request(self, change: Change) -> Change:
        """Call `change(sandbox, request)` before each request for a list is answered, under the lock.

        Returns:
            The function itself, so that this is a decorator too.
        """
        self._changes.append(change)
        return change

    def warm(self) -> None:
        """Serialise long lists now, not when they are asked for: for benchmarks."""
        with self.lock:
            self._apis[0].warm()

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Break off what is under way and free the port."""
        self._stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close()

    def __enter__(self) -> Self:
        """Serve."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and raise what went wrong within the sandbox where nothing else did."""
        self.stop()
        if error is None and self.errors:
            raise self.errors[0]

    def exchange(self, request: Request, wire: Wire) -> None:
        """Record a request and answer it.

        Raises:
            ConnectionError: The client is gone, or the sandbox stops.
        """
        with self.lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            request.number, request.in_flight = len(self.requests) + 1, self._in_flight
            self.requests.append(request)
        try:
            if self.latency:
                wire.wait(self.latency)
            response, faults = self._answer(request)
            self._finish(request, response)
            senders = [fault.send for fault in faults if fault.send]
            if senders:
                senders[-1](wire, response)
            else:
                wire.send(response.head() + response.body)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - as in _answer
            self.errors.append(error)
            wire.close()
        finally:
            with self.lock:
                self._in_flight -= 1

    def _answer(self, request: Request) -> tuple[Response, list[Fault]]:
        with self.lock:
            try:
                api, parts = self._route(request)
                if request.is_list:
                    for change in self._changes:
                        change(self, request)
                faults = [fault for fault in [*self.faults, self._limit] if fault.matches(request)]
                response = api.answer(request, parts, [fault.page for fault in faults if fault.page])
                for fault in faults:
                    if fault.answer:
                        response = fault.answer(request, response)
                if response.done:
                    response.done()
            except Exception as error:  # noqa: BLE001 - a mistake in a test must neither vanish nor hang the client
                self.errors.append(error)
                return Response.of_error(500, f"The sandbox itself failed: {error!r}"), []
            request.status = response.status
            return response, faults

    def _route(self, request: Request) -> tuple[Api, list[str]]:
        for api in self._apis:
            parts = api.parts(request)
            if parts is not None:
                api.route(request, parts)
                return api, parts
        api, parts = self._apis[0], [request.path]  # a path that it does not know either
        api.route(request, parts)
        return api, parts

    def _finish(self, request: Request, response: Response) -> None:
        accepts = "gzip" in request.headers.get("accept-encoding", "")
        if self.gzip and accepts and response.compress and len(response.body) > _GZIP_FROM:
            response.headers["Content-Encoding"] = "gzip"
            response.body = self._compress(response.body)
        response.headers.setdefault("Content-Length", str(len(response.body)))

    def _compress(self, body: bytes) -> bytes:
        key = hashlib.sha256(body).digest()
        with self.lock:
            known = self._compressed.get(key)
        if known is not None:
            return known
        packer = zlib.compressobj(level=1, wbits=31)
        packed = packer.compress(body) + packer.flush()
        with self.lock:
            while len(self._compressed) >= _GZIP_CACHE:
                del self._compressed[next(iter(self._compressed))]
            self._compressed[key] = packed
        return packed
