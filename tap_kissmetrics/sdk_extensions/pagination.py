"""Paginators for lists that may change while they are read by offset, and for results, which do not."""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass, field

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if t.TYPE_CHECKING:
    from tap_kissmetrics.sdk_extensions.values import Record


RecordId: t.TypeAlias = str | int

MAX_PASSES: t.Final = 10
"""Times that a list is read before it is reported as changing too often, or found empty before that is believed."""

MAX_WASTED_PAGES: t.Final = 50
"""Pages that may bring a list no further, besides three for each page that does."""

MAX_GROWTH: t.Final = 10
"""Times its first length that a list may have while it is read, and a thousand records more."""

MAX_EQUAL_PAGES: t.Final = 100
"""Times that the first page of a result may come again before any other, if no total is reported."""


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Rows of a list, as a response reports them.

    `offset` is the position of the first row; `limit` is the most rows that the server gives, or the number asked for
    where it does not report one; `total` is the reported length of the list.
    """

    offset: int
    limit: int
    rows: list[t.Any]
    total: int | None
    unknown: tuple[str, ...] = ()
    """What stands beside an empty list, and is not known."""

    @property
    def end(self) -> int:
        """Position after the last row."""
        return self.offset + len(self.rows)


@dataclass(frozen=True, slots=True)
class Page(ResultPage):
    """Records of a list, with the primary key of each."""

    ids: list[RecordId] = field(default_factory=list)


class _Paginator:
    """The request that comes next: `page_size` rows from `offset`, unless `finished`.

    For each page, call `validate` (if it raises `RetriableAPIError`, the page is to be requested again), then `update`.
    `default_sizes` are lengths at which the server may cut a page although it was asked for more.
    """

    def __init__(self, page_size: int, default_sizes: t.Collection[int] = ()) -> None:
        self.page_size = max(page_size, 2)  # the overlap, and one row more
        self.offset = 0
        self.finished = False
        self._default_sizes = default_sizes
        self._longest_page = 0
        self._was_full = False
        self._is_end_seen = False
        self._empty_first_pages = 0

    def _move_to_end_of(self, page: ResultPage) -> None:
        """Request the overlap next, which is the last row of this page, even if it is the only row."""
        length = len(page.rows)
        self._longest_page = max(self._longest_page, length)
        is_longest = bool(page.offset) and length == self._longest_page
        self._was_full = length > 1 and (length >= page.limit or length in self._default_sizes or is_longest)
        self._is_end_seen = False
        self.offset = page.end - 1

    def _believes_end(self, page: ResultPage) -> bool:
        """Return whether a page of the overlap alone is the end, which takes two witnesses.

        One is the page; the other is `total`, or that the page before it was not full, or that it came twice.
        """
        is_believed = page.end == page.total or not self._was_full or self._is_end_seen
        self._is_end_seen = True
        return is_believed

    def _believes_empty_page(self, page: ResultPage, *, had_rows: bool = False) -> bool:
        """Count an empty first page, and return whether it was empty often enough.

        Once suffices with a total, twice without one. Where there were rows a moment ago, it takes more.
        """
        self._empty_first_pages += 1
        if had_rows:
            return self._empty_first_pages >= MAX_PASSES
        return page.total is not None or self._empty_first_pages > 1


class OverlapPaginator(_Paginator):
    """Reads a list so that each record in it is returned exactly once, even if the list changes meanwhile.

    Every page after the first is requested from the offset of the last record already read. If it starts with that
    record, nothing before it has moved, so nothing was missed between the two pages: this holds for any list whose
    records keep their order. Otherwise rows were added or removed in the meantime:

    - It starts with a record not read yet: rows before it were removed, and some may have been skipped. The next page
      is requested from further back, until one starts with a known record.
    - It starts with an earlier record: rows were inserted before it. At its end the list is read again, until nothing
      moved or nothing new was found.

    The end is a page of the overlap alone. Nothing is requested beyond it: a list of one record is requested once
    more, unless its `total` is one.
    """

    def __init__(self, page_size: int, default_sizes: t.Collection[int] = ()) -> None:
        super().__init__(page_size, default_sizes)
        self._predicted = range(0)
        self._seen: dict[RecordId, int] = {}
        """The latest pass in which each record was read."""
        self._first_total: int | None = None
        self._last_step = 0
        self._wasted_pages_left = MAX_WASTED_PAGES
        self._pass = 0
        self._start_pass()

    def _start_pass(self) -> None:
        if self._pass == MAX_PASSES:
            msg = (
                f"the list changed each of the {MAX_PASSES} times that it was read: "
                "raise page_size, so that it is read faster, or run at a calmer time"
            )
            raise FatalAPIError(msg)
        self._pass += 1
        self.offset = 0
        self._first_id: RecordId | None = None
        self._overlap_id: RecordId | None = None
        self._overlap_offset = 0
        self._furthest_end = 0
        self._step_back = 0
        self._has_moved = False
        self._found_new = False

    def validate(self, page: Page) -> None:
        """Raise `RetriableAPIError` for a page that brings nothing new although its own total promises more."""
        # The first record of a page after the first is the overlap, if there is one.
        brings_new = len(page.ids) > 1 or not all(map(self._was_read, page.ids))
        if page.total is not None and page.end < page.total and not brings_new:
            msg = f"no new records at offset {page.offset} of a list of {page.total}"
            raise RetriableAPIError(msg)

    def predict(self, count: int) -> list[int]:
        """Predict at most `count` offsets that are requested next if the list does not change.

        The overlaps prove completeness whatever the order in which pages were fetched, so these can be prefetched.
        None of them is at the end of the list or after it, unless it is the next one.
        """
        return [] if self.finished else [self.offset, *self._predicted[: count - 1]]

    def update(self, page: Page) -> list[Record]:
        """Take in a validated page, set the next offset, and return the records that were in no page before.

        Raises `FatalAPIError` if the server ignores `offset`, or the list does not stop changing.
        """
        self._predicted = range(0)
        overlaps = not page.offset or (bool(page.ids) and self._was_read(page.ids[0]))
        self._check_progress(page, overlaps=overlaps)
        if not page.ids and not page.offset:
            if self._believes_empty_page(page, had_rows=bool(self._seen)):
                self._end_pass()
            return []
        self._empty_first_pages = 0
        if not overlaps:
            self._step_back = max(2 * self._step_back, self._longest_page - 1)
            self.offset = max(page.offset - self._step_back, 0)
            return []
        if page.offset and not self._step_back and page.ids[0] != self._overlap_id:
            self._has_moved = True
        new = []
        for key, record in zip(page.ids, page.rows, strict=True):
            if key not in self._seen:
                new.append(record)
            self._seen[key] = self._pass
        self._found_new |= bool(new)
        if page.ids == [self._overlap_id] and page.offset == self._overlap_offset:
            if self._believes_end(page):
                self._end_pass()
            return new
        self._continue_after(page)
        if page.end == page.total == 1:
            self._end_pass()
        return new

    def _was_read(self, key: RecordId) -> bool:
        return self._seen.get(key) == self._pass

    def _continue_after(self, page: Page) -> None:
        self._step_back = 0
        self._first_id = self._first_id if page.offset else page.ids[0]
        self._overlap_id = page.ids[-1]
        self._overlap_offset = page.end - 1
        self._move_to_end_of(page)
        # Expect pages as long as this one, unless lengths vary.
        step = len(page.ids) - 1
        if step and page.total is not None and (not page.offset or step == self._last_step):
            self._predicted = range(self.offset + step, page.total - 1, step)
        self._last_step = step

    def _check_progress(self, page: Page, *, overlaps: bool) -> None:
        """Raise `FatalAPIError` if the list grows many times over, or too many pages brought it no further.

        A page does if it has records that are new to this pass, and ends behind all others. A page of less than half
        the usual length does not if it is at the end: a list that grows would have one after the other.
        """
        if not page.offset:
            self._first_total = page.total
        if self._first_total and page.total and page.total > MAX_GROWTH * self._first_total + 1000:
            msg = f"the list grows faster than it is read: from {self._first_total} records to {page.total}"
            raise FatalAPIError(msg)
        is_at_end = page.total is None or page.end >= page.total
        is_short = is_at_end and 2 * len(page.ids) < self._longest_page
        brings_new = overlaps and not all(map(self._was_read, page.ids))
        if brings_new and page.end > self._furthest_end and not is_short:
            self._furthest_end = page.end
            self._wasted_pages_left += 3
            return
        self._wasted_pages_left -= 1
        if self._wasted_pages_left >= 0:
            return
        if page.offset >= self._longest_page and page.ids[:1] == [self._first_id]:
            msg = f"the server ignores offset: it sends the first records again at offset {page.offset}"
        elif brings_new and is_short:
            msg = f"the list grows as fast as it is read: page after page is short, up to offset {page.end}"
        else:
            msg = f"the list does not stop changing: page after page, up to offset {page.offset}, brings nothing new"
        raise FatalAPIError(msg)

    def _end_pass(self) -> None:
        if self._has_moved and self._found_new:
            self._start_pass()
        else:
            self.finished = True


class RowPaginator(_Paginator):
    """Reads each row of a result once and in order. Rows have no ids, and a result does not change.

    As with lists, every page after the first is requested from the last row already read. A page that starts with
    another row was cut out elsewhere: the server ignores `offset`, or this is another result. Where the first page
    comes again and again, the rows may really be equal: that is believed for a hundred pages.
    """

    def __init__(self, page_size: int, default_sizes: t.Collection[int] = ()) -> None:
        super().__init__(page_size, default_sizes)
        self._total: int | None = None
        self._overlap: list[t.Any] = []
        """The last row, if the next page has to start with it."""
        self._first_page: list[t.Any] = []
        """The rows of the first page, as long as all pages have been equal to it."""
        self._equal_pages = 0

    def validate(self, page: ResultPage) -> None:
        """Raise `RetriableAPIError` for a page that does not continue the one before, or that its total contradicts."""
        if page.rows[: len(self._overlap)] != self._overlap:
            msg = f"the row at offset {page.offset} is not the one that was read before"
            raise RetriableAPIError(msg)
        if page.total is None:
            return
        if self._total not in {None, page.total}:
            msg = f"the response is for a result of {page.total} rows, not of {self._total}"
            raise RetriableAPIError(msg)
        if page.end > page.total and page.rows:
            msg = f"the server ignores offset: it sends {len(page.rows)} rows at {page.offset} of {page.total}"
            raise RetriableAPIError(msg)
        if len(page.rows) == len(self._overlap) and page.end < page.total:
            msg = f"no new rows at offset {page.offset} of a result of {page.total}"
            raise RetriableAPIError(msg)

    def update(self, page: ResultPage) -> list[tuple[int, t.Any]]:
        """Take in a validated page, set the next offset, and return the new rows, each with its position.

        Raises `FatalAPIError` if the server seems to ignore `offset`.
        """
        if not page.rows:
            self.finished = self._believes_empty_page(page)
            return []
        self._total = page.total
        new = list(enumerate(page.rows, page.offset))[len(self._overlap) :]
        if not new:
            self.finished = self._believes_end(page)
            return []
        try:
            self._check_equal_pages(page)
            # A copy, because the rows themselves are changed before the next page arrives.
            self._overlap = copy.deepcopy(page.rows[-1:])
        except RecursionError:
            msg = f"row {page.end - 1} is nested too deeply"
            raise FatalAPIError(msg) from None
        self._move_to_end_of(page)
        self.finished = page.end == page.total and not self._was_full
        return new

    def _check_equal_pages(self, page: ResultPage) -> None:
        """Raise `FatalAPIError` for too many pages equal to the first one. With a total, they end there."""
        if not page.offset:
            # Only such a page can come again: each starts with the row that the one before it ends with.
            self._first_page = copy.deepcopy(page.rows) if page.rows[:1] == page.rows[-1:] else []
        elif not self._first_page or page.rows != self._first_page or page.total is not None:
            self._first_page = []  # another page has come: the server heeds offset
        else:
            self._equal_pages += 1
        if self._equal_pages == MAX_EQUAL_PAGES:
            msg = (
                f"the server ignores offset, or the first {page.end} rows are the same again and again: "
                "raise page_size, or group equal rows in the query"
            )
            raise FatalAPIError(msg)
