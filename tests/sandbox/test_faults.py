"""Each fault does what it is named after, on the wire."""

from __future__ import annotations

import datetime as dt
import email.utils
import gzip
import itertools
import json
import time

import pytest
import requests

from tests.sandbox import TOKEN, Fault, Sandbox, faults
from tests.sandbox.client import AUTHORIZED, get, raw


class TestFaults:
    """The faults, one by one."""

    def test_are_selected(self, sandbox: Sandbox) -> None:
        cases: list[tuple[faults.When, str]] = [
            ({}, "XXXXXX"),
            ({"times": 2}, "XX...."),
            ({"skip": 1}, ".XXXXX"),
            ({"skip": 1, "times": 2}, ".XX..."),
            ({"nth": 4}, "...X.."),
            ({"resource": "reports"}, "......"),
            ({"resource": "events", "nth": 1}, "X....."),
            ({"method": "POST"}, "......"),
            ({"method": "GET", "times": 1}, "X....."),
            ({"where": lambda request: request.number % 2 == 0}, ".X.X.X"),
        ]
        for when, expected in cases:
            sandbox.faults[:] = [faults.status(503, **when)]
            codes = [get(sandbox, "/events").status_code for _ in range(6)]
            assert codes == [503 if sign == "X" else 200 for sign in expected], when

    @pytest.mark.parametrize(
        ("fault", "ending", "share"),
        [
            (faults.close(), "closed", "nothing"),
            (faults.close("in_headers"), "closed", "part of the head"),
            (faults.close("after_headers"), "closed", "head"),
            (faults.close("in_body"), "closed", "part of the body"),
            (faults.reset(), "reset", "nothing"),
            (faults.reset("in_headers"), "reset", "part of the head"),
            (faults.reset("after_headers"), "reset", "head"),
            (faults.reset("in_body"), "reset", "part of the body"),
            (faults.hang(), "open", "nothing"),
            (faults.hang("in_headers"), "open", "part of the head"),
            (faults.hang("in_body"), "open", "part of the body"),
            (faults.short_body(), "closed", "part of the body"),
            (faults.drip(0.02), "open", "part of the body"),
            (faults.drip(0.02, part="all"), "open", "part of the head"),
            (faults.drip(0.001, size=1000), "closed", "all"),
        ],
    )
    def test_break_the_connection(self, sandbox: Sandbox, fault: Fault, ending: str, share: str) -> None:
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

    def test_endless(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.endless())
        for form in ("envelope", "bare"):
            sandbox.form = form
            with requests.get(f"{sandbox.url}/events", headers=AUTHORIZED, timeout=5, stream=True) as response:
                received = b"".join(itertools.islice(response.iter_content(65_536), 100))
            assert len(received) > 1_000_000
            name = json.dumps(sandbox.account.records["events"][0]["name"], ensure_ascii=False).encode()
            assert received.count(name) > 1_000

    @pytest.mark.parametrize(
        ("fault", "status", "body"),
        [
            (faults.status(599, body="text"), 599, b"text"),
            (faults.body("<p>", "text/html"), 200, b"<p>"),
            (faults.empty_body(), 200, b""),
            (faults.null_body(), 200, b"null"),
            (faults.scalar_body(), 200, b"42"),
            (
                faults.raw_rewrite(lambda _: b'{"data":[{"total":1e400,"x":NaN}]}'),
                200,
                b'{"data":[{"total":1e400,"x":NaN}]}',
            ),
        ],
    )
    def test_bodies(self, sandbox: Sandbox, fault: Fault, status: int, body: bytes) -> None:
        sandbox.faults.append(fault)
        response = get(sandbox, "/events")
        assert (response.status_code, response.content) == (status, body)

    def test_html(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.html_page())
        response = get(sandbox, "/events")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.content.startswith(b"<!DOCTYPE html>")

    def test_truncated_json(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.truncated_json())
        response = get(sandbox, "/events")
        assert response.content.startswith(b'{"meta":{"status":200},"data":[{')
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            response.json()

    def test_bad_gzip(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.bad_gzip())
        with pytest.raises(requests.exceptions.ContentDecodingError):
            get(sandbox, "/events")
        body = raw(sandbox)[0].partition(b"\r\n\r\n")[2]
        with pytest.raises(gzip.BadGzipFile):
            gzip.decompress(body)

    def test_status_with_headers_and_reason(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.status(403, reason="No Way", headers={"X-Why": "because"}))
        response = get(sandbox, "/events")
        assert (response.status_code, response.reason, response.headers["X-Why"]) == (
            403,
            "No Way",
            "because",
        )
        assert response.json()["meta"] == {"status": 403, "message": "No Way", "errors": ["forbidden"]}

    def test_redirect(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.redirect("http://example.invalid/", 308))
        response = get(sandbox, "/events")
        assert (response.status_code, response.headers["Location"]) == (
            308,
            "http://example.invalid/",
        )

    def test_echo_token(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.echo_token(422))
        response = get(sandbox, "/events")
        assert response.status_code == 422
        assert all(TOKEN in text for text in (response.text, response.reason, response.headers["X-Your-Authorization"]))

    def test_retry_after(self, sandbox: Sandbox) -> None:
        for fault in (faults.retry_after(3), faults.retry_after("soon", code=503)):
            sandbox.faults[:] = [fault]
            assert get(sandbox, "/events").headers["Retry-After"] in {"3", "soon"}
        sandbox.faults[:] = [faults.retry_after(30, as_date=True)]
        when = email.utils.parsedate_to_datetime(get(sandbox, "/events").headers["Retry-After"])
        assert 25 < (when - dt.datetime.now(dt.UTC)).total_seconds() <= 30

    def test_rate_limit(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.rate_limit(3, 0.5))
        answers = [get(sandbox, "/events") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert set(answers[-1].headers) == {"Content-Type", "Content-Length"}
        time.sleep(0.5)
        assert get(sandbox, "/events").status_code == 200

    def test_rate_limit_that_tells(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.rate_limit(1, 60, tell=True))
        assert get(sandbox, "/events").status_code == 200
        assert get(sandbox, "/events").headers["Retry-After"] == "60"

    def test_meta_status_and_data(self, sandbox: Sandbox) -> None:
        for fault, expected in [
            (
                faults.meta_status(502),
                {"meta": {"status": 502, "message": "Something went wrong", "errors": ["bad_gateway"]}},
            ),
            (faults.data(None), {"meta": {"status": 200}, "data": None}),
            (faults.data(faults.MISSING), {"meta": {"status": 200}}),
            (faults.data(7), {"meta": {"status": 200}, "data": 7}),
        ]:
            sandbox.faults[:] = [fault]
            response = get(sandbox, "/events")
            assert response.status_code == 200
            body = response.json()
            assert {key: value for key, value in body.items() if key in {"meta", "data"}} == expected
        sandbox.form = "bare"
        sandbox.faults[:] = [faults.data(None)]
        assert get(sandbox, "/events").content == b"null"

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
    def test_pages(self, sandbox: Sandbox, fault: Fault, rows: tuple[int, int], shown: tuple[int, int]) -> None:
        sandbox.faults.append(fault)
        response = get(sandbox, "/events", limit=5, offset=10)
        body = response.json()
        assert body["data"] == sandbox.account.records["events"][slice(*rows)]
        assert (body["pagination"]["limit"], body["pagination"]["offset"]) == shown
        assert body["pagination"]["total"] == 25
        assert ("links" in body) == ("Link" in response.headers) == (fault.name != "no links")

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (faults.total(faults.MISSING), [{}] * 2),
            (faults.total(None), [{"total": None}] * 2),
            (faults.total(str), [{"total": "25"}] * 2),
            (faults.total(lambda true: true - 7), [{"total": 18}] * 2),
            (faults.total_random(50, 99, seed=1), [{"total": 58}, {"total": 86}]),
        ],
    )
    def test_totals(self, sandbox: Sandbox, fault: Fault, expected: list[dict[str, object]]) -> None:
        sandbox.faults.append(fault)
        for total in expected:
            assert get(sandbox, "/events").json()["pagination"] == {
                "limit": 20,
                "offset": 0,
                **total,
            }
        sandbox.form = "bare"
        assert len(get(sandbox, "/events").json()) == 20

    def test_rewrite(self, sandbox: Sandbox) -> None:
        sandbox.faults.append(faults.rewrite(lambda body: body["data"][0].update(id=None), nth=1))
        sandbox.faults.append(faults.rewrite(lambda body: body["data"], nth=2))
        assert get(sandbox, "/events").json()["data"][0]["id"] is None
        assert get(sandbox, "/events").json() == sandbox.account.records["events"][:20]

    def test_add_up(self, sandbox: Sandbox) -> None:
        sandbox.faults += [faults.total(1), faults.no_links(), faults.short_body(0.9999)]
        received, how = raw(sandbox)
        assert b'"total":1' in received
        assert b"Link:" not in received
        assert how == "closed"
