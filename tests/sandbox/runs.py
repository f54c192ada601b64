"""The report runs that belong to the Core API, from a request to an answer: start, status, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.api import DEFAULT_LIMIT, authorize_bearer, envelope
from tests.sandbox.base import NOT_FOUND, Api, allow
from tests.sandbox.bodies import date_span
from tests.sandbox.data import RUNNABLE, link
from tests.sandbox.lists import RefusalError, window
from tests.sandbox.messages import Request, Response
from tests.sandbox.override import override
from tests.sandbox.queries import ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox.account import Record
    from tests.sandbox.lists import Pager
    from tests.sandbox.queries import Query

_COLUMNS = [
    {"display_name": "KM Internal ID", "type": "number", "return_option": "id"},
    {"display_name": "Identity", "type": "text", "return_option": "identity"},
]


class RunsApi(Api):
    """The report runs of 2015 without sockets."""

    base = "/v2"

    @override
    def _asked(self, request: Request, parts: list[str]) -> tuple[str | None, bool]:
        match parts:
            case ["products", _, "reports", _, "run"] | ["queries", _]:
                return "queries", False
            case ["queries", query_id, "results"]:
                return "queries", self.queries.state(query_id) == "completed"
        return None, False

    @override
    def _answer(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        authorize_bearer(request, self.switches.token)
        match parts:
            case ["products", product_id, "reports", report_id, "run"]:
                allow(request, "POST")
                return self._start(request, product_id, report_id)
            case ["queries", query_id]:
                allow(request, "GET")
                return self._status(self.queries.find(query_id))
            case ["queries", query_id, "results"]:
                allow(request, "GET")
                return self._results(request, self.queries.find(query_id), pagers)
        raise RefusalError(404, NOT_FOUND)

    def _start(self, request: Request, product_id: str, report_id: str) -> Response:
        report = self._find("reports", report_id)
        if report["product_id"] != product_id:
            raise RefusalError(404, "This product has no such report")
        if report["report_type"] != RUNNABLE:
            raise RefusalError(400, f"Only reports of the type {RUNNABLE} can be run")
        query = self.queries.new("run", date_span(request), RUNNABLE)
        response = self._pointing(202, {"meta": {"status": 202}}, "query-status", f"queries/{query.id}")
        response.done = lambda: self.queries.all.append(query)
        return response

    def _status(self, query: Query) -> Response:
        state = query.state(self.switches)
        data: Record = {"completed": False, "progress": query.progress(self.switches)}
        body: Record = {"meta": {"status": 200}, "data": data}
        if state == "completed":
            body = {"meta": {"status": 201}, "data": {"completed": True, "progress": 1.0}}
            response = self._pointing(201, body, "query-results", f"queries/{query.id}/results")
        else:
            if state == "failed" and self.switches.query_outcome == "fail_completed":
                data |= {"completed": True, "error": {"message": ERROR}}
            elif state == "failed":
                body["error"] = ERROR
            response = Response.of_json(200, body)
        response.done = lambda: query.told(state)
        return response

    def _results(self, request: Request, query: Query, pagers: Iterable[Pager]) -> Response:
        if not request.is_list:
            raise RefusalError(404, "This query is not completed")
        rows = self.queries.rows(query)
        page = window(request, default=DEFAULT_LIMIT, cap=self.switches.cap, pagers=pagers)
        columns = {"columns": _COLUMNS} if self.switches.columns else {}
        return Response.of_json(200, envelope(self._rows.read(rows, page), page, len(rows), columns))

    def _pointing(self, status: int, body: Record, rel: str, below: str) -> Response:
        stray = self.switches.stray_links
        root = stray + self.base if stray else self.url
        href = f"{root}/{below}"
        response = Response.of_json(status, {**body, "links": [link(href, rel, rel.replace("-", " ").title())]})
        response.headers["Location"] = href
        return response
