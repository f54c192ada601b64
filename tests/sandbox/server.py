"""The HTTP server, and the class `Sandbox` that a test uses."""

from __future__ import annotations

import bisect
import contextlib
import functools
import gzip
import http.server
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from tests.sandbox.apis import LISTS, METRICS, RUNS, V3, CoreApi, QueryApi
from tests.sandbox.data import make_account, make_query_account
from tests.sandbox.faults import rate_limit
from tests.sandbox.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from tests.sandbox.account import Account
    from tests.sandbox.faults import Fault
    from tests.sandbox.queries import Outcome, Query, Row

    Change = Callable[["Sandbox", Request], object]
    Secure = Callable[[socket.socket], socket.socket]

ApiName = Literal["core", "query"]
"""The Core API with its report runs, or the Query API v3."""

Form = Literal["envelope", "bare"]
"""{meta, data, pagination, links} of real responses, or the bare arrays and objects that the reference prints."""

ArrayKey = Literal["data", "resource", "events"]
"""Where a list of v3 has its rows: under "data"; under the name of the resource; or as the vendor's pages print it,
which is "data" for products, "events" for properties, and the name of the resource for the others."""

TOKEN = "sandbox-token-that-opens-nothing-else"  # noqa: S105 - it opens this sandbox only
USERNAME = "sandbox-key-that-opens-nothing-else"
PASSWORD = "sandbox-password-that-opens-nothing-else"  # noqa: S105 - it opens this sandbox only

_DEFAULT_ACCOUNT: Any = None

_GZIP_FROM = 1024  # bytes
_GZIP_CACHE = 256  # compressed bodies that are kept: enough for a benchmark to read a big list twice
_WAIT_SLICE = 0.05  # seconds between two checks whether the client or the sandbox has gone
_STOP_TIMEOUT = 3.0  # seconds to wait for the handlers to end when stopping
_MINUTE = 60.0  # seconds

# Connections


class DisconnectedError(ConnectionError):
    """The client has closed the connection, or the sandbox is stopping."""


class Wire:
    """The server's end of a connection; `is_open` is false once this end was closed or reset."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self.is_open = True
        self._socket = connection
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._socket.sendall(data)
        except ssl.SSLError as error:
            message = "the client has closed the connection"
            raise DisconnectedError(message) from error

    def wait(self, seconds: float | None) -> None:
        """Wait, for ever if `seconds` is None; raise `DisconnectedError` when the client or the sandbox goes."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            rest = _WAIT_SLICE if end is None else min(_WAIT_SLICE, max(end - time.monotonic(), 0))
            if self._stopping.wait(rest):
                message = "the sandbox stops"
                raise DisconnectedError(message)
            readable, _, _ = select.select([self._socket], [], [], 0)
            # recv of the plain socket: one with TLS cannot peek.
            if readable and not socket.socket.recv(self._socket, 1, socket.MSG_PEEK):
                message = "the client has closed the connection"
                raise DisconnectedError(message)

    def close(self) -> None:
        """Close the connection (FIN)."""
        self.is_open = False
        with contextlib.suppress(OSError):  # the client was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self.is_open = False
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # detach: the handler's file objects would keep the descriptor open, and its shutdown would send FIN first.
        socket.close(self._socket.detach())


class _Server(http.server.ThreadingHTTPServer):
    """A port of 127.0.0.1 and a thread for each connection, which passes each request to the sandbox."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", sandbox.port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks up the name of this host: that may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        return self.sandbox.tls(connection) if self.sandbox.tls else connection, address

    def serve(self) -> None:
        """Serve until `stopping` is set and a last connection ends the wait: `serve_forever` would poll to see it."""
        while not self.stopping.is_set():
            self.handle_request()

    def stop(self, serving: threading.Thread) -> None:
        """End the thread that serves, close the port and every connection, and wait for the handlers."""
        self.stopping.set()
        if serving.is_alive():
            socket.create_connection(("127.0.0.1", self.server_port), _STOP_TIMEOUT).close()
            serving.join()
        self.server_close()
        with self.changed:
            for connection in self.connections:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self.changed.wait_for(lambda: not self.connections, _STOP_TIMEOUT)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        with self.server.changed:
            self.server.connections.add(self.connection)

    def finish(self) -> None:
        super().finish()
        with self.server.changed:
            self.server.connections.discard(self.connection)
            self.server.changed.notify_all()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True  # a client may disconnect at any time

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        request = Request(
            number=0,
            method=self.command,
            path=url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            at=time.monotonic(),
            in_flight=0,
            body=self.rfile.read(int(length)) if length.isdecimal() else b"",
        )
        wire = Wire(self.connection, self.server.stopping)
        self.server.sandbox.exchange(request, wire)
        if not wire.is_open:
            self.close_connection = True

    do_DELETE = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Log nothing: `Sandbox.requests` has every request."""


# The sandbox


@dataclass(kw_only=True, eq=False, repr=False)
class Sandbox:
    """A Kissmetrics API on a loopback port, as a context manager.

    The fields below are its arguments; all but `port` and `tls` may be changed while it runs. An error raised in the
    sandbox itself, by a function of `on_request` for instance, is raised again at the end of the `with` block.
    """

    # Change it under `lock`; by default that of `make_account()`, or of `make_query_account()` for v3.
    account: Account = field(default=_DEFAULT_ACCOUNT, kw_only=False)
    api: ApiName = "core"
    form: Form = "envelope"  # of the responses of the Core API
    cap: int | None = None  # the largest `limit` that is honoured; None: no limit in the Core API, 10,000 in v3
    over_cap: Literal[400, 422] | None = None  # refuses a limit above the cap; None: the page has as many rows as that
    latency: float = 0.0  # seconds before each response
    token: str = TOKEN  # the only one that the Core API accepts
    username: str = USERNAME  # the only one that v3 accepts, by HTTP Basic
    password: str = PASSWORD  # may be empty
    array_key: ArrayKey = "data"
    rate_limit: int | None = None  # requests that pass in any 60 seconds; the others get a 429
    gzip: bool = True  # compress bodies over 1 KiB for a client that accepts it
    faults: list[Fault] = field(default_factory=list)  # see `tests.sandbox.faults`
    port: int = 0  # 0 for any free one
    tls: Secure | None = None  # wraps each accepted connection, without a handshake: that would block the others
    polls_until_complete: int = 2  # status responses of a query that is still running
    seconds_until_complete: float = 0.0  # for which a query runs at least
    rows: int | Callable[[Query], list[Row]] = 120  # of a query; a function is called once for each query
    # Of v3, and of metrics over time; rows of SQL are always objects, those of Core's reports arrays.
    row_form: Literal["object", "array"] = "object"
    query_outcome: Outcome | Callable[[Query], Outcome] = "complete"
    status_path: bool = False  # whether the path of a query's status in the Core API ends in /status
    columns: bool = False  # whether results of the Core API name their columns
    first_form: bool = False  # whether results of the Core API are {rows, total, metadata}, as in 2014
    metric_total: bool = True  # whether results of metrics of the Core API have a total
    stray_links: str | None = None  # another origin, such as http://127.0.0.2:8080, in links of Core's queries
    products_without_sql: set[int] = field(default_factory=set)  # of v3

    def __post_init__(self) -> None:
        """Bind the port, without serving yet; raise `OSError` if it is taken."""
        if self.account is _DEFAULT_ACCOUNT:
            self.account = make_account() if self.api == "core" else make_query_account()
        self.faults = list(self.faults)  # a test that appends to them must not reach another sandbox
        self.lock = threading.RLock()  # held while a response is made, not while it is sent
        self.requests: list[Request] = []  # in the order of their arrival
        self.max_in_flight = 0  # the most requests that were being answered at the same time
        self.errors: list[Exception] = []  # raised in the sandbox itself
        self.queries: list[Query] = []  # queries and report runs, in the order of their start
        self._server = _Server(self)
        origin = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self._api = CoreApi(self, origin) if self.api == "core" else QueryApi(self, origin)
        self.url = origin + (LISTS if self.api == "core" else V3)
        self.query_url, self.metric_url = origin + RUNS, origin + METRICS  # of the Core API
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._limit = rate_limit(lambda: self.rate_limit, _MINUTE)
        self._in_flight = 0
        self._changes: list[Change] = []
        self._compress = functools.lru_cache(_GZIP_CACHE)(functools.partial(gzip.compress, compresslevel=1, mtime=0))

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point the tap at the sandbox."""
        env = {"API_URL": self.url}
        if self.api == "core":
            env |= {"API_TOKEN": self.token, "QUERY_URL": self.query_url}
        else:
            env |= {"USERNAME": self.username}
            env |= {"PASSWORD": self.password} if self.password else {}
        return {f"TAP_KISSMETRICS_{name}": value for name, value in env.items()}

    def most_in_a_minute(self) -> int:
        """Return the largest number of requests that arrived within any 60 seconds."""
        times = sorted(request.at for request in self.requests)
        return max((n + 1 - bisect.bisect_right(times, at - _MINUTE) for n, at in enumerate(times)), default=0)

    def on_request(self, change: Change) -> Change:
        """Call `change(sandbox, request)` under the lock before each request for a list; usable as a decorator."""
        self._changes.append(change)
        return change

    def warm(self) -> None:
        """Encode long lists now instead of at the first request: for benchmarks."""
        with self.lock:
            self._api.warm()

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Drop the requests in flight and free the port."""
        self._server.stop(self._thread)

    def __enter__(self) -> Self:
        """Start to serve."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; raise the first of `errors` unless another error is on its way."""
        self.stop()
        if error is None and self.errors:
            raise self.errors[0]

    def exchange(self, request: Request, wire: Wire) -> None:
        """Record a request and answer it; raise `ConnectionError` if the client goes or the sandbox stops."""
        with self.lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            request.number, request.in_flight = len(self.requests) + 1, self._in_flight
            self.requests.append(request)
        try:
            if self.latency:
                wire.wait(self.latency)
            with self.lock:
                response, faults = self._answer(request)
            request.status = response.status
            accepts = "gzip" in request.headers.get("accept-encoding", "")
            if self.gzip and accepts and response.compress and len(response.body) > _GZIP_FROM:
                response.headers["Content-Encoding"] = "gzip"
                response.body = self._compress(response.body)
            response.headers.setdefault("Content-Length", str(len(response.body)))
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
        try:
            route = self._api.route(request)
            rows: Sequence[object] = ()
            if route.rows:
                for change in self._changes:
                    change(self, request)
                rows = route.rows()
                request.total = len(rows)
            faults = [fault for fault in [*self.faults, self._limit] if fault.matches(request)]
            response = self._api.answer(request, route, rows, [fault.page for fault in faults if fault.page])
            for fault in faults:
                if fault.answer:
                    response = fault.answer(request, response)
            if response.commit:
                response.commit()
        except Exception as error:  # noqa: BLE001 - an error in a test must neither vanish nor hang the client
            self.errors.append(error)
            return Response.of_error(500, f"The sandbox itself failed: {error!r}"), []
        return response, faults
