"""Faults of the connection: it is closed, reset, silent, slow or never done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.sandbox.fault import Fault, When
from tests.sandbox.messages import Response, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from tests.sandbox.messages import Request
    from tests.sandbox.wire import Wire

Place = Literal["before", "in_headers", "after_headers", "in_body"]
"""Where an answer breaks: before its first byte, within the headers, between headers and body, half way in the body."""

_SETTLE = 0.02  # seconds: lets the client read what was sent before the connection breaks under it


def _until(place: Place, response: Response) -> bytes:
    head, body = response.head(), response.body
    places = {"before": b"", "in_headers": head[: len(head) // 2], "after_headers": head}
    return places.get(place, head + body[: len(body) // 2])


def _break(how: Callable[[Wire], None], place: Place) -> Callable[[Wire, Response], None]:
    def send(wire: Wire, response: Response) -> None:
        part = _until(place, response)
        if part:
            wire.send(part)
            wire.wait(_SETTLE)
        how(wire)

    return send


def close(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Close the connection in good order (FIN) although the answer is not complete."""
    return Fault("close", send=_break(lambda wire: wire.close(), place), **when)


def reset(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Reset the connection (RST) before the answer is complete."""
    return Fault("reset", send=_break(lambda wire: wire.reset(), place), **when)


def hang(place: Place = "before", **when: Unpack[When]) -> Fault:
    """Say nothing until the client hangs up."""

    def send(wire: Wire, response: Response) -> None:
        part = _until(place, response)
        wire.send(part)
        wire.wait(None)

    return Fault("hang", send=send, **when)


def drip(
    interval: float = 1.0,
    *,
    part: Literal["body", "all"] = "body",
    size: int = 1,
    **when: Unpack[When],
) -> Fault:
    """Send `size` bytes every `interval` seconds: of the body only, or of everything from the status line on."""

    def send(wire: Wire, response: Response) -> None:
        head, slow = response.head(), response.body
        if part == "all":
            head, slow = b"", head + slow
        wire.send(head)
        for start in range(0, len(slow), size):
            wire.wait(interval)
            wire.send(slow[start : start + size])

    return Fault("drip", send=send, **when)


def short_body(keep: float = 0.5, **when: Unpack[When]) -> Fault:
    """Announce the whole body in `Content-Length`, send this share of it, and close the connection."""

    def send(wire: Wire, response: Response) -> None:
        wire.send(response.head() + response.body[: int(len(response.body) * keep)])
        wire.close()

    return Fault("short body", send=send, **when)


def endless(**when: Unpack[When]) -> Fault:
    """Send rows without end, as fast as the client reads them."""

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
