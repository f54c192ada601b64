"""Read the body of a response: the page of a list, or the error that it reports (reference: "Pagination")."""

from __future__ import annotations

import typing as t

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.errors import describe_error
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage
from tap_kissmetrics.sdk_extensions.records import identity

if t.TYPE_CHECKING:
    import requests

    from tap_kissmetrics.sdk_extensions.pagination import RecordId

MAX_NUMBER_DIGITS: t.Final = 18
"""Digits of a status or a number of records that makes sense."""

_NOT_ROWS: t.Final = {"columns", "errors", "links", "messages"}
"""Lists beside that of the rows."""


def read_json(response: requests.Response) -> t.Any:
    """Decode a JSON body, or raise `RetriableAPIError`; None for an empty body beside a `Location` header."""
    size = len(response.content)
    if not size and "Location" in response.headers:
        return None
    try:
        return response.json()
    except ValueError:
        content_type = truncate(response.headers.get("Content-Type", "no content type"))
        msg = f"the API's answer is not JSON ({size} bytes, {content_type})"
        raise RetriableAPIError(msg, response) from None


def reported_status(body: object) -> int:
    """Return the status of an error that a body reports inside HTTP 200; 0 if it reports none."""
    if not isinstance(body, dict):
        return 0
    # The Core API has it in `meta`; errors of the Query API are {"status", "messages"}.
    places = [body] if {"message", "messages"} & body.keys() else []
    places += [meta] if isinstance(meta := body.get("meta"), dict) else []
    statuses = (_parse_count(place.get("status")) for place in places)
    return next((status for status in statuses if status is not None and status >= 400), 0)  # noqa: PLR2004


def read_page(body: object, *, offset: int, limit: int, has_numeric_ids: bool = False) -> Page:
    """Read a page of records, requested with this offset and limit.

    Raises `RetriableAPIError` as `read_result_page`, and `FatalAPIError` for a record without a primary key.
    """
    page = read_result_page(body, offset=offset, limit=limit)
    ids = [identity(_id_of(row, offset + i), is_numeric=has_numeric_ids) for i, row in enumerate(page.rows)]
    return Page(page.offset, page.limit, page.rows, page.total, ids)


def read_result_page(body: object, *, offset: int, limit: int) -> ResultPage:
    """Read a page of rows, requested with this offset and limit.

    The body may be the envelope of real responses, the bare array of the reference, or the object of the Query API,
    whose array has one name or another. Raises `RetriableAPIError` if it holds no list or several, or reports an
    error.
    """
    envelope = body if isinstance(body, dict) else {"data": body}
    if error := envelope.get("error") or envelope.get("errors"):
        msg = f"the API says: {describe_error(error)}"
        raise RetriableAPIError(msg)
    lists = [value for key, value in envelope.items() if isinstance(value, list) and key not in _NOT_ROWS]
    rows = envelope["data"] if "data" in envelope else lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list):
        msg = "the API's answer holds no list of records"
        raise RetriableAPIError(msg)
    pagination = envelope.get("pagination")
    pagination = pagination if isinstance(pagination, dict) else {}
    return ResultPage(
        offset=offset,
        limit=min(limit, _parse_count(pagination.get("limit")) or limit),
        rows=rows,
        total=_parse_count(pagination.get("total")),
    )


def _id_of(record: object, position: int) -> RecordId:
    if not isinstance(record, dict):
        msg = f"the record at offset {position} is not an object"
        raise FatalAPIError(msg)
    key = record.get("id")
    if not is_id(key):
        msg = f"the record at offset {position} has no id: a table cannot take it"
        raise FatalAPIError(msg)
    return key


def is_id(value: object) -> t.TypeGuard[RecordId]:
    """Return whether a value can be the id of a record: text or an integer, and not empty."""
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _parse_count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= MAX_NUMBER_DIGITS:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None
