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

read_core_page = functools.partial(read_page, offset=0, limit=10, identity=CORE.identity)


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "the response is not JSON (0 bytes, no content type): byte 0: Expecting value"),
        (b"<html>", {"Content-Type": "text/html"}, "the response is not JSON (6 bytes, text/html): byte 0: Expecting"),
        (b'{"data": [', {}, "the response is not JSON (10 bytes, no content type): byte 10: Expecting value"),
        (b"[" * 100_000, {}, "the response is not JSON (100000 bytes, no content type): it is nested too deeply"),
        (b"}{", {"Content-Type": "x" * 500}, f"the response is not JSON (2 bytes, {'x' * 200}...)"),
    ],
)
def test_a_body_that_is_no_json_may_be_right_the_next_time(body: bytes, headers: dict[str, str], says: str) -> None:
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
    ({"state": 500}, 0),
    ({"code": 403}, 0),
    ({"status": "FAILURE"}, 0),
    ({"state": "cancelled"}, 0),
    ({"code": "ERR_TIMEOUT"}, 0),
    ({"code": "aborted"}, 0),
]


@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "with a record"])
@pytest.mark.parametrize(("fields", "status"), FAILURES, ids=str)
def test_each_sign_of_a_failure_stands_beside_a_list_or_in_its_meta(
    fields: dict[str, Any], status: int, rows: list[Any]
) -> None:
    """Without a message the field itself is shown. Beside records, others may be missing."""
    ((key, value),) = fields.items()
    says = f"the API reports {key}: {value}"
    for body in ({"data": rows, **fields}, {"data": rows, "meta": {"x": 1, **fields}}):
        assert find_failure(body) == (status, says)
        with pytest.raises(RetriableAPIError, match=f"^{re.escape(says)}$"):
            read_core_page(body)


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
    ("body", "limit", "total"),
    [
        (ROWS, 10, None),
        ({"data": ROWS, "pagination": None}, 10, None),
        ({"data": ROWS, "pagination": {"limit": 10, "total": 7}}, 10, 7),
        ({"data": ROWS, "pagination": {"limit": 2, "total": "7"}}, 2, 7),
        ({"data": ROWS, "pagination": {"limit": 500, "total": 0}}, 10, 0),
        ({"data": ROWS, "pagination": {"limit": 0, "total": 6.5}}, 10, None),
        ({"data": ROWS, "pagination": {"total": Decimal("7.0")}}, 10, 7),
        ({"data": ROWS, "pagination": {"total": True}}, 10, None),
        ({"data": ROWS, "pagination": {"total": "²"}}, 10, None),
        ({"events": ROWS, "links": [], "messages": [], "columns": []}, 10, None),
        ({"data": ROWS, "events": [1], "error": None, "errors": []}, 10, None),
    ],
)
def test_a_page_is_read_in_any_form(body: object, limit: int, total: int | None) -> None:
    """In the envelope of real responses, as the bare array of the reference, or under the name of the list."""
    page = read_result_page(body, offset=3, limit=10)
    assert (page.offset, page.rows, page.limit, page.total, page.end) == (3, ROWS, limit, total, 5)
    assert read_page(body, offset=3, limit=10, identity=CORE.identity).ids == ["a", "b"]


def test_an_empty_page() -> None:
    assert read_result_page([], offset=3, limit=10).end == 3


@pytest.mark.parametrize(
    "body",
    [
        *(None, 5, "soon", {}, {"data": None}, {"data": {}}, {"links": []}),
        {"data": None, "events": []},
        {"events": [], "properties": []},
    ],
    ids=str,
)
def test_a_body_without_a_page_is_requested_again(body: object) -> None:
    for read in (read_core_page, functools.partial(read_result_page, offset=0, limit=10)):
        with pytest.raises(RetriableAPIError, match=r"^the response contains no list of records$"):
            read(body)


@pytest.mark.parametrize(
    ("key", "read"), [("a", "a"), ("0", "0"), (0, 0), (2**70, 2**70), (Decimal("7.0"), 7)], ids=repr
)
def test_an_id_is_text_or_an_integer(key: object, read: object) -> None:
    page = read_core_page([{"id": key}])
    assert (page.ids, page.rows) == ([str(read)], [{"id": read}])
    assert type(page.rows[0]["id"]) is type(read)


@pytest.mark.parametrize(
    ("one", "other", "api", "same"),
    [
        (1, "1", V3, True),
        ("1", "01", V3, True),
        (1, "1", CORE, True),
        ("1", "01", CORE, False),
        ("a", "A", V3, False),
        ("0F8FAD5B-D9CB-469F-A165-70867728950E", "0f8fad5b-d9cb-469f-a165-70867728950e", CORE, True),
    ],
)
def test_ids_that_are_the_same_to_a_table(one: object, other: object, api: Any, same: bool) -> None:  # noqa: FBT001
    """A number whatever its form, a UUID whatever its case; other text as it is."""
    page = read_page([{"id": one}, {"id": other}], offset=0, limit=10, identity=api.identity)
    assert (page.ids[0] == page.ids[1]) is same


BAD_IDS: list[Any] = [None, "", True, {"a": 1}, 1.5, Decimal("1.5"), []]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"name": "x"}, "has no id, which is its primary key"),
        *(({"id": key}, "has no id, which is its primary key") for key in BAD_IDS),
        (None, "is not an object"),
        ([], "is not an object"),
    ],
)
def test_a_record_that_a_table_cannot_take_is_named_by_its_offset(row: object, says: str) -> None:
    """Another attempt would bring it again."""
    with pytest.raises(FatalAPIError) as caught:
        read_page([{"id": 1}, row], offset=12, limit=10, identity=CORE.identity)
    assert str(caught.value) == f"the record at offset 13 {says}"


HARMLESS: list[dict[str, Any]] = [
    {},
    {"meta": {"status": 200}, "status": 200},
    {"error": None, "errors": [], "messages": "", "reason": ""},
    {"links": [{"rel": "last", "href": "/x"}], "pagination": {"limit": 10, "offset": 0}},
    {"total": 0, "metadata": {"limit": 20, "offset": 0}, "limit": 20, "offset": 0},
    {"id": "q-1", "completed": True, "progress": 1, "query_type": "sql", "sort": "x", "order": "asc", "columns": [5]},
]

UNKNOWN: list[dict[str, Any]] = [
    {"warning": "partial result"},
    {"message": "try again", "messages": ["try again"]},
    {"status": "starting"},
    {"total": 60},
]


@pytest.mark.parametrize(
    ("beside", "unknown"), [*((each, ()) for each in HARMLESS), *((each, tuple(each)) for each in UNKNOWN)], ids=str
)
def test_what_is_not_known_beside_an_empty_list_is_named(beside: dict[str, Any], unknown: tuple[str, ...]) -> None:
    """Records speak for themselves."""
    assert read_core_page({"data": [], **beside}).unknown == unknown
    assert read_core_page({"data": [{"id": 1}], **beside}).unknown == ()


@pytest.mark.parametrize(
    ("path", "href"),
    [
        ("/events", "https://elsewhere.example/v9/Events/?limit=10#top"),
        ("/events", "/events{?limit,offset}"),
        ("/events", "?limit=10"),
        ("/events", ""),
        ("/events", "/products/2/events"),
        ("/products/1/events", "/events"),
        ("/products/1/events", "/v3/products/1/events"),
        ("/products/1/events", "/persons/2/events"),
        ("/products/1/events", None),
    ],
)
def test_a_link_of_a_list_to_itself_passes(path: str, href: str | None) -> None:
    """Its host and root do not matter, nor do links with another `rel`, or what is no link."""
    other = {"rel": "next", "href": "/core/metrics"}
    check_self_link({"links": [other, 5, {"href": "/core/metrics"}, {"rel": "self", "href": href}]}, path)


@pytest.mark.parametrize("links", [None, "self", {"rel": "self", "href": "/core/metrics"}])
def test_what_is_no_list_of_links_passes(links: object) -> None:
    check_self_link({"links": links}, "/events")
    check_self_link([{"links": links}], "/events")


@pytest.mark.parametrize(
    ("path", "href"),
    [
        ("/events", "/core/metrics"),
        ("/events", "metrics?limit=10"),
        ("/products/1/events", "/v3/products/1/metrics"),
        ("/products/1/events", "/v3/products/2/events"),
    ],
)
def test_a_link_of_another_list_shows_that_the_response_is_that_of_another_request(path: str, href: str) -> None:
    with pytest.raises(RetriableAPIError, match=rf"^the response is for {re.escape(href)}, not for {path}$"):
        check_self_link({"links": [{"rel": "self", "href": href}]}, path)
