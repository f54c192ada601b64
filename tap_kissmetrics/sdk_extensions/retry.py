"""Retry a request within two budgets of seconds: one for failures, one for rate limits."""

from __future__ import annotations

import email.utils
import functools
import math
import time
import typing as t

import backoff
from singer_sdk.exceptions import RetriableAPIError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import requests

MAX_WAIT: t.Final = 60.0
"""Most seconds between two attempts, for a `factor` of 1."""

DEFAULT_RETRY_AFTER: t.Final = 60.0
"""Seconds to wait for a rate limit of unknown duration, for a `factor` of 1: most APIs count requests by the minute."""

MAX_RATE_LIMIT_TIME: t.Final = 15 * DEFAULT_RETRY_AFTER
"""Most seconds that one request waits for rate limits, for a `factor` of 1."""

MAX_RETRY_AFTER: t.Final = 300.0
"""Most seconds that a `Retry-After` header is obeyed."""

Func = t.TypeVar("Func", bound=t.Callable[..., t.Any])


class RateLimitError(RetriableAPIError):
    """The API asks for a pause; `retry_after` is the number of seconds, if it named one."""

    retry_after: float | None = None

    is_too_many_requests = False
    """Whether the reason is HTTP 429."""


def parse_retry_after(response: requests.Response) -> float | None:
    """Read the `Retry-After` header (RFC 9110, section 10.2.3): seconds, at most `MAX_RETRY_AFTER`.

    None without a header, or with one that makes no sense.
    """
    header = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
            seconds = max(date.timestamp() - _server_time(response), 0)
        except (ValueError, OverflowError, OSError):
            return None
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER)


def _server_time(response: requests.Response) -> float:
    """Return the moment of the response by the server's own clock, or by this one if it sends no usable date."""
    try:
        return email.utils.parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return time.time()


def retrying(  # noqa: PLR0913 - a budget needs a clock
    func: Func,
    *,
    factor: float,
    max_time: float,
    sleep: Callable[[float], None],
    now: Callable[[], float],
    on_retry: Callable[[Exception, float], None],
    failing: set[tuple[str, bool]],
    server: Callable[[], str],
) -> Func:
    """Repeat a function while it raises `RetriableAPIError`; raise the last error once a budget is used up.

    Failures may take `max_time` seconds and wait `factor` seconds before the second attempt, then twice as long each
    time; waiting for a rate limit is no failure and has a budget of its own. Budgets are measured by `now`, a clock in
    seconds. `on_retry` is called with the error and the seconds before each wait. An outage uses up one budget:
    `failing` holds each server that used one up and has given no good response since, and whether it was that for rate
    limits; it gets one attempt each time.
    """

    def exponential() -> Iterator[float]:
        waits = backoff.expo(factor=factor, max_value=MAX_WAIT * factor)
        next(waits)  # backoff's generators yield nothing at first
        return (wait + backoff.random_jitter(0) * factor for wait in waits)

    def wait_generator(budget: float, waits: Iterator[float] | None) -> Generator[float, Exception, None]:
        """Wait in here: `backoff` itself would sleep through a signal. Ends when the budget does."""
        start = now()
        error = yield 0.0
        while (server(), not waits) not in failing and (left := start + budget - now()) > 0:
            seconds = min(next(waits) if waits else _rate_limit_wait(error, factor), left)
            on_retry(error, seconds)
            sleep(seconds)
            error = yield 0.0

    on_transient_error = backoff.on_exception(
        lambda: wait_generator(max_time, exponential()),
        RetriableAPIError,
        giveup=lambda error: isinstance(error, RateLimitError),
        jitter=None,
        logger=None,
    )
    on_rate_limit = backoff.on_exception(
        lambda: wait_generator(MAX_RATE_LIMIT_TIME * factor, None),
        RateLimitError,
        jitter=None,
        logger=None,
    )
    repeated = on_rate_limit(on_transient_error(func))

    @functools.wraps(func)
    def request(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            result = repeated(*args, **kwargs)
        except RetriableAPIError as error:
            failing.add((server(), isinstance(error, RateLimitError)))
            raise
        failing.difference_update({(server(), True), (server(), False)})
        return result

    return t.cast("Func", request)


def _rate_limit_wait(error: Exception, factor: float) -> float:
    """A wait of zero would only be refused again, so it is at least `factor`."""
    seconds = getattr(error, "retry_after", None)
    return max(DEFAULT_RETRY_AFTER * factor if seconds is None else seconds, factor)
