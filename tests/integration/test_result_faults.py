"""Faults while a report is run: what passes costs no row, what does not is one line that names report and query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox import Sandbox, faults, make_query_account
from tests.support.assertions import assert_every_record_once, assert_met, assert_says
from tests.support.results import SUBJECTS, each, is_page, is_poll, is_start, read_results
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Fault, Request
    from tests.support.clock import Clock
    from tests.support.results import Subject

pytestmark = pytest.mark.usefixtures("clock")

BRIEF: dict[str, Any] = {"backoff_factor": 0.005}

PLACES: dict[str, Callable[[Request], bool]] = {"start": is_start, "poll": is_poll, "page": is_page}

KINDS: dict[str, Callable[..., Fault]] = {
    "503": lambda **when: faults.status(503, **when),
    "429": lambda **when: faults.status(429, **when),
    "reset": faults.reset,
    "truncated": faults.truncated_json,
}


@each
def test_survives_what_passes(subject: Subject, tmp_path: Path) -> None:
    """Each fault once in each place, all in one run: every row of every report is there, in its order."""
    happening = [
        make(where=where, nth=number)
        for where in PLACES.values()
        for number, make in enumerate(KINDS.values(), 1)
    ]  # fmt: skip
    with subject.sandbox(6, polls_until_complete=1, faults=happening) as sandbox:
        run = subject.read(sandbox, tmp_path, **BRIEF).succeeded()
        assert_met(sandbox)
    # Of a query whose id was lost on the way nobody asks again.
    wanted = [query for query in sandbox.queries if query.result is not None]
    assert len(wanted) == 6
    assert subject.results(run) == [
        row
        for report, query in zip(subject.records(sandbox), wanted, strict=True)
        for row in subject.rows_of(sandbox, report, query)
    ]
    assert_says(run, "retrying in")
    assert_says(run, "waiting .* because of the API's rate limit")


@pytest.mark.parametrize(
    ("fault", "switches"),
    [
        pytest.param(lambda **when: faults.empty_page(nth=2, **when), {}, id="empty page in the middle"),
        pytest.param(lambda **when: faults.data(None, nth=2, **when), {}, id="no rows in the middle"),
        pytest.param(lambda **when: faults.ignore_limit(20, **when), {}, id="server that gives more"),
        pytest.param(faults.ignore_limit, {}, id="server that gives all"),
        pytest.param(lambda **when: faults.ignore_limit(7, **when), {}, id="server that gives fewer"),
        pytest.param(lambda **when: faults.ignore_offset(nth=2, **when), {}, id="first page again, once"),
        pytest.param(lambda **when: faults.overlap(3, nth=2, **when), {}, id="page that overlaps, once"),
        pytest.param(None, {"cap": 2}, id="capped at 2"),
    ],
)
@each
def test_survives_pages(subject: Subject, fault: Callable[..., Fault] | None, switches: dict[str, Any]) -> None:
    """Servers with habits, and answers that are wrong once."""
    happening = [fault(where=is_page)] if fault else []
    with subject.sandbox(1, faults=happening, **switches) as sandbox:
        run = sync_here(sandbox, catalog=subject.only(sandbox), page_size=10, **subject.settings)
        assert_met(sandbox)
    assert subject.results(run) == subject.rows(sandbox)


@pytest.mark.parametrize(
    ("period", "page_size", "cap"), [(1, 5, None), (2, 2, None), (4, 3, None), (2, 100, 2), (4, 100, 3)]
)
def test_survives_rows_that_come_again(period: int, page_size: int, cap: int | None) -> None:
    """A result may repeat itself: its pages are the same then, and yet each is the next one."""
    periodic = [[number % period] for number in range(250)]
    subject = SUBJECTS[0]
    with subject.sandbox(1, rows=lambda _: periodic, cap=cap) as sandbox:
        run = sync_here(sandbox, catalog=subject.only(sandbox), page_size=page_size, **subject.settings)
    assert subject.results(run) == subject.rows(sandbox)


OTHER_ROW = "the row at offset 9 is not the one that was read before"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param(faults.ignore_offset(where=is_page), OTHER_ROW, id="server that ignores offset"),
        pytest.param(faults.overlap(3, where=is_page), OTHER_ROW, id="pages that overlap"),
        pytest.param(faults.empty_page(where=is_page, skip=1), OTHER_ROW, id="no rows from the second page on"),
        pytest.param(faults.status(403, where=is_page, skip=1), "HTTP 403: ", id="403 to the second page"),
        pytest.param(faults.status(503, where=is_page, skip=1), "HTTP 503: ", id="503 to the second page for good"),
        pytest.param(faults.status(400, where=is_start), "HTTP 400: .*This is the answer 400", id="400 to the start"),
        pytest.param(faults.status(503, where=is_start), "HTTP 503: ", id="503 to the start for good"),
        pytest.param(faults.status(403, where=is_poll), "HTTP 403: ", id="403 to a poll"),
        pytest.param(faults.status(500, where=is_poll), "HTTP 500: ", id="500 to a poll for good"),
        pytest.param(faults.null_body(where=is_poll), "does not report whether the query is completed", id="null"),
        pytest.param(faults.body(b"{}", where=is_start), "response (names no|does not name)", id="no id"),
        pytest.param(faults.body(b"{}", where=is_poll), "does not report whether the query is completed", id="nothing"),
    ],
)  # fmt: skip
@each
def test_refuses(subject: Subject, fault: Fault, says: str, tmp_path: Path) -> None:
    """One line that names the report; the stream is failed, and nothing that is wrong was emitted."""
    fault.seen = 0
    with subject.sandbox(1, polls_until_complete=1, faults=[fault]) as sandbox:
        run = sync(
            sandbox, tmp_path, page_size=10, retry_timeout=0.2, emit_activate_version_messages=True, **subject.settings
        )
    record = subject.records(sandbox)[0]
    assert run.code == 1
    line, _ = run.errors
    assert line.startswith(f"{subject.stream}: {subject.name(record)}: ")
    assert re.search(says, line), line
    assert run.failed == [subject.stream]
    emitted = subject.results(run)
    rows = [row for query in sandbox.queries for row in query.result or ()]
    assert [record["data"] for record in emitted] == rows[: len(emitted)]
    assert_every_record_once(run, sandbox.account)
    assert bool(emitted) is (fault.where is is_page)
    assert bool(sandbox.queries) is (fault.where is not is_start)
    assert all(f": query {query.id}: " in line for query in sandbox.queries)


@each
def test_refuses_a_server_that_gives_one_row_a_page(subject: Subject, tmp_path: Path) -> None:
    """Pages of one row cannot overlap. Without a total such a page is the whole result."""
    with subject.sandbox(1, cap=1, polls_until_complete=0) as sandbox:
        run = subject.read(sandbox, tmp_path, retry_timeout=0)
    if subject.api == "query":
        assert (run.code, len(subject.results(run))) == (0, 1)
        return
    assert run.code == 1
    assert re.search(r"no new rows at offset 0 of a result of \d+$", run.errors[0])
    assert run.failed == [subject.stream]


@pytest.mark.parametrize(
    "rows",
    [[["a", 1], ["b", 2], ["a", 1]], [["a", 1], ["a", 1]]],
    ids=["rows that end as they begin", "rows that are all the same"],
)
@each
def test_refuses_a_server_that_gives_the_same_rows_for_ever(subject: Subject, rows: list[Any], tmp_path: Path) -> None:
    """The seam alone does not show it: each page starts as the one before it ended. It ends, and not as complete."""
    same = faults.rewrite(lambda body: {**body, "data": rows, "pagination": None, "total": None}, where=is_page)
    with subject.sandbox(1, polls_until_complete=0, faults=[same]) as sandbox:
        run = subject.read(sandbox, tmp_path, retry_timeout=0)
    assert run.code == 1
    assert len(sandbox.requests) < 130
    assert "the server ignores offset, or the first" in run.errors[0]
    assert run.failed == [subject.stream]


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("fail", "the query failed: API message: The query could not be completed"),
        ("fail_completed", "the query failed: API message: The query could not be completed"),
        ("cancelled", "(the server has ended the query.*)?HTTP 404: .*There is no such query"),
    ],
)
@each
def test_queries_that_fail(subject: Subject, outcome: Any, says: str, tmp_path: Path) -> None:
    """One line for the stream, which names each report and each query, and what the API says."""
    with subject.sandbox(2, query_outcome=outcome) as sandbox:
        run = subject.read(sandbox, tmp_path)
    assert run.code == 1
    for report, query in zip(subject.records(sandbox), sandbox.queries, strict=True):
        start = re.escape(f"{subject.name(report)}: query {query.id}: ")
        assert re.search(start + says, run.stderr), run.stderr
    assert run.failed == [subject.stream]
    assert subject.results(run) == []


@each
def test_one_that_fails_does_not_stop_the_others(subject: Subject, tmp_path: Path) -> None:
    """Of three reports the second fails: the others are complete."""
    with subject.sandbox(3, polls_until_complete=1) as sandbox:

        def is_second(request: Request) -> bool:
            return is_poll(request) and len(sandbox.queries) == 2

        sandbox.faults.append(faults.rewrite(lambda _: {"completed": False, "error": {"message": "too many people"}},
                                             where=is_second))  # fmt: skip
        run = subject.read(sandbox, tmp_path)
    says = "the query failed: API message: too many people"
    first, second, third = subject.records(sandbox)
    assert run.code == 1
    assert run.errors[:-1] == [f"{subject.stream}: {subject.name(second)}: query {sandbox.queries[1].id}: {says}"]
    assert run.failed == [subject.stream]
    wanted = [(first, sandbox.queries[0]), (third, sandbox.queries[2])]
    assert subject.results(run) == [row for report, query in wanted for row in subject.rows_of(sandbox, report, query)]


@each
def test_a_query_that_never_completes(subject: Subject, tmp_path: Path) -> None:
    """After `query_timeout` it is cancelled where the API can do that, and the line says how far it came."""
    with subject.sandbox(1, query_outcome="never") as sandbox:
        run = subject.read(sandbox, tmp_path, query_timeout=1)
    report, query = subject.records(sandbox)[0], sandbox.queries[0]
    assert run.code == 1
    assert run.errors[0] == (
        f"{subject.stream}: {subject.name(report)}: query {query.id}: "
        "not completed after 1 s, 25% done; raise query_timeout or ask for less"
    )
    assert query.cancelled is (subject.api == "query")
    assert query.polls < 6
    assert_says(run, f"query {query.id} (was cancelled|is still running: the Core API cannot cancel it)")


@pytest.mark.parametrize("place", PLACES)
@each
def test_credentials_that_are_rejected(subject: Subject, place: str, tmp_path: Path) -> None:
    """The run ends there: no other query is started, and the one that runs is cancelled, or named."""
    with subject.sandbox(2, polls_until_complete=1, faults=[faults.status(401, where=PLACES[place])]) as sandbox:
        run = subject.read(sandbox, tmp_path, **BRIEF)
    assert run.code == 1
    assert run.errors[-1].startswith("HTTP 401: ")
    assert len(sandbox.queries) == (place != "start")
    if place == "poll":
        assert_says(run, "(was cancelled|is still running: the Core API cannot cancel it)")


def test_credentials_that_are_rejected_while_reports_are_looked_up(tmp_path: Path) -> None:
    """Nothing is asked for the second product."""
    account = make_query_account(products=2, reports=1)
    with Sandbox(account, api="query", faults=[faults.status(401, resource="reports")]) as sandbox:
        run = read_results(sandbox, tmp_path, **BRIEF)
    assert run.code == 1
    assert [line[:10] for line in run.errors] == ["HTTP 401: "]
    assert len({request.path for request in sandbox.requests if request.resource == "reports"}) == 1


@each
def test_when_a_query_is_asked_for(subject: Subject, clock: Clock, tmp_path: Path) -> None:
    """The waits between polls grow up to 15 seconds; once it is completed, page follows page."""
    with subject.sandbox(1, polls_until_complete=7, cap=7) as sandbox:
        subject.read(sandbox, tmp_path).succeeded()
    assert sandbox.queries[0].polls == 8
    assert clock.slept == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 15 + 15 + 15, abs=0.1)


CORE_SUBJECTS = [subject for subject in SUBJECTS if subject.api == "core"]


@pytest.mark.parametrize("way", ["both lost", "elsewhere", "upwards", "upwards, encoded", "no address"])
@pytest.mark.parametrize("subject", CORE_SUBJECTS, ids=lambda subject: subject.listed)
def test_a_run_that_points_nowhere(subject: Subject, way: str, tmp_path: Path) -> None:
    """No address below the root: nothing is asked there, and the line names the setting."""
    with subject.sandbox(1) as sandbox:
        root, setting = (
            (sandbox.query_url, "query_url") if subject.listed == "reports" else (sandbox.metric_url, "api_url")
        )
        path = urlsplit(root).path
        location = {
            "both lost": None,
            "elsewhere": "http://127.0.0.1:1/v3/queries/1",
            "upwards": f"{path}/../core/accounts",
            "upwards, encoded": f"{path}/%2e%2E/core/accounts",
            "no address": "http://[",
        }[way]
        sandbox.faults += [
            faults.rewrite(lambda _: {"meta": {"status": 202}}, where=is_start),
            faults.header("Location", location, where=is_start),
        ]
        run = sync(sandbox, tmp_path, **subject.settings)
    assert run.code == 1
    assert run.errors[0].endswith(f"the response names no query-status below {root}; check {setting}")
    assert [request.method for request in sandbox.requests if request.resource == "queries"] == ["POST"]
