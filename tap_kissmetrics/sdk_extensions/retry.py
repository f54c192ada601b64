"""Retry a request within two budgets of seconds: one for failures, one for rate limits."""

from __future__ import annotations

import email.utils
import functools
import math
import time
import typing as t

import backoff
from singer_sdk.exceptions import RetriableAPIError

from tap_kissmetrics.sdk_extensions.logs import duration

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    Failures may take `max_time` seconds of the clock `now`; the waits between them begin with `factor` seconds and
    double. A rate limit is no failure: it has a budget of its own, and waits at least as long as the API asks. An
    outage uses up one budget: until it gives a good response, what `server` returns is in `failing`, with the types of
    its errors, and gets one attempt each time. `on_retry` is called with the error and the seconds of each wait.
    """

    @functools.wraps(func)
    def repeat(*args: t.Any, **kwargs: t.Any) -> t.Any:
        waits = {RetriableAPIError: _exponential(factor, factor), RateLimitError: _exponential(factor)}
        start = now()
        ends = {RetriableAPIError: start + max_time, RateLimitError: start + MAX_RATE_LIMIT_TIME * factor}
        while True:
            try:
                result = func(*args, **kwargs)
            except RetriableAPIError as error:
                kind = RateLimitError if isinstance(error, RateLimitError) else RetriableAPIError
                errors = failing.setdefault(server(), set())
                left = ends[kind] - now()
                if left <= 0 or type(error) in errors:
                    errors.add(type(error))
                    if (spent := now() - start) >= 1:
                        error.add_note(f"gave up after {duration(spent)}")
                    raise
                seconds = min(max(next(waits[kind]), _minimum_wait(error, factor)), left)
                on_retry(error, seconds)
                sleep(seconds)  # `backoff` itself would sleep through a signal
                if kind is RateLimitError:  # failures after it have their whole budget
                    waits[RetriableAPIError], ends[RetriableAPIError] = _exponential(factor, factor), now() + max_time
            else:
                failing.pop(server(), None)
                return result

    return t.cast("Func", repeat)


def _exponential(factor: float, jitter: float = 0.0) -> Iterator[float]:
    waits = backoff.expo(factor=factor, max_value=MAX_WAIT * factor)
    next(waits)  # backoff's generators yield nothing at first
    return (wait + backoff.random_jitter(0) * jitter for wait in waits)


def _minimum_wait(error: Exception, factor: float) -> float:
    if not isinstance(error, RateLimitError):
        return 0.0
    return DEFAULT_RETRY_AFTER * factor if error.retry_after is None else error.retry_after
