"""An HTTP session that bounds where requests go, how many run at once, how often they start and how long they take."""

from __future__ import annotations

import email.message
import os
import re
import ssl
import typing as t
from collections import deque
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.exceptions import LocationValueError

from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.sdk_extensions.logs import describe_cause, duration, plural
from tap_kissmetrics.sdk_extensions.values import decode_json
from tap_kissmetrics.sdk_extensions.waiting import ShutdownRequested

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from tap_kissmetrics.sdk_extensions.waiting import Shutdown

RATE_LIMIT_PERIOD: t.Final = 61.0
"""Seconds; one more than a minute, because servers count a request when it arrives."""

GRACE_PERIOD: t.Final = 5.0
"""Seconds that a shutdown waits for the response to a request that changes something on the server."""

MIN_LOGGED_WAIT: t.Final = 5.0
"""Seconds from which on a wait for the rate limit is logged."""

MAX_BODY_SIZE: t.Final = 2**27
"""Bytes of an unpacked body; a page of 10,000 usual records has some 10 MiB."""

READ_SIZE: t.Final = 2**18
"""Bytes that are read from a connection at once."""

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


class UnsendableRequestError(requests.RequestException):
    """A request could not even be sent; its cause says why."""


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
                self._logger.info("Waiting %s before %s, to stay within %s a minute", duration(seconds), name, limit)
            self._shutdown.sleep(seconds)
            self.waited += seconds
        self.record()


class Session(requests.Session):
    """Sends each request in a thread of its own, so that a signal is noticed while it hangs, and prefetches some.

    It sends to URLs below the roots only, through the proxies and with the certificates that the environment names for
    each. With `requests_per_minute`, requests are sent one after the other.
    """

    def __init__(self, roots: Iterable[str], limits: Limits, *, shutdown: Shutdown, logger: logging.Logger) -> None:
        super().__init__()
        self.trust_env = False  # each adapter has read the environment for its root
        self.max_concurrency = 1 if limits.requests_per_minute else limits.max_concurrency
        """Requests that run at once; 1 disables prefetching."""
        self.request_count = 0
        """Requests whose response was asked for, retries included."""
        self.failing: dict[str, set[type[Exception]]] = {}
        """Servers that used up a retry budget; see `retrying`."""
        self.host = ""
        """The host of the last request whose response was asked for."""
        self._limits = limits
        self._shutdown = shutdown
        self._rate_limiter = None
        if limits.requests_per_minute:
            self._rate_limiter = RateLimiter(limits.requests_per_minute, shutdown, logger)
        self._running: dict[Future[requests.Response], list[requests.Response]] = {}
        """The requests that run, each with its response once the head of that has arrived."""
        self._prefetched: dict[str | None, Future[requests.Response]] = {}
        # The only adapters: a request to any other place cannot even be sent.
        self.adapters.clear()
        for root in roots:
            self.mount(f"{root}/", RootAdapter(root, limits))

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a request, or take the response to one that was prefetched."""
        self.request_count += 1
        self.host = urlsplit(str(request.url)).netloc
        future = self._prefetched.pop(request.url, None)
        try:
            if future is None:
                future = self._start_when_possible(request, kwargs)
            return self._shutdown.wait_for(future, self._limits.max_response_time)
        except TimeoutError:
            if future:
                self._abandon(future)
            msg = f"the response took more than {self._limits.max_response_time:g} s"
            raise requests.Timeout(msg, request=request) from None
        except ShutdownRequested:
            if request.method == "GET" or future is None:
                raise
            # What it starts on the server can be cancelled only once the response names it.
            wait([future], GRACE_PERIOD)
            if not future.done():
                raise
            return future.result()

    def send_now(self, request: requests.PreparedRequest, *, timeout: float) -> requests.Response:
        """Send a request that waits neither for the rate limiter nor for a shutdown, for `timeout` seconds at most."""
        self.request_count += 1
        if self._rate_limiter:
            self._rate_limiter.record()
        try:
            return self._start(request, {"timeout": timeout, "allow_redirects": False}).result(timeout)
        except TimeoutError:
            msg = f"no response within {timeout:g} s"
            raise requests.Timeout(msg, request=request) from None

    def working_time(self) -> float:
        """Return the time of a clock that stands still while requests wait for the rate limiter."""
        return waiting.monotonic() - (self._rate_limiter.waited if self._rate_limiter else 0.0)

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
            elif not has_failed and self._count_running() < self.max_concurrency > 1:
                self._prefetched[request.url] = self._start(request, kwargs)
        for future in before.values():
            self._abandon(future)

    def disable_prefetch(self) -> None:
        """Start no more requests ahead of time; those under way are still used."""
        self.max_concurrency = 1

    def _count_running(self) -> int:
        """Return the number of requests that run, those that were abandoned included."""
        self._running = {future: responses for future, responses in self._running.items() if not future.done()}
        return len(self._running)

    def _abandon(self, future: Future[requests.Response]) -> None:
        """End a request that nobody waits for any more; before the head of its response, it goes on."""
        for response in self._running.get(future, ()):
            with suppress(RuntimeError, ValueError):  # it has just ended by itself
                response.raw.shutdown()

    def _start_when_possible(
        self, request: requests.PreparedRequest, kwargs: dict[str, t.Any]
    ) -> Future[requests.Response]:
        self._prefetched = {url: other for url, other in self._prefetched.items() if not _has_failed(other)}
        if self._rate_limiter:
            self._rate_limiter.acquire(f"{request.method} {urlsplit(str(request.url)).path}")
        if self._count_running() >= max(self._limits.max_concurrency, 2):
            self._shutdown.wait_for_any(self._running, self._limits.max_response_time)
        return self._start(request, kwargs)

    def _start(self, request: requests.PreparedRequest, kwargs: dict[str, t.Any]) -> Future[requests.Response]:
        responses: list[requests.Response] = []
        # Called before the body is read.
        request.hooks["response"].append(lambda response, **_: responses.append(response))
        future = self._shutdown.start(partial(self._send, request, kwargs))
        # A response refers to its request, and so to this list: a cycle would keep both until the next collection.
        future.add_done_callback(lambda _: responses.clear())
        self._running[future] = responses
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


class RootAdapter(HTTPAdapter):
    """Sends through the proxy and with the certificates that the environment names for one root."""

    def __init__(self, root: str, limits: Limits) -> None:
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._environment = environment.merge_environment_settings(root, {}, None, None, None)
            if environment.trust_env:
                self._environment["verify"] = find_bundle(BUNDLE_VARIABLES) or True
        super().__init__(pool_maxsize=limits.max_concurrency)

    @override
    def build_response(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        response = super().build_response(*args, **kwargs)
        response.__class__ = Response
        return response

    @override
    def send(self, request: requests.PreparedRequest, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        kwargs |= {name: self._environment[name] for name in ("cert", "proxies", "verify")}
        response = super().send(request, *args, **kwargs)
        if response.status_code < HTTPStatus.OK:
            # http.client takes an interim response for the response, and the next request would get the real one.
            self.close()
        return response


class Response(requests.Response):
    """A response whose body is read in large pieces, and decoded exactly."""

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
