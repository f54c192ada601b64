"""Walking the rows of a result by offset: rows have no ids, and do not change."""

from __future__ import annotations

import copy
import typing as t

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if t.TYPE_CHECKING:
    from tap_kissmetrics.page import Window


ONE_ROW_A_PAGE: t.Final = "the server gives one row a page: pages cannot overlap, so missing rows would not be noticed"

_IGNORED: t.Final = "the server ignores offset: it gives the same rows at {} as before"


class RowPaginator:
    """Reads each row of a result once, in its order.

    As with lists, every page after the first is asked for from the last row already
    read. A page that starts with another row was cut out elsewhere: the server ignores
    `offset`, or the result is another one.

    Attributes:
        offset: The `offset` to ask for next.
        limit: The `limit` to ask for; at least 2, for one row is the seam.
        finished: Whether the result was read to its end.
    """

    def __init__(self, page_size: int) -> None:
        """Start at the first row.

        Args:
            page_size: Rows to ask for, per request.
        """
        self.offset = 0
        self.limit = max(page_size, 2)
        self.finished = False
        self._last: list[t.Any] = []
        self._before: list[t.Any] = []  # the last page, if it ends with the row that it starts with

    def check(self, window: Window) -> Window:
        """Refuse a page that does not go on where the last one ended.

        Args:
            window: The page at `offset`.

        Returns:
            The page.

        Raises:
            RetriableAPIError: If the seam is not there, the page is the one before again, or
                rows are missing that the result's own total promises.
        """
        if window.rows[: len(self._last)] != self._last:
            msg = f"the row at offset {window.offset} is not the one that was there before"
            raise RetriableAPIError(msg)
        # A page that is full may be that of a result which repeats itself.
        if self._before and window.rows == self._before and len(window.rows) < window.limit:
            raise RetriableAPIError(_IGNORED.format(window.offset))
        if window.total is not None and len(window.rows) == len(self._last) and window.end < window.total:
            msg = f"no new rows at offset {window.offset} of a result of {window.total}"
            raise RetriableAPIError(msg)
        return window

    def accept(self, window: Window) -> list[tuple[int, t.Any]]:
        """Take in the page that was asked for, and decide what to ask for next.

        Args:
            window: The page at `offset`, checked.

        Returns:
            The rows that were not in the page before, each with its position.

        Raises:
            FatalAPIError: If the server ignores `offset`, or a row is nested too deeply.
        """
        overlap = len(self._last)
        if window.offset and not overlap and window.rows:
            raise FatalAPIError(ONE_ROW_A_PAGE)
        rows = list(enumerate(window.rows, window.offset))[overlap:]
        told = window.end == window.total and len(window.rows) < window.limit
        self.finished = told or not rows
        # One row leaves no room for a seam: what follows it is asked for without.
        try:
            # Copies, for what becomes of the rows themselves changes them.
            last = copy.deepcopy(window.rows[-1:])
            loop = copy.deepcopy(window.rows) if window.rows[:1] == last else []
        except RecursionError:
            msg = f"row {window.end - 1} is nested too deeply"
            raise FatalAPIError(msg) from None
        self._last = last if len(window.rows) > 1 or overlap else []
        self.offset = window.end - len(self._last)
        self._before = loop
        return rows
