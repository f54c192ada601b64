"""A paginator for the rows of a result, which have no ids."""

from __future__ import annotations

import copy
import typing as t

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if t.TYPE_CHECKING:
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

PROBE_DISTANCE: t.Final = 1_000_000
"""Rows after those that were read at which a server that heeds `offset` has no row."""


class RowPaginator:
    """Reads each row of a result once and in order. Rows have no ids, and a result does not change.

    As with lists, every page after the first is requested from the last row already read. A page that starts with
    another row was cut out elsewhere: the server ignores `offset`, or this is another result. Where all rows are
    equal, and there is no total, one request far after the end tells whether the server heeds `offset`.
    """

    def __init__(self, page_size: int) -> None:
        self.offset = 0
        self.page_size = max(page_size, 2)
        self.finished = False
        self._total: int | None = None
        self._overlap: list[t.Any] = []
        """The last row, if the next page has to start with it."""
        self._looping_page: list[t.Any] = []
        """The last page, if it ends with the row that it starts with."""
        self._held: ResultPage | None = None
        """A page like the one before it, until it is known whether the server heeds `offset`."""
        self._is_offset_heeded = False
        self._is_empty_confirmed = False

    def validate(self, page: ResultPage) -> None:
        """Raise `RetriableAPIError` for a page that does not continue the one before, or that its total contradicts."""
        if self._held:
            if page.rows:
                msg = f"the server ignores offset: it sends the same rows at {self._held.offset} as before"
                raise RetriableAPIError(msg)
            return
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
        """Take in a validated page, set the next offset, and return the new rows, each with its position."""
        if self._held:
            self._is_offset_heeded = True
            page, self._held = self._held, None
        elif page.total is None and page.rows and page.rows == self._looping_page and not self._is_offset_heeded:
            self._held = page
            self.offset = page.end + PROBE_DISTANCE
            return []
        if not page.rows and not page.offset and page.total is None and not self._is_empty_confirmed:
            self._is_empty_confirmed = True  # as with lists, an empty one that reports no total is requested once more
            return []
        self._total = page.total
        overlap = len(self._overlap)
        if page.offset and not overlap and page.rows:
            msg = "the server sends one row a page: pages cannot overlap, so missing rows would not be noticed"
            raise FatalAPIError(msg)
        new = list(enumerate(page.rows, page.offset))[overlap:]
        self.finished = not new or (page.end == page.total and len(page.rows) < page.limit)
        try:
            # Copies, because the rows themselves are changed before the next page arrives.
            last = copy.deepcopy(page.rows[-1:])
            self._looping_page = copy.deepcopy(page.rows) if page.rows[:1] == last else []
        except RecursionError:
            msg = f"row {page.end - 1} is nested too deeply"
            raise FatalAPIError(msg) from None
        # A page of one row could only be followed by itself.
        self._overlap = last if len(page.rows) > 1 or overlap else []
        self.offset = page.end - len(self._overlap)
        return new
