"""What a body becomes: a page, or the error that it reports."""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.apis import CORE, V3
from tap_kissmetrics.responses import check_self_link, decode_body, find_failure, read_page, read_result_page
from tests.unit.responses import make_response

ROWS = [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "the response is not JSON (0 bytes, no content type): byte 0: Expecting value"),
        (b"<html>", {"Content-Type": "text/html"}, "the response is not JSON (6 bytes, text/html): byte 0: Expecting"),
        (b'{"data": [', {}, "the response is not JSON (10 bytes, no content type): byte 10: Expecting value"),
        (b"[" * 100_000, {}, "the response is not JSON (100000 bytes, no content type): it is nested too deeply"),
        (b"\x28\xb5\x2f\xfd", {}, "the response is not JSON (4 bytes, no content type)"),
        (b"}{", {"Content-Type": "x" * 500}, f"the response is not JSON (2 bytes, {'x' * 200}...)"),
    ],
)
def test_a_body_that_is_no_json(body: bytes, headers: dict[str, str], says: str) -> None:
    """Its size and type are shown, and it may be right the next time."""
    with pytest.raises(RetriableAPIError) as caught:
        decode_body(make_response(body, headers=headers), pytest.fail)
    assert str(caught.value).startswith(says)


def test_a_location_needs_no_body() -> None:
    """A report that was started."""
    assert decode_body(make_response(headers={"Location": "/v2/queries/1"}), pytest.fail) is None


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"meta": {"status": 404, "message": "not found", "errors": ["not_found"]}}, 404, "not found"),
        ({"status": 401, "messages": ["Unauthenticated."]}, 401, "Unauthenticated."),
        ({"message": "No", "error": "Unauthorized", "status": 401}, 401, "No; Unauthorized"),
        ({"status": 500, "message": "No", "meta": {"status": 403}}, 500, "No"),
        ({"status": 200, "message": "Fine", "meta": {"status": 403}}, 403, "Fine"),
        ({"state": "failed", "reason": "out of memory"}, 0, "out of memory"),
        ({"error": {"message": "too many people", "code": 5}}, 0, "too many people"),
    ],
    ids=str,
)
def test_a_failure_with_a_message(body: object, status: int, message: str) -> None:
    """The forms that were recorded, and those that quote a reason."""
    assert find_failure(body) == (status, f"API message: {message}")


FAILURES: list[tuple[dict[str, Any], int]] = [
    ({"error": True}, 0),
    ({"errors": [17]}, 0),
    ({"failed": 3}, 0),
    ({"fault": {"code": 5}}, 0),
    ({"exception": 5}, 0),
    ({"status": 400}, 400),
    ({"status": "503"}, 503),
    ({"status": Decimal("503.0")}, 503),
    ({"status": 1000}, 1000),
    ({"state": 500}, 0),
    ({"code": 403}, 0),
    ({"status": "failed"}, 0),
    ({"status": "FAILURE"}, 0),
    ({"state": "error"}, 0),
    ({"state": "cancelled"}, 0),
    ({"code": "ERR_TIMEOUT"}, 0),
    ({"code": "aborted"}, 0),
]


@pytest.mark.parametrize("is_in_meta", [False, True], ids=["beside it", "in meta"])
@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "with a record"])
@pytest.mark.parametrize(("fields", "status"), FAILURES, ids=str)
def test_a_failure(fields: dict[str, Any], status: int, rows: list[Any], is_in_meta: bool) -> None:  # noqa: FBT001
    """Each member of the rule; without a message the field itself is shown. Beside records, others may be missing."""
    body = {"data": rows, **({"meta": {"x": 1, **fields}} if is_in_meta else fields)}
    ((key, value),) = fields.items()
    says = f"the API reports {key}: {value}"
    assert find_failure(body) == (status, says)
    with pytest.raises(RetriableAPIError, match=f"^{re.escape(says)}$"):
        read_page(body, offset=0, limit=10, identity=CORE.identity)


@pytest.mark.parametrize(
    "body",
    [
        *([], None, 5, "failed", {"meta": []}),
        {"meta": {"status": 200}, "data": []},
        {"status": 399},
        {"status": "pending", "state": "starting", "code": "US"},
        {"status": True, "state": None, "code": -1},
        {"status": "not failed"},
        {"error": None, "errors": [], "failed": 0, "fault": {}, "exception": ""},
        {"message": "error", "messages": ["failed"], "reason": "aborted"},
        {"data": {"error": "down"}},
    ],
    ids=str,
)
def test_what_is_no_failure(body: object) -> None:
    """A message is no evidence of one."""
    assert find_failure(body) is None


@pytest.mark.parametrize(
    ("body", "rows", "limit", "total"),
    [
        (ROWS, ROWS, 10, None),
        ([], [], 10, None),
        ({"data": ROWS}, ROWS, 10, None),
        ({"data": ROWS, "pagination": None}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"limit": 10, "total": 7}}, ROWS, 10, 7),
        ({"data": ROWS, "pagination": {"limit": 2, "total": "7"}}, ROWS, 2, 7),
        ({"data": ROWS, "pagination": {"limit": 500, "total": 0}}, ROWS, 10, 0),
        ({"data": ROWS, "pagination": {"limit": 0}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": 6.5}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": Decimal("7.0")}}, ROWS, 10, 7),
        ({"data": ROWS, "pagination": {"total": "many"}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": True}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": "²"}}, ROWS, 10, None),
        ({"events": ROWS}, ROWS, 10, None),
        ({"events": ROWS, "links": [], "messages": [], "columns": []}, ROWS, 10, None),
        ({"data": ROWS, "events": [1]}, ROWS, 10, None),
        ({"data": ROWS, "error": None, "errors": []}, ROWS, 10, None),
    ],
)
def test_a_page(body: object, rows: list[Any], limit: int, total: int | None) -> None:
    """In the envelope of real responses, as the bare array of the reference, or under the name of the list."""
    page = read_result_page(body, offset=3, limit=10)
    assert (page.offset, page.rows, page.limit, page.total, page.end) == (3, rows, limit, total, 3 + len(rows))
    assert read_page(body, offset=3, limit=10, identity=CORE.identity).ids == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (None, "the response contains no list of records"),
        (5, "the response contains no list of records"),
        ("soon", "the response contains no list of records"),
        ({}, "the response contains no list of records"),
        ({"data": None}, "the response contains no list of records"),
        ({"data": {}}, "the response contains no list of records"),
        ({"data": None, "events": []}, "the response contains no list of records"),
        ({"events": [], "properties": []}, "the response contains no list of records"),
        ({"links": []}, "the response contains no list of records"),
        ({"data": [], "error": "down"}, "API message: down"),
    ],
)
def test_a_body_without_a_page(body: object, says: str) -> None:
    """The request is retried."""
    for read in (functools.partial(read_page, identity=CORE.identity), read_result_page):
        with pytest.raises(RetriableAPIError) as caught:
            read(body, offset=0, limit=10)
        assert str(caught.value) == says


@pytest.mark.parametrize(
    ("key", "read"), [*((key, key) for key in ("a", "0", 0, -1, 2**70)), (Decimal("7.0"), 7)], ids=repr
)
def test_an_id(key: object, read: object) -> None:
    """Text or an integer."""
    page = read_page([{"id": key}], offset=0, limit=10, identity=CORE.identity)
    assert (page.ids, page.rows) == ([str(read)], [{"id": read}])
    assert type(page.rows[0]["id"]) is type(read)


@pytest.mark.parametrize(
    ("one", "other", "is_numeric", "same"),
    [
        (1, "1", True, True),
        ("1", "01", True, True),
        (1, "1", False, True),
        ("1", "01", False, False),
        ("a", "A", True, False),
        ("0F8FAD5B-D9CB-469F-A165-70867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e", False, True),
    ],
)
def test_ids_that_are_the_same_to_a_table(one: object, other: object, is_numeric: bool, same: bool) -> None:  # noqa: FBT001
    """A number whatever its form, a UUID whatever its case; other text as it is."""
    page = read_page([{"id": one}, {"id": other}], offset=0, limit=10, identity=(V3 if is_numeric else CORE).identity)
    assert (page.ids[0] == page.ids[1]) is same


BAD_IDS: list[Any] = [None, "", True, {"a": 1}, 1.5, Decimal("1.5"), []]
NO_OBJECTS: list[Any] = [None, "text", [], 5]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"name": "x"}, "has no id, which is its primary key"),
        *(({"id": key}, "has no id, which is its primary key") for key in BAD_IDS),
        *((row, "is not an object") for row in NO_OBJECTS),
    ],
)
def test_a_record_that_a_table_cannot_take(row: object, says: str) -> None:
    """Its offset is named; another attempt would bring it again."""
    with pytest.raises(FatalAPIError) as caught:
        read_page([{"id": 1}, row], offset=12, limit=10, identity=CORE.identity)
    assert str(caught.value) == f"the record at offset 13 {says}"


HARMLESS: list[dict[str, Any]] = [
    {},
    {"meta": {"status": 200}},
    {"status": 200},
    {"error": None, "errors": [], "messages": "", "reason": ""},
    {"links": [{"rel": "last", "href": "/x"}]},
    {"total": 0, "metadata": {"limit": 20, "offset": 0}},
    {"total": 0, "limit": 20, "offset": 0},
    {"pagination": {"limit": 10, "offset": 0}},
    {"id": "q-1", "completed": True, "progress": 1, "query_type": "sql", "sort": "x", "order": "asc", "columns": [5]},
]


@pytest.mark.parametrize("beside", HARMLESS, ids=str)
@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "with a record"])
def test_what_is_known_beside_a_list(rows: list[Any], beside: dict[str, Any]) -> None:
    """It passes in silence."""
    assert read_page({"data": rows, **beside}, offset=0, limit=10, identity=CORE.identity).unknown == ()


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"warning": "partial result"}, "warning"),
    ({"message": "try again"}, "message"),
    ({"messages": ["try again"]}, "messages"),
    ({"status": "starting"}, "status"),
    ({"total": 60}, "total"),
    ({"cancelled": True}, "cancelled"),
    ({"x": 1, "y": 2}, "x, y"),
]


@pytest.mark.parametrize(("beside", "names"), UNKNOWN, ids=str)
def test_what_is_not_known_beside_a_list(beside: dict[str, Any], names: str) -> None:
    """It is named where the list is empty; records speak for themselves."""
    empty, full = (
        read_page({"data": rows, **beside}, offset=0, limit=10, identity=CORE.identity) for rows in ([], [{"id": 1}])
    )
    assert ", ".join(empty.unknown) == names
    assert full.unknown == ()


SELF_LINKS = [
    ("/events", "/core/events"),
    ("/events", "https://elsewhere.example/v9/Events/?limit=10#top"),
    ("/events", "/events{?limit,offset}"),
    ("/events", "?limit=10"),
    ("/events", ""),
    ("/events", "/products/2/events"),
    ("/products/1/events", "/events"),
    ("/products/1/events", "/v3/products/1/events"),
    ("/products/1/events", "/persons/2/events"),
    ("/products/1/events", None),
]


@pytest.mark.parametrize(("path", "href"), SELF_LINKS)
def test_a_link_of_a_list_to_itself(path: str, href: str | None) -> None:
    """Its host and root do not matter, nor do links with another `rel`, or what is no link."""
    other = {"rel": "next", "href": "/core/metrics"}
    check_self_link({"links": [other, 5, {"href": "/core/metrics"}, {"rel": "self", "href": href}]}, path)


@pytest.mark.parametrize("links", [None, "self", {"rel": "self", "href": "/core/metrics"}])
def test_what_is_no_list_of_links(links: object) -> None:
    """It passes, as a list without links does."""
    check_self_link({"links": links}, "/events")
    check_self_link([{"links": links}], "/events")


@pytest.mark.parametrize(
    ("path", "href"),
    [
        ("/events", "/core/metrics"),
        ("/events", "metrics?limit=10"),
        ("/events", "/products/2/metrics"),
        ("/products/1/events", "/metrics"),
        ("/products/1/events", "/v3/products/1/metrics"),
        ("/products/1/events", "/v3/products/2/events"),
    ],
)
def test_a_link_of_another_list(path: str, href: str) -> None:
    """The response belongs to another request."""
    with pytest.raises(RetriableAPIError, match=rf"^the response is for {re.escape(href)}, not for {path}$"):
        check_self_link({"links": [{"rel": "self", "href": href}]}, path)
