"""Asynchronous queries of both APIs: the bodies that start them, their progress, and the rows that they return."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.sandbox.data import QUERY_TYPES, QueryAccount
from tests.sandbox.messages import RefusalError
from tests.sandbox.records import date, uuid

if TYPE_CHECKING:
    from tests.sandbox.messages import Request
    from tests.sandbox.server import Sandbox

Body = dict[str, Any]
Row = dict[str, Any] | list[Any]

State = Literal["running", "completed", "failed", "gone"]

Kind = Literal["report", "metric", "query", "run", "over-time", "by-segment"]
"""What started a query: POST /queries/report, /queries/metric or /queries of v3, or in the Core API the run of a report
or one of the two queries of a metric."""

_PROGRESS_OF_ENDLESS = 0.25
_REPEATED_EVERY = 10
_CITIES = ("Zürich", None, "São Paulo", "京都市", "", 'The "Big" Apple')


@dataclass(eq=False)
class Query:
    """A query that was started, and what became of it."""

    id: str  # a UUID
    kind: Kind
    body: Body  # the JSON object that started it
    query_type: str  # "funnel", "sql" and so on; of the Core API "people_search_v2", "over-time" or "by-segment"
    of: str = ""  # of the Core API: the id of the report or metric
    at: float = field(default_factory=time.monotonic)  # when it was started
    polls: int = 0  # status responses, up to the first one that reported it as completed
    completed: bool = False  # whether a status response has reported it as completed
    cancelled: bool = False  # by a DELETE
    result: list[Row] | None = field(default=None, repr=False)  # all rows, once requested; change them under the lock

    def state(self, sandbox: Sandbox) -> State:
        """Return the state that a client sees now."""
        if self.cancelled:
            return "gone"
        if self.completed:
            return "completed"
        is_due = self.polls >= sandbox.polls_until_complete
        match sandbox.query_outcome:
            case "complete" if is_due:
                return "completed"
            case "fail" | "fail_completed" if is_due:
                return "failed"
            case "cancelled" if is_due:
                return "gone"
        return "running"

    def progress(self, sandbox: Sandbox) -> float:
        """Return the share of a running query that is done: more than 0, less than 1."""
        if sandbox.query_outcome == "never":
            return _PROGRESS_OF_ENDLESS
        part = (self.polls + 1) / (sandbox.polls_until_complete + 1)
        return round(min(max(part, 0.01), 0.99), 2)

    def polled(self, state: State) -> None:
        """Record that a status response reported a state."""
        self.polls += not self.completed
        self.completed = state == "completed"

    def cancel(self) -> None:
        """Record that a client has cancelled it."""
        self.cancelled = True


class Queries:
    """The queries of a sandbox; `all` holds those that were started, in order."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Start with none."""
        self.all: list[Query] = []
        self._sandbox = sandbox
        self._random = random.Random(0)  # noqa: S311 - no secret

    def new(self, kind: Kind, body: Body, query_type: str, of: str = "") -> Query:
        """Make a query, which exists once it is in `all`."""
        return Query(uuid(self._random), kind, body, query_type, of)

    def is_completed(self, query_id: str) -> bool:
        """Tell whether there is a query with this id, and it is completed."""
        return any(query.id == query_id and query.state(self._sandbox) == "completed" for query in self.all)

    def find(self, query_id: str) -> Query:
        """Return the query with an id; raise `RefusalError` if it does not exist, or no longer."""
        for query in self.all:
            if query.id == query_id and query.state(self._sandbox) != "gone":
                return query
        raise RefusalError(404, "There is no such query")

    def rows(self, query: Query) -> list[Row]:
        """Return all rows of a query, always the same."""
        if query.result is None:
            rows = self._sandbox.rows
            query.result = rows(query) if callable(rows) else self._make(query, rows)
        return query.result

    def _make(self, query: Query, count: int) -> list[Row]:
        rng = random.Random(self.all.index(query))  # noqa: S311 - made-up data, no secret
        rows: list[Row] = []
        for number in range(count):
            if query.query_type in {"over-time", "metric_over_time"}:
                day = _row_of_day(rng, number)
                rows.append(list(day.values()) if self._sandbox.row_form == "array" else day)
            elif number % _REPEATED_EVERY == _REPEATED_EVERY - 1:
                rows.append(rows[-1].copy())
            elif query.kind == "by-segment":
                rows.append(_row_of_segment(rng, number))
            elif query.kind == "run":
                rows.append([12_345 + number, f"bob{number}@example.com"])
            else:
                row = _row(rng, number)
                as_array = self._sandbox.row_form == "array" and query.query_type != "sql"
                rows.append(list(row.values()) if as_array else row)
        return rows


_FIRST_DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def _row_of_day(rng: random.Random, number: int) -> dict[str, Any]:
    day = _FIRST_DAY + dt.timedelta(days=number)
    value = None if number % 11 == 7 else round(rng.random() * 1000, 3)
    return {
        "timestamp": int(day.timestamp()),
        "year": day.year,
        "month": day.month,
        "day": day.day,
        "value": value,
    }


def _row_of_segment(rng: random.Random, number: int) -> dict[str, Any]:
    city = _CITIES[number % len(_CITIES)]
    return {"property_value": city, "people_count": rng.randrange(500), "value": round(rng.random(), 3)}


def _row(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "identity": f"bob{number}@example.com",
        "Visits": rng.randrange(200),
        'share of "Pro"': round(rng.random(), 3),
        "Last city": _CITIES[number % len(_CITIES)],
        "last_seen": date(rng) if number % 7 else None,
    }


# The bodies that start a query. Each function returns the body and the type of the query, or raises a `RefusalError`.


def report_query(request: Request, sandbox: Sandbox) -> tuple[Body, str]:
    """Read the body of POST /queries/report."""
    body = _json_object(request)
    report = sandbox.account.find("reports", _integer(body, "report_id"))
    if report is None:
        raise RefusalError(422, "The report_id is unknown")
    return body, _query_type(body.get("query_type", report["report_type"]), body)


def metric_query(request: Request, sandbox: Sandbox) -> tuple[Body, str]:
    """Read the body of POST /queries/metric."""
    body = _json_object(request)
    account = sandbox.account
    if not isinstance(account, QueryAccount) or _integer(body, "metric_id") not in account.metric_ids:
        raise RefusalError(422, "The metric_id is unknown")
    return body, _query_type(body.get("query_type", "metric"), body)


def product_query(request: Request, sandbox: Sandbox) -> tuple[Body, str]:
    """Read the body of POST /queries."""
    body = _json_object(request)
    if sandbox.account.find("products", _integer(body, "product_id")) is None:
        raise RefusalError(422, "The product_id is unknown")
    parameters = body.get("query_params")
    if not isinstance(parameters, dict):
        raise RefusalError(422, "The query_params must be an object")
    query_type = _query_type(body.get("query_type"), {**body, **parameters})
    if query_type == "sql" and body["product_id"] in sandbox.products_without_sql:
        raise RefusalError(403, "SQL is not enabled for this product")
    if query_type == "sql" and not isinstance(parameters.get("statement"), str):
        raise RefusalError(400, "The query_params have no statement")
    return body, query_type


def date_span(request: Request, first: str = "start_date", last: str = "end_date") -> Body:
    """Read the body that starts a query of the Core API: two dates in order, and for a metric perhaps a property."""
    body = _json_object(request)
    try:
        start, end = (_date(body[name]) for name in (first, last))
    except (KeyError, TypeError, ValueError) as error:
        raise RefusalError(400, f"{first} and {last} must be dates of ISO 8601") from error
    if start > end:
        raise RefusalError(400, f"{first} must not be after {last}")
    return body


def _json_object(request: Request) -> Body:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusalError(415, "The Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise RefusalError(400, "The body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusalError(400, "The body must be an object")
    return body


def _integer(body: Body, name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise RefusalError(422, f"The {name} must be an integer")
    return value


def _query_type(query_type: object, body: Body) -> str:
    if not isinstance(query_type, str) or query_type not in QUERY_TYPES:
        raise RefusalError(422, f"The query_type must be one of {', '.join(QUERY_TYPES)}")
    for name in ("sort", "order"):
        if name in body and not isinstance(body[name], str):
            raise RefusalError(422, f"The {name} must be text")
    span = body.get("date_range")
    if span is None and query_type in {"people_search", "sql", "ab_test"}:
        return query_type
    if not isinstance(span, dict) or not isinstance(span.get("type"), str):
        raise RefusalError(422, f"The date_range is required for {query_type}: an object with a type")
    if span["type"] == "preset" and not isinstance(span.get("preset"), str):
        raise RefusalError(422, "The date_range has no preset")
    return query_type


def _date(text: str) -> dt.datetime:
    instant = dt.datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
