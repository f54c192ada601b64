"""An account that changes while it is read: what was there all the time comes exactly once, and nothing comes twice.

The paginator by itself meets thousands of such lists in tests/unit/test_pagination.py.
"""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import faults
from tests.support.assertions import assert_met, expected
from tests.support.cases import small_sandbox, watched_sync
from tests.support.examples import examples
from tests.support.tap import sync
from tests.unit.test_pagination import changes

if TYPE_CHECKING:
    from tests.sandbox import Record, Request, Sandbox
    from tests.support.list_server import Change


GROWN = 80
"""Records with which a list stops growing."""


@pytest.mark.parametrize("at", [1, 4])
def test_a_list_that_grows_while_pages_bring_nothing(at: int, tmp_path: Path) -> None:
    """Its total is another with each try, and yet no lie: the list is neither taken for empty nor for read."""
    empty = faults.empty_page(resource="events", skip=at - 1, times=2)
    with small_sandbox(empty) as sandbox:
        there = sandbox.account.ids("events")

        @sandbox.on_request
        def grow(running: Sandbox, request: Request) -> None:
            if request.resource == "events" and len(running.account.records["events"]) < GROWN:
                running.account.insert("events", len(running.account.records["events"]))

        run = watched_sync(sandbox, tmp_path, max_concurrency=1, backoff_factor=0.005).succeeded()
        assert_met(sandbox)
    got = [record["id"] for record in run.records("events")]
    assert got == sandbox.account.ids("events")[: len(got)]
    assert got[: len(there)] == there


@examples(5)
@given(
    plans=st.fixed_dictionaries(dict.fromkeys(("events", "properties", "reports", "metrics"), changes)),
    page_size=st.integers(2, 25),
    max_concurrency=st.sampled_from([1, 8]),
    form=st.sampled_from(["envelope", "bare"]),
    cap=st.sampled_from([None, 5]),
    api=st.sampled_from(["core", "query"]),
)
def test_the_tap_over_http(  # noqa: PLR0913, PLR0917 - what varies
    plans: dict[str, list[list[Change]]],
    page_size: int,
    max_concurrency: int,
    form: Any,
    cap: int | None,
    api: Any,
) -> None:
    """The real command line; each run reads the lists of an API while they change."""
    with small_sandbox(api=api, form=form, cap=cap) as sandbox, tempfile.TemporaryDirectory() as folder:
        asked: collections.Counter[str] = collections.Counter()
        stayed = {
            name: {record["id"]: record for record in records}
            for name, records in sandbox.account.records.items()
            if name in plans
        }

        @sandbox.on_request
        def happen(running: Sandbox, request: Request) -> None:
            name = request.resource or ""
            for kind, at in plans[name][asked[name] - 1] if 0 < asked[name] <= len(plans.get(name, ())) else ():
                length = len(running.account.records[name])
                if kind == "insert":
                    running.account.insert(name, at % (length + 1))
                elif length:
                    stayed[name].pop(running.account.delete(name, at % length)["id"], None)
            asked[name] += 1

        run = sync(sandbox, Path(folder), page_size=page_size, max_concurrency=max_concurrency).succeeded()
    for name, kept in stayed.items():
        emitted: dict[str, Record] = {record["id"]: record for record in run.records(name)}
        assert len(emitted) == len(run.records(name)), f"{name}: a record came twice"
        assert [emitted.get(key) for key in kept] == expected(name, kept.values()), name
