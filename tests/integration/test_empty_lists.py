"""A list that is empty is believed only where nothing speaks of a failure: it would empty a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_every_record_once
from tests.support.cases import BOTH, EVENTS, HASTY, small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName
    from tests.support.run import Run

pytestmark = pytest.mark.usefixtures("clock")

FAILURES: list[dict[str, Any]] = [
    {"status": 500},
    {"meta": {"status": "error"}},
    {"meta": {"status": 200, "error": "shard down"}},
    {"exception": "java.lang.NullPointerException"},
]
"""`tests/unit/test_responses.py` has all forms."""

HARMLESS: list[dict[str, Any]] = [
    {},
    {"meta": {"status": 200}},
    {"error": None, "errors": [], "messages": "", "reason": ""},
    {"total": 0, "limit": 20, "offset": 0},
]

UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"warning": "partial result"}, "warning"),
    ({"message": "try again"}, "message"),
    ({"total": 60}, "total"),
    ({"x": 1, "y": 2}, "x, y"),
]


def read_beside_an_empty_list(beside: dict[str, Any], folder: Path, api: ApiName = "core", **when: Any) -> Run:
    """Sync an account whose list of events is empty, with this beside it."""
    empty = faults.rewrite(lambda _: {"data": [], **beside}, **{**EVENTS, **when})
    with small_sandbox(empty, api=api) as sandbox:
        run = watched_sync(sandbox, folder, max_concurrency=1, **HASTY)
        assert_every_record_once(run, sandbox.account, but=["events"])
    return run


def activated(run: Run) -> set[str]:
    """Return the streams whose new version was activated."""
    return {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}


@pytest.mark.parametrize("beside", FAILURES, ids=str)
def test_what_speaks_of_a_failure_fails_the_stream(beside: dict[str, Any], tmp_path: Path) -> None:
    """After it was tried again."""
    run = read_beside_an_empty_list(beside, tmp_path)
    assert run.code == 1
    assert run.failed == ["events"]
    assert "events" not in activated(run)
    assert any("retrying in" in line for line in run.warnings)


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ({"status": 500}, "HTTP 500: "),
        ({"meta": {"status": 200, "error": "shard down"}}, "API message: shard down"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kept", [1, 4])
@pytest.mark.parametrize("api", BOTH)
def test_a_failure_beside_some_of_the_records(
    beside: dict[str, Any], says: str, kept: int, api: ApiName, tmp_path: Path
) -> None:
    """A shard that is down leaves its records out: a page of the overlap alone is then not the end."""
    partial = faults.rewrite(lambda body: {"data": body["data"][:kept], **beside}, skip=1, resource="events")
    with small_sandbox(partial, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
        assert_every_record_once(run, sandbox.account, but=["events"])
    assert run.failed == ["events"]
    assert says in run.errors[0]
    assert "events" not in activated(run)


@pytest.mark.parametrize("beside", [{"status": "active"}, {"message": "60 records"}, {"code": "US"}, {"x": 1}], ids=str)
def test_what_is_not_known_beside_records_is_no_failure(beside: dict[str, Any], tmp_path: Path) -> None:
    """The records speak for themselves."""
    with small_sandbox(faults.rewrite(lambda body: {**body, **beside}, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize("name", ["messages", "errors", "columns", "links"])
def test_a_list_of_another_name_is_not_that_of_the_records(name: str, tmp_path: Path) -> None:
    """Nor is the list empty where that one is."""
    with small_sandbox(faults.rewrite(lambda _: {name: []}, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert run.failed == ["events"]
    assert "the response contains no list of records" in run.errors[0]


@pytest.mark.parametrize("api", BOTH)
def test_a_failure_that_passes_costs_no_record(api: ApiName, tmp_path: Path) -> None:
    """It is tried again like a 5xx."""
    empty = faults.rewrite(lambda _: {"data": [], "status": "error"}, resource="events", times=2)
    with small_sandbox(empty, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, backoff_factor=0.005).succeeded()
        assert_every_record_once(run, sandbox.account)
    assert sum("the API reports status: error" in line for line in run.warnings) == 2


@pytest.mark.parametrize("beside", HARMLESS, ids=str)
def test_what_is_known_passes_in_silence(beside: dict[str, Any], tmp_path: Path) -> None:
    """Yet a stream without a record activates no version, and one line says what stays."""
    run = read_beside_an_empty_list(beside, tmp_path).succeeded()
    assert run.records("events") == []
    assert "events" not in activated(run)
    (warning,) = run.warnings
    assert "events: no records: the rows in the target stay, and no ACTIVATE_VERSION is sent" in warning


@pytest.mark.parametrize(("beside", "names"), UNKNOWN, ids=str)
def test_what_is_not_known_is_named(beside: dict[str, Any], names: str, tmp_path: Path) -> None:
    """And the stream does not count as complete."""
    run = read_beside_an_empty_list(beside, tmp_path).succeeded()
    (warning,) = [line for line in run.warnings if "unknown" in line]
    assert f"events: an empty list comes with unknown fields: {names}" in warning
    assert "events" not in activated(run)


def test_an_unknown_field_beside_the_empty_list_of_one_product(tmp_path: Path) -> None:
    """The rows of that product stay too, although the other has records."""
    with small_sandbox() as sandbox:
        first, second = sandbox.account.ids("products")[:2]
        odd = faults.rewrite(lambda _: {"data": [], "degraded": True}, where=lambda r: f"{second}/events" in r.path)
        sandbox.faults.append(odd)
        run = watched_sync(sandbox, tmp_path, product_ids=[first, second], **HASTY).succeeded()
    assert run.records("events")
    assert "properties" in activated(run)
    assert "events" not in activated(run)


def test_an_unknown_field_at_the_end_of_a_list(tmp_path: Path) -> None:
    """Records came, but the list may go on: nothing is deleted."""
    end = faults.rewrite(
        lambda _: {"data": [], "degraded": True}, resource="events", where=lambda r: "59" in r.query["offset"]
    )
    with small_sandbox(end) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert "events" not in activated(run)


@pytest.mark.parametrize("api", BOTH)
@pytest.mark.parametrize("status", [201, 202, 203, 206, 299])
def test_only_http_200_is_the_answer_to_a_list(status: int, api: ApiName, tmp_path: Path) -> None:
    """Whatever its body holds."""
    with small_sandbox(faults.body(b'{"data": []}', code=status, **EVENTS), api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert run.failed == ["events"]
    assert f"events: HTTP {status} is not a valid status for a list" in run.errors[0]


def test_a_first_page_that_is_empty_once(tmp_path: Path) -> None:
    """Without a total it is requested once more before it is believed."""
    with small_sandbox(faults.body(b"[]", resource="events", times=1)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
        assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize("total", [1, 10, 59, faults.MISSING, "7"])
@pytest.mark.parametrize("cap", [None, 4])
def test_a_total_does_not_end_a_list(total: object, cap: int | None, tmp_path: Path) -> None:
    """Nor does a silent cap: only a page of the overlap alone does."""
    wrong = [faults.total(total, **EVENTS), *([faults.ignore_limit(cap, **EVENTS)] if cap else [])]
    with small_sandbox(*wrong) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        assert_every_record_once(run, sandbox.account)
