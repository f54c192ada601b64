"""What a body becomes: a page, or the error that it reports."""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.responses import check_self_link, read_json, read_page, read_result_page, reported_status
from tests.unit.responses import make_response

if TYPE_CHECKING:
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

ROWS = [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "the response is not JSON (0 bytes, no content type): byte 0: Expecting value"),
        (b"<html>", {"Content-Type": "text/html"}, "the response is not JSON (6 bytes, text/html): byte 0: Expecting"),
        (b'{"data": [', {}, "the response is not JSON (10 bytes, no content type): byte 10: Expecting value"),
        (b"[" * 100_000, {}, "the response is not JSON (100000 bytes, no content type): it is nested too deeply"),
        (
            b"\x28\xb5\x2f\xfd",
            {"Content-Encoding": "zstd"},
            "the response is not JSON (4 bytes, no content type, zstd)",
        ),
        (b"}{", {"Content-Type": "x" * 500}, f"the response is not JSON (2 bytes, {'x' * 200}...)"),
    ],
)
def test_a_body_that_is_no_json(body: bytes, headers: dict[str, str], says: str) -> None:
    """Its size and type are shown, and it may be right the next time."""
    with pytest.raises(RetriableAPIError) as caught:
        read_json(make_response(body, headers=headers), pytest.fail)
    assert str(caught.value).startswith(says)


def test_a_response_without_content_is_named() -> None:
    """HTTP 204 to a list."""
    with pytest.raises(RetriableAPIError, match="HTTP 204: the response has no content"):
        read_json(make_response(status=204), pytest.fail)


def test_a_location_needs_no_body() -> None:
    """A report that was started."""
    assert read_json(make_response(headers={"Location": "/v2/queries/1"}), pytest.fail) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"meta": {"status": 500, "message": "No"}}, 500),
        ({"meta": {"status": 429}}, 429),
        ({"meta": {"status": "503"}}, 503),
        ({"meta": {"status": 200}, "data": []}, 0),
        ({"status": 500, "message": "No"}, 500),
        ({"status": 422, "messages": ["No"]}, 422),
        ({"status": 500, "message": "No", "meta": {"status": 403}}, 500),
        ({"status": 200, "message": "Fine", "meta": {"status": 403}}, 403),
        ({"status": 500, "data": []}, 0),  # a column of the API's own
        ({"status": "active", "message": "x"}, 0),
        ({"meta": {"status": 399}}, 0),
        ({"meta": {"status": 400}}, 400),
        ({"meta": {"status": True}}, 0),
        ({"meta": {"status": "9" * 19}}, 0),
        ({"meta": []}, 0),
        ([], 0),
        (None, 0),
    ],
)
def test_a_status_in_a_body(body: object, status: int) -> None:
    """An error may come inside HTTP 200."""
    assert reported_status(body) == status


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
        ({"data": ROWS, "pagination": {"limit": 0, "total": -1}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": 6.5}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": Decimal("7.0")}}, ROWS, 10, 7),
        ({"data": ROWS, "pagination": {"total": "many"}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": True}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": "²"}}, ROWS, 10, None),
        ({"data": ROWS, "pagination": {"total": "9" * 18}}, ROWS, 10, 10**18 - 1),
        ({"data": ROWS, "pagination": {"total": "1" + "0" * 18}}, ROWS, 10, None),
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
    assert read_page(body, offset=3, limit=10, has_numeric_ids=False).ids == [row["id"] for row in rows]


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
        ({"data": [], "errors": ["a shard is down"]}, "API message: a shard is down"),
        ({"data": [], "error": {"message": "no"}}, "API message: no"),
        ({"data": [], "error": True}, "API message: True"),
        ({"data": [], "error": 500}, "API message: 500"),
        ({"data": [], "error": {"code": 5}}, "API message: {'code': 5}"),
        ({"data": ROWS, "errors": [{"code": 17}]}, "API message: [{'code': 17}]"),
    ],
)
def test_a_body_without_a_page(body: object, says: str) -> None:
    """The request is retried."""
    for read in (functools.partial(read_page, has_numeric_ids=False), read_result_page):
        with pytest.raises(RetriableAPIError) as caught:
            read(body, offset=0, limit=10)
        assert str(caught.value) == says


@pytest.mark.parametrize(
    ("key", "read"), [*((key, key) for key in ("a", "0", 0, -1, 2**70)), (Decimal("7.0"), 7)], ids=repr
)
def test_an_id(key: object, read: object) -> None:
    """Text or an integer."""
    page = read_page([{"id": key}], offset=0, limit=10, has_numeric_ids=False)
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
    page = read_page([{"id": one}, {"id": other}], offset=0, limit=10, has_numeric_ids=is_numeric)
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
        read_page([{"id": 1}, row], offset=12, limit=10, has_numeric_ids=False)
    assert str(caught.value) == f"the record at offset 13 {says}"


FAILURES: list[dict[str, Any]] = [
    {"status": 500},
    {"status": "500"},
    {"status": "error"},
    {"statusCode": 503},
    {"status_code": "503"},
    {"http_status": 502},
    {"code": 500},
    {"code": "INTERNAL"},
    {"meta": {"status": "error"}},
    {"meta": {"status": 200, "error": "shard down"}},
    {"meta": {"code": 500}},
    {"meta": {"errors": ["down"]}},
    {"messages": ["try again"]},
    {"message": "try again"},
    {"Message": "try again"},
    {"ok": False},
    {"ok": "false"},
    {"success": False},
    {"success": 0},
    {"meta": {"success": False}},
    {"exception": "java.lang.NullPointerException"},
    {"error_description": "down"},
    {"errorMessage": "down"},
    {"fault": {"faultstring": "down"}},
    {"reason": "maintenance"},
    {"detail": "maintenance"},
    {"failures": 3},
    {"status": False},
    {"meta": {"statusCode": "500"}},
    {"error_code": 5},
    {"exceptions": ["x"]},
    {"faultcode": "Server"},
    {"successful": "no"},
    {"meta": {"Error": {"code": 5}}},
    {"code": "E1001"},
    {"code": -1},
    {"status": "500 Internal Server Error"},
    {"status": {"code": 500}},
    {"responseCode": 500},
    {"err": "down"},
    {"completed": False},
    {"pagination": {"error": "down"}},
    {"meta": {"meta": {"error": "down"}}},
]


def read_beside(rows: list[Any], beside: dict[str, Any]) -> ResultPage:
    """Read a first page with these rows and this beside them; raise what makes the tap ask again or fail."""
    body = {"data": rows, **beside}
    if status := reported_status(body):
        raise RetriableAPIError(f"HTTP {status}")
    return read_page(body, offset=0, limit=10, has_numeric_ids=False)


@pytest.mark.parametrize("beside", FAILURES, ids=str)
def test_what_speaks_of_a_failure_beside_an_empty_list(beside: dict[str, Any]) -> None:
    """In any of its forms."""
    with pytest.raises(RetriableAPIError):
        read_beside([], beside)


ON_ANY_PAGE: list[dict[str, Any]] = [
    {"status": 500},
    {"status": "error"},
    {"code": 503},
    {"success": False},
    {"ok": False},
    {"status": False},
    {"Error": "down"},
    {"exception": "down"},
    {"meta": {"status": 200, "error": "shard down"}},
]


@pytest.mark.parametrize("beside", ON_ANY_PAGE, ids=str)
def test_what_speaks_of_a_failure_beside_records(beside: dict[str, Any]) -> None:
    """Others may be missing."""
    with pytest.raises(RetriableAPIError, match="a list comes with "):
        read_beside([{"id": 1}], beside)


HARMLESS: list[dict[str, Any]] = [
    {},
    {"meta": {"status": 200}},
    {"meta": {"status": "ok"}},
    {"status": 200},
    {"code": 0},
    {"ok": True},
    {"success": True, "message": None},
    {"error": None, "errors": [], "messages": "", "reason": ""},
    {"links": [{"rel": "last", "href": "/x"}]},
    {"total": 0, "limit": 20, "offset": 0, "count": "0"},
    {"pagination": {"limit": 10, "offset": 0}},
    {"next": None, "warnings": []},
    {"status": "200 OK"},
    {"status": 200.0},
    {"status": {"code": 200}},
    {"success": "ok", "message": "OK"},
    {"completed": True, "code": "SUCCESS"},
]


@pytest.mark.parametrize("beside", HARMLESS, ids=str)
@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "with a record"])
def test_what_is_known_beside_a_list(rows: list[Any], beside: dict[str, Any]) -> None:
    """It passes in silence."""
    assert read_beside(rows, beside).unknown == ()


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"warning": "partial result"}, "warning"),
    ({"degraded": True}, "degraded"),
    ({"shards": {"down": 1}}, "shards"),
    ({"meta": {"status": 200, "state": "starting"}}, "state"),
    ({"total": "many"}, "total"),
    ({"total": 60}, "total"),
    ({"meta": {"total_count": "60"}}, "total_count"),
    ({"timed_out": True}, "timed_out"),
    ({"partial": "yes"}, "partial"),
    ({"x": 1, "y": 2}, "x, y"),
    ({"default_limit": 20}, "default_limit"),
    ({"status": 1}, "status"),
    ({"code": 17}, "code"),
    ({"meta": "down"}, "meta"),
    ({"meta": ["down"]}, "meta"),
    ({"pagination": "down"}, "pagination"),
    ({"pagination": {"total": "sixty"}}, "total"),
    ({"pagination": {"total": -1}}, "total"),
]


@pytest.mark.parametrize(("beside", "names"), UNKNOWN, ids=str)
def test_what_is_not_known_beside_a_list(beside: dict[str, Any], names: str) -> None:
    """It is named where the list is empty; records speak for themselves."""
    assert ", ".join(read_beside([], beside).unknown) == names
    assert read_beside([{"id": 1}], beside).unknown == ()


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
