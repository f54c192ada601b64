"""The faults that have a name in the shell, with parameters that show what they are about."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tests.sandbox import faults
from tests.sandbox.data import RESOURCES
from tests.sandbox.query_data import QUERY_RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.fault import Fault

METHODS = ("GET", "POST", "DELETE")

_ELSEWHERE = "http://example.invalid/core"

NAMED: dict[str, tuple[str, Callable[[], Fault]]] = {
    "server-error": ("answers 503 to the 2nd and 3rd request", lambda: faults.status(503, skip=1, times=2)),
    "unauthorized": ("answers 401", lambda: faults.status(401)),
    "forbidden": ("answers 403", lambda: faults.status(403)),
    "not-found": ("answers 404", lambda: faults.status(404)),
    "bad-request": ("answers 400", lambda: faults.status(400)),
    "retry-after": ("answers 429 with Retry-After: 1, once", lambda: faults.retry_after(1, nth=2)),
    "retry-after-date": ("answers 503 with Retry-After as a date, once",
                         lambda: faults.retry_after(2, code=503, as_date=True, nth=2)),
    "rate-limit": ("15 requests a minute, 429 with no header", lambda: faults.rate_limit(15, 60)),
    "rate-limit-told": ("15 requests a minute, 429 with Retry-After", lambda: faults.rate_limit(15, 60, tell=True)),
    "close": ("closes the connection without an answer, once", lambda: faults.close(nth=2)),
    "close-in-body": ("closes it half way in the body, once", lambda: faults.close("in_body", nth=2)),
    "reset": ("resets the connection without an answer, once", lambda: faults.reset(nth=2)),
    "reset-in-headers": ("resets it within the headers, once", lambda: faults.reset("in_headers", nth=2)),
    "reset-after-headers": ("resets it after the headers, once", lambda: faults.reset("after_headers", nth=2)),
    "reset-in-body": ("resets it half way in the body, once", lambda: faults.reset("in_body", nth=2)),
    "hang": ("never answers the 2nd request", lambda: faults.hang(nth=2)),
    "hang-in-body": ("goes silent half way in the body, once", lambda: faults.hang("in_body", nth=2)),
    "drip": ("sends a byte of the body a second, once", lambda: faults.drip(1.0, nth=2)),
    "drip-all": ("sends a byte a second from the status line on, once", lambda: faults.drip(1.0, part="all", nth=2)),
    "short-body": ("sends less than Content-Length, once", lambda: faults.short_body(nth=2)),
    "bad-gzip": ("says gzip of what is none, once", lambda: faults.bad_gzip(nth=2)),
    "truncated-json": ("cuts the JSON off, once", lambda: faults.truncated_json(nth=2)),
    "html": ("answers 200 with an HTML page, once", lambda: faults.html_page(nth=2)),
    "empty-body": ("answers 200 with no body, once", lambda: faults.empty_body(nth=2)),
    "null-body": ("answers 200 with null, once", lambda: faults.null_body(nth=2)),
    "scalar-body": ("answers 200 with a number, once", lambda: faults.scalar_body(nth=2)),
    "null-data": ('answers 200 with "data": null, once', lambda: faults.data(None, nth=2)),
    "no-data": ("answers 200 without data, once", lambda: faults.data(faults.MISSING, nth=2)),
    "meta-status": ("answers 200 with meta.status 500, once", lambda: faults.meta_status(500, nth=2)),
    "redirect": ("redirects to another host", lambda: faults.redirect(_ELSEWHERE)),
    "echo-token": ("answers 400 and repeats the token everywhere", faults.echo_token),
    "ignore-offset": ("always serves the first page", faults.ignore_offset),
    "ignore-limit": ("always serves the whole list", faults.ignore_limit),
    "ignore-limit-20": ("always serves 20 rows", lambda: faults.ignore_limit(20)),
    "overlap": ("serves each page from 3 rows early", lambda: faults.overlap(3)),
    "total-missing": ("has no pagination.total", lambda: faults.total(faults.MISSING)),
    "total-null": ("has a pagination.total of null", lambda: faults.total(None)),
    "total-text": ("has pagination.total as text", lambda: faults.total(str)),
    "total-small": ("has half the true pagination.total", lambda: faults.total(lambda true: true // 2)),
    "total-large": ("has ten too many in pagination.total", lambda: faults.total(lambda true: true + 10)),
    "total-random": ("has another pagination.total each time", faults.total_random),
    "no-links": ("has no links, nor a Link header", faults.no_links),
    "empty-page": ("serves no rows to the 2nd request for events", lambda: faults.empty_page(resource="events", nth=2)),
    "endless": ("sends rows without end", lambda: faults.endless(resource="events")),
}  # fmt: skip
"""Name: what it does, and how it is made. Those that happen once happen to the second request."""


def make_fault(text: str) -> Fault:
    """Make the fault that the shell calls NAME or NAME:KEY=VALUE,...

    The keys are `resource`, `method`, `skip`, `times`, `nth` of `When`; `times=always` is None. `times` and `skip` undo
    the `nth` that the name brings.

    Raises:
        ValueError: There is no such name, key or value.
    """
    name, _, rest = text.partition(":")
    if name not in NAMED:
        message = f"there is no fault {name!r}; there are {', '.join(NAMED)}"
        raise ValueError(message)
    fault = NAMED[name][1]()
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        match key:
            case "resource" if value in {*RESOURCES, *QUERY_RESOURCES, "queries"}:
                fault = dataclasses.replace(fault, resource=value)
            case "method" if value in METHODS:
                fault = dataclasses.replace(fault, method=value)
            case "times" if value == "always":
                fault = dataclasses.replace(fault, times=None, nth=None)
            case "nth" if value.isdecimal():
                fault = dataclasses.replace(fault, nth=int(value))
            case "times" if value.isdecimal():
                fault = dataclasses.replace(fault, times=int(value), nth=None)
            case "skip" if value.isdecimal():
                fault = dataclasses.replace(fault, skip=int(value), nth=None)
            case _:
                message = (
                    f"{pair!r} is not understood: resource=NAME, method=NAME, nth=N, skip=N, times=N or times=always"
                )
                raise ValueError(message)
    return fault
