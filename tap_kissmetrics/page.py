"""One page of a list, as the API answered it (reference: "Pagination")."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.decoding import decode_json
from tap_kissmetrics.problems import clipped, words_of

if t.TYPE_CHECKING:
    import requests

Record: t.TypeAlias = dict[str, t.Any]
RecordId: t.TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Window:
    """What an answer shows of a list, of records or of anything else.

    Attributes:
        offset: Position of the first row that was asked for.
        limit: The most rows that the server says it gives; what was asked for where it
            does not say.
        rows: The rows.
        total: Length of the list; None where the server gives none that makes sense.
    """

    offset: int
    limit: int
    rows: list[t.Any]
    total: int | None

    @property
    def end(self) -> int:
        """Position after the last row."""
        return self.offset + len(self.rows)


@dataclass(frozen=True, slots=True)
class Page(Window):
    """A page of records that has passed every check that needs no other page.

    Attributes:
        ids: The primary key of each record.
    """

    ids: list[RecordId]

    @property
    def records(self) -> list[Record]:
        """The records."""
        return self.rows


def error_status(body: object) -> int | None:
    """Find an error that a server reports inside HTTP 200.

    Args:
        body: The decoded body.

    Returns:
        The status that it names, where it is an error's.
    """
    if not isinstance(body, dict):
        return None
    # The Core API has it in `meta`; errors of the Query API are {"status", "messages"}.
    places = [body] if {"message", "messages"} & body.keys() else []
    places += [meta] if isinstance(meta := body.get("meta"), dict) else []
    named = (_whole_number(place.get("status")) for place in places)
    return next((status for status in named if status is not None and status >= 400), None)  # noqa: PLR2004


def read_body(response: requests.Response) -> t.Any:  # noqa: ANN401
    """Decode a JSON body.

    Args:
        response: The API's answer.

    Returns:
        The decoded body; None where an answer has none, and points elsewhere.

    Raises:
        RetriableAPIError: If the body is no JSON, or was cut.
    """
    if not response.content and "Location" in response.headers:
        return None
    try:
        return decode_json(response.content)
    except ValueError:
        kind = clipped(response.headers.get("Content-Type", "no content type"))
        msg = f"the API's answer is not JSON ({len(response.content)} bytes, {kind})"
        raise RetriableAPIError(msg, response) from None


def read_page(body: object, *, offset: int, limit: int) -> Page:
    """Make a page from the body of a list.

    All forms are read: the envelope of real answers, the bare array that the reference
    prints, and the object of the Query API, whose array has one name or another.

    Args:
        body: The decoded body.
        offset: The `offset` that was asked for.
        limit: The `limit` that was asked for.

    Returns:
        The page.

    Raises:
        RetriableAPIError: If the body holds no list, or tells of an error beside it.
        FatalAPIError: If a record has no primary key.
    """
    window = read_window(body, offset=offset, limit=limit)
    ids = [_primary_key(row, offset + i) for i, row in enumerate(window.rows)]
    return Page(window.offset, window.limit, window.rows, window.total, ids)


def read_window(body: object, *, offset: int, limit: int) -> Window:
    """Find the rows in the body of a list.

    Args:
        body: The decoded body.
        offset: The `offset` that was asked for.
        limit: The `limit` that was asked for.

    Returns:
        The rows, and what the body says of the list.

    Raises:
        RetriableAPIError: If the body holds no list, or more than one, or tells of an
            error beside it.
    """
    envelope = body if isinstance(body, dict) else {"data": body}
    if error := envelope.get("error") or envelope.get("errors"):
        msg = f"the API says: {words_of(error)}"
        raise RetriableAPIError(msg)
    lists = [value for key, value in envelope.items() if isinstance(value, list) and key not in _NO_ROWS]
    rows = envelope["data"] if "data" in envelope else lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list):
        msg = "the API's answer holds no list of records"
        raise RetriableAPIError(msg)
    pagination = envelope.get("pagination")
    pagination = pagination if isinstance(pagination, dict) else {}
    return Window(
        offset=offset,
        limit=min(limit, _whole_number(pagination.get("limit")) or limit),
        rows=rows,
        total=_whole_number(pagination.get("total")),
    )


_NO_ROWS: t.Final = {"columns", "errors", "links", "messages"}


def _primary_key(record: object, position: int) -> RecordId:
    if not isinstance(record, dict):
        msg = f"the record at offset {position} is not an object"
        raise FatalAPIError(msg)
    key = record.get("id")
    if isinstance(key, bool) or not isinstance(key, (str, int)) or key == "":
        msg = f"the record at offset {position} has no id: a table cannot take it"
        raise FatalAPIError(msg)
    return key


LONGEST_NUMBER: t.Final = 18
"""Digits of a number of records or a status that makes sense."""


def _whole_number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= LONGEST_NUMBER:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None
