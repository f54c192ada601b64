"""A request as the sandbox records it, the window of a list that answers it, and the answer before it is sent."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass, field
from typing import Any

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
        time: When it arrived: seconds of `time.monotonic`.
        in_flight: How many requests, this one included, were being answered when it arrived.
        resource: Which resource it asks for; None for the directory and for unknown paths.
        is_list: Whether it asks for a list, plain or scoped.
        status: The status of the answer, None while there is none. What a fault that breaks the line would have sent.
    """

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    time: float
    in_flight: int
    body: bytes = b""
    resource: str | None = None
    is_list: bool = False
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
    """An answer before it is compressed (unless `compress` is false) and sent with its `Content-Length`."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    compress: bool = True

    @classmethod
    def of_json(cls, status: int, value: object) -> Response:
        """Make a JSON answer."""
        return cls(status, to_json(value), {"Content-Type": "application/json; charset=utf-8"})

    @classmethod
    def of_error(cls, status: int, message: str) -> Response:
        """Make the envelope of an error. The reference documents none; this is what an envelope suggests."""
        return cls.of_json(status, {"meta": {"status": status, "message": message}, "data": None, "links": []})

    def json(self) -> Any:  # noqa: ANN401 - whatever the body holds
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
