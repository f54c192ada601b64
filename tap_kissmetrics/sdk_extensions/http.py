"""An HTTP session that bounds where requests go, how many run at once, how often they start and how long they take."""

from __future__ import annotations

import email.message
import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
import typing as t
from collections import deque
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationValueError

from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.sdk_extensions.logs import describe_cause, plural
from tap_kissmetrics.sdk_extensions.values import decode_json
from tap_kissmetrics.sdk_extensions.waiting import ShutdownRequested

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

    from tap_kissmetrics.sdk_extensions.waiting import Shutdown


RATE_LIMIT_PERIOD: t.Final = 61.0
"""Seconds; one more than a minute, because servers count a request when it arrives."""

GRACE_PERIOD: t.Final = 5.0
"""Seconds that a shutdown waits for the response to a request that changes something on the server."""

MAX_REJECTIONS: t.Final = 2
"""Times that accepted credentials may be rejected in a row."""

MIN_LOGGED_WAIT: t.Final = 5.0
"""Seconds from which on a wait for the rate limit is logged."""


class RateLimiter:
    """Starts at most a number of requests within any minute; for one request at a time."""

    def __init__(self, requests_per_minute: int, shutdown: Shutdown, logger: logging.Logger) -> None:
        self._requests_per_minute = requests_per_minute
        self._shutdown = shutdown
        self._logger = logger
        self._started: deque[float] = deque(maxlen=requests_per_minute)
        self.waited = 0.0
        """Seconds that requests waited in all."""

    def record(self) -> None:
        """Count a request that cannot wait."""
        self._started.append(waiting.monotonic())

    def acquire(self, name: str) -> None:
        """Wait until another request may start, and count it; `name` is what the log calls it."""
        if len(self._started) == self._requests_per_minute:
            seconds = max(self._started[0] + RATE_LIMIT_PERIOD - waiting.monotonic(), 0)
            if seconds >= MIN_LOGGED_WAIT:
                limit = plural(self._requests_per_minute, "request")
                self._logger.info("Waiting %.0f s before %s, to stay within %s a minute", seconds, name, limit)
            self._shutdown.sleep(seconds)
            self.waited += seconds
        self.record()


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
        self.failing: dict[str, set[type[Exception]]] = {}
        """Servers that used up a retry budget; see `retrying`."""
        self.host = ""
        """The host of the last request whose response was asked for."""
        self._rejections_left = 0
        self._rate_limiter = rate_limiter
        self._shutdown = shutdown
        self._slots = threading.Semaphore(max_concurrency)
        self._prefetched: dict[str | None, Future[requests.Response]] = {}

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a request, or take the response to one that was prefetched."""
        self.request_count += 1
        self.host = urlsplit(str(request.url)).netloc
        future = self._prefetched.pop(request.url, None)
        if future is None:
            self._prefetched = {url: other for url, other in self._prefetched.items() if not _has_failed(other)}
            if self._rate_limiter:
                self._rate_limiter.acquire(f"{request.method} {urlsplit(str(request.url)).path}")
            future = self._start(request, kwargs, self._slots)
        try:
            return self._shutdown.wait_for(future)
        except ShutdownRequested:
            if request.method == "GET":
                raise
            # What it starts on the server can be cancelled only once the response names it.
            wait([future], GRACE_PERIOD)
            if not future.done():
                raise
            return future.result()

    def working_time(self) -> float:
        """Return the time of a clock that stands still while requests wait for the rate limiter."""
        return waiting.monotonic() - (self._rate_limiter.waited if self._rate_limiter else 0.0)

    def accept_credentials(self) -> None:
        """Note that the API accepts the credentials."""
        self._rejections_left = MAX_REJECTIONS

    def may_be_accepted_again(self) -> bool:
        """Return whether credentials that were accepted before, and are rejected now, are worth another attempt."""
        self._rejections_left -= 1
        return self._rejections_left >= 0

    def send_now(self, request: requests.PreparedRequest, *, timeout: float) -> requests.Response:
        """Send a request that waits neither for the rate limiter nor for a shutdown, for `timeout` seconds at most."""
        self.request_count += 1
        if self._rate_limiter:
            self._rate_limiter.record()
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
        thread = threading.Thread(target=fetch, name=f"{request.method} {request.path_url}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            fetch()
        return future

    def _send(self, request: requests.PreparedRequest, kwargs: dict[str, t.Any]) -> requests.Response:
        try:
            return super().send(request, **kwargs)
        except requests.RequestException as error:
            error.request = request  # which is missing if the body breaks off
            # The context is replaced where the error is raised again, in the thread that waits for it.
            error.__cause__ = error.__cause__ or error.__context__
            raise
        except (OSError, LocationValueError, UnicodeError) as error:
            raise UnsendableRequestError(request=request) from error

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: a redirect is never followed, for it would take the credentials along."""


def _has_failed(future: Future[requests.Response]) -> bool:
    return future.done() and (future.exception() is not None or not future.result().ok)


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
        session.mount(f"{root}/", RootAdapter(root, limits))
    return session


MAX_BODY_SIZE: t.Final = 2**27
"""Bytes of an unpacked body; a page of 10,000 usual records has some 10 MiB."""

MAX_INTERIM_RESPONSES: t.Final = 10
"""Responses with a status of 1xx before the response itself."""

READ_SIZE: t.Final = 2**18
"""Bytes that are read from a socket at once. Threads that read 10 KiB at a time wait for each other."""

BUNDLE_VARIABLES: t.Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Where the environment names a file or folder of certificates; requests itself does not know the last one."""

is_not_trusted: t.Final = re.compile(r"\[\w+: CERTIFICATE_VERIFY_FAILED\]").search
"""Finds in an error of OpenSSL that it does not accept a certificate."""

speaks_no_tls: t.Final = re.compile(
    r"\[\w+: (WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE)\]"
).search
"""Finds in an error of OpenSSL that the server does not speak TLS."""


class Limits(t.NamedTuple):
    """What a session allows at most."""

    max_concurrency: int
    requests_per_minute: int | None
    max_response_time: float
    """Seconds that a whole response may take."""


class Response(requests.Response):
    """A response whose body is read in large pieces and decoded exactly."""

    @override
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[t.Any]:
        size = 0
        for chunk in super().iter_content(READ_SIZE, decode_unicode):
            size += len(chunk)
            if size > MAX_BODY_SIZE:
                msg = f"the body has more than {MAX_BODY_SIZE >> 20} MiB once it is unpacked; lower page_size"
                raise requests.exceptions.ContentDecodingError(msg)
            yield chunk

    @override
    def json(self, *, on_repair: t.Callable[[str], None] | None = None, **kwargs: t.Any) -> t.Any:
        """Decode the body, once: it is released, for body and records together would double the peak memory."""
        body, self._content = self.content, b""
        content_type = email.message.Message()
        content_type["Content-Type"] = self.headers.get("Content-Type", "")
        return decode_json(body, charset=content_type.get_content_charset(), on_repair=on_repair)


class RootAdapter(HTTPAdapter):
    """Sends over bounded connections, through the proxy that the environment names for one root."""

    def __init__(self, root: str, limits: Limits) -> None:
        self._pools = _pools(limits.max_response_time)
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._environment = environment.merge_environment_settings(root, {}, None, None, None)
            if environment.trust_env:
                self._environment["verify"] = find_bundle(BUNDLE_VARIABLES) or True
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


def bundle_variable() -> str:
    """Return the variable that names certificates, or the one that could."""
    return next(filter(os.environ.get, BUNDLE_VARIABLES), BUNDLE_VARIABLES[0])


def find_bundle(variables: Iterable[str]) -> str | None:
    """Return the certificates that the first of these variables names; raise `InputError` if they cannot be read."""
    variable = next(filter(os.environ.get, variables), None)
    if variable is None:
        return None
    path = os.environ[variable]
    try:
        # A folder is read only as a certificate is looked for.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            **{"capath" if os.path.isdir(path) else "cafile": path}  # noqa: PTH112
        )
    except OSError as error:  # as part of a request it could not be told from other errors of TLS
        msg = f"{variable}: no certificates can be read from {path}: {describe_cause(error)}"
        raise InputError(msg) from None
    return path


def logins_in_environment() -> Iterator[str]:
    """Yield what is secret in the URLs of proxies and of a server of S3; a malformed one may be cut anywhere."""
    for url in (*getproxies().values(), *map(os.environ.get, ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))):
        if url and (match := re.search("(?:.*//)?(.*)@", url)):
            for login in (match[1], unquote(match[1])):
                yield from (login, login.partition(":")[2], *re.split("[:/?#]", login)[1:])


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
            msg = f"the response took more than {self._max_time:g} s"
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
        self.fp = io.BufferedReader(self._reader, READ_SIZE)

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
