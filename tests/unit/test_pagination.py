"""The paginators by themselves, against lists that change from request to request and servers of every kind."""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.sdk_extensions.pagination import OverlapPaginator, Page, ResultPage, RowPaginator
from tests.support.examples import examples
from tests.support.list_server import Change, ListServer, walk

DEFAULT_SIZES = (20, 50)

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
        "clamps": st.booleans(),
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


@dataclass
class CuttingServer(ListServer):
    """A server that once, at the request number `cut`, sends only the first record of a page."""

    cut: int = 0
    offsets: list[int] = field(default_factory=list)

    @override
    def answer(self, offset: int, limit: int) -> Any:
        self.offsets.append(offset)
        body = super().answer(offset, limit)
        if self.requests == self.cut:
            data = body if self.form == "bare" else body["data"]
            del data[1:]
        return body


def bound(count: int, server: ListServer, page_size: int) -> int:
    """The most requests that an account which changes may cost: as many passes as it changes, and what steps back."""
    step = max(min(max(page_size, 2), server.cap or page_size) - 1, 1)
    longest = count + 5 * CALM
    return (CALM + 3) * (math.ceil(longest / step) + 10) + 60


def assert_read(server: ListServer, page_size: int, ahead: int) -> None:
    """Read a list that changes, and check what was emitted."""
    most = ahead * bound(len(server.ids), server, page_size)
    assert_right(server, walk(server, page_size, most, ahead))


@pytest.mark.no_cover  # traced, it takes twice as long
@pytest.mark.parametrize("ahead", [1, 8])
class TestPaginator:
    """Page by page, and with pages fetched ahead."""

    @examples(120)
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
        assert_read(server, page_size, ahead)

    @examples(60)
    @given(st.integers(0, 60), st.integers(1, 25), st.lists(swap, max_size=CALM), shapes)
    def test_changes_that_leave_the_total(
        self, ahead: int, count: int, page_size: int, changes: list[list[Change]], shape: dict[str, Any]
    ) -> None:
        server = ListServer(list(range(count)), changes, **shape)
        assert_read(server, page_size, ahead)

    @examples(60)
    @given(st.integers(0, 60), st.integers(1, 25), st.integers(0, 9), st.integers(0, 60), st.one_of(shapes, silent))
    @example(30, 10, 0, 25, {})
    def test_a_record_that_moves_to_the_front(  # noqa: PLR0913, PLR0917 - what varies
        self, ahead: int, count: int, page_size: int, before: int, position: int, shape: dict[str, Any]
    ) -> None:
        # It goes behind the back of the first pass; only another one finds it.
        server = ListServer(list(range(count)), [*[[]] * before, [("to front", position)]], **shape)
        assert_read(server, page_size, ahead)

    @examples(60)
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

    @examples(60)
    @given(st.integers(0, 300), st.integers(1, 50), st.one_of(shapes, silent))
    def test_at_rest_it_costs_at_most_one_request_more_or_two_without_a_total(
        self, ahead: int, count: int, page_size: int, shape: dict[str, Any]
    ) -> None:
        server = ListServer(list(range(count)), **shape)
        emitted = walk(server, page_size, 10_000, ahead)
        assert emitted == list(range(count))
        given = min(page_size, server.cap or page_size)
        seamed = max(min(max(page_size, 2), server.cap or page_size), 2)
        plain = max(math.ceil(count / given), 1)
        least = max(math.ceil((count - 1) / (seamed - 1)), 1)
        has_total = server.form == "envelope" and server.total in {"true", "text"}
        assert server.requests <= max(plain, least) + (1 if has_total else 2)

    @examples(120)
    @given(st.integers(1, 120), st.integers(2, 60), st.integers(1, 12), st.one_of(shapes, silent))
    @example(2, 10, 2, {"total": "none"})
    @example(100, 10, 4, {"total": "none"})
    @example(28, 10, 4, {"total": "none", "cap": 7, "admits": False})
    @example(100, 60, 2, {"total": "none", "cap": 20, "admits": False})
    def test_a_response_cut_down_to_its_first_record_costs_no_record(
        self, ahead: int, count: int, page_size: int, nth: int, shape: dict[str, Any]
    ) -> None:
        assume(shape.get("total") != "small")  # a wrong total that agrees with a cut response is a second fault
        server = CuttingServer(list(range(count)), cut=nth, **shape)
        first = min(page_size, server.cap or page_size, count)
        is_reported = server.admits and server.form == "envelope"
        is_limit_known = first == page_size or is_reported or first in DEFAULT_SIZES
        assume(nth != 2 or count == first or is_limit_known)  # a silent cap shows on the second page
        assert_right(server, walk(server, page_size, 10_000, ahead))

    @examples(60)
    @given(st.integers(1, 120), st.integers(1, 25), st.one_of(shapes, silent))
    @example(1, 10, {"total": "none"})
    @example(1, 10, {"total": "true"})
    def test_nothing_is_requested_beyond_the_end(
        self, ahead: int, count: int, page_size: int, shape: dict[str, Any]
    ) -> None:
        server = CuttingServer(list(range(count)), **shape)
        assert walk(server, page_size, 10_000, ahead) == list(range(count))
        assert max(server.offsets) < count


@pytest.mark.parametrize(
    ("at_once", "total", "says"), [(1, "none", "as fast as"), (3, "true", "as fast as"), (12, "true", "faster than")]
)
def test_a_list_that_grows_as_fast_as_it_is_read(at_once: int, total: str, says: str) -> None:
    """It is refused, in bounded requests, where it can be told from a long one."""
    server = ListServer(list(range(30)), [[("append", 0)] * at_once] * 3000, total=total)
    with pytest.raises(FatalAPIError, match=f"the list grows {says} it is read"):
        walk(server, 10, 2000)


@pytest.mark.parametrize("page_size", [2, 10])
@pytest.mark.parametrize("total", ["none", "true"])
@pytest.mark.parametrize("at", [0, -1, 9])
def test_records_that_come_and_go_with_each_request(page_size: int, total: str, at: int) -> None:
    """It ends, or is refused, in bounded requests: a new record each time is no progress."""
    delete, insert = ("delete", at), ("insert", 0 if at == 0 else 59 if at < 0 else at)
    server = ListServer(list(range(60)), [[delete] if n % 2 else [insert] for n in range(2000)], total=total)
    try:
        assert_right(server, walk(server, page_size, 600))
    except FatalAPIError as error:
        assert "the list does not stop changing" in str(error)  # noqa: PT017 - one of two good ends


def test_short_pages_that_are_not_at_the_end() -> None:
    """A server may give less of long records: that is no list that grows."""

    class Shortening(ListServer):
        @override
        def answer(self, offset: int, limit: int) -> Any:
            return super().answer(offset, limit if offset < 10 else 4)

    assert walk(Shortening(list(range(2000))), 10, 4000) == list(range(2000))


def test_a_reported_limit_of_one_does_not_stop_a_step_back() -> None:
    """Records before the overlap went, so the list is read back."""

    class Misreporting(ListServer):
        @override
        def _pagination(self, limit: int, offset: int) -> dict[str, Any]:
            return super()._pagination(1, offset)

    server = Misreporting(list(range(30)), [[("delete", 0)] * 3])
    assert_right(server, walk(server, 10, 40))


def test_a_list_that_grows_to_a_second_record() -> None:
    """It looks like a page of one record, once."""
    server = ListServer([0], [[("insert", 1)]], total="none")
    assert_right(server, walk(server, 1000, 200))


def test_a_limit_that_is_the_number_of_rows() -> None:
    """Every page looks full then; the seam alone is the end."""

    class Counting(ListServer):
        @override
        def answer(self, offset: int, limit: int) -> Any:
            body = super().answer(offset, limit)
            body["pagination"]["limit"] = len(body["data"])
            return body

    assert walk(Counting(list(range(430)), cap=100), 1000, 100) == list(range(430))


def page(ids: list[str | int], *, offset: int = 0, limit: int = 10, total: int | None = None) -> Page:
    """A page of records that are only ids."""
    return Page(offset, limit, [{"id": key} for key in ids], total, ids=list(ids))


def read_moving_list(pages: OverlapPaginator, first: list[str | int]) -> None:
    """Read a list of which rows come in before what was read: its first page, one that begins too early, the end."""
    assert pages.predict(9) == [0]
    pages.update(page(first))
    pages.update(page([2, 3, 4], offset=len(first) - 1, total=len(first) + 2))
    pages.update(page([4], offset=len(first) + 1, total=len(first) + 2))


class TestPages:
    """Single pages of a list."""

    @pytest.mark.parametrize(("ids", "offset", "total"), [([], 0, 3), ([3], 2, 9), ([], 2, 9)])
    def test_a_page_that_brings_nothing_new(self, ids: list[str | int], offset: int, total: int) -> None:
        pages = OverlapPaginator(10)
        if offset:
            pages.update(page([1, 2, 3], total=total))
        with pytest.raises(RetriableAPIError, match=rf"^no new records at offset {offset} of a list of {total}$"):
            pages.validate(page(ids, offset=offset, total=total))

    def test_a_step_back_that_brings_nothing_new(self) -> None:
        """The first record alone, of a list that has more: as at any other offset."""
        pages = OverlapPaginator(10)
        pages.validate(page([1], total=9))
        pages.update(page([1, 2, 3], total=9))
        pages.update(page([7], offset=2, total=9))
        assert pages.predict(9) == [0]
        with pytest.raises(RetriableAPIError, match=r"^no new records at offset 0 of a list of 9$"):
            pages.validate(page([1], total=9))

    @pytest.mark.parametrize(("ids", "total"), [([3, 4], 9), ([4], 9), ([3], 3), ([], 2), ([3], None)])
    def test_a_page_that_may_be_right(self, ids: list[str | int], total: int | None) -> None:
        pages = OverlapPaginator(10)
        pages.update(page([1, 2, 3], total=total))
        pages.validate(page(ids, offset=2, total=total))

    @pytest.mark.parametrize("total", [None, 0])
    def test_a_list_that_is_suddenly_empty(self, total: int | None) -> None:
        """It is not believed at once, and what comes back is read."""
        pages = OverlapPaginator(10)
        pages.update(page([1, 2, 3]))
        pages.update(page([], offset=2, total=total))
        for _ in range(5):
            assert (pages.offset, pages.finished) == (0, False)
            assert pages.update(page([], total=total)) == []
        assert pages.update(page([1, 2, 3, 4])) == [{"id": 4}]
        pages.update(page([], offset=3, total=total))
        for _ in range(20):
            pages.update(page([], total=total))
        assert pages.finished

    @pytest.mark.parametrize(
        ("length", "total", "count", "offsets"),
        [
            (10, 40, 1, [9]),
            (10, 40, 3, [9, 18, 27]),
            (10, 40, 9, [9, 18, 27, 36]),
            (10, 38, 9, [9, 18, 27, 36]),
            (10, 37, 9, [9, 18, 27]),
            (2, 5, 9, [1, 2, 3]),
            (1, 5, 9, [0]),
            (10, None, 9, [9]),
        ],
    )
    def test_predictions(self, length: int, total: int | None, count: int, offsets: list[int]) -> None:
        pages = OverlapPaginator(10)
        pages.update(page(list(range(length)), total=total))
        assert pages.predict(count) == offsets

    def test_steps_back(self) -> None:
        """By a page as it came, whatever limit was asked for; twice as far each time; nothing else is predicted."""
        pages = OverlapPaginator(1000)
        for offset in range(0, 90, 9):
            pages.update(page(list(range(offset, offset + 10)), offset=offset, limit=1000, total=200))
        for step, offset in enumerate([81, 63, 27, 0]):
            pages.update(page([1000 + step], offset=pages.predict(1)[0], limit=1000, total=200))
            assert pages.predict(9) == [offset]

    @pytest.mark.parametrize(("total", "requests"), [(None, 2), (1, 1)])
    def test_a_list_of_one_record(self, total: int | None, requests: int) -> None:
        """Where its total says so that is all; without one it is requested once more, and never beyond its end."""
        pages = OverlapPaginator(10)
        read = []
        for _ in range(requests):
            assert pages.predict(9) == [0]
            read += pages.update(page([1], total=total))
        assert read == [{"id": 1}]
        assert pages.finished

    @pytest.mark.parametrize(
        ("length", "limit", "total", "requests"),
        [
            (7, 10, None, 1),
            (10, 10, None, 2),
            (10, 10, 10, 1),
            (20, 1000, None, 2),
            (50, 1000, None, 2),
            (8, 8, None, 2),
        ],
    )
    def test_the_end_of_a_full_page_has_two_witnesses(
        self, length: int, limit: int, total: int | None, requests: int
    ) -> None:
        pages = OverlapPaginator(1000, DEFAULT_SIZES)
        pages.update(page(list(range(length)), limit=limit, total=total))
        for _ in range(requests):
            assert not pages.finished
            pages.update(page([length - 1], offset=length - 1, limit=limit, total=total))
        assert pages.finished

    def test_a_witness_of_the_end_does_not_count_once_the_list_went_on(self) -> None:
        pages = OverlapPaginator(10)
        for start, length in ((0, 10), (9, 1), (9, 10), (18, 1), (18, 1)):
            assert not pages.finished
            pages.update(page(list(range(start, start + length)), offset=start))
        assert pages.finished

    @pytest.mark.parametrize(("total", "requests"), [(None, 2), (0, 1)])
    def test_an_empty_list_without_a_total_is_requested_once_more(self, total: int | None, requests: int) -> None:
        pages = OverlapPaginator(10)
        for _ in range(requests):
            assert pages.predict(9) == [0]
            assert pages.update(page([], total=total)) == []
        assert pages.predict(9) == []

    @pytest.mark.parametrize("finds_new", [True, False])
    def test_a_list_that_moves_is_read_until_nothing_new_is_found(self, finds_new: bool) -> None:  # noqa: FBT001
        pages = OverlapPaginator(10)
        read_moving_list(pages, [1, 2, 3])
        read_moving_list(pages, [1, 9, 2, 3] if finds_new else [1, 2, 3])
        assert pages.predict(9) == ([0] if finds_new else [])
        if finds_new:
            assert pages.update(page([1, 9, 8, 2, 3, 4])) == [{"id": 8}]

    def test_a_list_that_moves_no_more_is_complete(self) -> None:
        """Although its second pass found something new."""
        pages = OverlapPaginator(10)
        read_moving_list(pages, [1, 2, 3])
        assert pages.update(page([1, 2, 3, 9])) == [{"id": 9}]
        pages.update(page([9], offset=3))
        assert pages.predict(9) == []

    def test_a_list_that_moves_each_time_is_read_ten_times(self) -> None:
        pages = OverlapPaginator(10)
        for number in range(9):
            read_moving_list(pages, [1, 10 + number, 2, 3])
        with pytest.raises(FatalAPIError, match="the list changed each of the 10 times that it was read"):
            read_moving_list(pages, [1, 99, 2, 3])


def read_on(pages: OverlapPaginator) -> None:
    """Read a page of ten records, which begins with the last one that was read."""
    pages.update(page(list(range(pages.offset, pages.offset + 10)), offset=pages.offset))


def refused(says: str) -> Any:
    """Expect that a list is refused with this text."""
    return pytest.raises(FatalAPIError, match=f"^{says}$")


class TestBounds:
    """What a list may do while it is read, and one page more."""

    @pytest.mark.parametrize("fresh", [0, 100])
    def test_pages_that_bring_the_list_no_further(self, fresh: int) -> None:
        """Because they hold the same records, or others each time."""
        pages = OverlapPaginator(10)
        read_on(pages)
        with refused("the list does not stop changing: page after page, up to offset 1, brings nothing new"):
            for number in range(100):
                pages.update(page([1, *range(fresh * number + 2, fresh * number + 7)], offset=1))

    def test_the_first_page_again_and_again(self) -> None:
        pages = OverlapPaginator(10)
        with refused("the server ignores offset: it sends the first records again at offset .*"):
            for _ in range(100):
                pages.update(page([1, 2, 3], offset=pages.offset))

    def test_what_is_wasted_may_be_more_in_a_long_list(self) -> None:
        """A long list that loses records all the time is read to its end."""
        pages = OverlapPaginator(10)
        read_on(pages)
        for _ in range(200):
            seam = pages.offset
            pages.update(page([], offset=seam))
            pages.update(page(list(range(pages.offset, seam + 1)), offset=pages.offset))
            read_on(pages)
        assert not pages.finished

    def test_pages_of_one_record(self) -> None:
        """Of a list that has more, by its total."""
        pages = OverlapPaginator(10)
        pages.validate(page([1], total=3))
        pages.update(page([1], total=3))
        with pytest.raises(RetriableAPIError, match="no new records at offset 0 of a list of 3"):
            pages.validate(page([1], total=3))

    def test_the_least_page_size(self) -> None:
        """One record more than the overlap."""
        assert [OverlapPaginator(size).page_size for size in (1, 2, 3)] == [2, 2, 3]


class TestRows:
    """The rows of a result, which have no ids."""

    @staticmethod
    def rows(rows: list[Any], offset: int = 0, *, limit: int = 3, total: int | None = None) -> ResultPage:
        """A page of rows."""
        return ResultPage(offset, limit, rows, total)

    def test_pages_overlap_by_a_row(self) -> None:
        pages = RowPaginator(3)
        assert pages.update(self.rows(["a", "b", "c"])) == [(0, "a"), (1, "b"), (2, "c")]
        assert (pages.offset, pages.finished) == (2, False)
        second = self.rows(["c", "c", "d"], 2)
        pages.validate(second)
        assert pages.update(second) == [(3, "c"), (4, "d")]
        third = self.rows(["d"], 4)
        for _ in range(2):  # the page before it was full
            assert not pages.finished
            pages.validate(third)
            assert pages.update(third) == []
        assert pages.finished

    @pytest.mark.parametrize(
        ("first", "total", "rows", "new_total", "says"),
        [
            (["a", "b", "c"], None, ["a", "b", "c"], None, "the row at offset 2 is not the one that was read before"),
            (["a", "b", "c"], None, [], None, "the row at offset 2 is not the one that was read before"),
            (["a", "b", "c"], 9, ["c"], 9, "no new rows at offset 2 of a result of 9"),
            (["a", "b"], 3, ["b"], 3, "no new rows at offset 1 of a result of 3"),
            (["a", "b", "c"], 9, ["c", "d", "e"], 8, "the response is for a result of 8 rows, not of 9"),
            (["a", "a"], 2, ["a", "a"], 2, "the server ignores offset: it sends 2 rows at 1 of 2"),
            (["a", "b", "c"], 4, ["c", "d", "e"], 4, "the server ignores offset: it sends 3 rows at 2 of 4"),
        ],
    )
    def test_a_page_that_does_not_continue(
        self, first: list[str], total: int | None, rows: list[str], new_total: int | None, says: str
    ) -> None:
        pages = RowPaginator(3)
        pages.update(self.rows(first, total=total))
        with pytest.raises(RetriableAPIError) as caught:
            pages.validate(self.rows(rows, pages.offset, total=new_total))
        assert str(caught.value) == says

    @pytest.mark.parametrize(
        ("count", "has_total"), [(2, False), (3, False), (4, False), (50, False), (3, True), (430, True)]
    )
    @pytest.mark.parametrize("cap", [None, 2])
    def test_a_result_of_equal_rows(self, count: int, has_total: bool, cap: int | None) -> None:  # noqa: FBT001
        """It is no fault of the server."""
        read, requests = self.read(["a"] * count, total=count if has_total else None, cap=cap)
        assert read == [(position, "a") for position in range(count)]
        assert requests <= count + 2

    @pytest.mark.parametrize("rows", [["a"] * 2, ["a"] * 50, ["a", "b", "a"]])
    def test_a_page_that_comes_again_and_again(self, rows: list[str]) -> None:
        """Without a total it cannot be told at once from a result of equal rows."""
        with pytest.raises(FatalAPIError, match=r"the server ignores offset, or the first [0-9]+ rows are the same"):
            self.read(rows, total=None, ignores_offset=True)

    def test_equal_rows_after_another_one(self) -> None:
        """Another page has come, so the server heeds offset: as many equal rows as there are."""
        read, _ = self.read(["a", "a", "a", "b", *["a"] * 1000], total=None)
        assert len(read) == 1004

    def test_equal_rows_of_a_server_that_ignores_offset(self) -> None:
        """With a total it is refused, and no row is written that is not there; a page that is not full is the end."""
        assert len(self.read(["a"] * 2, total=2, ignores_offset=True)[0]) == 2
        with pytest.raises(RetriableAPIError, match="the server ignores offset"):
            self.read(["a"] * 3, total=3, ignores_offset=True)

    def read(
        self, rows: list[Any], *, total: int | None, cap: int | None = None, ignores_offset: bool = False
    ) -> tuple[list[tuple[int, Any]], int]:
        """Read a result of these rows; return what was read, and the number of requests."""
        pages = RowPaginator(3)
        read: list[tuple[int, Any]] = []
        for requests in range(len(rows) + 200):
            if pages.finished:
                return read, requests
            start = 0 if ignores_offset else pages.offset
            page = self.rows(rows[start : start + (cap or 3)], pages.offset, total=total)
            pages.validate(page)
            read += pages.update(page)
        pytest.fail("the walk has no end")

    def test_rows_that_are_changed_later(self) -> None:
        pages = RowPaginator(3)
        row: dict[str, Any] = {"a": [1]}
        pages.update(self.rows([{}, row]))
        row["a"].append(2)
        pages.validate(self.rows([{"a": [1]}, {}], 1))

    @pytest.mark.parametrize(("total", "requests"), [(None, 2), (1, 1)])
    def test_a_result_of_one_row(self, total: int | None, requests: int) -> None:
        """As a list of one record."""
        pages = RowPaginator(3)
        read = []
        for _ in range(requests):
            assert (pages.offset, pages.finished) == (0, False)
            only = self.rows(["a"], total=total)
            pages.validate(only)
            read += pages.update(only)
        assert read == [(0, "a")]
        assert pages.finished

    def test_one_row_a_page_is_refused(self) -> None:
        pages = RowPaginator(3)
        pages.update(self.rows(["a"], total=2))
        with pytest.raises(RetriableAPIError, match="no new rows at offset 0 of a result of 2"):
            pages.validate(self.rows(["a"], total=2))

    @examples(120)
    @given(
        count=st.integers(1, 60),
        page_size=st.integers(2, 25),
        cut=st.integers(1, 12),
        has_total=st.booleans(),
        kinds=st.integers(1, 3),
    )
    @example(count=60, page_size=5, cut=6, has_total=False, kinds=1)
    def test_a_response_cut_down_to_its_first_row_costs_no_row(
        self, *, count: int, page_size: int, cut: int, has_total: bool, kinds: int
    ) -> None:
        rows = [position % kinds for position in range(count)]
        pages = RowPaginator(page_size)
        read: list[tuple[int, Any]] = []
        requests = 0
        while not pages.finished:
            requests += 1
            assert requests < 2 * count + 10, "the walk has no end"
            assert pages.offset < count
            given = rows[pages.offset : pages.offset + (1 if requests == cut else page_size)]
            answer = self.rows(given, pages.offset, limit=page_size, total=count if has_total else None)
            try:
                pages.validate(answer)
            except RetriableAPIError:
                continue
            read += pages.update(answer)
        assert read == list(enumerate(rows))

    def test_an_empty_result_without_a_total_is_requested_once_more(self) -> None:
        pages = RowPaginator(3)
        assert pages.update(self.rows([])) == []
        assert (pages.offset, pages.finished) == (0, False)
        assert pages.update(self.rows([])) == []
        assert pages.finished

    @pytest.mark.parametrize(
        ("rows", "total", "is_finished"),
        [
            (["a", "b"], 2, True),
            ([], 0, True),
            (["a", "b"], None, False),
            (["a", "b", "c"], 3, False),
            (["a"], None, False),
        ],
    )
    def test_the_end(self, rows: list[str], total: int | None, is_finished: bool) -> None:  # noqa: FBT001
        pages = RowPaginator(3)
        pages.update(self.rows(rows, total=total))
        assert pages.finished is is_finished
