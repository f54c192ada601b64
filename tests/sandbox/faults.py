"""Faults: what a test can make the sandbox do wrong. Each function makes one.

All take the keywords of `When` besides their own. Faults add up: each one that matches a request changes what the one
before left, and of several that send in their own way the last one sends.
"""

from __future__ import annotations

import collections
import datetime as dt
import email.utils
import http
import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from tests.sandbox.messages import Page, Request, Response, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from tests.sandbox.server import Wire


class When(TypedDict, total=False):
    """The keywords, taken by every fault, that say which requests it concerns."""

    resource: str | None  # only requests for this resource: lists, scoped lists and details
    method: str | None  # only requests with this method
    where: Callable[[Request], bool] | None  # only requests for which this is true
    skip: int  # of these requests, so many pass before the fault begins
    times: int | None  # the fault happens so often; None for always
    nth: int | None  # it happens to this request only, counted from 1: the same as skip=nth - 1, times=1


@dataclass
class Fault:
    """Something that goes wrong, in one or several of three places."""

    name: str
    page: Callable[[Page], None] | None = None  # moves the page of a list before it is read
    answer: Callable[[Request, Response], Response] | None = None  # changes or replaces the response
    send: Callable[[Wire, Response], None] | None = None  # sends the response, and is the last to touch the connection
    resource: str | None = None
    method: str | None = None
    where: Callable[[Request], bool] | None = None
    skip: int = 0
    times: int | None = None
    nth: int | None = None
    seen: int = 0  # the requests so far of its resource, its method and its `where`

    def matches(self, request: Request) -> bool:
        """Tell whether the fault happens to a request. To be called once per request: it counts."""
        if self.resource not in {None, request.resource} or self.method not in {None, request.method}:
            return False
        if self.where is not None and not self.where(request):
            return False
        self.seen += 1
        if self.nth is not None:
            return self.seen == self.nth
        return self.seen > self.skip and (self.times is None or self.seen <= self.skip + self.times)


MISSING: Final = object()
"""A value for `total` and `data`: omit the key."""

# The status and the headers


def status(
    code: int,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | str | None = None,
    reason: str | None = None,
    **when: Unpack[When],
) -> Fault:
    """Answer with a status, and with the API's error body unless another one is given."""

    def answer(request: Request, _response: Response) -> Response:
        response = Response.of_error(code, reason or f"This is the answer {code}", request.error_form)
        if body is not None:
            response.body = body.encode() if isinstance(body, str) else body
        response.headers.update(headers or {})
        response.reason = reason
        return response

    return Fault(f"status {code}", answer=answer, **when)


def retry_after(value: float | str = 1, *, code: int = 429, as_date: bool = False, **when: Unpack[When]) -> Fault:
    """Answer with a status and `Retry-After`: seconds, the date in so many seconds, or any text."""

    def answer(request: Request, _response: Response) -> Response:
        response = Response.of_error(code, "Come back later", request.error_form)
        text = str(value)
        if as_date:
            then = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=float(value))
            text = email.utils.format_datetime(then, usegmt=True)
        response.headers["Retry-After"] = text
        return response

    return Fault("retry-after", answer=answer, **when)


def rate_limit(
    requests: int | Callable[[], int | None] = 15,
    per_seconds: float = 60.0,
    *,
    tell: bool = False,
    count_refused: bool = False,
    **when: Unpack[When],
) -> Fault:
    """Let so many requests pass in any span of `per_seconds`, and answer 429 to the others.

    The number may come from a function, which is called for each request; None lets all pass. `tell` sends
    `Retry-After` in whole seconds. With `count_refused`, refused requests count too: a client that does not wait never
    passes again.
    """
    passed: collections.deque[float] = collections.deque()

    def answer(request: Request, response: Response) -> Response:
        now = time.monotonic()
        while passed and passed[0] <= now - per_seconds:
            passed.popleft()
        most = requests() if callable(requests) else requests
        if most is None or len(passed) < most:
            passed.append(now)
            return response
        refusal = Response.of_error(429, "Too many requests", request.error_form)
        if tell:
            refusal.headers["Retry-After"] = str(int(passed[0] + per_seconds - now) + 1)
        if count_refused:
            passed.append(now)
        return refusal

    return Fault("rate limit", answer=answer, **when)


def redirect(location: str, code: int = 302, **when: Unpack[When]) -> Fault:
    """Redirect to another URL."""
    return status(code, headers={"Location": location}, **when)


def header(name: str, value: str | None = None, **when: Unpack[When]) -> Fault:
    """Set a header, or (None) remove it."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers.pop(name, None)
        response.headers |= {} if value is None else {name: value}
        return response

    return Fault("header", answer=answer, **when)


def echo_token(code: int = 400, **when: Unpack[When]) -> Fault:
    """Answer with an error whose body, headers and reason phrase repeat the `Authorization` of the request."""

    def answer(request: Request, _response: Response) -> Response:
        sent = request.headers.get("authorization", "no Authorization")
        response = Response.of_error(code, f"Cannot do that with {sent}", request.error_form)
        response.headers["X-Your-Authorization"] = sent
        response.reason = f"Bad {sent}"
        return response

    return Fault("echo token", answer=answer, **when)


# The body


def body(content: bytes | str, content_type: str = "application/json", code: int = 200, **when: Unpack[When]) -> Fault:
    """Answer with this body."""
    content = content.encode() if isinstance(content, str) else content

    def answer(_request: Request, _response: Response) -> Response:
        return Response(code, content, {"Content-Type": content_type})

    return Fault("body", answer=answer, **when)


def html_page(**when: Unpack[When]) -> Fault:
    """Answer 200 with the maintenance page of a proxy."""
    page = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>\n"
    return body(page, "text/html; charset=utf-8", **when)


def empty_body(**when: Unpack[When]) -> Fault:
    """Answer 200 with no body."""
    return body(b"", **when)


def null_body(**when: Unpack[When]) -> Fault:
    """Answer 200 with `null`."""
    return body(b"null", **when)


def scalar_body(**when: Unpack[When]) -> Fault:
    """Answer 200 with a number."""
    return body(b"42", **when)


def bad_gzip(**when: Unpack[When]) -> Fault:
    """Declare `Content-Encoding: gzip` for a body that is not compressed."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers["Content-Encoding"] = "gzip"
        response.compress = False
        return response

    return Fault("bad gzip", answer=answer, **when)


def raw_rewrite(change: Callable[[bytes], bytes], **when: Unpack[When]) -> Fault:
    """Change the bytes of a good response: for what no JSON encoder writes."""

    def answer(_request: Request, response: Response) -> Response:
        if http.HTTPStatus.OK <= response.status < http.HTTPStatus.MULTIPLE_CHOICES:
            response.body = change(response.body)
        return response

    return Fault("raw rewrite", answer=answer, **when)


def truncated_json(keep: float = 0.6, **when: Unpack[When]) -> Fault:
    """Cut off the JSON, with a `Content-Length` that agrees."""
    return raw_rewrite(lambda content: content[: int(len(content) * keep)], **when)


def rewrite(change: Callable[[Any], Any], **when: Unpack[When]) -> Fault:
    """Change the decoded body of a good response: an envelope, or in the bare form a list or a record.

    What `change` returns is sent; if that is None, its argument, which it has changed in place.
    """

    def changed(content: bytes) -> bytes:
        value = json.loads(content)
        new = change(value)
        return to_json(value if new is None else new)

    return raw_rewrite(changed, **when)


def data(value: object = None, **when: Unpack[When]) -> Fault:
    """Replace the data of an envelope, or a whole bare response, by a value; MISSING omits it."""

    def change(content: bytes) -> bytes:
        decoded = json.loads(content)
        if not isinstance(decoded, dict) or "data" not in decoded:
            return to_json({} if value is MISSING else value)
        decoded["data"] = value
        return to_json({key: part for key, part in decoded.items() if part is not MISSING})

    return raw_rewrite(change, **when)


def meta_status(code: int = 500, **when: Unpack[When]) -> Fault:
    """Answer HTTP 200 with the error envelope of another status."""

    def answer(request: Request, _response: Response) -> Response:
        response = Response.of_error(code, "Something went wrong", request.error_form)
        response.status = http.HTTPStatus.OK
        return response

    return Fault("meta status", answer=answer, **when)


# Lists


def ignore_offset(*, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Always serve the first rows; with `admit`, `pagination.offset` is that of these rows."""

    def page(window: Page) -> None:
        window.offset = 0
        window.shown_offset = 0 if admit else window.shown_offset

    return Fault("ignore offset", page=page, **when)


def ignore_limit(give: int | None = None, *, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Always serve `give` rows (None: all); with `admit`, `pagination.limit` is that number."""

    def page(window: Page) -> None:
        window.limit = window.total if give is None else give
        window.shown_limit = window.limit if admit else window.shown_limit

    return Fault("ignore limit", page=page, **when)


def overlap(rows: int = 3, *, admit: bool = False, **when: Unpack[When]) -> Fault:
    """Start each page so many rows early; with `admit`, `pagination.offset` is that of these rows."""

    def page(window: Page) -> None:
        window.offset = max(window.offset - rows, 0)
        window.shown_offset = window.offset if admit else window.shown_offset

    return Fault("overlap", page=page, **when)


def last_page(**when: Unpack[When]) -> Fault:
    """Serve the last rows instead of none to a request beyond the end of a list."""

    def page(window: Page) -> None:
        window.offset = min(window.offset, max(window.total - window.limit, 0))

    return Fault("last page", page=page, **when)


def empty_page(**when: Unpack[When]) -> Fault:
    """Serve no rows, with everything else unchanged. Usually combined with `nth`."""

    def page(window: Page) -> None:
        window.limit = 0

    return Fault("empty page", page=page, **when)


def total(value: object, **when: Unpack[When]) -> Fault:
    """Replace `total` of a page: by a value, by a function of the true one, or (MISSING) by nothing."""

    def change(decoded: Any) -> None:
        if isinstance(decoded, dict) and ("pagination" in decoded or "metadata" in decoded):
            place = decoded.get("pagination", decoded)
            true = place.pop("total", None)
            if value is not MISSING:
                place["total"] = value(true) if callable(value) else value

    return rewrite(change, **when)


def total_random(low: int = 0, high: int = 1_000, seed: int = 0, **when: Unpack[When]) -> Fault:
    """Replace `pagination.total` by another random number in each response."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    return total(lambda _true: rng.randint(low, high), **when)


def no_links(**when: Unpack[When]) -> Fault:
    """Omit `links` from the envelope, and the `Link` header."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers.pop("Link", None)
        value = response.json()
        if isinstance(value, dict) and "meta" in value:  # the links of a bare record are its own
            value.pop("links", None)
            response.body = to_json(value)
        return response

    return Fault("no links", answer=answer, **when)


# The connection

Place = Literal["before", "in_headers", "after_headers", "in_body"]
"""Where a response breaks off: before its first byte, in the headers, between headers and body, halfway in the body."""

_SETTLE = 0.02  # seconds in which the client can read what was sent, before the connection breaks


def _break(name: str, how: Callable[[Wire], None], place: Place, when: When, keep: float = 0.5) -> Fault:
    def send(wire: Wire, response: Response) -> None:
        head, body = response.head(), response.body
        places = {"before": b"", "in_headers": head[: len(head) // 2], "after_headers": head}
        part = places.get(place, head + body[: int(len(body) * keep)])
        if part:
            wire.send(part)
            wire.wait(_SETTLE)
        how(wire)

    return Fault(name, send=send, **when)


def close(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Close the connection (FIN) before the response is complete."""
    return _break("close", lambda wire: wire.close(), place, when)


def reset(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Reset the connection (RST) before the response is complete."""
    return _break("reset", lambda wire: wire.reset(), place, when)


def hang(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Stop sending, and wait until the client closes the connection."""
    return _break("hang", lambda wire: wire.wait(None), place, when)


def short_body(keep: float = 0.5, **when: Unpack[When]) -> Fault:
    """Declare the whole body in `Content-Length`, send this share of it, and close the connection."""
    return _break("short body", lambda wire: wire.close(), "in_body", when, keep)


def drip(interval: float = 1.0, *, part: Literal["body", "all"] = "body", size: int = 1, **when: Unpack[When]) -> Fault:
    """Send `size` bytes every `interval` seconds: of the body, or of the whole response from the status line on."""

    def send(wire: Wire, response: Response) -> None:
        head, slow = response.head(), response.body
        if part == "all":
            head, slow = b"", head + slow
        wire.send(head)
        for start in range(0, len(slow), size):
            wire.wait(interval)
            wire.send(slow[start : start + size])

    return Fault("drip", send=send, **when)


def endless(**when: Unpack[When]) -> Fault:
    """Send rows for ever, as fast as the client reads them."""

    def answer(_request: Request, response: Response) -> Response:
        response.compress = False
        return response

    def send(wire: Wire, response: Response) -> None:
        body = response.json()
        rows, start = (body, b"[") if isinstance(body, list) else (body.get("data"), b'{"meta":{"status":200},"data":[')
        row = to_json(rows[0] if isinstance(rows, list) and rows else {})
        head = Response(response.status, b"", {"Content-Type": "application/json", "Connection": "close"}).head()
        wire.send(head + start + row)
        more = b"".join([b"," + row] * 200)
        while True:
            wire.send(more)

    return Fault("endless", answer=answer, send=send, **when)


# Beyond the end of a list

BEYOND_END: When = {"where": lambda request: request.is_beyond_end}
"""Requests for what comes after the last row of a list, or of a result."""


def answers_beyond_end() -> dict[str, Fault]:
    """Make each answer that a request beyond the end may get, by name; without a fault it is a page without rows."""
    return {
        **{str(code): status(code, **BEYOND_END) for code in (400, 404, 422, 500)},
        "first page": ignore_offset(**BEYOND_END),
        "last page": last_page(**BEYOND_END),
        "no data": data(MISSING, **BEYOND_END),
        "null data": data(None, **BEYOND_END),
        "empty body": empty_body(**BEYOND_END),
        "closed": close(**BEYOND_END),
        "hanging": hang(**BEYOND_END),
    }
