"""The fault matrix, first part: what goes wrong and passes. The sync ends well, with every record exactly once."""

from __future__ import annotations

import itertools
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_every_record_once, assert_met, assert_says
from tests.support.cases import BOTH, QUERY, Case, in_each_api, row, small_sandbox, watched_sync
from tests.support.clock import Clock
from tests.support.process import live_tap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import ApiName, Request
    from tests.sandbox.faults import Place

ONCE: faults.When = {"resource": "events", "nth": 2}
"""The second page of the events, which are seven pages, once."""

THRICE: faults.When = {"resource": "events", "skip": 1, "times": 3}
"""The second page, three times in a row."""

BRIEF: dict[str, Any] = {"backoff_factor": 0.005}
"""A rate limit without a duration is waited for 0.3 s."""

IMPATIENT: dict[str, Any] = {"request_timeout": 0.25}
"""0.25 s for each read, and 1.25 s for a whole response."""

SOON = r"retrying in \d"
AGAIN = f"WARNING.*{SOON}"
WAITING = r"waiting \d+\.\d s( because of the API's rate limit|, as the server requires: HTTP 503)"
BROKEN = rf"no complete response from 127\.0\.0\.1:\d+: .+{SOON}"
NO_JSON = f"the response is not JSON.*{SOON}"
NO_LIST = f"the response contains no list of records.*{SOON}"


def moments_of_requests(sandbox: Sandbox, clock: Clock) -> dict[tuple[Any, ...], list[float]]:
    """Note when each page is asked for, by the tap's clock."""
    moments: dict[tuple[Any, ...], list[float]] = {}

    @sandbox.on_request
    def note(_sandbox: Sandbox, request: Request) -> None:
        moments.setdefault((request.path, *request.query.items()), []).append(clock.monotonic())

    return moments


PLACES: tuple[Place, ...] = ("before", "in_headers", "after_headers", "in_body")

IN_TURN: dict[str, list[tuple[Callable[..., faults.Fault], str]]] = {
    "statuses": [
        *((partial(faults.status, code), f"HTTP {code}.*{SOON}")
          for code in (408, 425, 500, 501, 502, 503, 504, 507, 520, 599)),
        (partial(faults.meta_status, 500), f"HTTP 500.*{SOON}"),
        (partial(faults.meta_status, 503), f"HTTP 503.*{SOON}"),
    ],
    "connections": [
        (partial(make, part), BROKEN if (make, part) != (faults.close, "in_headers") else AGAIN)
        for make in (faults.close, faults.reset)
        for part in PLACES
    ] + [
        (faults.short_body, BROKEN),
        (partial(faults.short_body, 0.0), BROKEN),
        (partial(faults.header, "Content-Length", "5, 6"), AGAIN),
        (faults.bad_gzip, BROKEN),
    ],
    "bodies": [
        (faults.truncated_json, NO_JSON),
        (faults.html_page, NO_JSON),
        (faults.empty_body, NO_JSON),
        *((partial(faults.status, code), f"HTTP {code} is not a valid status for a list; {SOON}")
          for code in (201, 202, 203, 204, 206, 299)),
        (partial(faults.body, b'[{"id": "\\ufffd"}]'), f"the id of the record at offset .* is not text; {SOON}"),
        (partial(faults.body, b"[" * 200_000), NO_JSON),
        (faults.null_body, NO_LIST),
        (faults.scalar_body, NO_LIST),
        (partial(faults.body, b'"soon"'), NO_LIST),
        (partial(faults.data, None), NO_LIST),
        (partial(faults.data, faults.MISSING), NO_LIST),
        (partial(faults.data, {}), NO_LIST),
        (partial(faults.body, b'{"error": "overloaded"}'), f"message: overloaded; {SOON}"),
    ],
}  # fmt: skip
"""Faults that pass, each with the line that is logged."""


@pytest.mark.parametrize("api", BOTH)
@pytest.mark.parametrize("group", IN_TURN)
@pytest.mark.usefixtures("clock")
def test_survives_a_different_fault_on_each_page(group: str, api: ApiName, tmp_path: Path) -> None:
    """Every second request fails, and the next one for the same page succeeds."""
    happening = [make(resource="events", nth=2 * n) for n, (make, _) in enumerate(IN_TURN[group], 1)]
    make_this = make_account if api == "core" else make_query_account
    account = make_this(products=1, reports=1, events=9 * len(happening) + 1, properties=1, metrics=1)
    with Sandbox(account, api=api, faults=happening) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **BRIEF).succeeded()
        assert_met(sandbox)
    assert_every_record_once(run, sandbox.account)
    lines = [line for line in run.warnings if "| WARNING" in line]
    for line, (_, says) in zip(lines, IN_TURN[group], strict=True):
        assert re.search(says, line), line


FAULTS = [
    row("503 three times", faults.status(503, **THRICE), says=f"HTTP 503.*{SOON}", ahead=True, apis=BOTH),
    row("503 to the very first request", faults.status(503, nth=1), says=AGAIN),
    row("429 once", faults.status(429, **ONCE), pause=0.3, says=WAITING, **BRIEF, ahead=True, apis=BOTH),
    row("429 three times, with no time for retries", faults.status(429, **THRICE), pause=0.3, says=WAITING, **BRIEF,
        retry_timeout=0.1),
    row("meta.status 429 in 200", faults.meta_status(429, **ONCE), pause=0.3, says=WAITING, **BRIEF),
    row("503, 500 and 429 mixed", faults.status(503, **ONCE), faults.status(500, resource="events", nth=3),
        faults.status(429, resource="events", nth=4), says=f"{AGAIN}|{WAITING}", **BRIEF, ahead=True),
    row("429 with Retry-After", faults.retry_after(1, **ONCE), pause=1, within=5.5, says=WAITING, backoff_factor=0.1,
        apis=BOTH),
    row("503 with Retry-After as a date", faults.retry_after(2, code=503, as_date=True, **ONCE), pause=0.9,
        within=5.5, says=WAITING, backoff_factor=0.1),
    row("429 with Retry-After three times, with no time for retries", faults.retry_after(0.2, **THRICE), pause=0.2,
        says=WAITING, retry_timeout=0.1),
    row("429 with a Retry-After that is nonsense", faults.retry_after("soon", **ONCE), pause=0.3, says=WAITING,
        **BRIEF),
    row("503 with a Retry-After that is nonsense", faults.retry_after("soon", code=503, **ONCE), says=AGAIN),
    row("429 with a huge Retry-After", faults.retry_after(10**9, **ONCE), within=10, says=WAITING,
        backoff_factor=0.001),
    row("a rate limit", faults.rate_limit(8, 0.25), pause=0.25, says=WAITING, backoff_factor=0.005, ahead=True,
        real_time=True),
    row("a rate limit that counts refused requests too", faults.rate_limit(8, 0.25, count_refused=True), says=WAITING,
        backoff_factor=0.005, real_time=True),
    row("a rate limit that sends Retry-After", faults.rate_limit(12, 0.5, tell=True), pause=1, within=5.5,
        says=WAITING, backoff_factor=0.1, real_time=True),
    row("connection reset three times", faults.reset(**THRICE), says=BROKEN, ahead=True),
    row("connection closed in the body", faults.close("in_body", **ONCE), says=BROKEN, ahead=True),
    *(row(f"server that hangs {part}", faults.hang(part, **ONCE), says=BROKEN, pause=0.25, **IMPATIENT)
      for part in PLACES[:3]),
    row("server that hangs in_body", faults.hang("in_body", **ONCE), says=BROKEN, pause=0.25,
        **IMPATIENT, ahead=True, apis=BOTH),
    row("server that drips its body", faults.drip(0.05, **ONCE), says=BROKEN, pause=1.25, **IMPATIENT),
    row("server that drips from the status line on", faults.drip(0.05, part="all", **ONCE), says=BROKEN, pause=1.25,
        **IMPATIENT),
    row("server that is slow, but not too slow", faults.drip(0.05, size=500, **ONCE)),
    row("truncated JSON, uncompressed", faults.truncated_json(**ONCE), says=NO_JSON, switches={"gzip": False}),
    row("HTML three times", faults.html_page(**THRICE), says=NO_JSON, ahead=True),
    row("null to the very first request", faults.null_body(nth=1), says=NO_LIST),
]  # fmt: skip

LISTS = [
    row("server that caps limit and says so", switches={"cap": 7}, ahead=True, apis=BOTH),
    row("server that caps limit at 2", switches={"cap": 2}, ahead=True, apis=BOTH),
    row("server that caps limit and does not say so", faults.ignore_limit(7), ahead=True),
    row("server that ignores limit and sends more", faults.ignore_limit(20), ahead=True, apis=BOTH),
    row("server that ignores limit and sends all", faults.ignore_limit(), ahead=True, apis=BOTH),
    row("server that ignores limit and says so", faults.ignore_limit(13, admit=True), ahead=True),
    row("pages that overlap by a row", faults.overlap(1)),
    row("pages that overlap by 3 rows", faults.overlap(3), ahead=True, apis=BOTH),
    row("no total", faults.total(faults.MISSING), ahead=True),
    row("total as text", faults.total(str)),
    row("total half as large", faults.total(lambda true: true // 2), ahead=True),
    row("total 0", faults.total(0)),
    row("total one too large, once", faults.total(lambda true: true + 1, resource="events", nth=7), ahead=True),
    row("no pagination", faults.rewrite(lambda body: body.pop("pagination") and None), ahead=True),
    row("no links", faults.no_links()),
    row("a year beyond all calendars", faults.header("Date", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT")),
    *(row(f"empty page number {nth}", faults.empty_page(resource="events", nth=nth), says="no new records at offset",
          ahead=True) for nth in (1, 3, 7)),
    *(row(f"empty page number {nth} of a list that says no total", faults.empty_page(resource="events", nth=nth),
          apis=QUERY) for nth in (3, 8)),
    row("empty page in the middle, no total", faults.empty_page(resource="events", nth=3), faults.total(None)),
    row("bare form, capped", switches={"form": "bare", "cap": 7}, ahead=True),
    row("bare form, pages that overlap", faults.overlap(3), switches={"form": "bare"}),
    row("bare form, truncated", faults.truncated_json(**ONCE), says=NO_JSON, switches={"form": "bare"}),
    row("bare form, empty page in the middle", faults.empty_page(resource="events", nth=3),
        switches={"form": "bare"}),
    row("page_size 1", page_size=1, ahead=True, apis=BOTH),
]  # fmt: skip


@pytest.mark.parametrize(("api", "max_concurrency", "case"), in_each_api([*FAULTS, *LISTS]))
def test_survives(
    api: ApiName, max_concurrency: int, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync ends well, with every record of the account exactly once."""
    clock = Clock()
    if not case.real_time:
        clock.install(monkeypatch)
    with small_sandbox(*case.faults, api=api, **case.switches) as sandbox:
        moments = moments_of_requests(sandbox, clock)
        run = watched_sync(sandbox, tmp_path, max_concurrency=max_concurrency, **case.settings).succeeded()
        assert_met(sandbox)
    abandoned = sum(fault.seen for fault in sandbox.faults if fault.send)  # the sandbox is still busy with them
    assert sandbox.max_in_flight <= max_concurrency + abandoned
    assert_every_record_once(run, sandbox.account)
    assert_says(run, case.says)
    if case.pause:
        # The end of a list may be requested twice as well, without a pause.
        gap = max(again[1] - again[0] for again in moments.values() if len(again) > 1)
        assert case.pause <= gap < case.within


@pytest.mark.parametrize("api", BOTH)
@pytest.mark.usefixtures("clock")
def test_survives_one_fault_after_the_other_page_by_page(api: ApiName, tmp_path: Path) -> None:
    """Each is told. With pages fetched ahead, what failed ahead of a rate limit is asked for anew without a line."""
    happening = [faults.status(code, resource="events", nth=nth) for nth, code in ((2, 503), (3, 500), (4, 429))]
    with small_sandbox(*happening, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **BRIEF).succeeded()
        assert_met(sandbox)
    assert_every_record_once(run, sandbox.account)
    for says in (f"HTTP 503.*{SOON}", f"HTTP 500.*{SOON}", WAITING):
        assert_says(run, says)


def test_each_pause_is_twice_the_one_before(clock: Clock, tmp_path: Path) -> None:
    """Plus up to `backoff_factor`, so that taps which failed together do not come back together."""
    factor = 1.0
    with small_sandbox(faults.status(503, resource="metrics", times=5)) as sandbox:
        moments = moments_of_requests(sandbox, clock)
        run = watched_sync(sandbox, tmp_path, backoff_factor=factor, max_concurrency=1, retry_timeout=120).succeeded()
    assert_every_record_once(run, sandbox.account)
    told = [float(wait) for wait in re.findall(r"retrying in ([\d.]+) s", run.stderr)]
    (times,) = [times for (path, *_), times in moments.items() if path == "/core/metrics" and len(times) > 1]
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
        tap.until(lambda: tap.log.count("retrying in") >= 3)
        with small_sandbox(port=port) as sandbox:
            run = tap.ends().succeeded()
    assert_every_record_once(run, sandbox.account)
    assert_says(run, rf"connection refused by 127\.0\.0\.1:\d+; {SOON}")
