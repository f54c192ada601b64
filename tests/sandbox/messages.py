"""A request as the sandbox records it, the window of a list that answers it, and the answer before it is sent."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

ErrorForm = Literal["envelope", "messages"]
"""{meta, data, links}, as Core's answers are, or {status, messages} of v3."""

_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ESCAPING_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def to_json(value: object) -> bytes:
    """Write a value as compact JSON in UTF-8; text that UTF-8 cannot hold (lone surrogates) is escaped."""
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        return _ESCAPING_ENCODER.encode(value).encode()


@dataclass
class Request:
    """One request, as it arrived.

    Attributes:
        number: 1 for the first request of the sandbox.
        path: Without the query string, for instance `/core/products/UUID/events`.
        query: The last value of each argument.
        headers: By lower-case name.
        at: When it arrived: seconds of `time.monotonic`.
        in_flight: How many requests, this one included, were being answered when it arrived.
        resource: Which resource it asks for, "queries" for all that has to do with queries; None for the directory and
            for unknown paths.
        is_list: Whether it asks for a list, plain or scoped, or for the rows of a query that has completed.
        error_form: How the API that it was sent to writes errors.
        status: The status of the answer, None while there is none. What a fault that breaks the line would have sent.
    """

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float
    in_flight: int
    body: bytes = b""
    resource: str | None = None
    is_list: bool = False
    error_form: ErrorForm = "envelope"
    status: int | None = None


@dataclass
class Page:
    """Which rows of a list are sent (`offset`, `limit`), and what the answer says of it (`shown_...`)."""

    offset: int
    limit: int
    shown_offset: int
    shown_limit: int


@dataclass
class Response:
    """An answer before it is compressed (unless `compress` is false) and sent with its `Content-Length`.

    Attributes:
        reason: The reason phrase, by default the usual one.
        done: What has happened in the account when this is the answer. Of an answer that a fault puts in the place of
            this one, nothing has: a query that was refused does not exist.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    compress: bool = True
    done: Callable[[], None] | None = None

    @classmethod
    def of_json(cls, status: int, value: object, done: Callable[[], None] | None = None) -> Response:
        """Make a JSON answer of a value, or of JSON that is written already."""
        body = value if isinstance(value, bytes) else to_json(value)
        return cls(status, body, {"Content-Type": "application/json; charset=utf-8"}, done=done)

    @classmethod
    def of_error(cls, status: int, message: str, form: ErrorForm = "envelope") -> Response:
        """Make the body of an error. Core's reference documents none; this is what its envelope suggests."""
        if form == "messages":
            return cls.of_json(status, {"status": status, "messages": [message]})
        return cls.of_json(status, {"meta": {"status": status, "message": message}, "data": None, "links": []})

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)

    def head(self) -> bytes:
        """Write the status line and the headers, up to and with the empty line."""
        reason = self.reason
        if reason is None:
            reason = _PHRASES.get(self.status, "")
        lines = [
            f"HTTP/1.1 {self.status} {reason}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
