"""Each fault does what it is named after, on the wire."""

from __future__ import annotations

import datetime as dt
import email.utils
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import requests

from tests.sandbox import TOKEN, Fault, Sandbox, faults
from tests.sandbox.client import AUTHORIZED, get, raw

if TYPE_CHECKING:
    from tests.sandbox import Form


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, "XXXXXX"),
        ({"skip": 1, "times": 2}, ".XX..."),
        ({"nth": 4}, "...X.."),
        ({"resource": "events", "nth": 1}, "X....."),
        ({"method": "POST"}, "......"),
        ({"where": lambda request: request.number % 2 == 0}, ".X.X.X"),
    ],
)
def test_a_fault_happens_when_it_is_told(sandbox: Sandbox, when: faults.When, expected: str) -> None:
    sandbox.faults.append(faults.status(503, **when))
    codes = [get(sandbox, "/events", limit=0).status_code for _ in range(6)]
    assert codes == [503 if sign == "X" else 200 for sign in expected]


@pytest.mark.parametrize(
    ("fault", "ending", "share"),
    [
        (faults.close(), "closed", "nothing"),
        (faults.close("in_headers"), "closed", "part of the head"),
        (faults.close("after_headers"), "closed", "head"),
        (faults.close("in_body"), "closed", "part of the body"),
        (faults.reset(), "reset", "nothing"),
        (faults.reset("in_body"), "reset", "part of the body"),
        (faults.hang(), "open", "nothing"),
        (faults.hang("in_headers"), "open", "part of the head"),
        (faults.short_body(), "closed", "part of the body"),
        (faults.drip(0.02), "open", "part of the body"),
        (faults.drip(0.02, part="all"), "open", "part of the head"),
        (faults.drip(0.001, size=1000), "closed", "all"),
    ],
)
def test_the_connection_breaks(sandbox: Sandbox, fault: Fault, ending: str, share: str) -> None:
    whole, _ = raw(sandbox)
    head = len(whole.partition(b"\r\n\r\n")[0]) + 4
    sandbox.faults.append(fault)
    received, how = raw(sandbox, seconds=0.2 if ending == "open" else 5)
    assert how == ending
    assert whole.startswith(received)
    lengths = {
        "nothing": range(1),
        "part of the head": range(1, head),
        "head": range(head, head + 1),
        "part of the body": range(head + 1, len(whole)),
        "all": range(len(whole), len(whole) + 1),
    }
    assert len(received) in lengths[share]


@pytest.mark.parametrize("form", ["envelope", "bare"])
def test_a_body_without_end(sandbox: Sandbox, form: Form) -> None:
    sandbox.form = form
    sandbox.faults.append(faults.endless())
    with requests.get(f"{sandbox.url}/events", headers=AUTHORIZED, timeout=5, stream=True) as response:
        received = b"".join(itertools.islice(response.iter_content(65_536), 100))
    assert len(received) > 1_000_000


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (faults.status(599, body="text"), 599, b"text"),
        (faults.empty_body(), 200, b""),
        (faults.null_body(), 200, b"null"),
        (faults.scalar_body(), 200, b"42"),
        (faults.raw_rewrite(lambda _: b'{"data":[1e400,NaN]}'), 200, b'{"data":[1e400,NaN]}'),
        (faults.rewrite(lambda body: body["data"][:0]), 200, b"[]"),
        (faults.truncated_json(0), 200, b""),
    ],
)
def test_a_body(sandbox: Sandbox, fault: Fault, status: int, body: bytes) -> None:
    sandbox.faults.append(fault)
    response = get(sandbox, "/events")
    assert (response.status_code, response.content) == (status, body)


def test_bodies_that_are_no_json(sandbox: Sandbox) -> None:
    sandbox.faults[:] = [faults.html_page()]
    assert get(sandbox, "/events").headers["Content-Type"] == "text/html; charset=utf-8"
    sandbox.faults[:] = [faults.bad_gzip()]
    with pytest.raises(requests.exceptions.ContentDecodingError):
        get(sandbox, "/events")


@pytest.mark.parametrize(
    ("fault", "status", "header", "value"),
    [
        (faults.status(403, headers={"X-Why": "because"}), 403, "X-Why", "because"),
        (faults.redirect("http://example.invalid/", 308), 308, "Location", "http://example.invalid/"),
        (faults.retry_after(3), 429, "Retry-After", "3"),
        (faults.header("Link"), 200, "Link", None),
        (faults.echo_token(422), 422, "X-Your-Authorization", f"Bearer {TOKEN}"),
    ],
)
def test_a_status_and_a_header(sandbox: Sandbox, fault: Fault, status: int, header: str, value: str | None) -> None:
    sandbox.faults.append(fault)
    response = get(sandbox, "/events")
    assert (response.status_code, response.headers.get(header)) == (status, value)


def test_an_error_has_the_form_of_the_api_and_a_reason(sandbox: Sandbox, v3: Sandbox) -> None:
    sandbox.faults.append(faults.status(403, reason="No Way"))
    response = get(sandbox, "/events")
    assert response.reason == "No Way"
    assert response.json()["meta"] == {"status": 403, "message": "No Way", "errors": ["forbidden"]}
    v3.faults.append(faults.status(503))
    assert get(v3, "/products").json() == {"status": 503, "messages": ["This is the answer 503"]}
    sandbox.faults[:] = [faults.retry_after(30, as_date=True)]
    when = email.utils.parsedate_to_datetime(get(sandbox, "/events").headers["Retry-After"])
    assert 25 < (when - dt.datetime.now(dt.UTC)).total_seconds() <= 30


def test_a_rate_limit(sandbox: Sandbox, v3: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(faults, "time", SimpleNamespace(monotonic=lambda: now))
    for fault, expected in (
        (faults.rate_limit(2, 60), {0: 200, 1: 200, 2: 429, 59: 429, 60: 200, 60.5: 429}),
        (faults.rate_limit(1, 60, count_refused=True), {0: 200, 1: 429, 60.5: 429, 121: 200}),
    ):
        sandbox.faults[:] = [fault]
        for now, status in expected.items():
            response = get(sandbox, "/events", limit=0)
            assert (response.status_code, "Retry-After" in response.headers) == (status, False), now
    sandbox.faults[:] = [faults.rate_limit(1, 60, tell=True)]
    assert get(sandbox, "/events").status_code == 200
    now += 0.5
    assert get(sandbox, "/events").headers["Retry-After"] == "60"
    v3.rate_limit = 3
    assert [get(v3, "/products").status_code for _ in range(4)] == [200, 200, 200, 429]
    for request, at in zip(v3.requests, (0, 0.5, 59.9, 60), strict=True):
        request.at = at
    assert v3.most_in_a_minute() == 3


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            faults.meta_status(502),
            {"meta": {"status": 502, "message": "Something went wrong", "errors": ["bad_gateway"]}},
        ),
        (faults.data(None), {"meta": {"status": 200}, "data": None}),
        (faults.data(faults.MISSING), {"meta": {"status": 200}}),
    ],
)
def test_a_good_status_without_the_data(sandbox: Sandbox, fault: Fault, expected: dict[str, object]) -> None:
    sandbox.faults.append(fault)
    response = get(sandbox, "/events")
    assert response.status_code == 200
    assert {key: value for key, value in response.json().items() if key in {"meta", "data"}} == expected


@pytest.mark.parametrize(
    ("fault", "rows", "shown"),
    [
        (faults.ignore_offset(), (0, 5), (5, 10)),
        (faults.ignore_offset(admit=True), (0, 5), (5, 0)),
        (faults.ignore_limit(), (10, 25), (5, 10)),
        (faults.ignore_limit(8, admit=True), (10, 18), (8, 10)),
        (faults.overlap(3), (7, 12), (5, 10)),
        (faults.overlap(30, admit=True), (0, 5), (5, 0)),
        (faults.empty_page(), (0, 0), (5, 10)),
        (faults.no_links(), (10, 15), (5, 10)),
    ],
)
def test_a_page(sandbox: Sandbox, fault: Fault, rows: tuple[int, int], shown: tuple[int, int]) -> None:
    sandbox.faults.append(fault)
    response = get(sandbox, "/events", limit=5, offset=10)
    body = response.json()
    assert body["data"] == sandbox.account.records["events"][slice(*rows)]
    assert (body["pagination"]["limit"], body["pagination"]["offset"]) == shown
    assert ("links" in body) == ("Link" in response.headers) == (fault.name != "no links")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.total(faults.MISSING), {}),
        (faults.total(None), {"total": None}),
        (faults.total(lambda true: true - 7), {"total": 18}),
        (faults.total_random(50, 99, seed=1), {"total": 58}),
    ],
)
def test_a_total(sandbox: Sandbox, fault: Fault, expected: dict[str, object]) -> None:
    sandbox.faults.append(fault)
    assert get(sandbox, "/events").json()["pagination"] == {"limit": 20, "offset": 0, **expected}


@pytest.mark.parametrize("name", faults.answers_beyond_end())
def test_an_answer_beyond_the_end(sandbox: Sandbox, name: str) -> None:
    sandbox.faults.append(faults.answers_beyond_end()[name])
    records = sandbox.account.records["events"]
    assert get(sandbox, "/events", limit=5, offset=20).json()["data"] == records[20:]
    received, _ = raw(sandbox, "/events?limit=5&offset=25", seconds=0.2)
    status = int(received.split(b" ")[1]) if received else None
    assert status == {"closed": None, "hanging": None}.get(name, int(name) if name.isdecimal() else 200)
    if name.endswith("page"):
        body = get(sandbox, "/events", limit=5, offset=25).json()
        assert body["data"] == (records[:5] if name == "first page" else records[20:])


def test_faults_add_up(sandbox: Sandbox) -> None:
    sandbox.faults += [faults.total(1), faults.no_links(), faults.close(), faults.short_body(0.9999)]
    received, how = raw(sandbox)
    assert (b'"total":1' in received, b"Link:" in received, how) == (True, False, "closed")
