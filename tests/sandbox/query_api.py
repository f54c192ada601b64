"""The Query API v3 from a request to an answer: lists, and queries that take their time."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from tests.sandbox.base import NOT_FOUND, Api, allow, authorize
from tests.sandbox.bodies import metric_query, product_query, report_query
from tests.sandbox.lists import RefusalError, window
from tests.sandbox.messages import Request, Response, to_json
from tests.sandbox.override import override
from tests.sandbox.queries import ERROR
from tests.sandbox.query_data import QUERY_RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.sandbox.lists import Pager
    from tests.sandbox.queries import Kind, Query
    from tests.sandbox.switches import Switches

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 10_000

_STARTS: dict[tuple[str, ...], tuple[Kind, Callable[[Request, Switches], tuple[dict[str, Any], str]]]] = {
    ("queries", "report"): ("report", report_query),
    ("queries", "metric"): ("metric", metric_query),
    ("queries",): ("query", product_query),
}


class QueryApi(Api):
    """The Query API v3 without sockets."""

    base = "/v3"
    error_form = "messages"

    @override
    def _asked(self, request: Request, parts: list[str]) -> tuple[str | None, bool]:
        match parts:
            case ["products"]:
                return "products", True
            case ["products", _, resource] if resource in QUERY_RESOURCES[1:]:
                return resource, True
            case ["queries", query_id] if request.method == "GET":
                return "queries", self.queries.state(query_id) == "completed"
            case ["queries"] | ["queries", _]:
                return "queries", False
        return None, False

    @override
    def _answer(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        login = f"{self.switches.username}:{self.switches.password}".encode()
        authorize(request, f"Basic {base64.b64encode(login).decode()}", "Kissmetrics", "Unauthenticated.")
        if request.resource is None:
            raise RefusalError(404, NOT_FOUND)
        if request.resource == "queries":
            return self._query(request, parts, pagers)
        allow(request, "GET")
        if parts == ["products"]:
            rows = self.switches.account.records["products"]
        else:
            rows = self.switches.account.scoped(request.resource, self._find("products", parts[1])["id"])
        return Response.of_json(200, b"{" + self._array(request, self._key(request.resource), rows, pagers) + b"}")

    def _key(self, resource: str) -> str:
        match self.switches.array_key:
            case "resource":
                return resource
            case "events":
                return {"products": "data", "properties": "events"}.get(resource, resource)
        return "data"

    def _array(self, request: Request, key: str, rows: Sequence[object], pagers: Iterable[Pager]) -> bytes:
        cap = LARGEST_LIMIT if self.switches.cap is None else self.switches.cap
        page = window(request, default=DEFAULT_LIMIT, cap=cap, pagers=pagers)
        return to_json(key) + b":" + self._rows.read(rows, page)

    def _query(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        if request.method == "POST" and tuple(parts) in _STARTS:
            kind, read = _STARTS[tuple(parts)]
            query = self.queries.new(kind, *read(request, self.switches))
            return Response.of_json(200, {"id": query.id}, done=lambda: self.queries.all.append(query))
        if len(parts) == 1 or parts[1] in {"report", "metric"}:
            allow(request, "POST")
        allow(request, "GET", "DELETE")
        query = self.queries.find(parts[1])
        if request.method == "DELETE":
            return Response.of_json(200, {"id": query.id}, done=query.cancel)
        return self._status(request, query, pagers)

    def _status(self, request: Request, query: Query, pagers: Iterable[Pager]) -> Response:
        state = query.state(self.switches)
        body: object
        match state:
            case "completed":
                rows = self._array(request, "data", self.queries.rows(query), pagers)
                body = b'{"completed":true,"progress":1,' + rows + b"}"
            case "failed" if self.switches.query_outcome == "fail_completed":
                body = {"completed": True, "error": {"message": ERROR}}
            case "failed":
                body = {"completed": False, "progress": query.progress(self.switches), "error": ERROR}
            case _:
                body = {"completed": False, "progress": query.progress(self.switches)}
        return Response.of_json(200, body, done=lambda: query.told(state))
