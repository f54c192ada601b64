"""The fault matrix, first part: what goes wrong and passes. The sync ends well, with every record exactly once."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault_matrix import BOTH, QUERY, Case, in_each_api, row
from tests.fault_runs import (
    assert_every_record_once,
    assert_met,
    assert_says,
    small_sandbox,
    watched_sync,
)
from tests.live_tap import live_tap
from tests.sandbox import faults

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName

pytestmark = pytest.mark.usefixtures("_untraced")

ONCE: faults.When = {"resource": "events", "nth": 2}
"""The second page of the events, which are seven pages, once."""

THRICE: faults.When = {"resource": "events", "skip": 1, "times": 3}
"""The second page, three times running."""

FIRST: faults.When = {"nth": 1}
"""The very first request."""

BRIEF: dict[str, Any] = {"backoff_factor": 0.005}
"""A rate limit that does not say how long it lasts is waited for 0.3 s."""

IMPATIENT: dict[str, Any] = {"request_timeout": 0.5}
"""0.5 s for each read, and 2.5 s for a whole answer."""

SOON = r"trying again in \d"
AGAIN = f"WARNING.*{SOON}"
WAITING = r"waiting \d+\.\d s, (for the API limits its requests|as the API asks: HTTP 503)"

STATUSES = [
    *(row(f"{code} once", faults.status(code, **ONCE), says=f"HTTP {code}.*trying again in")
      for code in (408, 425, 500, 501, 502, 503, 504, 507, 520, 599)),
    *(row(f"{code} three times running", faults.status(code, **THRICE), says=f"HTTP {code}.*trying again in")
      for code in (408, 425, 500, 502, 503, 504)),
    row("429 once", faults.status(429, **ONCE), pause=0.3, says=WAITING, **BRIEF, apis=BOTH),
    row("429 three times running, with no patience", faults.status(429, **THRICE), pause=0.3, says=WAITING, **BRIEF,
        retry_timeout=0.1),
    row("503 to the very first request", faults.status(503, **FIRST), says=AGAIN, apis=BOTH),
    row("503, 500 and 429 mixed", faults.status(503, **ONCE), faults.status(500, resource="events", nth=3),
        faults.status(429, resource="events", nth=4), says=f"{AGAIN}|{WAITING}", **BRIEF, apis=BOTH),
]  # fmt: skip

RETRY_AFTER = [
    row("429 with Retry-After in seconds", faults.retry_after(1, **ONCE), pause=1, within=5.5, says=WAITING,
        backoff_factor=0.1, apis=BOTH),
    row("503 with Retry-After in seconds", faults.retry_after(1, code=503, **ONCE), pause=1, says=WAITING),
    row("429 with Retry-After as a date", faults.retry_after(2, as_date=True, **ONCE), pause=0.9, within=5.5,
        says=WAITING, backoff_factor=0.1),
    row("503 with Retry-After as a date", faults.retry_after(2, code=503, as_date=True, **ONCE), pause=0.9,
        says=WAITING),
    row("429 with Retry-After three times, with no patience", faults.retry_after(0.2, **THRICE), pause=0.2,
        says=WAITING, retry_timeout=0.1),
    row("503 with Retry-After three times", faults.retry_after(0.2, code=503, **THRICE), pause=0.2, says=WAITING),
    row("429 with a Retry-After that is nonsense", faults.retry_after("soon", **ONCE), pause=0.3, says=WAITING,
        **BRIEF),
    row("503 with a Retry-After that is nonsense", faults.retry_after("soon", code=503, **ONCE), says=AGAIN),
    row("503 with an infinite Retry-After", faults.retry_after("1e999", code=503, **ONCE), says=AGAIN),
    row("429 with a negative Retry-After", faults.retry_after(-5, **ONCE), pause=0.3, says=WAITING, **BRIEF),
    row("503 with a negative Retry-After", faults.retry_after(-5, code=503, **ONCE), says=AGAIN),
    row("429 with a Retry-After in the past", faults.retry_after(-5, as_date=True, **ONCE), says=WAITING),
    row("429 with a huge Retry-After", faults.retry_after(10**9, **ONCE), within=10, says=WAITING,
        backoff_factor=0.001),
    row("503 with a Retry-After in the year 9999",
        faults.retry_after("Fri, 31 Dec 9999 23:59:59 GMT", code=503, **ONCE), within=10, says=WAITING,
        backoff_factor=0.001),
]  # fmt: skip

RATE_LIMITS = [
    row("a rate limit without a header", faults.rate_limit(5, 0.5), pause=0.55, says=WAITING, backoff_factor=0.01,
        apis=BOTH),
    row("a rate limit that counts refused requests too", faults.rate_limit(5, 0.5, count_refused=True),
        says=WAITING, backoff_factor=0.01),
    row("a rate limit that sends Retry-After", faults.rate_limit(5, 0.5, tell=True), pause=1, within=5.5,
        says=WAITING, backoff_factor=0.1),
]  # fmt: skip

BROKEN = r"no complete answer from 127\.0\.0\.1:\d+: .+trying again in"

LINES = [
    row("connection closed before the answer", faults.close(**ONCE), says=BROKEN),
    row("connection closed in the headers", faults.close("in_headers", **ONCE), says=AGAIN),
    row("connection closed after the headers", faults.close("after_headers", **ONCE), says=BROKEN),
    row("connection closed in the body", faults.close("in_body", **ONCE), says=BROKEN, apis=BOTH),
    row("connection reset before the answer", faults.reset(**ONCE), says=BROKEN, apis=BOTH),
    row("connection reset in the headers", faults.reset("in_headers", **ONCE), says=BROKEN),
    row("connection reset after the headers", faults.reset("after_headers", **ONCE), says=BROKEN),
    row("connection reset in the body", faults.reset("in_body", **ONCE), says=BROKEN),
    row("connection closed three times running", faults.close(**THRICE), says=BROKEN),
    row("connection reset at the very first request", faults.reset(**FIRST), says=BROKEN),
    row("body shorter than announced", faults.short_body(**ONCE), says=BROKEN),
    row("no body at all although one is announced", faults.short_body(0.0, **ONCE), says=BROKEN),
    row("server that hangs before its answer", faults.hang(**ONCE), says=BROKEN, pause=0.5, **IMPATIENT,
        apis=BOTH),
    row("server that hangs in the headers", faults.hang("in_headers", **ONCE), says=BROKEN, pause=0.5,
        **IMPATIENT),
    row("server that hangs after the headers", faults.hang("after_headers", **ONCE), says=BROKEN, pause=0.5,
        **IMPATIENT),
    row("server that hangs in the body", faults.hang("in_body", **ONCE), says=BROKEN, pause=0.5,
        **IMPATIENT),
    row("server that drips its body", faults.drip(0.05, **ONCE), says=BROKEN, pause=2.5, **IMPATIENT,
        apis=BOTH),
    row("server that drips from the status line on", faults.drip(0.05, part="all", **ONCE), says=BROKEN, pause=2.5,
        **IMPATIENT),
    row("server that is slow, but not too slow", faults.drip(0.05, size=500, **ONCE)),
]  # fmt: skip

NO_JSON = "the API's answer is not JSON.*trying again in"
NO_LIST = "the API's answer holds no list of records.*trying again in"

BODIES = [
    row("gzip that is none", faults.bad_gzip(**ONCE), says=BROKEN, apis=BOTH),
    row("truncated JSON", faults.truncated_json(**ONCE), says=NO_JSON, apis=BOTH),
    row("truncated JSON, uncompressed", faults.truncated_json(**ONCE), says=NO_JSON, switches={"gzip": False}),
    row("HTML of a maintenance page", faults.html_page(**ONCE), says=NO_JSON),
    row("HTML three times running", faults.html_page(**THRICE), says=NO_JSON, apis=BOTH),
    row("empty body", faults.empty_body(**ONCE), says=NO_JSON),
    row("204 No Content", faults.status(204, body=b"", **ONCE), says=NO_JSON),
    row("bytes that are no UTF-8", faults.body(b'{"data": [{"id": "\xff"}]}', **ONCE), says=NO_JSON),
    row("JSON nested without end", faults.body(b"[" * 200_000, **ONCE), says=NO_JSON),
    row("null", faults.null_body(**ONCE), says=NO_LIST, apis=BOTH),
    row("null to the very first request", faults.null_body(**FIRST), says=NO_LIST),
    row("a number", faults.scalar_body(**ONCE), says=NO_LIST),
    row("a text", faults.body(b'"soon"', **ONCE), says=NO_LIST),
    row("data null", faults.data(None, **ONCE), says=NO_LIST, apis=BOTH),
    row("data null three times running", faults.data(None, **THRICE), says=NO_LIST),
    row("no data", faults.data(faults.MISSING, **ONCE), says=NO_LIST, apis=BOTH),
    row("data that is an object", faults.data({}, **ONCE), says=NO_LIST),
    row("an error without meta", faults.body(b'{"error": "overloaded"}', **ONCE), says=f"says: overloaded; {SOON}"),
    row("meta.status 500 in 200", faults.meta_status(500, **ONCE), says=f"HTTP 500.*{SOON}"),
    row("meta.status 503 in 200, three times", faults.meta_status(503, **THRICE), says="HTTP 503.*trying again",
        apis=BOTH),
    row("meta.status 429 in 200", faults.meta_status(429, **ONCE), pause=0.3, says=WAITING, **BRIEF, apis=BOTH),
]  # fmt: skip

LISTS = [
    row("server that caps limit and says so", switches={"cap": 7}, apis=BOTH),
    row("server that caps limit at 2", switches={"cap": 2}, apis=BOTH),
    row("server that caps limit and does not say so", faults.ignore_limit(7)),
    row("server that ignores limit and sends more", faults.ignore_limit(20), apis=BOTH),
    row("server that ignores limit and sends all", faults.ignore_limit(), apis=BOTH),
    row("server that ignores limit and says so", faults.ignore_limit(13, admit=True)),
    row("pages that overlap by a row", faults.overlap(1)),
    row("pages that overlap by 3 rows", faults.overlap(3), apis=BOTH),
    row("pages that overlap by 3 rows and say so", faults.overlap(3, admit=True)),
    row("no total", faults.total(faults.MISSING)),
    row("total null", faults.total(None)),
    row("total as text", faults.total(str)),
    row("total that is no number", faults.total("many")),
    row("total half as large", faults.total(lambda true: true // 2)),
    row("a year beyond all calendars", faults.header("Date", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT")),
    row("two lengths at once", faults.header("Content-Length", "5, 6", **ONCE), says=SOON),
    row("total 0", faults.total(0)),
    row("total -1", faults.total(-1)),
    row("total with a fraction", faults.total(60.5)),
    row("total one too large, once", faults.total(lambda true: true + 1, resource="events", nth=7)),
    row("no pagination", faults.rewrite(lambda body: body.pop("pagination") and None)),
    row("no links", faults.no_links()),
    row("empty page at the start", faults.empty_page(resource="events", nth=1), says="no new records at offset 0"),
    row("empty page in the middle", faults.empty_page(resource="events", nth=3), says="no new records at offset"),
    row("empty page at the end", faults.empty_page(resource="events", nth=7), says="no new records at offset"),
    row("empty page in the middle of a list that says no total", faults.empty_page(resource="events", nth=3),
        apis=QUERY),
    row("empty page at the end of a list that says no total", faults.empty_page(resource="events", nth=8), apis=QUERY),
    row("empty page in the middle, no total", faults.empty_page(resource="events", nth=3), faults.total(None)),
    row("bare form", switches={"form": "bare"}),
    row("bare form, capped", switches={"form": "bare", "cap": 7}),
    row("bare form, pages that overlap", faults.overlap(3), switches={"form": "bare"}),
    row("bare form, truncated", faults.truncated_json(**ONCE), says=NO_JSON, switches={"form": "bare"}),
    row("bare form, empty page in the middle", faults.empty_page(resource="events", nth=3),
        switches={"form": "bare"}),
    row("page_size 1", page_size=1, apis=BOTH),
]  # fmt: skip


@pytest.mark.parametrize(
    ("api", "max_concurrency", "case"),
    in_each_api([*STATUSES, *RETRY_AFTER, *RATE_LIMITS, *LINES, *BODIES, *LISTS]),
)
def test_survives(api: ApiName, max_concurrency: int, case: Case, tmp_path: Path) -> None:
    """The sync ends well, with every record of the account exactly once."""
    with small_sandbox(*case.faults, api=api, **case.switches) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=max_concurrency, **case.settings).succeeded()
        assert_met(sandbox)
    given_up = sum(fault.seen for fault in sandbox.faults if fault.send)  # the sandbox is still busy with them
    assert sandbox.max_in_flight <= max_concurrency + given_up
    assert_every_record_once(run, sandbox.account)
    assert_says(run, case.says)
    if case.pause:
        moments: dict[object, list[float]] = {}
        for request in sandbox.requests:
            moments.setdefault((request.path, *request.query.items()), []).append(request.at)
        gap = next(again[1] - again[0] for again in moments.values() if len(again) > 1)
        assert case.pause <= gap < case.within


@pytest.mark.parametrize("api", BOTH)
def test_survives_one_fault_after_the_other_page_by_page(api: ApiName, tmp_path: Path) -> None:
    """Each is told. With pages fetched ahead, what failed ahead of a rate limit is asked for anew without a line."""
    happening = [faults.status(code, resource="events", nth=nth) for nth, code in ((2, 503), (3, 500), (4, 429))]
    with small_sandbox(*happening, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **BRIEF).succeeded()
        assert_met(sandbox)
    assert_every_record_once(run, sandbox.account)
    for says in (f"HTTP 503.*{SOON}", f"HTTP 500.*{SOON}", WAITING):
        assert_says(run, says)


def test_each_pause_is_twice_the_one_before(tmp_path: Path) -> None:
    """Plus up to `backoff_factor`, so that taps which failed together do not come back together."""
    factor = 0.1
    with small_sandbox(faults.status(503, resource="metrics", times=5)) as sandbox:
        run = watched_sync(sandbox, tmp_path, backoff_factor=factor, max_concurrency=1).succeeded()
    assert_every_record_once(run, sandbox.account)
    told = [float(wait) for wait in re.findall(r"trying again in (\d+\.\d) s", run.stderr)]
    times = [request.at for request in sandbox.requests if request.resource == "metrics"][: len(told) + 1]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(told) == len(gaps) == 5
    for number, (wait, gap) in enumerate(zip(told, gaps, strict=True)):
        doubled = factor * 2**number
        assert doubled - 0.05 <= wait <= doubled + factor + 0.05  # as it is told: in tenths
        assert gap >= doubled


def test_survives_a_server_that_comes_up_late(tmp_path: Path) -> None:
    """Connection refused: it goes on asking, and reads when somebody listens."""
    with small_sandbox() as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    with live_tap(gone, tmp_path, backoff_factor=0.02, retry_timeout=60) as tap:
        tap.until(lambda: tap.log.count("trying again in") >= 3)
        with small_sandbox(port=port) as sandbox:
            run = tap.ends().succeeded()
    assert_every_record_once(run, sandbox.account)
    assert_says(run, f"{BROKEN[:-17]}.*refused")
