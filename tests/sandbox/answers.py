"""Faults of the answer: another status, another body."""

from __future__ import annotations

import collections
import datetime as dt
import email.utils
import http
import time
from typing import TYPE_CHECKING, Any, Final

from tests.sandbox.fault import Fault, When
from tests.sandbox.messages import Request, Response, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

MISSING: Final = object()
"""For `total` and `data`: leave the key out."""

_OK = 200
_HTML = b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>\n"


def _is_good(response: Response) -> bool:
    return http.HTTPStatus.OK <= response.status < http.HTTPStatus.MULTIPLE_CHOICES


# Statuses


def status(
    code: int,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | str | None = None,
    reason: str | None = None,
    **when: Unpack[When],
) -> Fault:
    """Answer with a status; the body is the envelope of an error unless one is given."""

    def answer(request: Request, _response: Response) -> Response:
        response = Response.of_error(code, reason or f"This is the answer {code}", request.error_form)
        if body is not None:
            response.body = body.encode() if isinstance(body, str) else body
        response.headers.update(headers or {})
        response.reason = reason
        return response

    return Fault(f"status {code}", answer=answer, **when)


def retry_after(value: float | str = 1, *, code: int = 429, as_date: bool = False, **when: Unpack[When]) -> Fault:
    """Answer with a status and `Retry-After`: seconds, the date so many seconds from now, or any text."""

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
    """Let so many requests pass in any window of so many seconds, and answer 429 to the others.

    Args:
        requests: How many pass; a function is asked each time, and may say None: all.
        per_seconds: The length of the sliding window.
        tell: Send `Retry-After` (whole seconds, rounded up); by default nothing tells when to come back.
        count_refused: Whether a refused request counts too, so that who does not wait is never let in again.
        when: See `When`.
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
    """Send the client elsewhere."""
    return status(code, headers={"Location": location}, **when)


def header(name: str, value: str | None = None, **when: Unpack[When]) -> Fault:
    """Send this value of a header, or (None) no such header."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers.pop(name, None)
        response.headers |= {} if value is None else {name: value}
        return response

    return Fault("header", answer=answer, **when)


def echo_token(code: int = 400, **when: Unpack[When]) -> Fault:
    """Repeat the Authorization header of the request in the body, a header and the reason phrase of an error."""

    def answer(request: Request, _response: Response) -> Response:
        sent = request.headers.get("authorization", "no Authorization")
        response = Response.of_error(code, f"Cannot do that with {sent}", request.error_form)
        response.headers["X-Your-Authorization"] = sent
        response.reason = f"Bad {sent}"
        return response

    return Fault("echo token", answer=answer, **when)


# Bodies


def body(
    content: bytes | str,
    content_type: str = "application/json",
    code: int = _OK,
    **when: Unpack[When],
) -> Fault:
    """Answer with this body."""
    content = content.encode() if isinstance(content, str) else content

    def answer(_request: Request, _response: Response) -> Response:
        return Response(code, content, {"Content-Type": content_type})

    return Fault("body", answer=answer, **when)


def html_page(**when: Unpack[When]) -> Fault:
    """Answer 200 with the HTML page of a proxy in maintenance."""
    return body(_HTML, "text/html; charset=utf-8", **when)


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
    """Say `Content-Encoding: gzip` of a body that is none."""

    def answer(_request: Request, response: Response) -> Response:
        response.headers["Content-Encoding"] = "gzip"
        response.compress = False
        return response

    return Fault("bad gzip", answer=answer, **when)


def raw_rewrite(change: Callable[[bytes], bytes], **when: Unpack[When]) -> Fault:
    """Put the body of a good answer through `change`: for what no JSON writer writes."""

    def answer(_request: Request, response: Response) -> Response:
        if _is_good(response):
            response.body = change(response.body)
        return response

    return Fault("raw rewrite", answer=answer, **when)


def truncated_json(keep: float = 0.6, **when: Unpack[When]) -> Fault:
    """Cut the JSON off, and say a `Content-Length` that agrees."""
    return raw_rewrite(lambda content: content[: int(len(content) * keep)], **when)


def rewrite(change: Callable[[Any], Any], **when: Unpack[When]) -> Fault:
    """Put the decoded body of a good answer through `change`.

    Args:
        change: Gets an envelope, or in the bare form a list or record. What it returns is sent; where it returns
            None, what it was given (changed in place).
        when: See `When`.
    """

    def answer(_request: Request, response: Response) -> Response:
        if _is_good(response):
            value = response.json()
            changed = change(value)
            response.body = to_json(value if changed is None else changed)
        return response

    return Fault("rewrite", answer=answer, **when)


def data(value: object = None, **when: Unpack[When]) -> Fault:
    """Put something else (None, MISSING, ...) in the place of the data of an envelope, or of a whole bare answer."""

    def answer(_request: Request, response: Response) -> Response:
        decoded = response.json()
        if isinstance(decoded, dict) and "data" in decoded:
            decoded["data"] = value
            changed: object = {key: part for key, part in decoded.items() if part is not MISSING}
        else:
            changed = {} if value is MISSING else value
        response.body = to_json(changed)
        return response

    return Fault("data", answer=answer, **when)


def meta_status(code: int = 500, **when: Unpack[When]) -> Fault:
    """Answer HTTP 200 with an envelope that says in `meta.status` that it is an error."""

    def answer(request: Request, _response: Response) -> Response:
        response = Response.of_error(code, "Something went wrong", request.error_form)
        response.status = _OK
        return response

    return Fault("meta status", answer=answer, **when)
