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
    failing: dict[str, set[type[Exception]]],
    server: Callable[[], str],
) -> Func:
    """Repeat a function while it raises `RetriableAPIError`; raise the last error once a budget is used up.

    Failures may take `max_time` seconds and wait `factor` seconds before the second attempt, then twice as long each
    time. Waiting for a rate limit is no failure and has a budget of its own; it waits as long as that, or as the API
    requires if that is longer. Budgets are measured by `now`, a clock in seconds. `on_retry` is called with the error
    and the seconds before each wait. An outage uses up one budget: `failing` has, for each server that used one up and
    has given no good response since, the types of its errors, for which it gets one attempt each time.
    """

    def exponential(jitter: float = 0.0) -> Iterator[float]:
        waits = backoff.expo(factor=factor, max_value=MAX_WAIT * factor)
        next(waits)  # backoff's generators yield nothing at first
        return (wait + backoff.random_jitter(0) * jitter for wait in waits)

    def wait_generator(budget: float, waits: Iterator[float]) -> Generator[float, Exception, None]:
        """Wait in here: `backoff` itself would sleep through a signal. Ends when the budget does."""
        start = now()
        error = yield 0.0
        while type(error) not in failing.get(server(), ()) and (left := start + budget - now()) > 0:
            seconds = min(max(next(waits), _minimum_wait(error, factor)), left)
            on_retry(error, seconds)
            sleep(seconds)
            error = yield 0.0

    on_transient_error = backoff.on_exception(
        lambda: wait_generator(max_time, exponential(jitter=factor)),
        RetriableAPIError,
        giveup=lambda error: isinstance(error, RateLimitError),
        jitter=None,
        logger=None,
    )
    on_rate_limit = backoff.on_exception(
        lambda: wait_generator(MAX_RATE_LIMIT_TIME * factor, exponential()),
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
            failing.setdefault(server(), set()).add(type(error))
            raise
        failing.pop(server(), None)
        return result

    return t.cast("Func", request)


def _minimum_wait(error: Exception, factor: float) -> float:
    if not isinstance(error, RateLimitError):
        return 0.0
    return DEFAULT_RETRY_AFTER * factor if error.retry_after is None else error.retry_after
