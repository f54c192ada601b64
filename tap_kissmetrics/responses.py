"""Read the body of a response: the page of a list, or the error that it reports (reference: "Pagination")."""

from __future__ import annotations

import decimal
import re
import typing as t
from http import HTTPStatus

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.errors import describe_error
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage
from tap_kissmetrics.sdk_extensions.values import identity, to_integer

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tap_kissmetrics.sdk_extensions.pagination import RecordId
    from tap_kissmetrics.sdk_extensions.values import Record

MAX_NUMBER_DIGITS: t.Final = 18
"""Digits of a status or a number of records that makes sense."""

_NOT_ROWS: t.Final = {"columns", "links", "warnings"}
"""Lists beside that of the rows, besides those that speak of a failure."""


def read_json(response: requests.Response, on_repair: Callable[[str], None]) -> t.Any:
    """Decode a JSON body, or raise `RetriableAPIError`; None for an empty body beside a `Location` header.

    `on_repair` is called with a description of what was repaired in it.
    """
    size = len(response.content)
    if not size and "Location" in response.headers:
        return None
    if response.status_code == HTTPStatus.NO_CONTENT:
        msg = "HTTP 204: the response has no content"
        raise RetriableAPIError(msg, response)
    try:
        return response.json(on_repair=on_repair)
    except ValueError as error:
        kinds = [response.headers.get("Content-Type", "no content type"), response.headers.get("Content-Encoding", "")]
        msg = f"the response is not JSON ({size} bytes, {truncate(', '.join(filter(None, kinds)))}): {error}"
        raise RetriableAPIError(msg, response) from None


_FAILURE: t.Final = re.compile("^err|error|(?<!de)fault|exception|fail")

_EXPLANATION: t.Final = re.compile("message|reason|detail")

_STATUS: t.Final = re.compile("status$|(^|http|response|result|return|status)_?code$")

_LEADING_NUMBER: t.Final = re.compile(r"-?\d{1,18}\b")

_SUCCESS: t.Final = {"ok", "success", "succeeded", "successful", "completed"}

_GOOD_WORDS: t.Final = {"ok", "yes", "success", "succeeded", "complete", "completed", "done", "finished", "true"}

_TOTALS: t.Final = {"total", "count", "total_count"}

_COUNTS: t.Final = {*_TOTALS, "limit", "offset", "page", "pages", "per_page", "page_size"}

_GROUPS: t.Final = {"meta", "metadata", "pagination", "status"}
"""Objects beside a list whose members are reviewed."""

_KNOWN_KEYS: t.Final = {
    *("links", "columns"),
    *("id", "progress", "query_type", "sort", "order"),  # of a query
}
"""What may stand beside an empty list, if it reports no failure."""


def reported_status(body: object) -> int:
    """Return the status of an error that a body reports inside HTTP 200; 0 if it reports none."""
    if not isinstance(body, dict):
        return 0
    # The Core API has it in `meta`; errors of the Query API are {"status", "messages"}.
    places = [body] if {"message", "messages"} & body.keys() else []
    places += [meta] if isinstance(meta := body.get("meta"), dict) else []
    statuses = (_parse_count(place.get("status")) for place in places)
    return next((status for status in statuses if status is not None and status >= 400), 0)  # noqa: PLR2004


def read_page(body: object, *, offset: int, limit: int, has_numeric_ids: bool) -> Page:
    """Read a page of records, requested with this offset and limit.

    Raises `RetriableAPIError` as `read_result_page`, and `FatalAPIError` for a record without a primary key.
    """
    page = read_result_page(body, offset=offset, limit=limit)
    ids = [identity(_id_of(row, offset + i), is_numeric=has_numeric_ids) for i, row in enumerate(page.rows)]
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
    whose array has one name or another. Raises `RetriableAPIError` if it holds no list or several, or reports an
    error.
    """
    envelope = body if isinstance(body, dict) else {"data": body}
    if error := envelope.get("error") or envelope.get("errors"):
        msg = f"API message: {describe_error(error)}"
        raise RetriableAPIError(msg)
    lists = [key for key, value in envelope.items() if isinstance(value, list) and _may_be_rows(key.lower())]
    name = "data" if "data" in envelope else lists[0] if len(lists) == 1 else ""
    rows = envelope.get(name)
    if not isinstance(rows, list):
        msg = "the response contains no list of records"
        raise RetriableAPIError(msg)
    pagination = envelope.get("pagination")
    pagination = pagination if isinstance(pagination, dict) else {}
    reported_offset = _parse_count(pagination.get("offset"))
    if reported_offset not in {None, offset}:
        msg = f"the response is for offset {reported_offset}, not for {offset}"
        raise RetriableAPIError(msg)
    beside = {key: value for key, value in envelope.items() if key != name}
    unknown = tuple(_review(beside, is_empty=not rows, is_first=not offset))
    return ResultPage(
        offset=offset,
        limit=min(limit, _parse_count(pagination.get("limit")) or limit),
        rows=rows,
        total=_parse_count(pagination.get("total")),
        unknown=() if rows else unknown,
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


def _may_be_rows(name: str) -> bool:
    return name not in _NOT_ROWS and not _FAILURE.search(name) and not _EXPLANATION.search(name)


def _review(beside: dict[str, t.Any], *, is_empty: bool, is_first: bool) -> Iterator[str]:
    """Review what stands beside a list: raise what speaks of a failure, yield what is not known.

    Nor is a number of records known beside a first page that has none.
    """
    for key, value in beside.items():
        name = key.lower()
        if name in _GROUPS and isinstance(value, dict):
            yield from _review(value, is_empty=is_empty, is_first=is_first)
            continue
        if _speaks_of_failure(name, value, is_empty=is_empty):
            msg = f"{'an empty list' if is_empty else 'a list'} comes with {truncate(f'{key}: {value}')}"
            raise RetriableAPIError(msg)
        is_contradiction = is_first and name in _TOTALS and bool(_parse_count(value))
        if value and (is_contradiction or not _is_known(name, value)):
            yield key


def _speaks_of_failure(name: str, value: object, *, is_empty: bool) -> bool:
    """Return whether a field reports a failure; beside an empty list, so does a status in other words, or a message."""
    if _FAILURE.search(name):
        return bool(value)
    text, number = str(value).lower(), _number(value)
    if value is None or value in ("", [], {}) or text in _GOOD_WORDS:
        return False
    if name in _SUCCESS:
        return not number
    if _STATUS.search(name):
        if number is None:
            return is_empty or value is False or _FAILURE.search(text) is not None
        return not 0 <= number < HTTPStatus.BAD_REQUEST
    return is_empty and bool(value) and _EXPLANATION.search(name) is not None


def _is_known(name: str, value: object) -> bool:
    """Return whether a field is known that stands beside an empty list, and reports no failure."""
    if _STATUS.search(name):
        number = _number(value)
        return number is None or number >= HTTPStatus.OK  # 1 may mean a success or an error
    if name in _COUNTS:
        return _parse_count(value) is not None
    return name in _KNOWN_KEYS or name in _SUCCESS or _EXPLANATION.search(name) is not None


def _number(value: object) -> int | None:
    """Return the number that a value begins with, as "200 OK" does."""
    match = _LEADING_NUMBER.match(str(value))
    return int(match[0]) if match else None


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


def _parse_count(value: object) -> int | None:
    number = to_integer(value)
    return number if number is not None and 0 <= number < 10**MAX_NUMBER_DIGITS else None
