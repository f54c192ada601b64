"""What the API answers about a query: what says enough is read, and what points elsewhere is refused with one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox import Fault, faults
from tests.sandbox.messages import to_json
from tests.support.results import (
    SUBJECTS,
    all_report_rows,
    each,
    is_page,
    is_poll,
    is_start,
    read_results,
    result_sandbox,
    results,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import ApiName, Request, Response
    from tests.support.clock import Clock
    from tests.support.results import Subject

pytestmark = pytest.mark.usefixtures("clock")


def without_body(_: Request, response: Response) -> Response:
    """Let a response be its headers alone."""
    response.body = b""
    return response


def in_capitals(request: Request, response: Response) -> Response:
    """Let a response name the query that was asked for in capital letters."""
    response.body = to_json({**response.json(), "id": request.parts[1].upper()})
    return response


def completed(word: object) -> Callable[[dict[str, Any]], None]:
    """Let a query be completed in another word."""

    def change(body: dict[str, Any]) -> None:
        place = body if "completed" in body else body.get("data") or {}
        if isinstance(place, dict) and place.get("completed") is True:
            place["completed"] = word

    return change


RUNNING = {"status": "running", "state": "queued", "message": "failed to start at once", "ok": False}


@pytest.mark.parametrize(
    ("api", "fault"),
    [
        ("core", Fault("no body", answer=without_body, where=is_start)),
        ("core", faults.rewrite(lambda body: {**body, "links": [5]}, where=is_start)),
        ("core", faults.rewrite(lambda body: {**body, **RUNNING}, where=is_poll)),
        ("core", faults.rewrite(completed("True"), where=is_poll)),
        ("query", faults.rewrite(lambda body: {**body, **RUNNING, "progress": "half"}, where=is_poll)),
        ("query", faults.rewrite(lambda body: {**body, "progress": 10**400}, where=is_poll)),
        ("query", faults.rewrite(completed(1), resource="queries")),
        ("query", faults.rewrite(lambda body: {**body, "id": None}, where=is_page)),
        ("query", Fault("its id", answer=in_capitals, where=is_page)),
    ],
    ids=["no body", "no links", "core words", "core completed", "words", "progress", "completed", "no id", "its id"],
)
def test_what_says_enough_is_read(api: ApiName, fault: Fault, tmp_path: Path) -> None:
    """The report is not run again, and ends in no word that only people read."""
    fault.seen = 0
    with result_sandbox(api, reports=1, polls_until_complete=1, faults=[fault]) as sandbox:
        run = read_results(sandbox, tmp_path, query_timeout=30).succeeded()
    assert len(sandbox.queries) == 1
    assert results(run) == all_report_rows(sandbox)


@pytest.mark.parametrize(
    ("api", "body", "says"),
    [
        ("query", {"completed": True, "error": {"code": 5}, "data": []}, "the API reports error: {'code': 5}"),
        ("query", {"completed": False, "meta": {"state": "failed"}}, "the API reports state: failed"),
        ("core", {"completed": False, "data": {"status": "cancelled"}}, "the API reports status: cancelled"),
        ("core", {"completed": False, "failed": 3}, "the API reports failed: 3"),
    ],
)
def test_a_query_that_failed_is_neither_polled_again_nor_cancelled(
    api: ApiName, body: dict[str, Any], says: str, tmp_path: Path
) -> None:
    failed = faults.rewrite(lambda _: body, where=is_poll)
    with result_sandbox(api, reports=1, polls_until_complete=1, faults=[failed]) as sandbox:
        run = read_results(sandbox, tmp_path)
        assert sum(map(is_poll, sandbox.requests)) == 1
    assert run.failed == ["report_results"]
    assert run.errors[0].endswith(f"the query failed: {says}")
    assert not sandbox.queries[0].cancelled
    assert "cannot cancel" not in run.stderr


def test_the_page_of_another_query_is_refused(tmp_path: Path) -> None:
    other = faults.rewrite(lambda body: {**body, "id": "another-query"}, where=is_page)
    with result_sandbox("query", reports=1, faults=[other]) as sandbox:
        run = read_results(sandbox, tmp_path, retry_timeout=0.2)
    assert run.failed == ["report_results"]
    assert "the response is for query another-query" in run.errors[0]
    assert results(run) == []


@each
def test_a_server_that_gives_one_row_a_page_is_refused_where_a_total_shows_it(subject: Subject, tmp_path: Path) -> None:
    """Without a total, one row is the whole result: a limit that docs/design.md names."""
    with subject.sandbox(1, cap=1, polls_until_complete=0) as sandbox:
        run = subject.read(sandbox, tmp_path, retry_timeout=0)
    if subject.api == "query":
        assert (run.code, len(subject.results(run))) == (0, 1)
        return
    assert run.code == 1
    assert re.search(r"no new rows at offset 0 of a result of \d+$", run.errors[0])
    assert run.failed == [subject.stream]


def test_a_query_is_polled_less_and_less_often(clock: Clock, tmp_path: Path) -> None:
    """Up to every 15 seconds; once it is completed, page follows page."""
    with result_sandbox("query", reports=1, polls_until_complete=7, cap=7) as sandbox:
        read_results(sandbox, tmp_path).succeeded()
    assert clock.slept == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 15 + 15 + 15, abs=0.1)


def test_a_report_of_no_product_is_not_run(tmp_path: Path) -> None:
    """The Core API runs a report by its product."""

    def drop(body: dict[str, Any]) -> None:
        for report in body["data"]:
            del report["product_id"]

    with result_sandbox("core", reports=1, faults=[faults.rewrite(drop, resource="reports")]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert run.errors[0].endswith("cannot be run: the API does not name its product")
    assert not sandbox.queries


@pytest.mark.parametrize("location", [None, "http://127.0.0.1:1/v3/queries/1", "{}/%2e%2E/core/accounts", "http://["])
@pytest.mark.parametrize("subject", [SUBJECTS[0], SUBJECTS[2]], ids=lambda subject: subject.listed)
def test_a_run_that_points_to_nothing_below_the_root_is_not_followed(
    subject: Subject, location: str | None, tmp_path: Path
) -> None:
    """The line names the setting."""
    with subject.sandbox(1) as sandbox:
        is_report = subject.listed == "reports"
        root, setting = (sandbox.query_url, "query_url") if is_report else (sandbox.metric_url, "api_url")
        place = location and location.format(urlsplit(root).path)
        sandbox.faults.append(faults.rewrite(lambda _: {"meta": {"status": 202}}, where=is_start))
        sandbox.faults.append(faults.header("Location", place, where=is_start))
        run = subject.read(sandbox, tmp_path)
    assert run.errors[0].endswith(f"the response names no query-status below {root}; check {setting}")
    assert [request.method for request in sandbox.requests if request.resource == "queries"] == ["POST"]


def test_a_404_to_a_report_names_the_setting_of_its_address(tmp_path: Path) -> None:
    """Reports are run elsewhere than they are listed."""
    with result_sandbox("core", reports=1, faults=[faults.status(404, where=is_start)]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert "check query_url and product_ids" in run.errors[0]
