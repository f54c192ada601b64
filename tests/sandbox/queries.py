"""Asynchronous queries of both APIs: the bodies that start them, their progress, and the rows that they return."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.sandbox.data import PEOPLE_SEARCH_V3, QUERY_TYPES, QueryAccount
from tests.sandbox.messages import RefusalError
from tests.sandbox.records import date

if TYPE_CHECKING:
    from tests.sandbox.messages import Request
    from tests.sandbox.server import Sandbox

Body = dict[str, Any]
Row = dict[str, Any] | list[Any]

State = Literal["running", "completed", "failed", "gone"]

Kind = Literal["report", "metric", "query", "run", "people_search", "over-time", "by-segment"]
"""What started a query: POST /queries/report, /queries/metric or /queries of v3; or in the Core API the run of a
report, a people search of a product, or one of the two queries of a metric."""

Outcome = Literal["complete", "fail", "fail_completed", "fail_status", "fail_flag", "fail_state", "never", "cancelled"]
"""How a query ends: completed; failed, in words of `FAILURES`; never; as if somebody had cancelled it (404)."""

FAILURES: dict[Outcome, Body] = {
    "fail": {"error": "The query could not be completed"},
    "fail_completed": {"completed": True, "error": {"message": "The query could not be completed"}},
    "fail_status": {"status": "failed", "message": "Out of memory"},
    "fail_flag": {"failed": True, "messages": ["Out of memory"]},
    "fail_state": {"state": "CANCELLED", "reason": "Stopped by an administrator"},
}
"""What the status of a query that has failed says besides."""

_REPEATED_EVERY = 10
_CITIES = ("Zürich", None, "São Paulo", "京都市", "", 'The "Big" Apple')
_FIRST_DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@dataclass(eq=False)
class Query:
    """A query that was started, and what became of it."""

    sandbox: Sandbox = field(repr=False)
    id: str  # a UUID
    kind: Kind
    body: Body  # the JSON object that started it
    query_type: str  # "funnel", "sql" and so on; of the Core API "people_search_v2", "over-time" or "by-segment"
    of: str = ""  # of the Core API: the id of the report, metric or product
    at: float = field(default_factory=time.monotonic)  # when it was started
    polls: int = 0  # status responses, up to the first one that reported it as completed
    completed: bool = False  # whether a status response has reported it as completed
    cancelled: bool = False  # by a DELETE
    result: list[Row] | None = field(default=None, repr=False)  # all rows, once requested; change them under the lock

    @property
    def outcome(self) -> Outcome:
        """How it ends."""
        outcome = self.sandbox.query_outcome
        return outcome(self) if callable(outcome) else outcome

    @property
    def state(self) -> State:
        """The state that a client sees now."""
        if self.cancelled:
            return "gone"
        if self.completed:
            return "completed"
        has_run = time.monotonic() >= self.at + self.sandbox.seconds_until_complete
        if not has_run or self.polls < self.sandbox.polls_until_complete or self.outcome == "never":
            return "running"
        if self.outcome in FAILURES:
            return "failed"
        return "completed" if self.outcome == "complete" else "gone"

    @property
    def progress(self) -> float:
        """The share of a running query that is done: more than 0, less than 1."""
        if self.outcome == "never":
            return 0.25
        part = (self.polls + 1) / (self.sandbox.polls_until_complete + 1)
        return round(min(part, 0.99), 2)

    def polled(self, *, is_completed: bool) -> None:
        """Record that a status response reported whether it is completed."""
        self.polls += not self.completed
        self.completed = is_completed

    def cancel(self) -> None:
        """Record that a client has cancelled it."""
        self.cancelled = True

    def rows(self) -> list[Row]:
        """Return all rows, always the same."""
        if self.result is None:
            rows = self.sandbox.rows
            self.result = rows(self) if callable(rows) else self._make_rows(rows)
        return self.result

    def _make_rows(self, count: int) -> list[Row]:
        rng = random.Random(self.sandbox.queries.index(self))  # noqa: S311 - made-up data, no secret
        is_over_time = self.query_type in {"over-time", "metric_over_time"}
        has_forms = self.query_type != "sql" and self.kind not in {"run", "people_search", "by-segment"}
        rows: list[Row] = []
        for number in range(count):
            if number % _REPEATED_EVERY == _REPEATED_EVERY - 1 and not is_over_time:
                rows.append(rows[-1].copy())
            elif self.kind == "run" and self.query_type != PEOPLE_SEARCH_V3:
                rows.append([12_345 + number, f"bob{number}@example.com"])
            else:
                row = self._make_row(rng, number)
                rows.append(list(row.values()) if has_forms and self.sandbox.row_form == "array" else row)
        return rows

    def _make_row(self, rng: random.Random, number: int) -> dict[str, Any]:
        city, person = _CITIES[number % len(_CITIES)], f"bob{number}@example.com"
        if self.query_type in {"over-time", "metric_over_time"}:
            day = _FIRST_DAY + dt.timedelta(days=number)
            value = None if number % 11 == 7 else round(rng.random() * 1000, 3)
            at = {"timestamp": int(day.timestamp()), "year": day.year, "month": day.month, "day": day.day}
            return {**at, "value": value}
        if self.kind == "by-segment":
            return {"property_value": city, "people_count": rng.randrange(500), "value": round(rng.random(), 3)}
        if self.kind == "people_search":
            return {"identity": person, "columns": [rng.randrange(200), city]}
        if self.kind == "run":  # dates are seconds, in the product's local time
            seconds = int(_FIRST_DAY.timestamp()) + rng.randrange(10**7)
            return {"id": 12_345 + number, "identity": person, "columns": [seconds, city]}
        return {
            "identity": person,
            "Visits": rng.randrange(200),
            'share of "Pro"': round(rng.random(), 3),
            "Last city": city,
            "last_seen": date(rng) if number % 7 else None,
        }


# The bodies that start a query. Each function returns the body, or raises a `RefusalError`.


def json_object(request: Request) -> Body:
    """Read a body that is a JSON object."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusalError(415, "The Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise RefusalError(400, "The body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusalError(400, "The body must be an object")
    return body


def date_span(request: Request, first: str = "start_date", last: str = "end_date") -> Body:
    """Read the body that starts a query of the Core API: two dates in order, and for a metric perhaps a property."""
    body = json_object(request)
    try:
        start, end = (dt.datetime.fromisoformat(body[name]).astimezone(dt.UTC) for name in (first, last))
    except (KeyError, TypeError, ValueError) as error:
        raise RefusalError(400, f"{first} and {last} must be dates of ISO 8601") from error
    if start > end:
        raise RefusalError(400, f"{first} must not be after {last}")
    return body


def v3_query(request: Request, sandbox: Sandbox) -> tuple[Kind, Body, str]:
    """Read the body that starts a query of v3; return its kind, the body and its type."""
    body = json_object(request)
    match request.parts:
        case [_, "report"]:
            report = sandbox.account.find("reports", _integer(body, "report_id"))
            if report is None:
                raise RefusalError(422, "The report_id is unknown")
            return "report", body, _query_type(body, report["report_type"])
        case [_, "metric"]:
            account = sandbox.account
            if not isinstance(account, QueryAccount) or _integer(body, "metric_id") not in account.metric_ids:
                raise RefusalError(422, "The metric_id is unknown")
            return "metric", body, _query_type(body, "metric")
    if sandbox.account.find("products", _integer(body, "product_id")) is None:
        raise RefusalError(422, "The product_id is unknown")
    parameters = body.get("query_params")
    if not isinstance(parameters, dict):
        raise RefusalError(422, "The query_params must be an object")
    query_type = _query_type({**body, **parameters})
    if query_type == "sql" and body["product_id"] in sandbox.products_without_sql:
        raise RefusalError(403, "SQL is not enabled for this product")
    if query_type == "sql" and not isinstance(parameters.get("statement"), str):
        raise RefusalError(400, "The query_params have no statement")
    return "query", body, query_type


def _integer(body: Body, name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise RefusalError(422, f"The {name} must be an integer")
    return value


def _query_type(body: Body, default: str | None = None) -> str:
    query_type: str | None = body.get("query_type", default)
    if query_type is None or query_type not in QUERY_TYPES:
        raise RefusalError(422, f"The query_type must be one of {', '.join(QUERY_TYPES)}")
    for name in ("sort", "order"):
        if not isinstance(body.get(name, ""), str):
            raise RefusalError(422, f"The {name} must be text")
    span = body.get("date_range")
    if span is None and query_type in {"people_search", "sql", "ab_test"}:
        return query_type
    if not isinstance(span, dict) or not isinstance(span.get("type"), str):
        raise RefusalError(422, f"The date_range is required for {query_type}: an object with a type")
    if span["type"] == "preset" and not isinstance(span.get("preset"), str):
        raise RefusalError(422, "The date_range has no preset")
    return query_type
