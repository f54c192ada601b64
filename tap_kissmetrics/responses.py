"""Read the body of a response: the page of a list, or the error that it reports (reference: "Pagination")."""

from __future__ import annotations

import decimal
import re
import typing as t
from http import HTTPStatus

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.errors import quote_message
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage
from tap_kissmetrics.sdk_extensions.values import to_integer

if t.TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from tap_kissmetrics.sdk_extensions.pagination import RecordId
    from tap_kissmetrics.sdk_extensions.values import Record

_FAILURE_KEYS: t.Final = {"error", "errors", "failed", "fault", "exception"}
"""Fields that report a failure if they hold anything."""

_STATUS_KEYS: t.Final = {"status", "state", "code"}
"""Fields that report a failure by a number of 400 and more, or by one of the words below."""

_FAILURE_WORDS: t.Final = ("fail", "err", "cancel", "abort")

_KNOWN_KEYS: t.Final = {
    *("pagination", "links", "meta", "metadata", "columns", "limit", "offset"),
    *("id", "progress", "completed", "query_type", "sort", "order"),  # of a query
}
"""What may stand beside an empty list. A `total` may not, unless it is 0."""


class Failure(t.NamedTuple):
    """A failure that the body of a successful response reports."""

    status: int
    """The HTTP status that the body names, 400 or more; 0 if it names none."""

    message: str


def decode_body(response: requests.Response, on_repair: Callable[[str], None]) -> t.Any:
    """Decode a JSON body, or raise `RetriableAPIError`; None for an empty body beside a `Location` header.

    `on_repair` is called with a description of what was repaired in it.
    """
    size = len(response.content)
    if not size and "Location" in response.headers:
        return None
    try:
        return response.json(on_repair=on_repair)
    except ValueError as error:
        kind = truncate(response.headers.get("Content-Type", "no content type"))
        msg = f"the response is not JSON ({size} bytes, {kind}): {error}"
        raise RetriableAPIError(msg, response) from None


def find_failure(body: object) -> Failure | None:
    """Return the failure that a body, or its `meta`, reports; None if it reports none."""
    envelope = body if isinstance(body, dict) else {}
    meta = envelope.get("meta")
    fields = [*envelope.items(), *(meta.items() if isinstance(meta, dict) else ())]
    failed = [(key, value) for key, value in fields if _is_failure(key, value)]
    if not failed:
        return None
    statuses = [to_integer(value) for key, value in failed if key == "status"]
    (key, value), *_ = failed
    message = quote_message(body)
    text = f"API message: {message}" if message else truncate(f"the API reports {key}: {value}")
    return Failure(next(filter(None, statuses), 0), text)


def _is_failure(key: str, value: object) -> bool:
    if key not in _STATUS_KEYS:
        return key in _FAILURE_KEYS and bool(value)
    number = to_integer(value)
    if number is None:
        return str(value).lower().startswith(_FAILURE_WORDS)
    return number >= HTTPStatus.BAD_REQUEST


def read_page(body: object, *, offset: int, limit: int, identity: Callable[[RecordId], RecordId]) -> Page:
    """Read a page of records, requested with this offset and limit; `identity` makes ids comparable.

    Raises `RetriableAPIError` as `read_result_page`, and `FatalAPIError` for a record without a primary key.
    """
    page = read_result_page(body, offset=offset, limit=limit)
    ids = [identity(_id_of(row, offset + i)) for i, row in enumerate(page.rows)]
    return Page(page.offset, page.limit, page.rows, page.total, page.unknown, ids=ids)


def read_core_result_page(body: object, *, offset: int, limit: int) -> ResultPage:
    """Read a page of rows of the Core API, which in its first form has `total` and `metadata` for `pagination`."""
    if isinstance(body, dict) and not isinstance(body.get("pagination"), dict):
        metadata = body.get("metadata")
        pagination = {**(metadata if isinstance(metadata, dict) else {}), "total": body.get("total")}
        body = {**body, "pagination": pagination}
    return read_result_page(body, offset=offset, limit=limit)


def read_result_page(body: object, *, offset: int, limit: int) -> ResultPage:
    """Read a page of rows, requested with this offset and limit.

    The body may be the envelope of real responses, the bare array of the reference, or the object of the Query API,
    whose array has one name or another. Raises `RetriableAPIError` if it holds no list or several, or reports a
    failure.
    """
    envelope = body if isinstance(body, dict) else {"data": body}
    if failure := find_failure(envelope):
        raise RetriableAPIError(failure.message)
    others = {*_KNOWN_KEYS, *_FAILURE_KEYS, "messages"}
    lists = [key for key, value in envelope.items() if isinstance(value, list) and key not in others]
    name = "data" if "data" in envelope else lists[0] if len(lists) == 1 else ""
    rows = envelope.get(name)
    if not isinstance(rows, list):
        msg = "the response contains no list of records"
        raise RetriableAPIError(msg)
    pagination = envelope.get("pagination")
    pagination = pagination if isinstance(pagination, dict) else {}
    reported_offset = to_integer(pagination.get("offset"))
    if reported_offset not in {None, offset}:
        msg = f"the response is for offset {reported_offset}, not for {offset}"
        raise RetriableAPIError(msg)
    known = {name, *_KNOWN_KEYS}
    beside = {key: value for key, value in envelope.items() if value and key not in known}
    if beside.get("status") == HTTPStatus.OK:
        del beside["status"]
    return ResultPage(
        offset=offset,
        limit=min(limit, to_integer(pagination.get("limit")) or limit),
        rows=rows,
        total=to_integer(pagination.get("total")),
        unknown=() if rows else tuple(beside),
    )


def check_self_link(body: object, path: str) -> None:
    """Raise `RetriableAPIError` for the list of another resource: responses on a connection may be out of step."""
    links = body.get("links") if isinstance(body, dict) else None
    requested = path.lower().split("/")
    for link in links if isinstance(links, list) else ():
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "self" else None
        if not isinstance(href, str):
            continue
        # Hosts and roots of links are not to be trusted, and a list of one product may name itself without it.
        # It may be relative, with parameters alone, or a template such as /events{?limit,offset}.
        named = re.split("[?#{]", href)[0].rstrip("/").lower().split("/")
        is_of_product = named[-3:-2] == requested[-3:-2] == ["products"]
        if named[-1] not in {"", requested[-1]} or (is_of_product and named[-2] != requested[-2]):
            msg = f"the response is for {truncate(href)}, not for {path}"
            raise RetriableAPIError(msg)


def _id_of(record: object, position: int) -> RecordId:
    if not isinstance(record, dict):
        msg = f"the record at offset {position} is not an object"
        raise FatalAPIError(msg)
    key = read_id(record, "id")
    if key is None:
        msg = f"the record at offset {position} has no id, which is its primary key"
        raise FatalAPIError(msg)
    if "\ufffd" in str(key):
        msg = f"the id of the record at offset {position} is not text"
        raise RetriableAPIError(msg)
    return key


def read_id(record: Record, column: str) -> RecordId | None:
    """Return an id of a record, in which 7.0 becomes 7; None for what is no id."""
    value = record.get(column)
    if isinstance(value, decimal.Decimal) and (number := to_integer(value)) is not None:
        value = record[column] = number
    return value if is_id(value) else None


def is_id(value: object) -> t.TypeGuard[RecordId]:
    """Return whether a value can be the id of a record: text or an integer, and not empty."""
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""
