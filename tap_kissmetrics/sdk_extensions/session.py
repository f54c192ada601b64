"""An HTTP session that bounds where requests go, how many run at once, how often they start and how long they take."""

from __future__ import annotations

import email.message
import http.client
import io
import os
import re
import socket
import threading
import time
import typing as t
from collections import deque
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationValueError

from tap_kissmetrics.sdk_extensions import clock
from tap_kissmetrics.sdk_extensions.decoding import decode_json
from tap_kissmetrics.sdk_extensions.logs import REDACTOR

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from tap_kissmetrics.sdk_extensions.shutdown import Shutdown

RATE_LIMIT_PERIOD = 61.0
"""Seconds; one more than a minute, because servers count a request when it arrives."""

MAX_REJECTIONS: t.Final = 2
"""Times that accepted credentials may be rejected in a row."""

MAX_BODY_SIZE: t.Final = 2**28
"""Bytes of an unpacked body; a page of 10,000 usual records has some 10 MiB."""

MIN_LOGGED_WAIT: t.Final = 5.0
"""Seconds from which on a wait for the rate limit is logged."""

MAX_INTERIM_RESPONSES: t.Final = 10
"""Responses with a status of 1xx before the response itself."""

BUFFER_SIZE: t.Final = 2**18
"""Bytes that are read from a socket at once. Threads that read 10 KiB at a time wait for each other."""

_LOGIN: t.Final = re.compile("//(.*)@")
"""User and password in the URL of a proxy, which may be malformed."""


class RateLimiter:
    """Starts at most a number of requests within any minute; for one request at a time."""

    def __init__(self, requests_per_minute: int, shutdown: Shutdown, logger: logging.Logger) -> None:
        self._requests_per_minute = requests_per_minute
        self._shutdown = shutdown
        self._logger = logger
        self._started: deque[float] = deque(maxlen=requests_per_minute)

    def acquire(self) -> None:
        """Wait until another request may start, and count it."""
        if len(self._started) == self._requests_per_minute:
            wait = max(self._started[0] + RATE_LIMIT_PERIOD - clock.monotonic(), 0)
            if wait >= MIN_LOGGED_WAIT:
                self._logger.info("Waiting %.0f s to stay within %d requests a minute", wait, self._requests_per_minute)
            self._shutdown.sleep(wait)
        self._started.append(clock.monotonic())


class Response(requests.Response):
    """A response whose body is read in large pieces and decoded exactly."""

    @override
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[t.Any]:
        size = 0
        for chunk in super().iter_content(BUFFER_SIZE, decode_unicode):
            size += len(chunk)
            if size > MAX_BODY_SIZE:
                msg = f"the body has more than {MAX_BODY_SIZE >> 20} MiB once it is unpacked"
                raise requests.exceptions.ContentDecodingError(msg)
            yield chunk

    @override
    def json(self, *, on_repair: t.Callable[[str], None] | None = None, **kwargs: t.Any) -> t.Any:
        """Decode the body, once: it is released, for body and records together would double the peak memory."""
        body, self._content = self.content, b""
        content_type = email.message.Message()
        content_type["Content-Type"] = self.headers.get("Content-Type", "")
        return decode_json(body, charset=content_type.get_content_charset(), on_repair=on_repair)


class UnsendableRequestError(requests.RequestException):
    """A request could not even be sent; its cause says why."""


class Session(requests.Session):
    """Sends each request in a thread of its own, so that a signal is noticed while it hangs, and prefetches some.

    `max_concurrency` requests run at once; 1 disables prefetching.
    """

    def __init__(self, max_concurrency: int, rate_limiter: RateLimiter | None, shutdown: Shutdown) -> None:
        super().__init__()
        self.trust_env = False  # each adapter has read the environment for its root
        self.max_concurrency = max_concurrency
        self.request_count = 0
        """Requests whose response was asked for, retries included."""
        self._rejections_left = 0
        self.unreachable: set[str] = set()
        """Hosts that did not answer until a retry budget was used up, and have not answered since."""
        self._rate_limiter = rate_limiter
        self._shutdown = shutdown
        self._slots = threading.Semaphore(max_concurrency)
        self._prefetched: dict[str | None, Future[requests.Response]] = {}

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a request, or take the response to one that was prefetched."""
        self.request_count += 1
        future = self._prefetched.pop(request.url, None)
        if future is None:
            self._prefetched = {url: other for url, other in self._prefetched.items() if not _has_failed(other)}
            if self._rate_limiter:
                self._rate_limiter.acquire()
            future = self._start(request, kwargs, self._slots)
        return self._shutdown.wait_for(future)

    def accept_credentials(self) -> None:
        """Note that the API accepts the credentials."""
        self._rejections_left = MAX_REJECTIONS

    def may_be_accepted_again(self) -> bool:
        """Return whether credentials that were accepted before, and are rejected now, are worth another attempt."""
        self._rejections_left -= 1
        return self._rejections_left >= 0

    def send_now(self, request: requests.PreparedRequest, *, timeout: float) -> requests.Response:
        """Send a request during a shutdown: past the rate limiter, and for `timeout` seconds at most."""
        try:
            # Without a slot: what hangs may hold all of them.
            return self._start(request, {"timeout": timeout, "allow_redirects": False}, nullcontext()).result(timeout)
        except TimeoutError:
            msg = f"no response within {timeout:g} s"
            raise requests.Timeout(msg, request=request) from None

    @property
    def prefetched(self) -> int:
        """Requests that were prefetched and whose response was not asked for yet."""
        return len(self._prefetched)

    def prefetch(self, upcoming: Iterable[requests.PreparedRequest], **kwargs: t.Any) -> None:
        """Start to send GET requests that are expected next; drop what was prefetched before and is not among them.

        Once one has failed, no other is started before that one was asked for.
        """
        before, self._prefetched = self._prefetched, {}
        has_failed = any(map(_has_failed, before.values()))
        for request in upcoming:
            if under_way := before.pop(request.url, None):
                self._prefetched[request.url] = under_way
            elif not has_failed and self.max_concurrency > 1:
                self._prefetched[request.url] = self._start(request, kwargs, self._slots)
        for future in before.values():
            future.cancel()

    def disable_prefetch(self) -> None:
        """Start no more requests ahead of time; those under way are still used."""
        self.max_concurrency = 1

    def _start(
        self, request: requests.PreparedRequest, kwargs: dict[str, t.Any], slot: AbstractContextManager[t.Any]
    ) -> Future[requests.Response]:
        future: Future[requests.Response] = Future()

        def fetch() -> None:
            with slot:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(self._send(request, kwargs))
                except Exception as error:  # noqa: BLE001 - raised in the thread that asks for the result
                    future.set_exception(error)

        # Not a thread pool, which the interpreter waits for when it exits; a tap that is stopped exits at once.
        threading.Thread(target=fetch, name=f"{request.method} {request.path_url}", daemon=True).start()
        return future

    def _send(self, request: requests.PreparedRequest, kwargs: dict[str, t.Any]) -> requests.Response:
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            error.request = request  # which is missing if the body breaks off
            raise
        except (OSError, LocationValueError, UnicodeError) as error:
            raise UnsendableRequestError(request=request) from error
        self.unreachable.discard(urlsplit(str(request.url)).netloc)
        return response

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: a redirect is never followed, for it would take the credentials along."""


def _has_failed(future: Future[requests.Response]) -> bool:
    return future.done() and (future.exception() is not None or not future.result().ok)


class Limits(t.NamedTuple):
    """What a session allows at most."""

    max_concurrency: int
    requests_per_minute: int | None
    max_response_time: float
    """Seconds that a whole response may take."""


def make_session(roots: Iterable[str], limits: Limits, *, shutdown: Shutdown, logger: logging.Logger) -> Session:
    """Make a session that sends to URLs below the roots only.

    Proxies and certificates are those that the environment names for each root. With `requests_per_minute`, requests
    are sent one after the other.
    """
    pace = limits.requests_per_minute
    rate_limiter = RateLimiter(pace, shutdown, logger) if pace else None
    session = Session(1 if rate_limiter else limits.max_concurrency, rate_limiter, shutdown)
    # The only adapters: a request to any other place cannot even be sent.
    session.adapters.clear()
    for root in roots:
        session.mount(f"{root}/", _Adapter(root, limits))
    return session


class _Adapter(HTTPAdapter):
    """Sends over bounded connections, through the proxy that the environment names for one root."""

    def __init__(self, root: str, limits: Limits) -> None:
        self._pools = _pools(limits.max_response_time)
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._environment = environment.merge_environment_settings(root, {}, None, None, None)
        if self._environment["verify"] is True and (path := os.environ.get("SSL_CERT_FILE")):
            self._environment["verify"] = path  # which requests does not know
        proxies = self._environment["proxies"].values()
        logins = [match[1] for proxy in proxies if (match := _LOGIN.search(proxy))]
        logins += [decoded for login in logins if (decoded := unquote(login)) != login]
        REDACTOR.add(part for login in logins for part in (login, *re.split("[:/?#]", login)[1:]))
        super().__init__(pool_maxsize=limits.max_concurrency)

    @override
    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    @override
    def proxy_manager_for(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    @override
    def build_response(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        response = super().build_response(*args, **kwargs)
        response.__class__ = Response
        return response

    @override
    def send(self, request: requests.PreparedRequest, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        kwargs |= {name: self._environment[name] for name in ("cert", "proxies", "verify")}
        return super().send(request, *args, **kwargs)


class _DeadlineReader(io.RawIOBase):
    """Raw socket reader with one deadline for the whole response. A socket's own timeout starts anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, max_time: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._timeout = sock.gettimeout() or 0.0
        self._max_time = max_time
        self._deadline = time.monotonic() + max_time
        self.is_finished = False
        """Whether to read nothing more from the socket."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        if self.is_finished:
            return 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = f"the answer took more than {self._max_time:g} s"
            raise TimeoutError(msg)
        self._sock.settimeout(min(left, self._timeout))
        return t.cast("int | None", self._raw.readinto(buffer))

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _StrictResponse(http.client.HTTPResponse):
    """A response that arrives before a deadline, and after which its connection is used again only if nothing is odd.

    Otherwise each request could get the response to the one before: http.client takes any interim response but 100 for
    the response, and leaves what follows a response on the connection.
    """

    max_time: t.ClassVar[float]

    @override
    def __init__(self, sock: socket.socket, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _DeadlineReader(self.fp.detach(), sock, self.max_time)
        self._socket = sock
        self.fp = io.BufferedReader(self._reader, BUFFER_SIZE)

    @override
    def begin(self) -> None:
        super().begin()
        interim = 0
        while HTTPStatus.CONTINUE < self.status < HTTPStatus.OK:
            interim += 1
            if interim > MAX_INTERIM_RESPONSES:
                msg = f"more than {MAX_INTERIM_RESPONSES} interim responses"
                raise http.client.HTTPException(msg)
            self.headers = self.msg = None  # type: ignore[assignment]  # so that the next one is read
            super().begin()
        if interim:
            self.will_close = True

    # Private, and the only place where a body is known to have ended.
    def _close_conn(self) -> None:
        self._reader.is_finished = True
        if not self.fp.closed and self.fp.peek(1):
            self._socket.shutdown(socket.SHUT_RDWR)  # urllib3 opens another connection then
        super()._close_conn()  # type: ignore[misc]


def _pools(max_time: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return the connection pools of a session whose responses arrive within some seconds."""

    class StrictResponse(_StrictResponse):
        pass

    StrictResponse.max_time = max_time

    class Connection(HTTPConnection):
        response_class = StrictResponse

    class SecureConnection(HTTPSConnection):
        response_class = StrictResponse

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}
