"""From a request to an answer, as the Core API reference describes it: directory, lists, scoped lists, details."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlencode

from tests.sandbox.data import PARENTS, RESOURCES, Account, Record
from tests.sandbox.messages import Page, Request, Response, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Pager = Callable[[Page], None]

BASE = "/core"

Form = Literal["envelope", "bare"]
"""{meta, data, pagination, links}, as real answers are, or the bare arrays and objects that the reference prints."""

DEFAULT_LIMIT = 20
"""Section "Pagination" of the reference."""

CACHE_FROM = 5_000
"""In lists at least this long a record is serialised once, and again only when another object takes its place."""

_NUMBER = re.compile(r"[0-9]+", re.ASCII)


class _RefusalError(Exception):
    """What the API answers when it does not do as it is asked."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = Response.of_error(status, message)
        self.response.headers.update(headers or {})


class Api:
    """The Core API without sockets.

    Attributes:
        account: What it serves.
        url: Its root directory, used in the links of lists.
        form: See `Form`.
        cap: The largest `limit` that is honoured; None honours every limit.
        token: The only token that is let in.
    """

    def __init__(self, account: Account, url: str, *, form: Form, cap: int | None, token: str) -> None:
        """Serve `account` at `url`."""
        self.account = account
        self.url = url
        self.form = form
        self.cap = cap
        self.token = token
        self._serialised: dict[int, tuple[Record, bytes]] = {}

    def route(self, request: Request) -> list[str] | None:
        """Note in `request` what it asks for.

        Returns:
            The path below the base in parts, such as ["products", ID, "events"]; None where there is nothing.
        """
        below = request.path.removeprefix(BASE)
        if not request.path.startswith(BASE) or (below and not below.startswith("/")):
            return None
        parts = [unquote(part) for part in below.split("/")[1:]]
        match parts:
            case []:
                return parts
            case [resource] | [resource, _] if resource in RESOURCES:
                request.resource, request.is_list = resource, len(parts) == 1
                return parts
            case [parent, _, resource] if PARENTS.get(resource) == parent:
                request.resource, request.is_list = resource, True
                return parts
        return None

    def answer(self, request: Request, parts: list[str] | None, pagers: Iterable[Pager]) -> Response:
        """Answer a request; `pagers` may move the window of a list before it is read."""
        try:
            return self._answer(request, parts, pagers)
        except _RefusalError as refusal:
            return refusal.response

    def warm(self) -> None:
        """Serialise every record of the long lists, so that a benchmark does not pay for it."""
        for records in self.account.records.values():
            self._rows(records, 0, len(records))

    def _answer(self, request: Request, parts: list[str] | None, pagers: Iterable[Pager]) -> Response:
        if request.method != "GET":
            raise _RefusalError(405, f"{request.method} is not supported here", {"Allow": "GET"})
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise _RefusalError(401, "Bad credentials", {"WWW-Authenticate": 'Bearer realm="Kissmetrics"'})
        match parts:
            case []:
                return self._directory()
            case [resource]:
                return self._list(request, self.account.records[resource], pagers)
            case [parent, parent_id, resource]:
                self._find(parent, parent_id)
                return self._list(request, self.account.scoped(resource, parent_id), pagers)
            case [resource, record_id]:
                return self._details(resource, record_id)
        raise _RefusalError(404, "There is nothing at this path")

    def _directory(self) -> Response:
        links = [_link(self.url, "self", "Directory")]
        links += [_link(f"{self.url}/{resource}", resource, resource.title()) for resource in RESOURCES]
        data = {
            "links": links,
            "description": "API access for KISSmetrics",
            "name": "KISSmetrics API",
        }
        meta = {"meta": {"status": 200}} if self.form == "envelope" else {}
        return Response.of_json(200, {**meta, "links": links[:1], "data": data})

    def _find(self, resource: str, record_id: str) -> Record:
        for record in self.account.records[resource]:
            if record.get("id") == record_id:
                return record
        raise _RefusalError(404, f"There is no such record in {resource}")

    def _details(self, resource: str, record_id: str) -> Response:
        record = self._find(resource, record_id)
        if resource != "accounts":
            record = {
                **record,
                "links": [],
            }  # so the reference prints them on every detail page but that of accounts
        if self.form == "bare":
            return Response.of_json(200, record)
        links = [_link(f"{self.url}/{resource}/{record_id}", "self", "Self")]
        return Response.of_json(200, {"meta": {"status": 200}, "data": record, "links": links})

    def _list(self, request: Request, records: list[Record], pagers: Iterable[Pager]) -> Response:
        limit = _argument(request, "limit", DEFAULT_LIMIT)
        limit = limit if self.cap is None else min(limit, self.cap)
        offset = _argument(request, "offset", 0)
        page = Page(offset, limit, shown_offset=offset, shown_limit=limit)
        for pager in pagers:
            pager(page)
        rows = b"[" + b",".join(self._rows(records, page.offset, page.offset + page.limit)) + b"]"
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self.form == "bare":
            return Response(200, rows, headers)
        links = self._page_links(request, page, len(records))
        headers["Link"] = ", ".join(
            f'<{link["href"]}>; rel="{link["rel"]}"; templated="{str(link["templated"]).lower()}"' for link in links
        )
        pagination = {"limit": page.shown_limit, "offset": page.shown_offset, "total": len(records)}
        tail = to_json({"pagination": pagination, "links": links})[1:]
        return Response(200, b'{"meta":{"status":200},"data":' + rows + b"," + tail, headers)

    def _rows(self, records: list[Record], start: int, stop: int) -> list[bytes]:
        window = records[start:stop]
        if len(records) < CACHE_FROM:
            return [to_json(record) for record in window]
        rows = []
        for record in window:
            known = self._serialised.get(id(record))
            if known is None:  # an entry keeps its record alive, so that no other one can have the same id()
                known = self._serialised[id(record)] = (record, to_json(record))
            rows.append(known[1])
        return rows

    def _page_links(self, request: Request, page: Page, total: int) -> list[Record]:
        limit, offset, step = page.shown_limit, page.shown_offset, max(page.shown_limit, 1)
        plain = self.url + request.path.removeprefix(BASE)

        def link(rel: str, name: str, at: int) -> Record:
            return _link(f"{plain}?{urlencode({'limit': limit, 'offset': at})}", rel, name)

        links = [link("self", "Self", offset), link("first", "First", 0)]
        links.append(link("last", "Last", max(total - 1, 0) // step * step))
        if offset + limit < total:
            links.append(link("next", "Next", offset + limit))
        if offset:
            links.append(link("prev", "Previous", max(offset - limit, 0)))
        details = f"{self.url}/{request.resource}/{{id}}"
        links.append({"templated": True, "href": details, "rel": "details", "name": "Details"})
        return links


def _argument(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise _RefusalError(400, f"{name} must be an integer that is not negative")
    return int(text)


def _link(href: str, rel: str, name: str) -> Record:
    return {"templated": False, "href": href, "rel": rel, "name": name}
