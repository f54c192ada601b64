"""Streams that are lists of records (reference: "Pagination")."""

from __future__ import annotations

import typing as t
from collections import deque
from importlib.resources import files
from urllib.parse import quote

from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_kissmetrics.client import KissmetricsStream
from tap_kissmetrics.page import Page, read_page
from tap_kissmetrics.pagination import SeamPaginator

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from singer_sdk.helpers.types import Context, Record


MOST_NAMES: t.Final = 10
"""Names that are logged of the records of one list."""


class ListStream(KissmetricsStream):
    """A list, read in full and written as one stream."""

    primary_keys: t.ClassVar[Sequence[str]] = ("id",)

    schema = StreamSchema(SchemaDirectory(files(__package__) / "schemas" / "core"))

    kept_columns: t.ClassVar[tuple[str, ...]] = ()
    """What other streams want to know of its records."""

    names_login: t.ClassVar[bool] = False
    """Whether the names of its records show who has logged in: a wrong token is seen at once."""

    @override
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: dict[t.Any, list[Record]] = {}

    def scopes(self) -> list[dict[str, t.Any]] | None:
        """Tell for which products the list is read; None: for all of them at once.

        Returns:
            The contexts.

        Raises:
            FatalAPIError: If the products cannot be read.
            RetriableAPIError: If they cannot be read for now.
        """
        return None

    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]] | None:
        with self.naming_itself():
            return self.scopes()

    @override
    def get_url(self, context: Context | None) -> str:
        scope = f"/products/{quote(str(context['product_id']), safe='')}" if context else ""
        return f"{self.url_base}{scope}{self.path}"

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        pages = SeamPaginator(self._tap.page_size)
        get_page = self.retried(self.get_page)
        if context and (scopes := self.scopes()):
            products = [scope["product_id"] for scope in scopes]
            self.progress.part = f"product {products.index(context['product_id']) + 1} of {len(products)}"
        kept: list[Record] = []
        with self.get_http_request_counter() as counter:
            counter.with_context(context)
            while not pages.finished:
                # No name for a page, which would keep it in memory beside the next one.
                yield from self._records_of(get_page(context, pages), context, pages, kept)
                counter.increment()
                self._tap.message_writer.flush()
        self._kept[context and context["product_id"]] = kept

    def get_page(self, context: Context | None, pages: SeamPaginator) -> Page:
        """Ask for one page, once.

        Args:
            context: The product to read, or None for all of them.
            pages: Tells which page.

        Returns:
            The page.

        Raises:
            RetriableAPIError: If another try may bring the page.
            FatalAPIError: If none can.
        """
        params = {"limit": pages.limit, "offset": pages.offset}
        _, body = self.ask("GET", self.get_url(context), context, params=params)
        return pages.check(read_page(body, **params))

    def _records_of(
        self, page: Page, context: Context | None, pages: SeamPaginator, kept: list[Record]
    ) -> list[Record]:
        records = pages.accept(page)
        self.progress.page(len(records), None if context else page.total)
        self._send_ahead(context, pages)
        if self.kept_columns:
            kept += [{column: record.get(column) for column in self.kept_columns} for record in records]
        return records

    def _send_ahead(self, context: Context | None, pages: SeamPaginator) -> None:
        session = self.requests_session
        # Once the API asked for a pause, what is still ahead is used if it comes next, and forgotten if the list moved.
        count = max(session.max_concurrency, session.ahead)
        if (count == 1 and not session.ahead) or self.ABORT_AT_RECORD_COUNT is not None:
            return
        upcoming = [
            self.prepare("GET", self.get_url(context), params={"limit": pages.limit, "offset": offset})
            for offset in pages.upcoming(count)
        ]
        session.send_ahead(upcoming, timeout=self.timeout, allow_redirects=self.allow_redirects)

    @override
    def end(self) -> None:
        if self.names_login:
            names = [repr(record["name"]) for record in self.known()]
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            self.lines.info("this login may see %s%s", ", ".join(names[:MOST_NAMES]) or "none", more)
        super().end()

    def known(self) -> list[Record]:
        """Give what others want to know of each record, in the order of the list; read it where it was not read yet.

        Returns:
            For each record, its `kept_columns`.

        Raises:
            FatalAPIError: If the list cannot be read.
            RetriableAPIError: If it cannot be read for now.
        """
        records = []
        scopes = self.scopes()
        for context in (None,) if scopes is None else scopes:
            key = context and context["product_id"]
            if key not in self._kept:
                deque(self.request_records(context), maxlen=0)
            records += self._kept[key]
        return records


class ProductStream(ListStream):
    """A list that can also be read product by product."""

    @override
    def scopes(self) -> list[dict[str, t.Any]] | None:
        return [{"product_id": product_id} for product_id in self._tap.product_ids] or None
