"""Queries whose answers are odd: what says enough is taken, and what does not is refused in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Fault, faults
from tests.sandbox.messages import to_json
from tests.support.assertions import assert_says
from tests.support.results import (
    ALL,
    all_report_rows,
    both,
    is_page,
    is_poll,
    is_start,
    read_results,
    result_sandbox,
    results,
)
from tests.support.tap import sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Request, Response


pytestmark = pytest.mark.usefixtures("clock")


@pytest.mark.parametrize("error", [True, 500, {"code": 5}, [["out of memory"]]], ids=str)
@both
def test_an_error_without_words(api: ApiName, error: object, tmp_path: Path) -> None:
    """It is shown as it is, and the query is not taken for one without rows."""
    failed = faults.rewrite(lambda _: {"completed": True, "error": error, "data": []}, where=is_poll)
    with result_sandbox(api, reports=1, polls_until_complete=1, faults=[failed]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert run.code == 1
    assert re.search("the query failed: (the API reports error|API message): ", run.errors[0])
    assert run.failed == ["report_results"]
    assert not sandbox.queries[0].cancelled


def test_an_error_beside_the_rows(tmp_path: Path) -> None:
    """Of a query that completed: what was to be read is gone."""
    expired = faults.rewrite(lambda _: {"error": "the result has expired", "data": []}, where=is_page)
    with result_sandbox("core", reports=1, faults=[expired]) as sandbox:
        run = read_results(sandbox, tmp_path, retry_timeout=0)
    assert run.errors[0].endswith("API message: the result has expired")
    assert run.failed == ["report_results"]
    assert "goes on" not in run.stderr


@pytest.mark.parametrize("links", [5, True, "links", [5], {}], ids=str)
def test_links_that_are_none(links: object, tmp_path: Path) -> None:
    """The `Location` is enough."""
    with result_sandbox("core", reports=1) as sandbox:
        sandbox.faults.append(faults.rewrite(lambda body: {**body, "links": links}, where=is_start))
        run = read_results(sandbox, tmp_path).succeeded()
    assert results(run) == all_report_rows(sandbox)


def test_a_start_that_only_points(tmp_path: Path) -> None:
    """An answer with a `Location` needs no body: the report is not run again."""

    def without_body(_: Request, response: Response) -> Response:
        response.body = b""
        return response

    with result_sandbox(
        "core", reports=1, faults=[faults.Fault("no body", answer=without_body, where=is_start)]
    ) as sandbox:
        run = read_results(sandbox, tmp_path).succeeded()
    assert len(sandbox.queries) == 1
    assert results(run) == all_report_rows(sandbox)


@pytest.mark.parametrize("progress", [10**400, -1, "half", None, 1.5], ids=lambda value: str(value)[:9])
def test_progress_that_is_none(progress: object, tmp_path: Path) -> None:
    """It is only for people."""
    under_way = faults.rewrite(lambda body: {**body, "progress": progress}, where=is_poll)
    with result_sandbox("query", reports=1, polls_until_complete=1, faults=[under_way]) as sandbox:
        run = read_results(sandbox, tmp_path).succeeded()
    assert results(run) == all_report_rows(sandbox)


@pytest.mark.parametrize(
    ("api", "place"), [("query", ""), ("query", "meta"), ("core", ""), ("core", "meta"), ("core", "data")]
)
@pytest.mark.parametrize("failure", [{"state": "failed"}, {"status": "cancelled"}, {"failed": 3}], ids=str)
def test_a_poll_that_reports_a_failure(api: ApiName, failure: dict[str, Any], place: str, tmp_path: Path) -> None:
    """The query ends there: nobody asks for it again, or cancels it."""
    body = {"completed": False, **({place: failure} if place else failure)}
    failed = faults.rewrite(lambda _: body, where=is_poll)
    with result_sandbox(api, reports=1, polls_until_complete=1, faults=[failed]) as sandbox:
        run = read_results(sandbox, tmp_path)
    ((name, value),) = failure.items()
    assert run.errors[0].endswith(f"the query failed: the API reports {name}: {value}")
    assert run.failed == ["report_results"]
    assert len([request for request in sandbox.requests if is_poll(request)]) == 1
    assert not sandbox.queries[0].cancelled


@both
def test_a_poll_in_other_words(api: ApiName, tmp_path: Path) -> None:
    """It ends no query: the API may have words for one that runs."""
    odd = {"status": "running", "state": "queued", "message": "failed to start at once", "ok": False}
    running = faults.rewrite(lambda body: {**body, **odd}, where=is_poll)
    with result_sandbox(api, reports=1, polls_until_complete=1, faults=[running]) as sandbox:
        run = read_results(sandbox, tmp_path).succeeded()
        assert results(run) == all_report_rows(sandbox)


def test_what_nobody_waits_for_is_cancelled(tmp_path: Path) -> None:
    """A query that may not be asked for goes on at the server."""
    refused = faults.status(403, where=is_poll)
    with result_sandbox("query", reports=1, polls_until_complete=1, faults=[refused]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert "HTTP 403: " in run.errors[0]
    assert sandbox.queries[0].cancelled
    assert_says(run, f"query {sandbox.queries[0].id} was cancelled")


def test_a_query_is_cancelled_where_the_credentials_are_rejected_meanwhile(tmp_path: Path) -> None:
    """Or named, if that is rejected as well."""
    rejected = faults.status(401, where=is_poll), faults.status(401, method="DELETE")
    with result_sandbox("query", reports=1, polls_until_complete=1, faults=list(rejected)) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert "HTTP 401: " in run.errors[-1]
    assert_says(run, f"query {sandbox.queries[0].id} is still running: it could not be cancelled \\(HTTP 401\\)")


@pytest.mark.parametrize(
    "fault", [faults.reset(method="DELETE"), faults.close(method="DELETE")], ids=["reset", "close"]
)
def test_the_cause_of_a_failed_cancellation_is_its_own(fault: Fault, tmp_path: Path) -> None:
    """Not that of the query's failure, during whose handling it is sent."""
    refused = faults.status(403, where=is_poll)
    with result_sandbox("query", reports=1, polls_until_complete=1, faults=[refused, fault]) as sandbox:
        run = read_results(sandbox, tmp_path)
    assert "HTTP 403: " in run.errors[0]
    assert_says(run, r"it could not be cancelled \(.*([Rr]eset|closed)")


@both
@pytest.mark.parametrize("completed", ["true", 1, "True"])
def test_completed_in_other_words(api: ApiName, completed: object, tmp_path: Path) -> None:
    """They mean the same."""

    def change(body: Any) -> None:
        for place in (body, body.get("data")):
            if isinstance(place, dict) and place.get("completed") is True:
                place["completed"] = completed

    with result_sandbox(api, reports=1, faults=[faults.rewrite(change, resource="queries")]) as sandbox:
        run = read_results(sandbox, tmp_path, query_timeout=5).succeeded()
        assert results(run) == all_report_rows(sandbox)


@pytest.mark.parametrize("change", [lambda _: None, lambda _: "", str.upper], ids=["null", "empty", "upper case"])
def test_the_id_of_a_query_in_another_form(change: Any, tmp_path: Path) -> None:
    """It names no other query."""

    def answer(request: Request, response: Response) -> Response:
        response.body = to_json({**response.json(), "id": change(request.parts[1])})
        return response

    with result_sandbox("query", reports=1, faults=[Fault("id", answer=answer, where=is_page)]) as sandbox:
        run = read_results(sandbox, tmp_path, retry_timeout=0).succeeded()
        assert results(run) == all_report_rows(sandbox)


@both
def test_a_result_that_is_empty_once(api: ApiName, tmp_path: Path) -> None:
    """Without a total it is requested once more before it is believed."""
    empty = faults.rewrite(lambda body: {**body, "data": [], "pagination": None}, where=is_page, times=1)
    with result_sandbox(api, reports=1, faults=[empty]) as sandbox:
        run = read_results(sandbox, tmp_path).succeeded()
        assert results(run) == all_report_rows(sandbox)


@both
def test_what_stands_beside_an_empty_result_is_named(api: ApiName, tmp_path: Path) -> None:
    """It may be the reason."""
    odd: dict[str, Any] = {"data": [], "pagination": None, "cancelled": True}
    empty = faults.rewrite(lambda body: {**body, **odd}, where=is_page)
    with result_sandbox(api, reports=1, faults=[empty]) as sandbox:
        run = read_results(sandbox, tmp_path).succeeded()
    (warning,) = run.warnings
    assert "report_results: an empty list comes with unknown fields: cancelled" in warning


def test_numbers_that_are_written_as_text(tmp_path: Path) -> None:
    """The list has them so; a report is run by its number all the same."""
    with result_sandbox("query", reports=2) as sandbox:
        wanted = sandbox.account.records["reports"][1]["id"]

        def write(body: Any) -> None:
            for record in body["data"]:
                record["id"] = str(record["id"])

        sandbox.faults.append(faults.rewrite(write, resource="reports"))
        run = sync(sandbox, tmp_path, report_ids=[wanted]).succeeded()
    assert {row["report_id"] for row in run.records("report_results")} == {wanted}


def test_an_id_in_capital_letters(tmp_path: Path) -> None:
    """It is the same UUID."""
    with result_sandbox("core", reports=2) as sandbox:
        wanted = sandbox.account.records["reports"][1]["id"]
        run = sync(sandbox, tmp_path, report_ids=[wanted.upper(), wanted]).succeeded()
    assert {row["report_id"] for row in run.records("report_results")} == {wanted}
    assert len(sandbox.queries) == 1


def test_a_report_of_no_product(tmp_path: Path) -> None:
    """The Core API runs it by its product: without one, nothing is asked for."""
    with result_sandbox("core", reports=1) as sandbox:
        sandbox.faults.append(faults.rewrite(lambda body: [row.pop("product_id") for row in body["data"]] and None,
                                             resource="reports"))  # fmt: skip
        run = sync(sandbox, tmp_path, **ALL)
    assert run.errors[0].endswith("cannot be run: the API does not name its product")
    assert not any(map(is_start, sandbox.requests))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(404, where=is_start), "nothing at .*; check query_url and product_ids"),
        (faults.redirect("https://example.com/v2/x", where=is_start), "set query_url to the right address"),
    ],
    ids=["404", "redirect"],
)
def test_the_setting_of_the_address_is_named(fault: Fault, says: str, tmp_path: Path) -> None:
    """Reports of the Core API are run elsewhere."""
    fault.seen = 0
    with result_sandbox("core", reports=1, faults=[fault]) as sandbox:
        run = sync(sandbox, tmp_path, **ALL)
    assert re.search(says, run.errors[0])
