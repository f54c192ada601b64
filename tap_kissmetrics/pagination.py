"""Walking a list by offset while it may change (reference: "Pagination")."""

from __future__ import annotations

import typing as t

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

if t.TYPE_CHECKING:
    from tap_kissmetrics.page import Page, Record, RecordId

MOST_PASSES: t.Final = 10
"""Times that a list is read before it is said never to come to rest."""

MOST_REPEATS: t.Final = 10
"""Times in a row that the first page may come again at other offsets."""

MOST_EMPTIED: t.Final = 3
"""Times that a list may be empty that was not a moment ago, before that is believed."""

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

    A server that gives one record at a time leaves no room for a seam, and is refused.

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
        self._first: list[RecordId] = []
        self._seam = 0  # position of the last record read
        self._following = range(0)
        self._length = 0  # of the last page
        self._emptied = 0
        self._stride = 0
        self._moved = False
        self._found_new = False
        self._pass = 0
        self._fruitless = 0
        self._repeats = 0
        self._largest = 0
        self._start_pass()

    def check(self, page: Page) -> Page:
        """Refuse a page that brings nothing while its own total says there is more.

        Args:
            page: The page at `offset`.

        Returns:
            The page.

        Raises:
            RetriableAPIError: If another try may bring the records.
        """
        if not page.offset and not page.ids and self._seen and self._emptied < MOST_EMPTIED:
            self._emptied += 1
            msg = "the list is empty, and was not a moment ago"
            raise RetriableAPIError(msg)
        # The first record of a page is the seam, if there is one.
        least = 2 if page.offset else 1
        brings_new = len(page.ids) >= least or not all(map(self._was_read, page.ids))
        if page.total is not None and page.end < page.total and not brings_new:
            msg = f"no new records at offset {page.offset} of a list of {page.total}"
            raise RetriableAPIError(msg)
        return page

    def upcoming(self, count: int) -> list[int]:
        """Tell which pages come next if the list stays as it is.

        The proof by seams does not ask in which order pages were fetched, so they can
        be fetched ahead.

        Args:
            count: The most pages to tell.

        Returns:
            Their offsets, from `offset` on; never one at the end of the list or after it,
            unless it is `offset` itself.
        """
        return [] if self.finished else [self.offset, *self._following[: count - 1]]

    def accept(self, page: Page) -> list[Record]:
        """Take in the page that was asked for, and decide what to ask for next.

        Args:
            page: The page at `offset`.

        Returns:
            The records that were not in any page before.

        Raises:
            FatalAPIError: If the server ignores `offset`, or the list never rests.
        """
        self._following = range(0)
        is_probe = page.offset > self._seam  # after a page of one record
        if not page.ids and (not page.offset or is_probe):
            self._end_pass()
            return []
        has_seam = not page.offset or (page.ids and self._was_read(page.ids[0]))
        if is_probe and not has_seam:
            if self._pass > 1:
                msg = (
                    "the server gives one record a page: pages cannot overlap, so missing records would not be noticed"
                )
                raise FatalAPIError(msg)
            self._start_pass()  # or the list has grown to a second record meanwhile
            return []
        if not has_seam:
            self._count_fruitless(page)
            self._stride = max(2 * self._stride, page.limit - 1)
            self.offset = max(page.offset - self._stride, 0)
            return []
        if page.offset and not self._stride and (is_probe or page.ids[0] != self._last):
            self._moved = True

        new, fresh = self._take(page)
        if fresh:
            self._fruitless = self._repeats = 0
        else:
            self._count_fruitless(page)

        if self._is_end(page, fresh):
            self._end_pass()
        else:
            self._stride = 0
            self._largest = max(self._largest, len(page.ids))
            self._first = self._first if page.offset else page.ids
            self._last = page.ids[-1]
            self._seam = page.end - 1
            self.offset = max(self._seam, 1)
            self._foresee(page)
        return new

    def _foresee(self, page: Page) -> None:
        """Expect pages as long as this one, unless the server gives another length each time."""
        length = len(page.ids)
        steady = not page.offset or length == self._length
        self._length = length
        if steady and length > 1 and page.total is not None:
            self._following = range(self.offset + length - 1, page.total - 1, length - 1)

    def _take(self, page: Page) -> tuple[list[Record], int]:
        """Give the records never met before, and how many are new to this pass."""
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
        return new, fresh

    def _was_read(self, key: RecordId) -> bool:
        return self._seen.get(key) == self._pass

    def _is_end(self, page: Page, fresh: int) -> bool:
        only_seam = page.ids == [self._last] and page.offset == self._seam
        if page.total is None or page.end > page.total or self._moved:
            return only_seam
        # A full page is not taken for the last, whatever its total says, nor one that
        # repeats several others.
        full = len(page.ids) in {page.limit, self._largest}
        return bool(page.end == page.total and (only_seam or ((fresh or self._stride) and not full)))

    def _start_pass(self) -> None:
        if self._pass == MOST_PASSES:
            msg = (
                f"the list changed each of the {MOST_PASSES} times that it was read: "
                "raise page_size, so that it is read faster, or run at a calmer time"
            )
            raise FatalAPIError(msg)
        self.offset = 0
        self._pass += 1
        self._moved = False
        self._found_new = False
        self._stride = 0
        self._first = []
        self._last = None
        self._seam = 0

    def _end_pass(self) -> None:
        if not self._moved or (self._pass > 1 and not self._found_new):
            self.finished = True
        else:
            self._start_pass()

    def _count_fruitless(self, page: Page) -> None:
        self._fruitless += 1
        if page.offset and page.ids == self._first:
            self._repeats += 1
        else:
            self._repeats = 0
        if self._repeats == MOST_REPEATS:
            msg = f"the server ignores offset: it gives the same {len(page.ids)} records at {page.offset} as before it"
            raise FatalAPIError(msg)
        if self._fruitless > MOST_FRUITLESS:
            msg = f"{MOST_FRUITLESS} pages in a row, up to offset {page.offset}, "
            raise FatalAPIError(msg + "brought no new record: the list never rests")
