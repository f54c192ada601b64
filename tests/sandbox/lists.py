"""Lists, whatever they are lists of: which rows a request asks for, and the JSON of these rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.sandbox.messages import Page, Request, Response, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Pager = Callable[[Page], None]

CACHE_FROM = 5_000
"""In lists at least this long a row is serialised once, and again only when another object takes its place."""

_NUMBER = re.compile(r"[0-9]+", re.ASCII)


class RefusalError(Exception):
    """What an API answers when it does not do as it is asked."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Refuse with a status, a message and headers."""
        super().__init__(message)
        self._status, self._message, self._headers = status, message, headers or {}

    def response(self, request: Request) -> Response:
        """Write it in the form of the API that was asked."""
        response = Response.of_error(self._status, self._message, request.error_form)
        response.headers.update(self._headers)
        return response


def window(request: Request, *, default: int, cap: int | None, pagers: Iterable[Pager]) -> Page:
    """Tell which rows answer a request: those it asks for by `limit` and `offset`, moved by the pagers.

    Args:
        request: What is asked.
        default: The limit of a request that has none.
        cap: The largest limit that is honoured; None honours every limit.
        pagers: The faults that move the window.

    Raises:
        RefusalError: An argument is no number.
    """
    limit = _argument(request, "limit", default)
    limit = limit if cap is None else min(limit, cap)
    offset = _argument(request, "offset", 0)
    page = Page(offset, limit, shown_offset=offset, shown_limit=limit)
    for pager in pagers:
        pager(page)
    return page


class Rows:
    """Serialises rows, and remembers what it made of those of long lists."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._serialised: dict[int, tuple[object, bytes]] = {}

    def read(self, rows: Sequence[object], page: Page) -> bytes:
        """Return the JSON array of the rows in a window."""
        return b"[" + b",".join(self._each(rows, page.offset, page.offset + page.limit)) + b"]"

    def warm(self, rows: Sequence[object]) -> None:
        """Serialise all rows of a long list now."""
        self._each(rows, 0, len(rows))

    def _each(self, rows: Sequence[object], start: int, stop: int) -> list[bytes]:
        part = rows[start:stop]
        if len(rows) < CACHE_FROM:
            return [to_json(row) for row in part]
        written = []
        for row in part:
            known = self._serialised.get(id(row))
            if known is None:  # an entry keeps its row alive, so that no other one can have the same id()
                known = self._serialised[id(row)] = (row, to_json(row))
            written.append(known[1])
        return written


def _argument(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise RefusalError(400, f"{name} must be an integer that is not negative")
    return int(text)
