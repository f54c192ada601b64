"""An account that changes while it is read: what was there all the time comes exactly once, and nothing comes twice."""

from __future__ import annotations

import collections
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tests.examples import examples
from tests.expected import expected
from tests.fault_runs import assert_met, small_sandbox, watched_sync
from tests.list_server import Change, ListServer, walk
from tests.sandbox import faults
from tests.tap_process import sync

if TYPE_CHECKING:
    from tests.sandbox import Record, Request, Sandbox

CALM = 8
"""Requests after which some of these accounts come to rest: fewer than the passes that the tap makes."""

change = st.tuples(st.sampled_from(["insert", "delete"]), st.integers(0, 400))
changes = st.lists(st.lists(change, max_size=5), max_size=CALM)
swap = st.integers(0, 400).map(lambda at: [("delete", at), ("insert", at + 7)])
"""One goes and one comes: total stays as it was."""

shapes = st.fixed_dictionaries(
    {
        "form": st.sampled_from(["envelope", "envelope", "bare"]),
        "cap": st.sampled_from([None, None, 2, 3, 7]),
        "total": st.sampled_from(["true", "none", "small", "text"]),
    }
)
"""Servers of every kind that says which cap it has. One that does not cannot be told from its end by a wrong total."""

silent = st.fixed_dictionaries(
    {
        "form": st.sampled_from(["envelope", "bare"]),
        "cap": st.sampled_from([2, 3, 7]),
        "total": st.sampled_from(["true", "none", "text"]),
        "admits": st.just(False),  # noqa: FBT003 - hypothesis takes it so
    }
)


def assert_right(server: ListServer, emitted: list[int]) -> None:
    """Check what was emitted against what was there from the first request to the last."""
    twice = [key for key, count in collections.Counter(emitted).items() if count > 1]
    missing = server.stayed - set(emitted)
    assert not twice
    assert not missing


def bound(count: int, server: ListServer, page_size: int) -> int:
    """The most requests that an account which changes may cost: as many passes as it changes, and what steps back."""
    step = max(min(max(page_size, 2), server.cap or page_size) - 1, 1)
    longest = count + 5 * CALM
    return (CALM + 3) * (math.ceil(longest / step) + 10) + 60


@pytest.mark.no_cover  # traced, it takes twice as long
@pytest.mark.parametrize("ahead", [1, 8])
class TestPaginator:
    """The paginator by itself, against a list that is no HTTP server; page by page, and with pages fetched ahead."""

    @examples(500)
    @given(st.integers(0, 60), st.integers(1, 25), changes, st.one_of(shapes, silent))
    @example(30, 10, [[("delete", 0)]], {})
    @example(30, 10, [[], [("insert", 0)]], {})
    @example(30, 10, [[("delete", 3), ("insert", 3)]], {})
    @example(30, 10, [[("delete", 3), ("insert", 25)]], {})
    @example(30, 10, [[], [], [("delete", 0)] * 5], {})
    @example(30, 10, [[("insert", 0)]] * CALM, {})
    @example(60, 10, [[]] * 6 + [[("insert", 0)]] * CALM, {})
    def test_any_changes(
        self, ahead: int, count: int, page_size: int, changes: list[list[Change]], shape: dict[str, Any]
    ) -> None:
        server = ListServer(list(range(count)), changes, **shape)
        assert_right(server, walk(server, page_size, ahead * bound(count, server, page_size), ahead))

    @examples(300)
    @given(st.integers(0, 60), st.integers(1, 25), st.lists(swap, max_size=CALM), shapes)
    def test_changes_that_leave_the_total(
        self, ahead: int, count: int, page_size: int, changes: list[list[Change]], shape: dict[str, Any]
    ) -> None:
        server = ListServer(list(range(count)), changes, **shape)
        assert_right(server, walk(server, page_size, ahead * bound(count, server, page_size), ahead))

    @examples(300)
    @given(st.integers(0, 60), st.integers(1, 25), st.integers(0, 9), st.integers(0, 60), st.one_of(shapes, silent))
    @example(30, 10, 0, 25, {})
    def test_a_record_that_moves_to_the_front(  # noqa: PLR0913, PLR0917 - what varies
        self, ahead: int, count: int, page_size: int, before: int, position: int, shape: dict[str, Any]
    ) -> None:
        # It goes behind the back of the first pass; only another one finds it.
        server = ListServer(list(range(count)), [*[[]] * before, [("to front", position)]], **shape)
        assert_right(server, walk(server, page_size, ahead * bound(count, server, page_size), ahead))

    @examples(300)
    @given(st.integers(0, 60), st.integers(6, 25), changes, st.integers(1, 3))
    def test_pages_that_overlap(
        self, ahead: int, count: int, page_size: int, changes: list[list[Change]], early: int
    ) -> None:
        server = ListServer(list(range(count)), changes, early=early)
        try:
            emitted = walk(server, page_size, 2 * ahead * bound(count, server, page_size - early), ahead)
        except FatalAPIError:
            assert any(changes)  # two things wrong at once may be refused, but never lose a record
        else:
            assert_right(server, emitted)

    @examples(300)
    @given(st.integers(0, 300), st.integers(1, 50), st.one_of(shapes, silent))
    def test_at_rest_it_costs_at_most_one_request_more(
        self, ahead: int, count: int, page_size: int, shape: dict[str, Any]
    ) -> None:
        server = ListServer(list(range(count)), **shape)
        emitted = walk(server, page_size, 10_000, ahead)
        assert emitted == list(range(count))
        given = min(page_size, server.cap or page_size)
        seamed = max(min(max(page_size, 2), server.cap or page_size), 2)
        plain = max(math.ceil(count / given), 1)
        least = max(math.ceil((count - 1) / (seamed - 1)), 1)
        assert server.requests <= max(plain, least) + 1


@pytest.mark.parametrize("total", ["none", "small", "true"])
@pytest.mark.parametrize("form", ["envelope", "bare"])
def test_one_record_a_page(form: str, total: str) -> None:
    """Pages cannot overlap: it is refused, and nothing is taken for complete."""
    server = ListServer(list(range(10)), cap=1, form=form, total=total)
    with pytest.raises(FatalAPIError, match="the server gives one record a page"):
        walk(server, 1000, 200)


def test_a_list_that_grows_to_a_second_record() -> None:
    """It looks like a page of one record, once."""
    server = ListServer([0], [[("insert", 1)]], total="none")
    assert_right(server, walk(server, 1000, 200))


@pytest.mark.parametrize("count", [5, 430])
def test_a_limit_that_is_the_number_of_rows(count: int) -> None:
    """Every page looks full then; the seam alone is the end."""

    class Counting(ListServer):
        @override
        def answer(self, offset: int, limit: int) -> Any:
            body = super().answer(offset, limit)
            body["pagination"]["limit"] = len(body["data"])
            return body

    server = Counting(list(range(count)), cap=100)
    assert walk(server, 1000, 100) == list(range(count))


@pytest.mark.parametrize("at", [1, 4])
def test_a_list_that_grows_while_pages_bring_nothing(at: int, tmp_path: Path) -> None:
    """Its total is another with each try, and yet no lie: the list is neither taken for empty nor for read."""
    empty = faults.empty_page(resource="events", skip=at - 1, times=2)
    with small_sandbox(empty) as sandbox:
        there = sandbox.account.ids("events")

        @sandbox.on_request
        def grow(running: Sandbox, request: Request) -> None:
            if request.resource == "events":
                running.account.insert("events", len(running.account.records["events"]))

        run = watched_sync(sandbox, tmp_path, max_concurrency=1, backoff_factor=0.005).succeeded()
        assert_met(sandbox)
    got = [record["id"] for record in run.records("events")]
    assert got == sandbox.account.ids("events")[: len(got)]
    assert got[: len(there)] == there


@examples(10)
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
