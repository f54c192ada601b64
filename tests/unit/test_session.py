"""The session by itself: what is under way, what was prefetched, and what a signal does to it."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import BaseAdapter
from typing_extensions import override

from tap_kissmetrics.sdk_extensions import http as module
from tap_kissmetrics.sdk_extensions.http import Limits, Session, UnsendableRequestError
from tap_kissmetrics.sdk_extensions.waiting import Shutdown, ShutdownRequested
from tap_kissmetrics.tap import max_response_time
from tests.unit.responses import make_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.clock import Clock

ROOT = "https://api.example.com"


class Server(BaseAdapter):
    """Answers each request as it is told to, once it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.answers: dict[str, int | Exception] = {}
        self.opened = threading.Event()
        self.shutdown = Shutdown()

    def session(self, max_concurrency: int, pace: int | None = None, seconds: float = 30) -> Session:
        """Make a session with it."""
        limits = Limits(max_concurrency, pace, seconds)
        session = Session([], limits, shutdown=self.shutdown, logger=logging.getLogger("unit"))
        session.mount(ROOT, self)
        return session

    @override
    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        self.asked.append(request.path_url)
        assert self.opened.wait(30)
        answer = self.answers.get(request.path_url, 200)
        if isinstance(answer, Exception):
            raise answer
        response = make_response({}, answer, path=request.path_url)
        response.request = request
        return response

    @override
    def close(self) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that is not open yet."""
    server = Server()
    yield server
    server.opened.set()


def request(path: str, method: str = "GET") -> requests.PreparedRequest:
    """A request for a path."""
    return requests.Request(method, ROOT + path).prepare()


def paths(*names: str) -> list[requests.PreparedRequest]:
    """Make requests for some paths."""
    return [request(name) for name in names]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within 10 s")


@pytest.mark.parametrize(
    ("request_timeout", "retry_timeout", "seconds"),
    [(60, 120, 60), (10, 120, 50), (300, 120, 300), (60, 0, 60), (1, 1000, 5)],
)
def test_a_response_that_trickles_leaves_time_for_another_attempt(
    request_timeout: float, retry_timeout: float, seconds: float
) -> None:
    """Within `retry_timeout`; but never less than one read may take."""
    settings = {"request_timeout": request_timeout, "retry_timeout": retry_timeout}
    assert max_response_time(settings) == seconds


class TestPrefetch:
    """Requests that are sent before their response is asked for."""

    def test_as_many_at_once_as_are_allowed(self, server: Server) -> None:
        session = server.session(2)
        session.prefetch(paths("/a", "/b", "/c"))
        until(lambda: len(server.asked) == 2)
        time.sleep(0.05)
        assert (sorted(server.asked), session.request_count) == (["/a", "/b"], 0)
        server.opened.set()
        for each in paths("/a", "/b", "/c"):
            assert session.send(each).request.path_url == each.path_url
        assert sorted(server.asked) == ["/a", "/b", "/c"]
        assert (session.request_count, session.prefetched, session.host) == (3, 0, "api.example.com")

    @pytest.mark.parametrize(("most", "pace"), [(1, None), (8, 15)])
    def test_none_if_one_is_allowed_or_at_a_pace(self, most: int, pace: int | None, server: Server) -> None:
        session = server.session(most, pace)
        session.prefetch(paths("/a", "/b"))
        assert (session.prefetched, server.asked) == (0, [])

    def test_after_it_was_disabled_those_under_way_are_used(self, server: Server) -> None:
        session = server.session(3)
        session.prefetch(paths("/a", "/b"))
        session.disable_prefetch()
        session.prefetch(paths("/b", "/c"))
        assert session.prefetched == 1
        server.opened.set()
        assert session.send(request("/b")).ok
        assert "/c" not in server.asked

    def test_what_is_not_expected_any_more_is_not_sent(self, server: Server) -> None:
        session = server.session(2)
        session.prefetch(paths("/a", "/b", "/c"))
        until(lambda: len(server.asked) == 2)
        session.prefetch(paths("/a", "/b"))
        server.opened.set()
        for name in ("/a", "/b", "/d"):
            session.send(request(name))
        assert sorted(server.asked) == ["/a", "/b", "/d"]

    @pytest.mark.parametrize("failure", [503, requests.ConnectionError("reset")])
    def test_after_a_failure_no_other_starts(self, failure: Any, server: Server) -> None:
        server.answers["/a"] = failure
        session = server.session(3)
        session.prefetch(paths("/a", "/b"))
        server.opened.set()
        until(lambda: not session._count_running())  # noqa: SLF001 - what is public does not tell
        session.prefetch(paths("/a", "/b", "/c"))
        assert (session.prefetched, sorted(server.asked)) == (2, ["/a", "/b"])
        if failure == 503:
            assert session.send(request("/a")).status_code == 503
        else:
            with pytest.raises(requests.ConnectionError, match="reset") as caught:
                session.send(request("/a"))
            assert caught.value.request is not None
        session.prefetch(paths("/b", "/c"))
        assert session.prefetched == 2

    def test_a_failure_is_forgotten_with_the_next_request(self, server: Server) -> None:
        server.answers["/a"] = 503
        session = server.session(3)
        session.prefetch(paths("/a", "/b"))
        server.opened.set()
        until(lambda: not session._count_running())  # noqa: SLF001 - what is public does not tell
        session.send(request("/c"))
        session.prefetch(paths("/b", "/d"))
        assert session.prefetched == 2

    def test_what_is_under_way_is_no_failure(self, server: Server) -> None:
        session = server.session(3)
        session.prefetch(paths("/a"))
        session.prefetch(paths("/a", "/b"))
        assert session.prefetched == 2


class TestSend:
    """A request whose response is asked for."""

    def test_no_more_hang_than_may_run_at_once(self, server: Server) -> None:
        session = server.session(2, seconds=0.05)
        for each in paths("/a", "/b", "/c", "/d"):
            with pytest.raises(requests.Timeout, match=r"^the response took more than 0\.05 s$"):
                session.send(each)
        assert server.asked == ["/a", "/b"]

    def test_what_cannot_be_sent(self, server: Server) -> None:
        server.answers["/a"] = OSError("no such file")
        server.opened.set()
        with pytest.raises(UnsendableRequestError) as caught:
            server.session(1).send(request("/a"))
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.request is not None

    def test_at_once(self, server: Server, frozen_clock: Clock) -> None:
        """It does not wait for the rate limiter, which counts it, nor for what hangs."""
        server.opened.set()
        session = server.session(1, pace=2)
        start = session.working_time()
        session.send(request("/a"))
        assert session.send_now(request("/b", "DELETE"), timeout=10).ok
        assert (session.request_count, frozen_clock.slept) == (2, 0)
        session.send(request("/c"))
        assert frozen_clock.slept == pytest.approx(61, abs=0.1)
        assert session.working_time() == pytest.approx(start, abs=0.1)

    def test_at_once_without_a_rate_limit(self, server: Server) -> None:
        session = server.session(1)
        with pytest.raises(requests.Timeout, match=r"^no response within 0\.05 s$"):
            session.send_now(request("/a"), timeout=0.05)
        assert (session.request_count, server.asked) == (1, ["/a"])


class TestShutdown:
    """A signal while a response is awaited."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_what_starts_something_is_awaited(self, method: str, server: Server) -> None:
        """Its response names what is to be cancelled. What only reads is given up."""
        server.shutdown.request(signal.SIGTERM)
        threading.Timer(0.2, server.opened.set).start()
        if method == "POST":
            assert server.session(1).send(request("/a", method)).ok
        else:
            with pytest.raises(ShutdownRequested):
                server.session(1).send(request("/a", method))

    def test_but_not_for_long(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        server.shutdown.request(signal.SIGTERM)
        monkeypatch.setattr(module, "GRACE_PERIOD", 0.05)
        with pytest.raises(ShutdownRequested):
            server.session(1).send(request("/a", "POST"))


def test_a_response_goes_with_its_last_user(server: Server) -> None:
    """Not with the next collection of cycles, which comes seldom: until then its page would stay in memory."""
    session = server.session(2)
    server.opened.set()
    gc.collect()
    gc.disable()
    try:
        response = weakref.ref(session.send(request("/1")))
        ended = time.monotonic() + 30
        while response() and time.monotonic() < ended:
            session._count_running()  # a thread that has just ended may still hold it  # noqa: SLF001
            time.sleep(0.01)
        assert response() is None
    finally:
        gc.enable()
