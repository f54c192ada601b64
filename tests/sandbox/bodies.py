"""What is sent to start a query, and what is refused of it."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from tests.sandbox.lists import RefusalError
from tests.sandbox.query_data import QUERY_TYPES, QueryAccount

if TYPE_CHECKING:
    from tests.sandbox.messages import Request
    from tests.sandbox.switches import Switches

Body = dict[str, Any]

_WITHOUT_DATES = "people_search"


def json_object(request: Request) -> Body:
    """Return the body of a request.

    Raises:
        RefusalError: It is no JSON object, or does not say that it is JSON.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RefusalError(415, "The Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise RefusalError(400, "The body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusalError(400, "The body must be an object")
    return body


def report_query(request: Request, switches: Switches) -> tuple[Body, str]:
    """Read the body of POST /queries/report; return it and the type of the query."""
    body = json_object(request)
    report = switches.account.find("reports", _integer(body, "report_id"))
    if report is None:
        raise RefusalError(422, "The report_id is unknown")
    query_type = body.get("query_type", report["report_type"])
    return body, _checked(query_type, body)


def metric_query(request: Request, switches: Switches) -> tuple[Body, str]:
    """Read the body of POST /queries/metric; return it and the type of the query."""
    body = json_object(request)
    account = switches.account
    if not isinstance(account, QueryAccount) or _integer(body, "metric_id") not in account.metric_ids:
        raise RefusalError(422, "The metric_id is unknown")
    query_type = body.get("query_type", "metric")
    return body, _checked(query_type, body)


def product_query(request: Request, switches: Switches) -> tuple[Body, str]:
    """Read the body of POST /queries; return it and the type of the query."""
    body = json_object(request)
    if switches.account.find("products", _integer(body, "product_id")) is None:
        raise RefusalError(422, "The product_id is unknown")
    parameters = body.get("query_params")
    if not isinstance(parameters, dict):
        raise RefusalError(422, "The query_params must be an object")
    return body, _checked(body.get("query_type"), {**body, **parameters})


def date_span(request: Request) -> Body:
    """Read the body that runs a report of Core.

    Raises:
        RefusalError: It has not two dates in order.
    """
    body = json_object(request)
    try:
        start, end = (_date(body[name]) for name in ("start_date", "end_date"))
    except (KeyError, TypeError, ValueError) as error:
        raise RefusalError(400, "start_date and end_date must be dates of ISO 8601") from error
    if start > end:
        raise RefusalError(400, "start_date must not be after end_date")
    return body


def _integer(body: Body, name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise RefusalError(422, f"The {name} must be an integer")
    return value


def _checked(query_type: object, body: Body) -> str:
    if not isinstance(query_type, str) or query_type not in QUERY_TYPES:
        raise RefusalError(422, f"The query_type must be one of {', '.join(QUERY_TYPES)}")
    for name in ("sort", "order"):
        if name in body and not isinstance(body[name], str):
            raise RefusalError(422, f"The {name} must be text")
    span = body.get("date_range")
    if span is None and query_type == _WITHOUT_DATES:
        return query_type
    if not isinstance(span, dict) or not isinstance(span.get("type"), str):
        raise RefusalError(422, f"The date_range is required for {query_type}: an object with a type")
    if span["type"] == "preset" and not isinstance(span.get("preset"), str):
        raise RefusalError(422, "The date_range has no preset")
    return query_type


def _date(text: str) -> dt.datetime:
    date = dt.datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
