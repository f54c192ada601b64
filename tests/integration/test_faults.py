"""Whatever goes wrong: what passes costs no record, and what stays fails its stream with one line.

Which status, body or exception becomes which error is in tests/unit. Rate limits, and what an outage costs, are in
test_outages.py.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.assertions import (
    assert_every_record_once,
    assert_met,
    assert_only_the_events_failed,
    assert_says,
)
from tests.support.cases import EVENTS, HASTY, small_sandbox, watched_sync
from tests.support.results import SUBJECTS, each, is_page, is_poll, is_start, read_results, result_sandbox
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import ApiName, Fault, Request
    from tests.support.clock import Clock
    from tests.support.results import Subject

pytestmark = pytest.mark.usefixtures("clock")

CORE_REPORTS, QUERY_REPORTS, CORE_METRICS = SUBJECTS

each_way = pytest.mark.parametrize(("api", "most"), [("core", 1), ("core", 8), ("query", 1)])
"""For lists of each API, with pages one after the other and ahead, which lists of the Query API have not."""

ONCE: faults.When = {"resource": "events", "nth": 2}
LATER: faults.When = {"resource": "events", "skip": 2}

BROKEN = r"no complete response from 127\.0\.0\.1:\d+: "
NO_JSON = "the response is not JSON "

FAULTS = {
    "503": (faults.status(503), "HTTP 503: Service Unavailable for .*: API message: This is the answer 503"),
    "meta.status 500 in 200": (
        faults.meta_status(500),
        "HTTP 500: Internal Server Error for .*: API message: Something went wrong",
    ),
    "another 2xx": (faults.status(204), "HTTP 204 is not a valid status for a list"),
    "an error beside an empty list": (
        faults.rewrite(lambda _: {"data": [], "error": {"message": "overloaded"}}),
        "API message: overloaded",
    ),
    "no list": (faults.data(None), "the response contains no list of records"),
    "an id that is no text": (faults.body(b'[{"id": "\\ufffd"}]'), r"the id of the record at offset \d+ is not text"),
    "truncated JSON": (faults.truncated_json(), rf"{NO_JSON}\(\d+ bytes, application/json"),
    "HTML": (faults.html_page(), rf"{NO_JSON}\(\d+ bytes, text/html"),
    "no body": (faults.empty_body(), rf"{NO_JSON}\(0 bytes"),
    "broken gzip": (faults.bad_gzip(), BROKEN),
    "a short body": (faults.short_body(), BROKEN),
    "a malformed header": (faults.header("Content-Length", "5, 6"), BROKEN),
    "closed in the headers": (faults.close("in_headers"), "."),
    "reset in the body": (faults.reset("in_body"), BROKEN),
}


@each_way
@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_costs_nothing_if_it_passes_and_its_stream_if_it_stays(
    fault: Fault, says: str, api: ApiName, most: int, tmp_path: Path
) -> None:
    passing = dataclasses.replace(fault, resource="properties", nth=2)
    staying = dataclasses.replace(fault, resource="events", skip=2)
    with small_sandbox(passing, staying, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=most, **HASTY)
        assert_met(sandbox)
    assert_only_the_events_failed(run, sandbox, f"^events: {says}")
    assert_says(run, rf"WARNING .*properties: {says}.*; retrying in \d")


@pytest.mark.parametrize(
    "fault",
    [faults.hang(**ONCE), faults.hang("in_body", **ONCE), faults.drip(0.02, part="all", **ONCE)],
    ids=["hangs", "hangs in the body", "drips"],
)
def test_a_response_that_takes_too_long_is_requested_again(fault: Fault, tmp_path: Path) -> None:
    """By `request_timeout` for each read, and a limit for the whole."""
    with small_sandbox(fault) as sandbox:
        run = watched_sync(sandbox, tmp_path, request_timeout=0.4, retry_timeout=1).succeeded()
        assert_met(sandbox)
    assert_every_record_once(run, sandbox.account)
    assert_says(run, rf"{BROKEN}(the response took|.*timed out).*; retrying in \d")


@pytest.mark.parametrize(
    "fault",
    [faults.hang(**LATER), faults.drip(0.02, **LATER), faults.endless(**LATER)],
    ids=["hangs", "drips", "never ends"],
)
def test_responses_that_all_take_too_long_fail_their_stream(fault: Fault, tmp_path: Path) -> None:
    with small_sandbox(fault) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY | {"request_timeout": 0.7, "retry_timeout": 0})
    assert_only_the_events_failed(run, sandbox, f"{BROKEN}(the response|the body|.*timed out)")


@pytest.mark.parametrize("api", ["core", "query"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(400, **EVENTS), r"HTTP 400: Bad Request for \S+/events: API message: This is the answer 400"),
        (faults.status(403, **EVENTS), r"HTTP 403: (api_token|username) cannot read \S+/events; deselect the stream"),
        (faults.status(404, **EVENTS), r"HTTP 404: nothing at \S+/events; check api_url and product_ids"),
        (faults.meta_status(403, **EVENTS), r"HTTP 403: (api_token|username) cannot read \S+/events"),
        (faults.body(b'[{"name": "x"}]', **EVENTS), "the record at offset 0 has no id, which is its primary key"),
    ],
    ids=["400", "403", "404", "meta.status 403", "record without an id"],
)
def test_what_another_attempt_cannot_help_is_requested_once(
    fault: Fault, says: str, api: ApiName, tmp_path: Path
) -> None:
    with small_sandbox(fault, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
        assert sum(request.resource == "events" for request in sandbox.requests) == 1
    assert_only_the_events_failed(run, sandbox, says)


@pytest.mark.parametrize("location", ["http://me:hidden@{elsewhere}/core/events", "http://{here}/core/properties"])
def test_a_redirect_is_not_followed(location: str, tmp_path: Path) -> None:
    """The token would go along. The line names the host and the setting to change."""
    with small_sandbox() as sandbox, small_sandbox() as other:
        here, elsewhere = (server.url.split("/")[2] for server in (sandbox, other))
        sandbox.faults.append(faults.redirect(location.format(here=here, elsewhere=elsewhere), **EVENTS))
        run = watched_sync(sandbox, tmp_path, **HASTY)
        assert other.requests == []
    host = here if "{here}" in location else elsewhere
    assert_only_the_events_failed(run, sandbox, f"HTTP 302: .* redirects /core/events to {host}, and .*set api_url to")
    assert "hidden@" not in run.stderr


@pytest.mark.parametrize(
    ("fault", "skip"), [(faults.status(401), 0), (faults.meta_status(401), 0), (faults.echo_token(401), 3)]
)
def test_a_401_ends_the_run(fault: Fault, skip: int, tmp_path: Path) -> None:
    """The first of all, and one after others were answered: nothing more is requested."""
    with small_sandbox(dataclasses.replace(fault, skip=skip)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
        assert len(sandbox.requests) == skip + 1
    assert run.code == 1
    assert run.errors[-1].startswith("HTTP 401: api_token is wrong or expired; make a new one")
    assert len(run.errors) == 1


# Lists that are served in another way than they were asked for


@pytest.mark.parametrize(("api", "most"), [("core", 8), ("query", 1)])
@pytest.mark.parametrize(
    "habit",
    [
        faults.ignore_limit(),
        faults.overlap(3),
        faults.empty_page(nth=3),
        faults.drip(0.02, size=500),
    ],
    ids=["all rows at once", "pages that overlap", "an empty page", "slow, but not too slow"],
)
def test_a_server_with_a_habit_costs_no_record(habit: Fault, api: ApiName, most: int, tmp_path: Path) -> None:
    with small_sandbox(dataclasses.replace(habit, resource="events"), api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=most).succeeded()
        assert_met(sandbox)
    assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize(
    ("habit", "api", "says"),
    [
        (faults.ignore_offset(), "core", "the server ignores offset"),
        (faults.ignore_offset(), "query", "the server ignores offset"),
        (faults.overlap(3, admit=True), "core", "the response is for offset 6, not for 9"),
        (faults.empty_page(skip=2), "core", r"no new records at offset \d+ of a list of 60"),
        (faults.ignore_limit(1), "core", "no new records at offset 0 of a list of 60"),
        (faults.total(lambda true: true + 10), "core", "no new records at offset 59 of a list of 70"),
    ],
)
def test_a_list_that_cannot_be_complete_is_refused(habit: Fault, api: ApiName, says: str, tmp_path: Path) -> None:
    with small_sandbox(dataclasses.replace(habit, resource="events"), api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
        assert_met(sandbox)
    assert_only_the_events_failed(run, sandbox, says)


# The start, the polls and the pages of a query


@each
def test_a_fault_that_passes_costs_no_row_of_a_result(subject: Subject, tmp_path: Path) -> None:
    """Each in each place: the rows are there in their order."""
    happening = [
        dataclasses.replace(fault, where=where, nth=number)
        for where in (is_start, is_poll, is_page)
        for number, fault in enumerate(
            (faults.status(503), faults.status(429), faults.reset(), faults.truncated_json()), 1
        )
    ]
    with subject.sandbox(6, polls_until_complete=1, faults=happening) as sandbox:
        run = subject.read(sandbox, tmp_path, backoff_factor=0.005).succeeded()
        assert_met(sandbox)
    # Of a query whose id was lost on the way nobody asks again.
    read = [query for query in sandbox.queries if query.result is not None]
    assert subject.results(run) == [
        row
        for record, query in zip(subject.records(sandbox), read, strict=True)
        for row in subject.rows_of(sandbox, record, query)
    ]


@pytest.mark.parametrize("habit", [faults.ignore_limit(20), faults.ignore_offset(nth=2)], ids=["more", "other"])
@each
def test_rows_that_were_not_asked_for_cost_no_row_of_a_result(subject: Subject, habit: Fault, tmp_path: Path) -> None:
    with subject.sandbox(1, faults=[dataclasses.replace(habit, where=is_page)]) as sandbox:
        run = subject.read(sandbox, tmp_path, page_size=10).succeeded()
        assert_met(sandbox)
    assert subject.results(run) == subject.rows(sandbox)


OTHER_ROW = "the row at offset 9 is not the one that was read before"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(400, where=is_start), "HTTP 400: .*This is the answer 400"),
        (faults.status(503, where=is_start), "HTTP 503: "),
        (faults.body(b"{}", where=is_start), "the response (names no query-status|does not name the query)"),
        (faults.status(403, where=is_poll), "HTTP 403: "),
        (faults.status(500, where=is_poll), "HTTP 500: "),
        (faults.null_body(where=is_poll), "does not report whether the query is completed"),
        (faults.body(b'{"eta": 5}', where=is_poll), "does not report whether the query is completed"),
        (faults.status(503, where=is_page, skip=1), "HTTP 503: "),
        (faults.ignore_offset(where=is_page), OTHER_ROW),
        (faults.empty_page(where=is_page, skip=1), OTHER_ROW),
        (faults.rewrite(lambda _: {"error": "expired"}, where=is_page, skip=1), "API message: expired"),
    ],
)
@each
def test_a_fault_that_stays_fails_the_results_with_a_line_that_names_the_query(
    subject: Subject, fault: Fault, says: str, tmp_path: Path
) -> None:
    """What was emitted before is right."""
    with subject.sandbox(1, polls_until_complete=1, faults=[dataclasses.replace(fault)]) as sandbox:
        settings: dict[str, Any] = {"page_size": 10, "retry_timeout": 0.2, "emit_activate_version_messages": True}
        run = sync(sandbox, tmp_path, **settings, **subject.settings)
    name = subject.name(subject.records(sandbox)[0])
    query = f"query {sandbox.queries[0].id}: " if sandbox.queries else ""
    assert bool(query) is (fault.where is not is_start)
    assert run.code == 1
    assert run.failed == [subject.stream]
    assert run.errors[0].startswith(f"{subject.stream}: {name}: {query}")
    assert re.search(says, run.errors[0]), run.errors[0]
    assert_every_record_once(run, sandbox.account)
    emitted = [record["data"] for record in subject.results(run)]
    assert bool(emitted) is (fault.where is is_page)
    assert emitted == [row for query in sandbox.queries for row in query.result or ()][: len(emitted)]


@each
@pytest.mark.parametrize("outcome", ["fail", "fail_completed", "cancelled"])
def test_queries_that_fail_are_named_with_what_the_api_says(subject: Subject, outcome: Any, tmp_path: Path) -> None:
    says = "the query failed: API message: The query could not be completed"
    if outcome == "cancelled":
        says = "(the server has ended the query.*)?HTTP 404: .*There is no such query"
    with subject.sandbox(2, query_outcome=outcome) as sandbox:
        run = subject.read(sandbox, tmp_path)
    assert run.failed == [subject.stream]
    for record, query in zip(subject.records(sandbox), sandbox.queries, strict=True):
        assert_says(run, re.escape(f"{subject.name(record)}: query {query.id}: ") + says)
    assert subject.results(run) == []
    assert "DELETE" not in {request.method for request in sandbox.requests}


@each
def test_a_query_that_never_completes_ends_after_query_timeout(subject: Subject, clock: Clock, tmp_path: Path) -> None:
    """It is cancelled where the API can do that, and the line says how far it came."""
    with subject.sandbox(1, query_outcome="never") as sandbox:
        run = subject.read(sandbox, tmp_path, query_timeout=1)
    query = sandbox.queries[0]
    assert clock.slept == pytest.approx(1, abs=0.2)
    assert run.failed == [subject.stream]
    says = f"query {query.id}: not completed after 1 s, 25% done; raise query_timeout or ask for less"
    assert run.errors[0].endswith(says)
    assert query.cancelled is (subject.api == "query")
    assert_says(run, f"query {query.id} (was cancelled|is still running: the Core API cannot cancel it)")


@pytest.mark.parametrize("place", [is_start, is_poll, is_page])
@pytest.mark.parametrize("subject", [CORE_REPORTS, QUERY_REPORTS], ids=str)
def test_a_401_to_a_query_ends_the_run(subject: Subject, place: Callable[[Request], bool], tmp_path: Path) -> None:
    """No other is started, and the one that runs is cancelled, or named."""
    with subject.sandbox(2, polls_until_complete=1, faults=[faults.status(401, where=place)]) as sandbox:
        run = subject.read(sandbox, tmp_path)
    assert run.code == 1
    assert [line[:10] for line in run.errors] == ["HTTP 401: "]
    assert len(sandbox.queries) == (place is not is_start)
    if place is is_poll:
        assert_says(run, "(was cancelled|is still running: the Core API cannot cancel it)")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(401, method="DELETE"), r"HTTP 401"),
        (faults.reset(method="DELETE"), ".*([Rr]eset|closed)"),
    ],
)
def test_a_query_that_cannot_be_cancelled_is_named_with_the_cause(fault: Fault, says: str, tmp_path: Path) -> None:
    """The cause is that of the cancellation, not that of the failure before it."""
    refused = faults.status(403, where=is_poll)
    with result_sandbox("query", reports=1, polls_until_complete=1, faults=[refused, fault]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert "HTTP 403: " in run.errors[0]
    running = f"query {sandbox.queries[0].id} is still running: it could not be cancelled"
    assert_says(run, rf"{running} \({says}")
