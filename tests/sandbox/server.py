"""The class that a test holds in its hand: what is served, what goes wrong, what was asked."""

from __future__ import annotations

import hashlib
import threading
import zlib
from typing import TYPE_CHECKING, Self

from tests.sandbox.api import BASE, Api
from tests.sandbox.data import Account, Record, make_account
from tests.sandbox.messages import Request, Response
from tests.sandbox.sockets import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from tests.sandbox.api import Form
    from tests.sandbox.fault import Fault
    from tests.sandbox.wire import Wire

    Change = Callable[["Sandbox", Request], object]

TOKEN = "sandbox-token-that-opens-nothing-else"  # noqa: S105 - it opens this sandbox only

_GZIP_FROM = 1024  # bytes
_GZIP_CACHE = 256  # compressed bodies that are kept: enough for a benchmark to read a big list twice
_POLL = 0.02  # seconds that stopping may take


class Sandbox:
    """A Kissmetrics Core API on a loopback port. A context manager; what is public may be changed while it runs.

    Attributes:
        account: What it serves. Change it under `lock`.
        latency: Seconds to wait before each answer.
        gzip: Whether bodies over 1 KiB are compressed for a client that accepts it.
        faults: What goes wrong; more may be appended while it runs.
        requests: Every request so far, in the order of their arrival.
        max_in_flight: How many requests were being answered at once, at most.
        errors: What was raised within the sandbox itself, by functions given to `on_request` or `rewrite` for
            instance. The first is raised when the `with` block ends without an error of its own.
        lock: Held while a request is answered, but not while the answer is sent.
    """

    def __init__(  # noqa: PLR0913 - the switches of a sandbox
        self,
        account: Account | None = None,
        *,
        form: Form = "envelope",
        cap: int | None = None,
        latency: float = 0.0,
        token: str = TOKEN,
        faults: Iterable[Fault] = (),
        gzip: bool = True,
        port: int = 0,
    ) -> None:
        """Bind a port, without serving yet.

        Args:
            account: What to serve; by default `make_account()`.
            form: The form of answers: the envelope of real ones, or bare as the reference prints them.
            cap: The largest `limit` that is honoured; None honours every limit.
            latency: Seconds to wait before each answer.
            token: The only token that is let in.
            faults: See `tests.sandbox.faults`.
            gzip: Whether to compress for clients that accept it.
            port: The port of 127.0.0.1; 0 for any free one.

        Raises:
            OSError: The port is taken.
        """
        self.lock = threading.RLock()
        self.latency = latency
        self.gzip = gzip
        self.faults = list(faults)
        self.requests: list[Request] = []
        self.max_in_flight = 0
        self.errors: list[Exception] = []
        self._stopping = threading.Event()
        self._server = Server(port, self.exchange, self._stopping)
        url = f"http://127.0.0.1:{self._server.server_port}{BASE}"
        self._api = Api(make_account() if account is None else account, url, form=form, cap=cap, token=token)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True)
        self._in_flight = 0
        self._changes: list[Change] = []
        self._compressed: dict[bytes, bytes] = {}

    @property
    def account(self) -> Account:
        """What is served."""
        return self._api.account

    @account.setter
    def account(self, account: Account) -> None:
        self._api.account = account

    @property
    def form(self) -> Form:
        """The form of answers, "envelope" or "bare"."""
        return self._api.form

    @form.setter
    def form(self, form: Form) -> None:
        self._api.form = form

    @property
    def cap(self) -> int | None:
        """The largest limit that is honoured."""
        return self._api.cap

    @cap.setter
    def cap(self, cap: int | None) -> None:
        self._api.cap = cap

    @property
    def token(self) -> str:
        """The only token that is let in."""
        return self._api.token

    @token.setter
    def token(self, token: str) -> None:
        self._api.token = token

    @property
    def url(self) -> str:
        """The root directory: `http://127.0.0.1:PORT/core`."""
        return self._api.url

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point the tap here."""
        return {"TAP_KISSMETRICS_API_URL": self.url, "TAP_KISSMETRICS_API_TOKEN": self.token}

    def on_request(self, change: Change) -> Change:
        """Call `change(sandbox, request)` before each request for a list is answered, under the lock.

        Returns:
            The function itself, so that this is a decorator too.
        """
        self._changes.append(change)
        return change

    def insert(
        self,
        resource: str,
        position: int,
        record: Record | None = None,
        *,
        parent_id: str | None = None,
    ) -> Record:
        """Insert a record (by default a fresh one) at a position of a list, and return it."""
        with self.lock:
            return self.account.insert(resource, position, record, parent_id=parent_id)

    def delete(self, resource: str, which: int | str) -> Record:
        """Delete the record at a position, or with an id, and return it."""
        with self.lock:
            return self.account.delete(resource, which)

    def warm(self) -> None:
        """Serialise long lists now, not when they are asked for: for benchmarks."""
        with self.lock:
            self._api.warm()

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
                parts = self._api.route(request)
                if request.is_list:
                    for change in self._changes:
                        change(self, request)
                faults = [fault for fault in list(self.faults) if fault.matches(request)]
                response = self._api.answer(request, parts, [fault.page for fault in faults if fault.page])
                for fault in faults:
                    if fault.answer:
                        response = fault.answer(request, response)
            except Exception as error:  # noqa: BLE001 - a mistake in a test must neither vanish nor hang the client
                self.errors.append(error)
                return Response.of_error(500, f"The sandbox itself failed: {error!r}"), []
            request.status = response.status
            return response, faults

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
