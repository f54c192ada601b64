"""Faults of lists: the wrong rows, the wrong total, no links."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.sandbox.answers import MISSING, rewrite
from tests.sandbox.fault import Fault, When
from tests.sandbox.messages import Page, Request, Response, to_json

if TYPE_CHECKING:
    from typing import Unpack

_EVERYTHING = 2**62


def ignore_offset(*, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Always serve the first rows; `admit`: say so in `pagination.offset`."""

    def page(window: Page) -> None:
        window.offset = 0
        window.shown_offset = 0 if admit else window.shown_offset

    return Fault("ignore offset", page=page, **when)


def ignore_limit(give: int | None = None, *, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Always serve `give` rows (None: all that there are); `admit`: say so in `pagination.limit`."""

    def page(window: Page) -> None:
        window.limit = _EVERYTHING if give is None else give
        window.shown_limit = window.limit if admit else window.shown_limit

    return Fault("ignore limit", page=page, **when)


def overlap(rows: int = 3, *, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Serve each page from so many rows before the one asked for; `admit`: say so in `pagination.offset`."""

    def page(window: Page) -> None:
        window.offset = max(window.offset - rows, 0)
        window.shown_offset = window.offset if admit else window.shown_offset

    return Fault("overlap", page=page, **when)


def empty_page(**when: Unpack[When]) -> Fault:
    """Serve no rows, with all the rest as it would be. Mostly wanted with `nth`."""

    def page(window: Page) -> None:
        window.limit = 0

    return Fault("empty page", page=page, **when)


def total(value: object, **when: Unpack[When]) -> Fault:
    """Put `value` (MISSING: nothing; a function: what it makes of the true one) in `pagination.total` of envelopes."""

    def change(decoded: Any) -> None:
        if isinstance(decoded, dict) and "pagination" in decoded:
            true = decoded["pagination"].pop("total", None)
            if value is not MISSING:
                decoded["pagination"]["total"] = value(true) if callable(value) else value

    return rewrite(change, **when)


def total_random(low: int = 0, high: int = 1_000, seed: int = 0, **when: Unpack[When]) -> Fault:
    """Put another random `pagination.total` in each answer."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    return total(lambda _true: rng.randint(low, high), **when)


def no_links(**when: Unpack[When]) -> Fault:
    """Leave `links` out of the envelope, and the `Link` header."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers.pop("Link", None)
        value = response.json()
        if isinstance(value, dict) and "meta" in value:  # the links of a bare record are its own
            value.pop("links", None)
            response.body = to_json(value)
        return response

    return Fault("no links", answer=answer, **when)
