"""Read the body of a response: the page of a list, or the error that it reports (reference: "Pagination")."""

from __future__ import annotations

import re
import typing as t
from http import HTTPStatus

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.errors import describe_error
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage
from tap_kissmetrics.sdk_extensions.records import identity

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tap_kissmetrics.sdk_extensions.pagination import RecordId

MAX_NUMBER_DIGITS: t.Final = 18
"""Digits of a status or a number of records that makes sense."""

_NOT_ROWS: t.Final = {"columns", "errors", "links", "messages"}
"""Lists beside that of the rows."""


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


_FAILURE_NAME: t.Final = re.compile("error|fault|exception|fail|message|reason|detail")

_GOOD_STATUSES: t.Final = {"ok", "success", "succeeded", "complete", "completed", "done", "finished", "true"}

_TOTALS: t.Final = {"total", "count", "total_count"}

_COUNTS: t.Final = {*_TOTALS, "limit", "offset", "page", "pages", "per_page", "page_size"}

_KNOWN_KEYS: t.Final = {
    *("meta", "pagination", "links", "columns", "status", "status_code", "code", "ok", "success"),
    *("id", "completed", "progress", "query_type", "sort", "order"),  # of a query
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
    lists = [key for key, value in envelope.items() if isinstance(value, list) and key not in _NOT_ROWS]
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
    return ResultPage(
        offset=offset,
        limit=min(limit, _parse_count(pagination.get("limit")) or limit),
        rows=rows,
        total=_parse_count(pagination.get("total")),
        unknown=() if rows else tuple(_review(beside, is_first=not offset)),
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
        named = href.partition("?")[0].rstrip("/").lower().split("/")
        is_of_product = named[-3:-2] == requested[-3:-2] == ["products"]
        if named[-1] != requested[-1] or (is_of_product and named[-2] != requested[-2]):
            msg = f"the response is for {truncate(href)}, not for {path}"
            raise RetriableAPIError(msg)


def _review(beside: dict[str, t.Any], *, is_first: bool) -> Iterator[str]:
    """Review what stands beside an empty list: raise what speaks of a failure, yield what is not known.

    Nor is a number of records known beside a first page that has none.
    """
    meta = beside.get("meta")
    for key, value in [*(meta.items() if isinstance(meta, dict) else ()), *beside.items()]:
        name = key.lower()
        if _speaks_of_failure(name, value):
            msg = f"an empty list comes with {truncate(f'{key}: {value}')}"
            raise RetriableAPIError(msg)
        is_count = name in _COUNTS and _parse_count(value) is not None
        is_contradiction = is_first and name in _TOTALS and bool(_parse_count(value))
        if value and name not in _KNOWN_KEYS and (is_contradiction or not is_count):
            yield key


def _speaks_of_failure(name: str, value: object) -> bool:
    if name in {"ok", "success", "succeeded", "successful"}:
        return value is not None and str(value).lower() not in {"true", "1", "yes"}
    if name == "code" or name.endswith(("status", "statuscode", "status_code")):
        number = _parse_count(value)
        is_good = str(value).lower() in _GOOD_STATUSES if number is None else number < HTTPStatus.BAD_REQUEST
        return value is False or (bool(value) and not is_good)
    return bool(value) and _FAILURE_NAME.search(name) is not None


def _id_of(record: object, position: int) -> RecordId:
    if not isinstance(record, dict):
        msg = f"the record at offset {position} is not an object"
        raise FatalAPIError(msg)
    key = record.get("id")
    if not is_id(key):
        msg = f"the record at offset {position} has no id, which is its primary key"
        raise FatalAPIError(msg)
    if "\ufffd" in str(key):
        msg = f"the id of the record at offset {position} is not text"
        raise RetriableAPIError(msg)
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
