"""How long to wait before the next attempt, and when to give up; by a clock that takes no time."""

from __future__ import annotations

import email.utils
import itertools
import time
from typing import TYPE_CHECKING

import pytest
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.sdk_extensions.retry import RateLimitError, parse_retry_after, retrying
from tests.unit.responses import make_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.clock import Clock

pytestmark = pytest.mark.usefixtures("frozen_clock")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (" 7 ", 7),
        ("1.5", 1.5),
        ("0", 0),
        ("301", 300),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
        *((text, None) for text in ("", "soon", "-5", "1e999", "nan", "-inf", "Fri, 99 Foo 2001")),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    """Nonsense counts as absent."""
    assert parse_retry_after(make_response(headers={"Retry-After": header})) == seconds


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    header = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert parse_retry_after(make_response(headers={"Retry-After": header})) == pytest.approx(100, abs=3)
    assert parse_retry_after(make_response()) is None


@pytest.mark.parametrize("difference", [-86_400, 3600])
def test_retry_after_as_a_date_is_compared_with_the_clock_of_the_server(difference: int) -> None:
    now = time.time() + difference
    date, header = (email.utils.formatdate(moment, usegmt=True) for moment in (now, now + 42))
    assert parse_retry_after(make_response(headers={"Date": date, "Retry-After": header})) == 42


def limited(retry_after: float | None) -> RateLimitError:
    """Make the error of a rate limit."""
    error = RateLimitError("HTTP 429")
    error.retry_after = retry_after
    return error


def attempt(  # noqa: PLR0913 - what varies
    errors: Sequence[Exception],
    clock: Clock,
    *,
    factor: float = 1,
    max_time: float = 120,
    duration: float = 0,
    failing: dict[str, set[type[Exception]]] | None = None,
) -> tuple[list[float], int, Exception | None]:
    """Call a function that raises these errors, one after the other, and lasts so long each time.

    Returns the waits, how often it was called, and the error in the end.
    """
    waits: list[float] = []
    calls = itertools.count()
    pending = iter(errors)

    def func() -> str:
        next(calls)
        clock.sleep(duration)
        if error := next(pending, None):
            raise error
        return "done"

    def on_retry(_error: Exception, seconds: float) -> None:
        waits.append(seconds)

    call: Callable[[], str] = retrying(
        func,
        factor=factor,
        max_time=max_time,
        sleep=clock.sleep,
        now=clock.monotonic,
        on_retry=on_retry,
        failing={} if failing is None else failing,
        server=lambda: "host",
    )
    try:
        assert call() == "done"
    except Exception as error:  # noqa: BLE001 - it is looked at
        return waits, next(calls), error
    return waits, next(calls), None


@pytest.mark.parametrize("factor", [1, 0.1])
def test_waits_double_up_to_a_minute(factor: float, clock: Clock) -> None:
    """Each with up to `factor` seconds more, so that taps which failed together do not come back together."""
    waits, calls, error = attempt([RetriableAPIError("503")] * 9, clock, factor=factor, max_time=1000)
    assert (calls, error) == (10, None)
    for wait, doubled in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert doubled * factor <= wait < (doubled + 1) * factor
    assert len({wait / doubled for wait, doubled in zip(waits, (1, 2, 4), strict=False)}) == 3
    assert clock.slept == pytest.approx(sum(waits))


@pytest.mark.parametrize(("factor", "budget"), [(1, 120), (0.01, 0.5)])
def test_failures_have_a_budget(factor: float, budget: float, clock: Clock) -> None:
    """The last wait is cut to it, and the last error is raised."""
    errors: list[Exception] = [RetriableAPIError(f"HTTP 503, time {number}") for number in range(50)]
    waits, calls, error = attempt(errors, clock, factor=factor, max_time=budget)
    assert sum(waits) == pytest.approx(budget, rel=0.01)
    assert str(error) == f"HTTP 503, time {calls - 1}"
    assert len(waits) == calls - 1


def test_the_time_of_attempts_counts(clock: Clock) -> None:
    """A server that hangs uses the budget up as well."""
    _, calls, error = attempt([RetriableAPIError("timed out")] * 50, clock, max_time=120, duration=50)
    assert (calls, type(error)) == (3, RetriableAPIError)


def test_no_budget_is_one_attempt(clock: Clock) -> None:
    waits, calls, error = attempt([RetriableAPIError("503")] * 5, clock, max_time=0)
    assert (waits, calls, type(error)) == ([], 1, RetriableAPIError)


@pytest.mark.parametrize(("retry_after", "wait"), [(None, 60), (0, 1), (0.5, 1), (7, 7), (300, 300)])
def test_a_rate_limit_says_how_long(retry_after: float | None, wait: float, clock: Clock) -> None:
    """A minute where it does not; never less than `factor`, or the next attempt would only be refused again."""
    assert attempt([limited(retry_after)], clock) == ([wait], 2, None)


@pytest.mark.parametrize("retry_after", [0, 3])
def test_waits_for_a_rate_limit_grow(retry_after: float, clock: Clock) -> None:
    """A server that asks for a short pause again and again is not asked hundreds of times."""
    waits, _, error = attempt([limited(retry_after)] * 1000, clock)
    assert waits[:8] == [max(wait, retry_after) for wait in (1, 2, 4, 8, 16, 32, 60, 60)]
    assert sum(waits) == pytest.approx(900, abs=0.1)
    assert type(error) is RateLimitError


def test_rate_limits_have_a_budget_of_their_own(clock: Clock) -> None:
    """Waiting for them is no failure: `max_time` does not matter, but a quarter of an hour does."""
    waits, calls, error = attempt([limited(None)] * 50, clock, max_time=0)
    assert waits == pytest.approx([60] * 15, abs=0.1)
    assert (calls, type(error)) == (16, RateLimitError)


def test_failures_after_a_rate_limit_have_their_whole_budget(clock: Clock) -> None:
    errors: list[Exception] = [*[RetriableAPIError("503")] * 3, limited(300), *[RetriableAPIError("503")] * 5]
    assert attempt(errors, clock, max_time=60)[1:] == (10, None)


@pytest.mark.parametrize("error", [RetriableAPIError("503"), limited(None)], ids=["failure", "rate limit"])
def test_an_outage_uses_up_one_budget(error: Exception, clock: Clock) -> None:
    """Then one attempt each time, until a good response; a rate limit after a failure is a sign of life."""
    failing: dict[str, set[type[Exception]]] = {}
    assert attempt([error] * 50, clock, failing=failing)[1] > 5
    assert attempt([error] * 50, clock, failing=failing) == ([], 1, error)
    other = limited(60) if type(error) is RetriableAPIError else RetriableAPIError("503")
    assert attempt([other], clock, failing=failing)[1:] == (2, None)
    assert attempt([error], clock, failing=failing)[1:] == (2, None)


@pytest.mark.parametrize("error", [FatalAPIError("HTTP 404"), ValueError("a bug")])
def test_other_errors_are_raised_at_once(error: Exception, clock: Clock) -> None:
    assert attempt([error, error], clock) == ([], 1, error)
