"""How long to wait before a request is sent again."""

from __future__ import annotations

import email.utils
import math
import time
import typing as t

import backoff

from tap_kissmetrics.errors import RateLimitError

if t.TYPE_CHECKING:
    import requests
    from backoff.types import Details

LONGEST_WAIT: t.Final = 60.0
"""Most seconds between two tries, in units of `backoff_factor`."""

RATE_LIMIT_WINDOW: t.Final = 60.0
"""Seconds, in units of `backoff_factor`: Kissmetrics counts requests by the minute."""

RATE_LIMIT_PATIENCE: t.Final = 15 * RATE_LIMIT_WINDOW
"""Most seconds, in units of `backoff_factor`, that one request waits for a limit."""

LONGEST_RETRY_AFTER: t.Final = 300.0
"""Most seconds that a `Retry-After` header is obeyed."""

Func = t.TypeVar("Func", bound=t.Callable[..., t.Any])


def retry_after(response: requests.Response) -> float | None:
    """Read the `Retry-After` header (RFC 9110, section 10.2.3).

    Args:
        response: The API's answer.

    Returns:
        Seconds to wait, 0 to `LONGEST_RETRY_AFTER`; None without a header, or when it
        makes no sense.
    """
    header = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
            seconds = max(date.timestamp() - time.time(), 0)
        except (ValueError, OverflowError, OSError):
            return None
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER)


def retrying(
    func: Func,
    *,
    failures: type[Exception],
    factor: float,
    patience: float,
    on_backoff: t.Callable[[Details], None],
) -> Func:
    """Send a request again while it fails in a way that can pass.

    Waits for a rate limit are counted apart: they are no failure.

    Args:
        func: Sends the request.
        failures: The exceptions to try again on.
        factor: Seconds before the second try; each further wait is twice as long.
        patience: Seconds after which a request that goes on failing is given up.
        on_backoff: Called before each wait.

    Returns:
        `func`, repeated. It raises the last exception when patience ends.
    """

    def pauses() -> t.Generator[float, RateLimitError, None]:
        error = yield 0.0
        while True:
            pause = error.pause
            error = yield RATE_LIMIT_WINDOW * factor if pause is None else pause

    persistent = backoff.on_exception(
        backoff.expo,
        failures,
        max_time=patience,
        jitter=lambda wait: wait + backoff.random_jitter(0) * factor,
        giveup=lambda error: isinstance(error, RateLimitError),
        on_backoff=on_backoff,
        logger=None,
        factor=factor,
        max_value=LONGEST_WAIT * factor,
    )
    polite = backoff.on_exception(
        pauses,
        RateLimitError,
        max_time=RATE_LIMIT_PATIENCE * factor,
        jitter=lambda pause: max(pause, factor),
        on_backoff=on_backoff,
        logger=None,
    )
    return polite(persistent(func))
