"""Responses as the session gives them, without a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tap_kissmetrics.sdk_extensions.http import Response

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_response(
    body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None, path: str = "/core/events"
) -> Response:
    """Make a response; a body that is no bytes is sent as JSON."""
    response = Response()
    response.status_code = status
    response.url = f"https://api.example.com{path}?limit=10"
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()  # noqa: SLF001
    response.headers.update(headers or {})
    return response
