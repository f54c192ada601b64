"""A list that is empty, or ends, is believed only where nothing speaks of a failure: it would empty a table.

What speaks of a failure, and what is known, is in tests/unit/test_responses.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_every_record_once
from tests.support.cases import EVENTS, HASTY, small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName
    from tests.support.run import Run

pytestmark = pytest.mark.usefixtures("clock")

UNKNOWN: dict[str, Any] = {"data": [], "degraded": True, "left": 3}


def activated(run: Run) -> set[str]:
    """The streams whose new version was activated."""
    return {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}


@pytest.mark.parametrize(
    ("beside", "says"),
    [({"status": 500}, "HTTP 500: "), ({"meta": {"error": "shard down"}}, "API message: shard down")],
    ids=["status", "error"],
)
@pytest.mark.parametrize(("kept", "page"), [(0, 1), (1, 2), (4, 2)])
@pytest.mark.parametrize("api", ["core", "query"])
def test_a_failure_beside_a_page_fails_the_stream(  # noqa: PLR0913, PLR0917 - what varies
    beside: dict[str, Any], says: str, kept: int, page: int, api: ApiName, tmp_path: Path
) -> None:
    """A shard that is down leaves its records out: neither is an empty list empty, nor the overlap alone the end."""
    partial = faults.rewrite(lambda body: {"data": body["data"][:kept], **beside}, resource="events", skip=page - 1)
    with small_sandbox(partial, api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
        assert_every_record_once(run, sandbox.account, but=["events"])
    assert run.failed == ["events"]
    assert says in run.errors[0]
    assert any("retrying in" in line for line in run.warnings)
    assert activated(run) == sandbox.account.records.keys() - {"events"}


def test_unknown_fields_beside_an_empty_list_are_named(tmp_path: Path) -> None:
    """And the stream does not count as complete."""
    with small_sandbox(faults.rewrite(lambda _: UNKNOWN, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY).succeeded()
        assert_every_record_once(run, sandbox.account, but=["events"])
    (warning,) = [line for line in run.warnings if "unknown" in line]
    assert "events: an empty list comes with unknown fields: degraded, left" in warning
    assert activated(run) == sandbox.account.records.keys() - {"events"}


def test_unknown_fields_beside_the_empty_list_of_one_product(tmp_path: Path) -> None:
    """The rows of that product stay too, although the other has records."""
    with small_sandbox() as sandbox:
        first, second = sandbox.account.ids("products")[:2]
        sandbox.faults.append(faults.rewrite(lambda _: UNKNOWN, where=lambda r: f"{second}/events" in r.path))
        run = watched_sync(sandbox, tmp_path, product_ids=[first, second], **HASTY).succeeded()
    assert run.records("events")
    assert activated(run) == sandbox.account.records.keys() - {"events"}


def test_unknown_fields_at_the_end_of_a_list(tmp_path: Path) -> None:
    """Records came, but the list may go on: nothing is deleted."""
    end = faults.rewrite(lambda _: UNKNOWN, resource="events", where=lambda request: request.query["offset"] == "59")
    with small_sandbox(end) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert run.records("events")
    assert "events" not in activated(run)


def test_a_list_of_errors_is_not_that_of_the_records(tmp_path: Path) -> None:
    """Nor is the list empty where that one is."""
    with small_sandbox(faults.rewrite(lambda _: {"errors": []}, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert run.failed == ["events"]
    assert "the response contains no list of records" in run.errors[0]


def test_only_http_200_is_the_answer_to_a_list(tmp_path: Path) -> None:
    with small_sandbox(faults.body(b'{"data": []}', code=203, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert run.failed == ["events"]
    assert "events: HTTP 203 is not a valid status for a list" in run.errors[0]
