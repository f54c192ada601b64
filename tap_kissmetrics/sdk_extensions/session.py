"""An HTTP session that bounds where requests go, how many run at once, and how often they start."""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import urlsplit

import requests
from typing_extensions import override
from urllib3.exceptions import LocationValueError

from tap_kissmetrics.sdk_extensions import clock
from tap_kissmetrics.sdk_extensions.logs import plural
from tap_kissmetrics.sdk_extensions.shutdown import ShutdownRequested
from tap_kissmetrics.sdk_extensions.transport import Limits, RootAdapter

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from tap_kissmetrics.sdk_extensions.shutdown import Shutdown

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
        self._started.append(clock.monotonic())

    def acquire(self, name: str) -> None:
        """Wait until another request may start, and count it; `name` is what the log calls it."""
        if len(self._started) == self._requests_per_minute:
            seconds = max(self._started[0] + RATE_LIMIT_PERIOD - clock.monotonic(), 0)
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
        return clock.monotonic() - (self._rate_limiter.waited if self._rate_limiter else 0.0)

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
