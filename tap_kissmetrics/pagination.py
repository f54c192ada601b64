"""Walking a list by offset while it may change (reference: "Pagination")."""

from __future__ import annotations

import typing as t

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if t.TYPE_CHECKING:
    from tap_kissmetrics.page import Page, Record, RecordId

MOST_PASSES: t.Final = 10
"""Times that a list is read before it is said never to come to rest."""

MOST_REPEATS: t.Final = 5
"""Times that one and the same page may come at different offsets."""

MOST_FRUITLESS: t.Final = 50
"""Pages in a row without a record new to the pass before a list is given up."""


class SeamPaginator:
    """Reads a list so that each record in it comes out exactly once.

    Every page after the first is asked for from the last record already read. Where
    it starts with that record, nothing before it has shifted, and nothing was missed
    between the two pages: that holds for any list whose records keep their order.
    Where it does not, rows came or went in the meantime:

    - It starts with a record not yet read: rows before it are gone, and some may have
      been passed over. The next page is asked for from further back, until one starts
      with a record already read.
    - It starts with an earlier record: rows came in behind. At its end the list is
      read again, until nothing moved or nothing new was found.

    Attributes:
        offset: The `offset` to ask for next.
        limit: The `limit` to ask for; at least 2, for one record is the seam.
        finished: Whether the list was read to its end.
    """

    def __init__(self, page_size: int) -> None:
        """Start at the first record.

        Args:
            page_size: Records to ask for, per request.
        """
        self.limit = max(page_size, 2)
        self.finished = False
        self._seen: dict[RecordId, int] = {}  # the latest pass that met the record
        self._last: RecordId | None = None
        self._previous: list[RecordId] = []
        self._stride = 0
        self._moved = False
        self._found_new = False
        self._promised: int | None = None
        self._wanders = False
        self._pass = 0
        self._fruitless = 0
        self._largest = 0
        self._start_pass()

    def check(self, page: Page) -> Page:
        """Refuse a page that brings nothing while its own total says there is more.

        Args:
            page: The page at `offset`.

        Returns:
            The page.

        Raises:
            RetriableAPIError: If another try may bring the records. Where the total
                is another with each try, it is not believed.
        """
        least = 2 if page.offset else 1  # the first is the seam
        if page.total is None or page.end >= page.total or len(page.ids) >= least:
            self._promised = None
        elif self._promised in {None, page.total}:
            self._promised = page.total
            msg = f"no new records at offset {page.offset} of a list of {page.total}"
            raise RetriableAPIError(msg)
        else:
            self._wanders = True
        return page

    def accept(self, page: Page) -> list[Record]:
        """Take in the page that was asked for, and decide what to ask for next.

        Args:
            page: The page at `offset`.

        Returns:
            The records that were not in any page before.

        Raises:
            FatalAPIError: If the server ignores `offset`, or the list never rests.
        """
        if not page.ids and (not page.offset or len(self._previous) == 1):
            # Empty, or after the only record: the one page that has no seam.
            self._end_pass()
            return []
        if page.offset and (not page.ids or not self._was_read(page.ids[0])):
            self._count_fruitless(page)
            self._stride = max(2 * self._stride, page.limit - 1)
            self.offset = max(page.offset - self._stride, 0)
            return []
        if page.offset and not self._stride and page.ids[0] != self._last:
            self._moved = True

        fresh = 0
        new: list[Record] = []
        for key, record in zip(page.ids, page.records, strict=True):
            if self._was_read(key):
                continue
            fresh += 1
            if key not in self._seen:
                new.append(record)
            self._seen[key] = self._pass
        self._found_new |= bool(new)
        if fresh:
            self._fruitless = 0
        else:
            self._count_fruitless(page)

        if self._is_end(page, fresh):
            self._end_pass()
        else:
            self._stride = 0
            self._largest = max(self._largest, len(page.ids))
            self._previous = page.ids
            self._last = page.ids[-1]
            self.offset = max(page.end - 1, 1)
        return new

    def _was_read(self, key: RecordId) -> bool:
        return self._seen.get(key) == self._pass

    def _is_end(self, page: Page, fresh: int) -> bool:
        only_seam = page.ids == [self._last]
        believed = not (self._wanders or self._moved)
        if page.total is None or page.end > page.total or not believed:
            return only_seam
        # A full page is not taken for the last, whatever its total says, nor one that
        # repeats several others.
        full = len(page.ids) in {page.limit, self._largest}
        proof = fresh or only_seam or self._stride
        return bool(page.end == page.total and proof and not full)

    def _start_pass(self) -> None:
        self.offset = 0
        self._pass += 1
        self._moved = False
        self._found_new = False
        self._stride = 0
        self._last = None
        self._previous = []

    def _end_pass(self) -> None:
        if not self._moved or (self._pass > 1 and not self._found_new):
            self.finished = True
        elif self._pass == MOST_PASSES:
            msg = (
                f"the list changed each of the {MOST_PASSES} times that it was read: "
                "raise page_size, so that it is read faster, or run at a calmer time"
            )
            raise FatalAPIError(msg)
        else:
            self._start_pass()

    def _count_fruitless(self, page: Page) -> None:
        self._fruitless += 1
        if self._fruitless >= MOST_REPEATS and page.ids == self._previous:
            msg = f"the server ignores offset: it gives the same {len(page.ids)} records at {page.offset} as before it"
            raise FatalAPIError(msg)
        if self._fruitless > MOST_FRUITLESS:
            msg = f"{MOST_FRUITLESS} pages in a row, up to offset {page.offset}, "
            raise FatalAPIError(msg + "brought no new record: the list never rests")
