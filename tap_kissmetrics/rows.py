"""Rows of results → columns: the columns of all results and of metrics, and the names of the values of a row."""

from __future__ import annotations

import re
import typing as t

from singer_sdk import typing as th

from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.sdk_extensions.values import to_integer, to_json, to_number, to_timestamp

if t.TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

_is_date: t.Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?").fullmatch

ROW_KEY: t.Final = ("query_id", "position")

ROW_COLUMNS: t.Final = (
    th.Property("query_id", th.StringType, required=True, description="Query id assigned by the API."),
    th.Property("position", th.IntegerType, required=True, description="Position of the row in the result, from 0."),
    th.Property("data", th.StringType, description="The row as the API returns it, an object or an array, as JSON."),
    th.Property(
        "fields",
        th.StringType,
        description="The values of the row by the names of their columns, as a JSON object; null if unnamed.",
    ),
    th.Property(
        "columns",
        th.StringType,
        description="What the API reports about the columns of the row, as JSON; null if it reports nothing.",
    ),
    th.Property("extracted_at", th.DateTimeType, description="When the query was started."),
)
DATE_RANGE: t.Final = th.Property(
    "date_range", th.StringType, description="Date range of the query, as sent to the API, as JSON."
)

METRIC_COLUMNS: t.Final = (
    th.Property("timestamp", th.DateTimeType, description="The time of the value, in UTC."),
    th.Property("value", th.NumberType, description="The value of the metric."),
    th.Property("property_value", th.StringType, description="The value of the property: the segment."),
    th.Property("people_count", th.IntegerType, description="The number of people in the segment."),
)
"""The values of a row of a metric that have columns of their own."""


def json_or_none(value: object) -> str | None:
    """Encode a value as JSON; None stays None."""
    return None if value is None else to_json(value)


def column_names(columns: object) -> list[str]:
    """Return the names of the columns that a result describes, each once; none if it describes none.

    An item is a name, or an object with a `display_name`. A column without a name is called by its position, from 1.
    """
    names = []
    for position, column in enumerate(columns if isinstance(columns, list) else (), 1):
        name = column.get("display_name") if isinstance(column, dict) else column
        names.append(name if isinstance(name, str) and name.strip() else f"column_{position}")
    return unique_names(names)


def unique_names(names: list[str]) -> list[str]:
    """Number the names that come again, such as "Visits" and "Visits_2"; a name that comes once is kept."""
    given = set(names)
    taken: set[str] = set()
    unique = []
    for name in names:
        new, number = name, 1
        while new in taken or (number > 1 and new in given):
            number += 1
            new = f"{name}_{number}"
        taken.add(new)
        unique.append(new)
    return unique


def name_fields(row: object, names: list[str]) -> Record | None:
    """Return the values of a row by their names; None where the API does not name all of them.

    `names` are those of the result's columns. A row is an array, an object, or `{"identity", "columns": [...]}`.
    """
    if isinstance(row, list):
        return dict(zip(names, row, strict=True)) if names and len(names) == len(row) else None
    if not isinstance(row, dict):
        return None
    values = row.get("columns")
    if row.keys() == {"identity", "columns"} and isinstance(values, list) and names and len(names) == len(values):
        return dict(zip(unique_names(["identity", *names]), [row["identity"], *values], strict=True))
    return row


def metric_columns(fields: Record | None) -> Record:
    """Return the columns of a row of a metric; null for a time or a number that is none."""
    fields = fields or {}
    return {
        "timestamp": _fit_timestamp(fields.get("timestamp")),
        "value": to_number(fields.get("value")),
        "property_value": fields.get("property_value"),
        "people_count": to_integer(fields.get("people_count")),
    }


def _fit_timestamp(value: object) -> str | None:
    """Return a date-time with an offset; a number is Unix seconds."""
    if isinstance(value, str) and _is_date(value.strip()):
        instant = parse_instant(value.strip())
        return instant.isoformat() if instant else None
    return to_timestamp(value)[0]
