"""What takes time in a sync, by a clock that takes none: rate limits, progress lines, waits that a signal ends."""

from __future__ import annotations

import itertools
import logging
import os
import signal
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tap_kissmetrics.sdk_extensions.http import RateLimiter
from tap_kissmetrics.sdk_extensions.logs import Progress, StreamLogger, duration, format_size
from tap_kissmetrics.sdk_extensions.waiting import Shutdown, ShutdownRequested
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("unit")


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


class TestRateLimiter:
    """`requests_per_minute`."""

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(1, 20), st.lists(st.floats(0, 90), max_size=80))
    @example(1, [0.0] * 5)
    @example(5, [0.0] * 30)
    def test_no_minute_holds_more(self, limit: int, pauses: list[float]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            clock = Clock()
            clock.install(patch)
            limiter, started = RateLimiter(limit, Shutdown(), LOGGER), []
            for pause in pauses:
                clock.sleep(pause)
                limiter.acquire("GET /events")
                started.append(clock.monotonic())
        for first, beyond in zip(started, started[limit:], strict=False):
            assert beyond - first > 60

    def test_it_waits_no_longer_than_it_has_to(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        limiter = RateLimiter(3, Shutdown(), LOGGER)
        for _ in range(7):
            limiter.acquire("GET /events")
            clock.sleep(1)
        assert clock.slept == pytest.approx(7 + (61 - 3) + (61 - 3), abs=0.5)
        assert caplog.messages == ["Waiting 58 s before GET /events, to stay within 3 requests a minute"] * 2

    def test_what_cannot_wait_counts_as_well(self, clock: Clock) -> None:
        limiter = RateLimiter(3, Shutdown(), LOGGER)
        for _ in range(3):
            limiter.record()
        limiter.acquire("GET /events")
        assert clock.slept == pytest.approx(61, abs=0.5)

    @pytest.mark.parametrize(
        ("pause", "logged"), [(55.5, ["Waiting 5.5 s before GET /events, to stay within 1 request a minute"]), (57, [])]
    )
    def test_a_wait_of_some_seconds_is_logged(
        self, pause: float, logged: list[str], frozen_clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        limiter = RateLimiter(1, Shutdown(), LOGGER)
        limiter.acquire("GET /events")
        frozen_clock.sleep(pause)
        limiter.acquire("GET /events")
        assert caplog.messages == logged


class TestProgress:
    """The lines on a stream."""

    @pytest.fixture
    def progress(self) -> Progress:
        """That of one stream."""
        return Progress(StreamLogger(LOGGER, "events"))

    @pytest.fixture
    def read(self, progress: Progress, clock: Clock) -> Callable[..., None]:
        """Read a page, which takes a number of seconds."""
        requested: list[int] = []

        def read(count: int, seconds: float, *, total: int | None = None, requests: int = 1, **more: Any) -> None:
            with progress.count_requests(lambda: sum(requested)):
                requested.append(requests)
                clock.sleep(seconds)
            progress.update(count, total, **more)

        return read

    def test_with_a_total(
        self, read: Callable[..., None], progress: Progress, caplog: pytest.LogCaptureFixture
    ) -> None:
        progress.begin("stream 4 of 6", "FULL_TABLE", None)
        for _ in range(5):
            read(1000, 4, total=5000, requests=2)
        progress.complete()
        assert caplog.messages == [
            "events: started (stream 4 of 6, FULL_TABLE)",
            "events: 5,000 records to read",
            "events: 3,000 of 5,000 records (60%), 250/s, 12 s, about 8.0 s left, stream 4 of 6",
            "events: complete: 5,000 records, 10 requests, 20 s",
        ]

    def test_without_a_total(
        self, read: Callable[..., None], progress: Progress, caplog: pytest.LogCaptureFixture
    ) -> None:
        progress.part = "product 2 of 3"
        read(1, 11)
        progress.skipped = 1
        progress.complete()
        assert caplog.messages == [
            "events: 1 record, 11 s, product 2 of 3",
            "events: complete: 1 read, 0 written, 1 request, 11 s",
            "events: all records are older than the bookmark or start_date: nothing was written",
        ]

    def test_a_total_that_is_too_small(self, read: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
        read(20, 10, total=10)
        assert caplog.messages[-1] == "events: 20 of 10 records (100%), 2/s, 10 s"

    def test_in_files_with_their_size(
        self, read: Callable[..., None], progress: Progress, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where nobody knows how many records there are."""
        progress.begin("", "FULL_TABLE", None)
        progress.expect(12, "file")
        for done in (1, 2, 3):
            read(500_000, 300, done=done, size=34_060_000)
        assert caplog.messages == [
            "events: started (FULL_TABLE)",
            "events: 1 of 12 files (8%), 32.5 MiB, 500,000 records, 1,667/s, 5 min, about 55 min left",
            "events: 2 of 12 files (17%), 65.0 MiB, 1,000,000 records, 1,667/s, 10 min, about 50 min left",
            "events: 3 of 12 files (25%), 97.4 MiB, 1,500,000 records, 1,667/s, 15 min, about 45 min left",
        ]

    def test_in_files_whose_size_is_known(
        self, read: Callable[..., None], progress: Progress, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The time left is that of the bytes: the last file may be the largest."""
        progress.expect(2, "revision", size=100 * 2**20)
        read(1000, 10, done=1, size=20 * 2**20)
        read(2000, 20, done=1, size=40 * 2**20)
        assert caplog.messages == [
            "events: 1 of 2 revisions (20%), 20.0 MiB of 100.0 MiB, 1,000 records, 100/s, 10 s, about 40 s left",
            "events: 1 of 2 revisions (60%), 60.0 MiB of 100.0 MiB, 3,000 records, 100/s, 30 s, about 20 s left",
        ]

    def test_nothing_new_for_long(
        self, read: Callable[..., None], progress: Progress, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A query runs for a minute, and is polled every five seconds."""
        read(30, 1)
        for _ in range(12):
            clock.sleep(5)
            progress.refresh()
        assert caplog.messages == [f"events: 30 records, {text}" for text in (
            "3/s, 11 s", "1/s, 21 s", "31 s", "41 s", "51 s", "61 s"
        )]  # fmt: skip

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.24, "0.2 s"),
            (9.6, "9.6 s"),
            (10.4, "10 s"),
            (99.4, "99 s"),
            (100, "2 min"),
            (3570, "1 h 0 min"),
            (3540, "59 min"),
            (12_345, "3 h 26 min"),
        ],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    def test_sizes(self) -> None:
        assert [format_size(size) for size in (0, 1023, 1024, 5 * 2**20, 3 * 2**29, 2**50)] == [
            *("0 bytes", "1,023 bytes", "1.0 KiB", "5.0 MiB", "1.5 GiB", "1024.0 TiB"),
        ]

    def test_nothing_was_read(self, progress: Progress, caplog: pytest.LogCaptureFixture) -> None:
        progress.complete()
        assert caplog.messages == ["events: complete: 0 records, 0 requests, 0.0 s"]


class TestShutdown:
    """Waits, and the flag that a signal sets."""

    def test_a_sleep_is_as_long_as_it_says(self, clock: Clock) -> None:
        Shutdown().sleep(61)
        assert clock.slept == pytest.approx(61, abs=0.1)
        assert max(clock.sleeps) <= 0.2

    def test_a_signal_ends_a_sleep(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        shutdown, sleeps = Shutdown(), itertools.count()

        def sleep(seconds: float) -> None:
            Clock.sleep(clock, seconds)
            if next(sleeps) == 2:
                shutdown.request(signal.SIGTERM)

        monkeypatch.setattr(clock, "sleep", sleep)
        clock.install(monkeypatch)
        with pytest.raises(ShutdownRequested) as caught:
            shutdown.sleep(600)
        assert caught.value.code == 128 + signal.SIGTERM
        assert clock.slept < 1

    def test_a_signal_that_came_before(self, clock: Clock) -> None:
        shutdown = Shutdown()
        shutdown.check()
        shutdown.request(signal.SIGINT)
        future: Future[int] = Future()
        future.set_result(1)
        for wait in (shutdown.check, lambda: shutdown.sleep(1), lambda: shutdown.wait_for(future)):
            with pytest.raises(ShutdownRequested):
                wait()
        assert clock.sleeps == []

    def test_a_signal_that_is_passed_on_twice_counts_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal sends Ctrl-C to Meltano and the tap, and Meltano passes it on."""
        exits: list[int] = []
        monkeypatch.setattr(os, "_exit", exits.append)
        shutdown = Shutdown()
        shutdown.request(signal.SIGINT)
        shutdown.request(signal.SIGTERM)
        with pytest.raises(ShutdownRequested) as caught:
            shutdown.check()
        assert (caught.value.code, exits) == (128 + signal.SIGINT, [])

    def test_the_result_of_another_thread(self) -> None:
        future: Future[int] = Future()
        future.set_result(1)
        assert Shutdown().wait_for(future) == 1
