"""The Core API from a request to an answer, as its reference describes it: directory, lists, scoped lists, details."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.sandbox.base import NOT_FOUND, Api, allow, authorize
from tests.sandbox.data import PARENTS, RESOURCES, link
from tests.sandbox.lists import RefusalError, window
from tests.sandbox.messages import Page, Request, Response, to_json
from tests.sandbox.override import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox.account import Record
    from tests.sandbox.lists import Pager

DEFAULT_LIMIT = 20
"""Section "Pagination" of the reference."""


class CoreApi(Api):
    """The Core API without sockets."""

    base = "/core"

    @override
    def _asked(self, request: Request, parts: list[str]) -> tuple[str | None, bool]:
        match parts:
            case [resource] | [resource, _] if resource in RESOURCES:
                return resource, len(parts) == 1
            case [parent, _, resource] if PARENTS.get(resource) == parent:
                return resource, True
        return None, False

    @override
    def _answer(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        allow(request, "GET")
        authorize_bearer(request, self.switches.token)
        match parts:
            case []:
                return self._directory()
            case [resource] if request.resource:
                return self._list(request, self.switches.account.records[resource], pagers)
            case [parent, parent_id, resource] if request.resource:
                self._find(parent, parent_id)
                return self._list(request, self.switches.account.scoped(resource, parent_id), pagers)
            case [resource, record_id] if request.resource:
                return self._details(resource, record_id)
        raise RefusalError(404, NOT_FOUND)

    def _directory(self) -> Response:
        links = [link(self.url, "self", "Directory")]
        links += [link(f"{self.url}/{resource}", resource, resource.title()) for resource in RESOURCES]
        data = {
            "links": links,
            "description": "API access for KISSmetrics",
            "name": "KISSmetrics API",
        }
        meta = {"meta": {"status": 200}} if self.switches.form == "envelope" else {}
        return Response.of_json(200, {**meta, "links": links[:1], "data": data})

    def _details(self, resource: str, record_id: str) -> Response:
        record = self._find(resource, record_id)
        if resource != "accounts":
            record = {
                **record,
                "links": [],
            }  # so the reference prints them on every detail page but that of accounts
        if self.switches.form == "bare":
            return Response.of_json(200, record)
        links = [link(f"{self.url}/{resource}/{record_id}", "self", "Self")]
        return Response.of_json(200, {"meta": {"status": 200}, "data": record, "links": links})

    def _list(self, request: Request, records: list[Record], pagers: Iterable[Pager]) -> Response:
        page = window(request, default=DEFAULT_LIMIT, cap=self.switches.cap, pagers=pagers)
        rows = self._rows.read(records, page)
        if self.switches.form == "bare":
            return Response.of_json(200, rows)
        links = self._page_links(request, page, len(records))
        response = Response.of_json(200, envelope(rows, page, len(records), {"links": links}))
        response.headers["Link"] = ", ".join(
            f'<{each["href"]}>; rel="{each["rel"]}"; templated="{str(each["templated"]).lower()}"' for each in links
        )
        return response

    def _page_links(self, request: Request, page: Page, total: int) -> list[Record]:
        limit, offset, step = page.shown_limit, page.shown_offset, max(page.shown_limit, 1)
        plain = self.url + request.path.removeprefix(self.base)

        def at(start: int, rel: str, name: str) -> Record:
            return link(f"{plain}?{urlencode({'limit': limit, 'offset': start})}", rel, name)

        links = [at(offset, "self", "Self"), at(0, "first", "First")]
        links.append(at(max(total - 1, 0) // step * step, "last", "Last"))
        if offset + limit < total:
            links.append(at(offset + limit, "next", "Next"))
        if offset:
            links.append(at(max(offset - limit, 0), "prev", "Previous"))
        details = f"{self.url}/{request.resource}/{{id}}"
        links.append({"templated": True, "href": details, "rel": "details", "name": "Details"})
        return links


def authorize_bearer(request: Request, token: str) -> None:
    """Refuse a request that does not carry the token."""
    authorize(request, f"Bearer {token}", "Kissmetrics", "Bad credentials")


def envelope(rows: bytes, page: Page, total: int, more: Record) -> bytes:
    """Put the JSON array of a page of rows in its envelope, with what else there is to say."""
    pagination = {"limit": page.shown_limit, "offset": page.shown_offset, "total": total}
    tail = to_json({"pagination": pagination, **more})[1:]
    return b'{"meta":{"status":200},"data":' + rows + b"," + tail
