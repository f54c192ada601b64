"""A list of the Core API without HTTP, and a walk through it: thousands of walks a minute."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from singer_sdk.exceptions import RetriableAPIError

from tap_kissmetrics.apis import CORE
from tap_kissmetrics.responses import read_page
from tap_kissmetrics.sdk_extensions.pagination import OverlapPaginator

Change = tuple[str, int]
"""("insert" or "delete", position), or ("to front", position): the record there becomes the first, or ("append", 0)."""


@dataclass
class ListServer:
    """A list that changes after each request as it is told.

    Attributes:
        ids: What is in it.
        changes: What happens after the first request, the second, and so on.
        cap: The most rows that a page has.
        admits: Whether the cap is reported.
        form: "envelope" or "bare".
        total: Which total is reported: "true", "none", "small", "text".
        early: Rows by which each page starts earlier than asked.
        clamps: Whether the last record is given at any offset after it.
    """

    ids: list[int]
    changes: list[list[Change]] = field(default_factory=list)
    cap: int | None = None
    admits: bool = True
    form: str = "envelope"
    total: str = "true"
    early: int = 0
    clamps: bool = False
    requests: int = 0
    stayed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Note what is there from the start."""
        self.stayed = set(self.ids)
        self._fresh = itertools.count(len(self.ids))

    def answer(self, offset: int, limit: int) -> Any:
        """Answer a request, and let happen what happens next."""
        self.requests += 1
        given = min(limit, self.cap or limit)
        start = max(offset - self.early, 0)
        if self.clamps:
            start = min(start, max(len(self.ids) - 1, 0))
        data = [{"id": str(key)} for key in self.ids[start : start + given]]
        pagination = self._pagination(limit if not self.admits else given, offset)
        if self.requests <= len(self.changes):
            for kind, position in self.changes[self.requests - 1]:
                self._change(kind, position)
        return data if self.form == "bare" else {"data": data, "pagination": pagination}

    def _pagination(self, limit: int, offset: int) -> dict[str, Any]:
        true = len(self.ids)
        totals: dict[str, Any] = {
            "true": true,
            "text": str(true),
            "small": true // 2,
        }
        shown = {"total": totals[self.total]} if self.total in totals else {}
        return {"limit": limit, "offset": offset} | shown

    def _change(self, kind: str, position: int) -> None:
        if kind == "append":
            self.ids.append(next(self._fresh))
        elif kind == "insert":
            self.ids.insert(position % (len(self.ids) + 1), next(self._fresh))
        elif self.ids and kind == "to front":
            self.ids.insert(0, self.ids.pop(position % len(self.ids)))
        elif self.ids:
            self.stayed.discard(self.ids.pop(position % len(self.ids)))


def walk(server: ListServer, page_size: int, most: int, ahead: int = 1) -> list[int]:
    """Return the ids of a list in the order in which the tap emits them; raise a `FatalAPIError` where it gives up.

    After `most` requests the walk has no end. With `ahead` pages under way at once, from 2 on, those foreseen are
    fetched before their turn, the last one first.
    """
    pages, emitted = OverlapPaginator(page_size, default_sizes=(20, 50)), []
    fetched: dict[int, Any] = {}
    while not pages.finished:
        assert server.requests < most, "the walk has no end"
        offset, limit = pages.offset, pages.page_size
        body = fetched.pop(offset) if offset in fetched else server.answer(offset, limit)
        page = read_page(body, offset=offset, limit=limit, identity=CORE.identity)
        try:
            pages.validate(page)
        except RetriableAPIError:
            continue
        emitted += [int(record["id"]) for record in pages.update(page)]
        if ahead > 1:
            wanted = reversed(pages.predict(ahead))
            fetched = {at: fetched[at] if at in fetched else server.answer(at, limit) for at in wanted}
    return emitted
