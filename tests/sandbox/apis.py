"""The APIs, from a request to a response: Core with its report runs and metric queries, and the Query API v3."""

from __future__ import annotations

import abc
import base64
import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlencode

from tests.sandbox.data import PARENTS, QUERY_RESOURCES, RESOURCES, RUNNABLE
from tests.sandbox.messages import Page, RefusalError, Request, Response, to_json
from tests.sandbox.queries import date_span, metric_query, product_query, report_query
from tests.sandbox.records import link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from tests.sandbox.messages import ErrorForm
    from tests.sandbox.queries import Kind, Queries, Query, State
    from tests.sandbox.records import Record
    from tests.sandbox.server import Sandbox

    Pager = Callable[[Page], None]

CACHE_FROM = 5_000
"""In lists of at least this length a row is encoded once, and again only when another object takes its place."""

_LIMIT, _QUERY_LIMIT = 20, 50  # of a request that has none, in the Core API and in v3
_QUERY_MAX_LIMIT = 10_000
_NUMBER = re.compile(r"[0-9]+")
_NOT_FOUND = "There is nothing at this path"
_FAILED = "The query could not be completed"

_COLUMNS = [
    {"display_name": "KM Internal ID", "type": "number", "return_option": "id"},
    {"display_name": "Identity", "type": "text", "return_option": "identity"},
]

_METRIC_COLUMNS = {
    "over-time": ("timestamp", "year", "month", "day", "value"),
    "by-segment": ("property_value", "people_count", "value"),
}

# Lists


def requested_page(request: Request, *, default: int, cap: int | None, pagers: Iterable[Pager]) -> Page:
    """Return the rows that `limit` and `offset` ask for, with `cap` as the largest limit and as the pagers move them.

    Raises `RefusalError` if one of the two is not a number.
    """
    limit = _number(request, "limit", default)
    limit = limit if cap is None else min(limit, cap)
    offset = _number(request, "offset", 0)
    page = Page(offset, limit, shown_offset=offset, shown_limit=limit)
    for pager in pagers:
        pager(page)
    return page


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise RefusalError(400, f"{name} must be an integer that is not negative")
    return int(text)


class RowEncoder:
    """Encodes rows as JSON, and caches those of long lists."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._encoded: dict[int, tuple[object, bytes]] = {}

    def array(self, rows: Sequence[object], page: Page) -> bytes:
        """Return the JSON array of the rows of a page."""
        return b"[" + b",".join(self._each(rows, page.offset, page.offset + page.limit)) + b"]"

    def warm(self, rows: Sequence[object]) -> None:
        """Encode all rows of a long list now."""
        self._each(rows, 0, len(rows))

    def _each(self, rows: Sequence[object], start: int, stop: int) -> list[bytes]:
        part = rows[start:stop]
        if len(rows) < CACHE_FROM:
            return [to_json(row) for row in part]
        encoded = []
        for row in part:
            cached = self._encoded.get(id(row))
            if cached is None:  # an entry keeps its row alive, so that no other one can have the same id()
                cached = self._encoded[id(row)] = (row, to_json(row))
            encoded.append(cached[1])
        return encoded


# What the APIs share


class Api(abc.ABC):
    """An API below a root path."""

    root: ClassVar[str]
    error_form: ClassVar[ErrorForm] = "envelope"

    def __init__(self, sandbox: Sandbox, queries: Queries, origin: str) -> None:
        """Serve below `origin`, a URL without a path."""
        self.sandbox = sandbox
        self.queries = queries
        self.url = origin + self.root
        self._rows = RowEncoder()

    def serves(self, path: str) -> bool:
        """Tell whether a path belongs to this API."""
        return path == self.root or path.startswith(f"{self.root}/")

    def route(self, request: Request) -> None:
        """Set in `request` what it asks for; a path that is not below the root asks for nothing."""
        below = request.path.removeprefix(self.root)
        request.parts = (
            [unquote(part) for part in below.split("/")[1:]] if self.serves(request.path) else [request.path]
        )
        request.error_form = self.error_form
        request.resource, request.is_list = self._resource(request)

    def answer(self, request: Request, pagers: Iterable[Pager]) -> Response:
        """Answer a request that was routed; `pagers` may move the page of a list before it is read."""
        try:
            return self._answer(request, pagers)
        except RefusalError as refusal:
            return refusal.response(self.error_form)

    def warm(self) -> None:
        """Encode every record of the long lists, so that a benchmark does not pay for it."""
        for records in self.sandbox.account.records.values():
            self._rows.warm(records)

    @abc.abstractmethod
    def _resource(self, request: Request) -> tuple[str | None, bool]:
        """Return the resource that a request asks for, and whether it asks for a list."""

    @abc.abstractmethod
    def _answer(self, request: Request, pagers: Iterable[Pager]) -> Response:
        """Answer a request, or raise a `RefusalError`."""

    def _find(self, resource: str, record_id: object) -> Record:
        record = self.sandbox.account.find(resource, record_id)
        if record is None:
            raise RefusalError(404, f"There is no such record in {resource}")
        return record


def allow(request: Request, *methods: str) -> None:
    """Refuse every method but these."""
    if request.method not in methods:
        raise RefusalError(405, f"{request.method} is not supported here", {"Allow": ", ".join(methods)})


def authorize(request: Request, scheme: str, credentials: str, message: str) -> None:
    """Refuse a request without this `Authorization`."""
    if request.headers.get("authorization") != f"{scheme} {credentials}":
        raise RefusalError(401, message, {"WWW-Authenticate": f'{scheme} realm="Kissmetrics"'})


def authorize_bearer(request: Request, token: str) -> None:
    """Refuse a request without the token of the Core API."""
    authorize(request, "Bearer", token, "Bad credentials")


# The Core API


class CoreApi(Api):
    """The directory, lists, scoped lists and details of the Core API reference."""

    root = "/core"

    def _resource(self, request: Request) -> tuple[str | None, bool]:
        match request.parts:
            case [resource] | [resource, _] if resource in RESOURCES:
                return resource, len(request.parts) == 1
            case [parent, _, resource] if PARENTS.get(resource) == parent:
                return resource, True
        return None, False

    def _answer(self, request: Request, pagers: Iterable[Pager]) -> Response:
        allow(request, "GET")
        authorize_bearer(request, self.sandbox.token)
        match request.parts:
            case []:
                return self._directory()
            case [resource] if request.resource:
                return self._list(request, self.sandbox.account.records[resource], pagers)
            case [parent, parent_id, resource] if request.resource:
                self._find(parent, parent_id)
                return self._list(request, self.sandbox.account.scoped(resource, parent_id), pagers)
            case [resource, record_id] if request.resource:
                return self._details(resource, record_id)
        raise RefusalError(404, _NOT_FOUND)

    def _directory(self) -> Response:
        links = [link(self.url, "self", "Directory")]
        links += [link(f"{self.url}/{resource}", resource, resource.title()) for resource in RESOURCES]
        data = {"links": links, "description": "API access for KISSmetrics", "name": "KISSmetrics API"}
        meta = {"meta": {"status": 200}} if self.sandbox.form == "envelope" else {}
        return Response.of_json(200, {**meta, "links": links[:1], "data": data})

    def _details(self, resource: str, record_id: str) -> Response:
        record = self._find(resource, record_id)
        if resource != "accounts":  # the reference prints no links on the other detail pages
            record = {**record, "links": []}
        if self.sandbox.form == "bare":
            return Response.of_json(200, record)
        links = [link(f"{self.url}/{resource}/{record_id}", "self", "Self")]
        return Response.of_json(200, {"meta": {"status": 200}, "data": record, "links": links})

    def _list(self, request: Request, records: list[Record], pagers: Iterable[Pager]) -> Response:
        page = requested_page(request, default=_LIMIT, cap=self.sandbox.cap, pagers=pagers)
        rows = self._rows.array(records, page)
        if self.sandbox.form == "bare":
            return Response.of_json(200, rows)
        links = self._page_links(request, page, len(records))
        response = Response.of_json(200, envelope(rows, page, len(records), {"links": links}))
        response.headers["Link"] = ", ".join(
            f'<{each["href"]}>; rel="{each["rel"]}"; templated="{str(each["templated"]).lower()}"' for each in links
        )
        return response

    def _page_links(self, request: Request, page: Page, total: int) -> list[Record]:
        limit, offset, step = page.shown_limit, page.shown_offset, max(page.shown_limit, 1)
        plain = self.url + request.path.removeprefix(self.root)

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


def envelope(rows: bytes, page: Page, total: int, more: Record) -> bytes:
    """Put the JSON array of a page into the envelope, with the members of `more`."""
    pagination = {"limit": page.shown_limit, "offset": page.shown_offset, "total": total}
    tail = to_json({"pagination": pagination, **more})[1:]
    return b'{"meta":{"status":200},"data":' + rows + b"," + tail


class CoreQueries(Api):
    """What the two kinds of queries of the Core API share: a status, whose URL the start names, and results."""

    _completed_status: ClassVar[int]

    def _resource(self, request: Request) -> tuple[str | None, bool]:
        match request.parts:
            case ["queries", query_id, "results"]:
                return "queries", self.queries.is_completed(query_id)
            case ["queries", _]:
                return "queries", False
        return ("queries", False) if self._is_start(request.parts) else (None, False)

    @abc.abstractmethod
    def _is_start(self, parts: list[str]) -> bool:
        """Tell whether a path starts a query."""

    @abc.abstractmethod
    def _start(self, request: Request) -> Query:
        """Make the query that a request starts, or raise a `RefusalError`."""

    @abc.abstractmethod
    def _status_of(self, state: State, progress: float) -> Record:
        """Return the data of a status response."""

    def _answer(self, request: Request, pagers: Iterable[Pager]) -> Response:
        authorize_bearer(request, self.sandbox.token)
        match request.parts:
            case ["queries", query_id]:
                allow(request, "GET")
                return self._status(self.queries.find(query_id))
            case ["queries", query_id, "results"]:
                allow(request, "GET")
                return self._results(request, self.queries.find(query_id), pagers)
        if not self._is_start(request.parts):
            raise RefusalError(404, _NOT_FOUND)
        allow(request, "POST")
        query = self._start(request)
        response = self._with_link(202, {"meta": {"status": 202}}, "query-status", f"queries/{query.id}")
        response.commit = lambda: self.queries.all.append(query)
        return response

    def _status(self, query: Query) -> Response:
        state = query.state(self.sandbox)
        data = self._status_of(state, query.progress(self.sandbox))
        if state == "completed":
            status = self._completed_status
            body: Record = {"meta": {"status": status}, "data": data}
            response = self._with_link(status, body, "query-results", f"queries/{query.id}/results")
        else:
            body = {"meta": {"status": 200}, "data": data}
            if state == "failed" and self.sandbox.query_outcome == "fail_completed":
                data |= {"completed": True, "error": {"message": _FAILED}}
            elif state == "failed":
                body["error"] = _FAILED
            response = Response.of_json(200, body)
        response.commit = lambda: query.polled(state)
        return response

    def _results(self, request: Request, query: Query, pagers: Iterable[Pager]) -> Response:
        if not request.is_list:
            raise RefusalError(404, "This query is not completed")
        rows = self.queries.rows(query)
        page = requested_page(request, default=_LIMIT, cap=self.sandbox.cap, pagers=pagers)
        encoded = self._rows.array(rows, page)
        columns = {"columns": self._columns(query)} if self.sandbox.columns else {}
        if self.sandbox.first_form:
            metadata = {"limit": page.shown_limit, "offset": page.shown_offset}
            return Response.of_json(200, _first_form(encoded, {"total": len(rows), "metadata": metadata, **columns}))
        return self._result_page(query, page, encoded, len(rows), columns)

    def _columns(self, _query: Query) -> list[Any]:
        return _COLUMNS

    def _result_page(self, _query: Query, page: Page, rows: bytes, total: int, columns: Record) -> Response:
        return Response.of_json(200, envelope(rows, page, total, columns))

    def _with_link(self, status: int, body: Record, rel: str, path: str) -> Response:
        stray = self.sandbox.stray_links
        href = f"{stray + self.root if stray else self.url}/{path}"
        response = Response.of_json(status, {**body, "links": [link(href, rel, rel.replace("-", " ").title())]})
        response.headers["Location"] = href
        return response


def _first_form(rows: bytes, more: Record) -> bytes:
    """Make the body of 2014: `rows`, and beside them `total`, `metadata` and perhaps `columns`."""
    return b'{"rows":' + rows + b"," + to_json(more)[1:]


class RunsApi(CoreQueries):
    """The report runs of the Core API (2015): start, status, results."""

    root = "/v2"
    _completed_status = 201

    def _is_start(self, parts: list[str]) -> bool:
        match parts:
            case ["products", _, "reports", _, "run"]:
                return True
        return False

    def _start(self, request: Request) -> Query:
        _, product_id, _, report_id, _ = request.parts
        report = self._find("reports", report_id)
        if report["product_id"] != product_id:
            raise RefusalError(404, "This product has no such report")
        if report["report_type"] != RUNNABLE:
            raise RefusalError(400, f"Only reports of the type {RUNNABLE} can be run")
        return self.queries.new("run", date_span(request), RUNNABLE, report_id)

    def _status_of(self, state: State, progress: float) -> Record:
        is_completed = state == "completed"
        return {"completed": is_completed, "progress": 1.0 if is_completed else progress}


class MetricsApi(CoreQueries):
    """The queries of metrics of the Core API (2014): a status that redirects to its results once it is completed."""

    root = "/query"
    _completed_status = 303

    def _is_start(self, parts: list[str]) -> bool:
        match parts:
            case ["metrics", _, "over-time" | "by-segment"]:
                return True
        return False

    def _start(self, request: Request) -> Query:
        _, metric_id, _ = request.parts
        self._find("metrics", metric_id)
        body = date_span(request, "start_at", "end_at")
        if request.parts[2] == "over-time":
            return self.queries.new("over-time", body, "over-time", metric_id)
        self._find("properties", body.get("property_id"))
        if not isinstance(body.get("property_date"), str):
            raise RefusalError(400, "property_date is missing")
        return self.queries.new("by-segment", body, "by-segment", metric_id)

    def _status_of(self, state: State, progress: float) -> Record:
        return {} if state == "completed" else {"progress": progress}

    def _columns(self, query: Query) -> list[Any]:
        return list(_METRIC_COLUMNS[query.query_type])

    def _result_page(self, query: Query, page: Page, rows: bytes, total: int, columns: Record) -> Response:
        url = f"{self.url}/queries/{query.id}/results"
        following = urlencode({"limit": page.shown_limit, "offset": page.shown_offset + page.shown_limit})
        has_next = page.shown_offset + page.shown_limit < total
        links = [link(f"{url}?{following}", "next", "Next")] if has_next else []
        known = {"total": total, "metadata": {"limit": page.shown_limit, "offset": page.shown_offset}}
        more = {"links": links, **columns, **(known if self.sandbox.metric_total else {})}
        return Response.of_json(200, b'{"data":' + rows + b"," + to_json(more)[1:])


# The Query API v3

_STARTS: dict[tuple[str, ...], tuple[Kind, Callable[[Request, Sandbox], tuple[dict[str, Any], str]]]] = {
    ("queries", "report"): ("report", report_query),
    ("queries", "metric"): ("metric", metric_query),
    ("queries",): ("query", product_query),
}


class QueryApi(Api):
    """The lists and the asynchronous queries of the Query API v3."""

    root = "/v3"
    error_form = "messages"

    def _resource(self, request: Request) -> tuple[str | None, bool]:
        match request.parts:
            case ["products"]:
                return "products", True
            case ["products", _, resource] if resource in QUERY_RESOURCES[1:]:
                return resource, True
            case ["queries", query_id] if request.method == "GET":
                return "queries", self.queries.is_completed(query_id)
            case ["queries"] | ["queries", _]:
                return "queries", False
        return None, False

    def _answer(self, request: Request, pagers: Iterable[Pager]) -> Response:
        login = f"{self.sandbox.username}:{self.sandbox.password}".encode()
        authorize(request, "Basic", base64.b64encode(login).decode(), "Unauthenticated.")
        if request.resource is None:
            raise RefusalError(404, _NOT_FOUND)
        if request.resource == "queries":
            return self._query(request, pagers)
        allow(request, "GET")
        if request.parts == ["products"]:
            rows = self.sandbox.account.records["products"]
        else:
            rows = self.sandbox.account.scoped(request.resource, self._find("products", request.parts[1])["id"])
        return Response.of_json(200, b"{" + self._array(request, self._key(request.resource), rows, pagers) + b"}")

    def _key(self, resource: str) -> str:
        match self.sandbox.array_key:
            case "resource":
                return resource
            case "events":
                return {"products": "data", "properties": "events"}.get(resource, resource)
        return "data"

    def _array(self, request: Request, key: str, rows: Sequence[object], pagers: Iterable[Pager]) -> bytes:
        cap = _QUERY_MAX_LIMIT if self.sandbox.cap is None else self.sandbox.cap
        page = requested_page(request, default=_QUERY_LIMIT, cap=cap, pagers=pagers)
        return to_json(key) + b":" + self._rows.array(rows, page)

    def _query(self, request: Request, pagers: Iterable[Pager]) -> Response:
        start = _STARTS.get(tuple(request.parts))
        if start:
            allow(request, "POST")
            kind, read = start
            query = self.queries.new(kind, *read(request, self.sandbox))
            return Response.of_json(200, {"id": query.id}, commit=lambda: self.queries.all.append(query))
        allow(request, "GET", "DELETE")
        query = self.queries.find(request.parts[1])
        if request.method == "DELETE":
            return Response.of_json(200, {"id": query.id}, commit=query.cancel)
        return self._status(request, query, pagers)

    def _status(self, request: Request, query: Query, pagers: Iterable[Pager]) -> Response:
        state = query.state(self.sandbox)
        body: object = {"completed": False, "progress": query.progress(self.sandbox)}
        if state == "completed":
            rows = self._array(request, "data", self.queries.rows(query), pagers)
            body = b'{"completed":true,"progress":1,' + rows + b"}"
        elif state == "failed" and self.sandbox.query_outcome == "fail_completed":
            body = {"completed": True, "error": {"message": _FAILED}}
        elif state == "failed":
            body = {"completed": False, "progress": query.progress(self.sandbox), "error": _FAILED}
        return Response.of_json(200, body, commit=lambda: query.polled(state))
