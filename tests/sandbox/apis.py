"""The APIs, from a request to a response: Core with its report runs and metric queries, and the Query API v3."""

from __future__ import annotations

import abc
import base64
import random
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlencode

from tests.sandbox.data import PARENTS, PEOPLE_SEARCH_V3, QUERY_RESOURCES, RESOURCES, RUNNABLE
from tests.sandbox.messages import Page, RefusalError, Request, Response, to_json
from tests.sandbox.queries import FAILURES, Query, date_span, json_object, v3_query
from tests.sandbox.records import link, uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from tests.sandbox.messages import ErrorForm
    from tests.sandbox.queries import Body, Kind
    from tests.sandbox.records import Record
    from tests.sandbox.server import Sandbox

CACHE_FROM = 5_000
"""In lists of at least this length a row is encoded once, and again only when another object takes its place."""

LISTS, RUNS, METRICS, V3 = "/core", "/v2", "/query", "/v3"
"""The roots: of the Core API its lists, its report runs (2015) and its metric queries (2014); and that of v3."""

_COLUMNS: dict[str, list[Any]] = {
    "over-time": ["timestamp", "year", "month", "day", "value"],
    "by-segment": ["property_value", "people_count", "value"],
    PEOPLE_SEARCH_V3: ["id", "identity", "columns"],
    RUNNABLE: [
        {"display_name": "KM Internal ID", "type": "number", "return_option": "id"},
        {"display_name": "Identity", "type": "text", "return_option": "identity"},
    ],
}


@dataclass
class Route:
    """What a request asks for; that of a list or of the rows of a query has `rows`, and its answer takes a page."""

    answer: Callable[..., Response]
    resource: str | None = None
    rows: Callable[[], Sequence[object]] | None = None
    methods: tuple[str, ...] = ("GET",)


@dataclass
class EncodedPage(Page):
    """A page with its rows, a JSON array."""

    rows: bytes = b"[]"


def _nowhere() -> Response:
    raise RefusalError(404, "There is nothing at this path")


class Api(abc.ABC):
    """An API: it finds out what a request asks for, and answers it."""

    roots: ClassVar[tuple[str, ...]]
    error_form: ClassVar[ErrorForm]
    default_limits: ClassVar[tuple[int, int]]
    """The rows of a page if no number is asked for: of a list, and of the rows of a query."""

    max_limit: ClassVar[int | None] = None

    def __init__(self, sandbox: Sandbox, origin: str) -> None:
        self.sandbox = sandbox
        self.origin = origin  # a URL without a path
        self._random = random.Random(0)  # noqa: S311 - no secret
        self._encoded: dict[int, tuple[object, bytes]] = {}

    @abc.abstractmethod
    def authorization(self) -> tuple[str, str, str]:
        """Return the scheme and the credentials that a request needs, and the message for one without."""

    @abc.abstractmethod
    def find_route(self, root: str, request: Request) -> Route | None:
        """Return what a request below a root asks for; None if there is nothing at its path."""

    def route(self, request: Request) -> Route:
        """Return what a request asks for, and note it there."""
        request.error_form = self.error_form
        request.parts = [request.path]
        route = None
        for root in self.roots:
            if request.path == root or request.path.startswith(f"{root}/"):
                request.parts = [unquote(part) for part in request.path.removeprefix(root).split("/")[1:]]
                route = self.find_route(root, request)
        route = route or Route(_nowhere)
        request.resource, request.is_list = route.resource, route.rows is not None
        return route

    def answer(
        self, request: Request, route: Route, rows: Sequence[object], pagers: Iterable[Callable[[Page], None]]
    ) -> Response:
        """Answer a request; of a list with `rows`, whose page `pagers` may move before it is read."""
        try:
            self._admit(request, route)
            return route.answer(self._page(request, rows, pagers)) if route.rows else route.answer()
        except RefusalError as refusal:
            response = Response.of_error(refusal.status, refusal.message, self.error_form)
            response.headers |= refusal.headers
            return response

    def _admit(self, request: Request, route: Route) -> None:
        scheme, credentials, message = self.authorization()
        if request.headers.get("authorization") != f"{scheme} {credentials}":
            raise RefusalError(401, message, {"WWW-Authenticate": f'{scheme} realm="Kissmetrics"'})
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            raise RefusalError(405, f"{request.method} is not supported here", {"Allow": allowed})

    def warm(self) -> None:
        """Encode every record of the long lists, so that a benchmark does not pay for it."""
        for records in self.sandbox.account.records.values():
            self._encode(records, 0, len(records))

    def _page(self, request: Request, rows: Sequence[object], pagers: Iterable[Callable[[Page], None]]) -> EncodedPage:
        limit = _number(request, "limit", self.default_limits[request.resource == "queries"])
        offset = _number(request, "offset", 0)
        cap = self.max_limit if self.sandbox.cap is None else self.sandbox.cap
        if cap is not None and limit > cap:
            if self.sandbox.over_cap:
                raise RefusalError(self.sandbox.over_cap, f"limit must be at most {cap}")
            limit = cap
        page = EncodedPage(offset, limit, shown_offset=offset, shown_limit=limit, total=len(rows))
        for pager in pagers:
            pager(page)
        page.rows = self._encode(rows, page.offset, page.offset + page.limit)
        return page

    def _encode(self, rows: Sequence[object], start: int, stop: int) -> bytes:
        part = rows[start:stop]
        if len(rows) < CACHE_FROM:
            return b"[" + b",".join(map(to_json, part)) + b"]"
        for row in part:
            if id(row) not in self._encoded:  # an entry keeps its row alive, so that no other can have the same id()
                self._encoded[id(row)] = (row, to_json(row))
        return b"[" + b",".join(self._encoded[id(row)][1] for row in part) + b"]"

    def _find(self, resource: str, record_id: object) -> Record:
        record = self.sandbox.account.find(resource, record_id)
        if record is None:
            raise RefusalError(404, f"There is no such record in {resource}")
        return record

    def _find_query(self, query_id: str) -> Query | None:
        found = (query for query in self.sandbox.queries if query.id == query_id and query.state != "gone")
        return next(found, None)

    def _new_query(self, kind: Kind, body: Body, query_type: str, of: str = "") -> Query:
        return Query(self.sandbox, uuid(self._random), kind, body, query_type, of)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch("[0-9]+", text):
        raise RefusalError(400, f"{name} must be an integer that is not negative")
    return int(text)


class CoreApi(Api):
    """The Core API: the lists and details of its reference, its report runs and its metric queries."""

    roots = (LISTS, RUNS, METRICS)
    error_form = "envelope"
    default_limits = (20, 50)

    def authorization(self) -> tuple[str, str, str]:
        return "Bearer", self.sandbox.token, "Bad credentials"

    def find_route(self, root: str, request: Request) -> Route | None:
        return self._route_of_list(request) if root == LISTS else self._route_of_query(root, request)

    def _route_of_list(self, request: Request) -> Route | None:
        account = self.sandbox.account
        match request.parts:
            case []:
                return Route(self._directory)
            case ["rels"]:
                return Route(self._rels)
            case [resource] if resource in RESOURCES:
                return Route(partial(self._list, request), resource, lambda: account.records[resource])
            case [resource, record_id] if resource in RESOURCES:
                return Route(partial(self._details, resource, record_id), resource)
            case [parent, parent_id, resource] if PARENTS.get(resource) == parent:
                return Route(partial(self._list, request), resource, lambda: account.scoped(resource, parent_id))
        return None

    def _route_of_query(self, root: str, request: Request) -> Route | None:
        match [root, *request.parts]:
            case ["/v2", "products", product_id, "reports", "people_search"]:
                return Route(partial(self._search, request, product_id), "queries", methods=("POST",))
            case ["/v2", "products", product_id, "reports", report_id, "run"]:
                return Route(partial(self._run, request, product_id, report_id), "queries", methods=("POST",))
            case ["/query", "metrics", metric_id, "over-time" | "by-segment"]:
                return Route(partial(self._query_metric, request, metric_id), "queries", methods=("POST",))
            case [_, "queries", query_id] | [_, "queries", query_id, "status"]:
                return Route(partial(self._status, root, query_id), "queries")
            case [_, "queries", query_id, "results"]:
                query = self._find_query(query_id)
                rows = query.rows if query and query.state == "completed" else None
                return Route(partial(self._results, root, query), "queries", rows)
        return None

    # Lists and details

    def _directory(self) -> Response:
        url = self.origin + LISTS
        links = [link(url, "self", "Directory")]
        links += [link(f"{url}/{resource}", resource, resource.title()) for resource in RESOURCES]
        data = {"links": links, "description": "API access for KISSmetrics", "name": "KISSmetrics API"}
        meta = {"meta": {"status": 200}} if self.sandbox.form == "envelope" else {}
        return Response.of_json(200, {**meta, "links": links[:1], "data": data})

    def _rels(self) -> Response:
        rels = [{"name": resource, "description": f"The list of {resource}"} for resource in RESOURCES]
        data = {"title": "Link relations", "description": "The relations of the links of this API", "rels": rels}
        return Response.of_json(200, {"meta": {"status": 200}, "data": data})

    def _details(self, resource: str, record_id: str) -> Response:
        record = self._find(resource, record_id)
        if resource != "accounts":  # the reference prints no links on the other detail pages
            record = {**record, "links": []}
        if self.sandbox.form == "bare":
            return Response.of_json(200, record)
        links = [link(f"{self.origin}{LISTS}/{resource}/{record_id}", "self", "Self")]
        return Response.of_json(200, {"meta": {"status": 200}, "data": record, "links": links})

    def _list(self, request: Request, page: EncodedPage) -> Response:
        if len(request.parts) == 3:
            self._find(request.parts[0], request.parts[1])
        if self.sandbox.form == "bare":
            return Response.of_json(200, page.rows)
        links = self._page_links(request, page)
        response = Response.of_json(200, envelope(page, links=links))
        response.headers["Link"] = ",".join(
            f'<{each["href"]}>; rel="{each["rel"]}"; templated="{str(each["templated"]).lower()}"' for each in links
        )
        return response

    def _page_links(self, request: Request, page: EncodedPage) -> list[Record]:
        limit, offset, total = page.shown_limit, page.shown_offset, page.total
        last = max(total - 1, 0) // max(limit, 1) * max(limit, 1)
        pages = [(offset, "self", "Self"), (0, "first", "First"), (last, "last", "Last")]
        if offset + limit < total:
            pages.append((offset + limit, "next", "Next"))
        if offset:
            pages.append((max(offset - limit, 0), "prev", "Previous"))
        url = self.origin + request.path
        links = [link(f"{url}?{urlencode({'limit': limit, 'offset': at})}", rel, name) for at, rel, name in pages]
        details = f"{self.origin}{LISTS}/{request.resource}/{{id}}"
        return [*links, {"templated": True, "href": details, "rel": "details", "name": "Details"}]

    # Queries

    def _search(self, request: Request, product_id: str) -> Response:
        self._find("products", product_id)
        return self._started(RUNS, self._new_query("people_search", json_object(request), "people_search", product_id))

    def _run(self, request: Request, product_id: str, report_id: str) -> Response:
        report = self._find("reports", report_id)
        if report["product_id"] != product_id:
            raise RefusalError(404, "This product has no such report")
        query_type = report["report_type"]
        if query_type not in {RUNNABLE, PEOPLE_SEARCH_V3}:
            raise RefusalError(400, f"Only reports of the type {RUNNABLE} can be run")
        return self._started(RUNS, self._new_query("run", date_span(request), query_type, report_id))

    def _query_metric(self, request: Request, metric_id: str) -> Response:
        self._find("metrics", metric_id)
        body = date_span(request, "start_at", "end_at")
        kind: Kind = "over-time"
        if request.parts[-1] == "by-segment":
            kind = "by-segment"
            self._find("properties", body.get("property_id"))
            if not isinstance(body.get("property_date"), str):
                raise RefusalError(400, "property_date is missing")
        return self._started(METRICS, self._new_query(kind, body, kind, metric_id))

    def _started(self, root: str, query: Query) -> Response:
        path = f"{root}/queries/{query.id}{'/status' if self.sandbox.status_path else ''}"
        response = self._pointing(202, {"message": "success"}, path, "query-status", "Status")
        response.commit = partial(self.sandbox.queries.append, query)
        return response

    def _status(self, root: str, query_id: str) -> Response:
        query = self._find_query(query_id)
        if query is None:
            raise RefusalError(404, "There is no such query")
        state = query.state
        done = {} if root == METRICS else {"completed": state == "completed"}  # a metric redirects in place of it
        if state == "completed":
            code = 303 if root == METRICS else 201
            path = f"{root}/queries/{query.id}/results"
            response = self._pointing(code, {**done, "progress": 1.0}, path, "query-results", "Results")
        else:
            data = {**done, "progress": query.progress}
            body = {"meta": {"status": 200}, "data": data}
            if state == "failed":
                (body if query.outcome == "fail" else data).update(FAILURES[query.outcome])
            response = Response.of_json(200, body)
        response.commit = partial(query.polled, is_completed=state == "completed")
        return response

    def _pointing(self, status: int, data: Body, path: str, rel: str, name: str) -> Response:
        """Answer with where to go on: in `Location` and in a link."""
        href = (self.sandbox.stray_links or self.origin) + path
        response = Response.of_json(
            status, {"meta": {"status": status}, "data": data, "links": [link(href, rel, name)]}
        )
        response.headers["Location"] = href
        return response

    def _results(self, root: str, query: Query | None, page: EncodedPage | None = None) -> Response:
        if query is None or page is None:
            raise RefusalError(404, "There is no query with this id that is completed")
        shown = {"limit": page.shown_limit, "offset": page.shown_offset}
        columns = {"columns": _COLUMNS[query.query_type]} if self.sandbox.columns else {}
        if self.sandbox.first_form:
            return Response.of_json(200, {"rows": page.rows, "total": page.total, "metadata": shown, **columns})
        if root == RUNS:
            return Response.of_json(200, envelope(page, **columns))
        url = f"{self.origin}{root}/queries/{query.id}/results"
        following = page.shown_offset + page.shown_limit
        next_url = f"{url}?{urlencode({'limit': page.shown_limit, 'offset': following})}"
        links = [link(next_url, "next", "Next")] if following < page.total else []
        known = {"total": page.total, "metadata": shown} if self.sandbox.metric_total else {}
        return Response.of_json(200, {"data": page.rows, "links": links, **columns, **known})


def envelope(page: EncodedPage, **more: object) -> dict[str, object]:
    """Put a page of the Core API into its envelope."""
    pagination = {"limit": page.shown_limit, "offset": page.shown_offset, "total": page.total}
    return {"meta": {"status": 200}, "data": page.rows, "pagination": pagination, **more}


class QueryApi(Api):
    """The lists and the asynchronous queries of the Query API v3."""

    roots = (V3,)
    error_form = "messages"
    default_limits = (50, 50)
    max_limit = 10_000

    def authorization(self) -> tuple[str, str, str]:
        login = f"{self.sandbox.username}:{self.sandbox.password}".encode()
        return "Basic", base64.b64encode(login).decode(), "Unauthenticated."

    def find_route(self, root: str, request: Request) -> Route | None:  # noqa: ARG002 - there is one root
        account, parts = self.sandbox.account, request.parts
        if len(parts) > 1 and not parts[-1]:
            parts = parts[:-1]  # a slash at its end is nothing
        match parts:
            case ["products"]:
                return Route(partial(self._list, "products", None), "products", lambda: account.records["products"])
            case ["products", product_id, resource] if resource in QUERY_RESOURCES[1:]:
                answer = partial(self._list, resource, product_id)
                return Route(answer, resource, lambda: account.scoped(resource, product_id))
            case ["queries"] | ["queries", "report" | "metric"]:
                return Route(partial(self._start, request), "queries", methods=("POST",))
            case ["queries", query_id]:
                query = self._find_query(query_id)
                methods = ("GET", "DELETE")
                if query and query.state == "completed" and request.method == "GET":
                    return Route(partial(self._completed, query), "queries", query.rows, methods)
                return Route(partial(self._running, request, query), "queries", methods=methods)
        return None

    def _list(self, resource: str, product_id: str | None, page: EncodedPage) -> Response:
        if product_id is not None:
            self._find("products", product_id)
        key = {"data": "data", "resource": resource}.get(self.sandbox.array_key)
        key = key or {"products": "data", "properties": "events"}.get(resource, resource)
        return Response.of_json(200, {key: page.rows})

    def _start(self, request: Request) -> Response:
        query = self._new_query(*v3_query(request, self.sandbox))
        return Response.of_json(200, {"id": query.id}, partial(self.sandbox.queries.append, query))

    def _completed(self, query: Query, page: EncodedPage) -> Response:
        body = {"completed": True, "progress": 1, "data": page.rows}
        return Response.of_json(200, body, partial(query.polled, is_completed=True))

    def _running(self, request: Request, query: Query | None) -> Response:
        if query is None:
            raise RefusalError(404, "There is no such query")
        if request.method == "DELETE":
            return Response.of_json(200, {"id": query.id, "cancelled": True}, query.cancel)
        failure = FAILURES[query.outcome] if query.state == "failed" else {}
        body = {"completed": False, "progress": query.progress, **failure}
        return Response.of_json(200, body, partial(query.polled, is_completed=False))
