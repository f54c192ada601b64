"""HTTP messages: the request as it is recorded, the page of a list, the response before it is sent."""

from __future__ import annotations

import http
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

ErrorForm = Literal["envelope", "messages"]
"""The form of error bodies: {meta} of the Core API, or {status, messages} of v3."""

_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(value: object) -> bytes:
    """Encode a value as compact JSON in UTF-8; a text that UTF-8 cannot hold (lone surrogates) is escaped."""
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def to_object(members: dict[str, Any]) -> bytes:
    """Encode a JSON object; a member that is bytes is encoded already."""
    parts = (
        to_json(name) + b":" + (value if isinstance(value, bytes) else to_json(value))
        for name, value in members.items()
    )
    return b"{" + b",".join(parts) + b"}"


@dataclass
class Request:
    """A request, as it arrived."""

    number: int  # 1 for the first request of the sandbox
    method: str
    path: str  # without the query string, for instance /core/products/UUID/events
    query: dict[str, str]  # the last value of each parameter
    headers: dict[str, str]  # by lower-case name
    at: float  # when it arrived, in seconds of time.monotonic
    in_flight: int  # requests being answered when it arrived, this one included
    body: bytes = b""
    parts: list[str] = field(default_factory=list)  # of the path below the root: ["products", UUID, "events"]
    resource: str | None = None  # "queries" for everything about queries; None for the directory and unknown paths
    is_list: bool = False  # a list, plain or scoped, or the rows of a completed query
    total: int = 0  # the rows of that list
    error_form: ErrorForm = "envelope"
    status: int | None = None  # of the response; that of a fault that breaks the connection is the one it cut off

    @property
    def is_beyond_end(self) -> bool:
        """Whether it asks for what comes after the last row of a list."""
        offset = self.query.get("offset", "")
        return self.is_list and offset.isdecimal() and int(offset) >= max(self.total, 1)


@dataclass
class Page:
    """The rows of a list that are sent (`offset`, `limit`), and what the envelope reports (`shown_...`)."""

    offset: int
    limit: int
    shown_offset: int
    shown_limit: int
    total: int  # the rows on all pages


@dataclass
class Response:
    """A response before it is compressed (unless `compress` is false) and gets its `Content-Length`."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None  # by default the standard phrase
    compress: bool = True
    # Applies the effect of the request, such as the start of a query. A fault that replaces the response drops it: a
    # query that was refused does not exist.
    commit: Callable[[], None] | None = None

    @classmethod
    def of_json(cls, status: int, value: Any, commit: Callable[[], None] | None = None) -> Response:
        """Make a JSON response of a value; members of an object that are bytes are JSON already."""
        body = to_object(value) if isinstance(value, dict) else value if isinstance(value, bytes) else to_json(value)
        return cls(status, body, {"Content-Type": "application/json; charset=utf-8"}, commit=commit)

    @classmethod
    def of_error(cls, status: int, message: str, form: ErrorForm = "envelope") -> Response:
        """Make an error response. That of the Core API is as it was recorded for 404: "not found", ["not_found"]."""
        if form == "messages":
            return cls.of_json(status, {"status": status, "messages": [message]})
        code = _PHRASES.get(status, str(status)).lower().replace(" ", "_")
        return cls.of_json(status, {"meta": {"status": status, "message": message, "errors": [code]}})

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)

    def head(self) -> bytes:
        """Encode the status line and the headers, with the empty line that ends them."""
        reason = _PHRASES.get(self.status, "") if self.reason is None else self.reason
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class RefusalError(Exception):
    """A request that the API refuses, with a status, a message and headers."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}
