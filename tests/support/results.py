"""Runs of the tap that read what reports, metrics and queries give, and what must come of each."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import QueryAccount, Sandbox, make_account, make_query_account
from tests.support.cases import SMALL, SMALL_QUERY, watched_sync
from tests.support.in_process import signals_kept
from tests.support.run import settings_for, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Query, Record, Request
    from tests.support.run import Run

ALL: dict[str, Any] = {"report_ids": ["*"]}
"""Every report that can be run."""

JSON_COLUMNS = ("data", "fields", "columns", "date_range")
"""The columns of results that hold JSON."""

both = pytest.mark.parametrize("api", ["core", "query"])
"""For tests of either API."""

THIS_MONTH = {"type": "preset", "preset": "this_month_to_date"}
"""The date range of the Query API where none is set."""

SPAN = {"start_date": "2024-01-01", "end_date": "2024-01-31"}
"""A date range of the Core API."""

BRIEFLY: dict[str, Any] = {"polls_until_complete": 0, "rows": 25}
"""Queries that are completed when they are asked for the first time, with a few rows."""


def result_sandbox(api: ApiName, *, reports: int = 3, metrics: int = 3, **switches: Any) -> Sandbox:
    """Make a sandbox with few records. Of the Core API each report can be run."""
    if api == "query":
        account = make_query_account(**SMALL_QUERY | {"reports": reports, "metrics": metrics})
        return Sandbox(account, api=api, **{**BRIEFLY, **switches})
    core = make_account(**SMALL | {"reports": reports, "metrics": metrics})
    for report in core.records["reports"]:
        report["report_type"] = "people_search_v2"
    return Sandbox(core, api=api, **{**BRIEFLY, **switches})


@dataclass(frozen=True)
class Subject:
    """A kind of queries: what runs all of them, and the stream and the list that they belong to."""

    api: ApiName
    setting: str
    stream: str
    listed: str

    @override
    def __str__(self) -> str:
        return f"{self.api} {self.listed}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that run all of them."""
        return {self.setting: ["*"]}

    def sandbox(self, count: int = 3, **switches: Any) -> Sandbox:
        """Make a sandbox that has so many of them."""
        return result_sandbox(self.api, **{self.listed: count}, **switches)

    def records(self, sandbox: Sandbox) -> list[Record]:
        """Give the records of the list."""
        return sandbox.account.records[self.listed]

    def name(self, record: Record) -> str:
        """Give what the tap calls one of them."""
        return f"{self.listed[:-1]} {record['id']} ({record.get('name', record.get('title'))!r})"

    def only(self, sandbox: Sandbox) -> dict[str, Any]:
        """Make a catalog that selects them alone."""
        return only(sandbox, self.stream, **self.settings)

    def read(self, sandbox: Sandbox, folder: Path, **settings: Any) -> Run:
        """Read them and nothing else."""
        return read_results(sandbox, folder, self.stream, **self.settings | settings)

    def results(self, run: Run) -> list[Record]:
        """Give their records."""
        return results(run, self.stream)

    def rows(self, sandbox: Sandbox) -> list[Record]:
        """Give the records that they must bring."""
        if self.listed == "reports":
            return all_report_rows(sandbox)
        return [row for query in sandbox.queries for row in core_metric_rows(query)]

    def rows_of(self, sandbox: Sandbox, record: Record, query: Query) -> list[Record]:
        """Give the records that one of them must bring."""
        return report_rows(sandbox, record, query) if self.listed == "reports" else core_metric_rows(query)


SUBJECTS = [
    Subject("core", "report_ids", "report_results", "reports"),
    Subject("query", "report_ids", "report_results", "reports"),
    Subject("core", "metric_ids", "metric_results", "metrics"),
]

each = pytest.mark.parametrize("subject", SUBJECTS, ids=str)
"""For tests of every kind of queries that a list names."""


def metric_ids(sandbox: Sandbox) -> list[int]:
    """Give the metrics that a sandbox of v3 can query."""
    assert isinstance(sandbox.account, QueryAccount)
    return sandbox.account.metric_ids


def only(sandbox: Sandbox, *streams: str, **settings: object) -> dict[str, Any]:
    """Make a catalog that selects some streams of those that there are with these settings."""
    with signals_kept():
        catalog: dict[str, Any] = TapKissmetrics(config=settings_for(sandbox, **settings)).catalog_dict
    for entry in catalog["streams"]:
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        root["selected"] = entry["tap_stream_id"] in streams
    return catalog


def read_results(sandbox: Sandbox, folder: Path, stream: str = "report_results", **settings: Any) -> Run:
    """Read the results of one stream, by default those of all reports, and nothing else."""
    settings = settings if stream != "report_results" else ALL | settings
    catalog = write_json(folder / "catalog.json", only(sandbox, stream, **settings))
    return watched_sync(sandbox, folder, "--catalog", catalog, **settings)


def results(run: Run, stream: str = "report_results") -> list[Record]:
    """Give the records of a stream without `extracted_at`, which must be the same moment in all of a query."""
    records = run.records(stream)
    moments = {(record["query_id"], record["extracted_at"]) for record in records}
    assert len(moments) == len({query_id for query_id, _ in moments})
    for _, moment in moments:
        assert abs(dt.datetime.fromisoformat(moment) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    return [decoded(record) for record in records]


def decoded(record: Record) -> Record:
    """Give a record of a result without `extracted_at`, and with the values of the columns that hold JSON."""
    return {
        column: json.loads(value) if column in JSON_COLUMNS and value is not None else value
        for column, value in record.items()
        if column != "extracted_at"
    }


def rows_of(query: Query, **known: object) -> list[Record]:
    """Give the records that a query must bring: every row, in its order, duplicates too."""
    assert query.result is not None, "its rows were not asked for"
    return [
        {
            **known,
            "query_id": query.id,
            "position": position,
            "data": row,
            "fields": row if isinstance(row, dict) else None,
            "columns": None,
        }
        for position, row in enumerate(query.result)
    ]


def metric_rows(query: Query, **known: object) -> list[Record]:
    """The same of a metric, whose rows have columns of their own."""
    records = rows_of(query, property_id=query.body.get("property_id"), **known)
    for record in records:
        fields = record["fields"] or {}
        seconds = fields.get("timestamp")
        record["timestamp"] = None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
        record |= {name: fields.get(name) for name in ("value", "property_value", "people_count")}
    return records


def core_metric_rows(query: Query) -> list[Record]:
    """The same of a metric of the Core API."""
    dates = {name: query.body[name] for name in ("start_at", "end_at")}
    return metric_rows(query, metric_id=query.of, date_range=dates)


def report_rows(sandbox: Sandbox, report: Record, query: Query) -> list[Record]:
    """Give the records that a run of a report must bring."""
    dates = query.body["date_range"] if sandbox.api == "query" else {name: query.body[name] for name in SPAN}
    return rows_of(query, report_id=report["id"], product_id=report["product_id"], date_range=dates)


def all_report_rows(sandbox: Sandbox) -> list[Record]:
    """Give the records that a run of every report must bring, report after report."""
    reports = sandbox.account.records["reports"]
    return [
        row
        for report, query in zip(reports, sandbox.queries, strict=True)
        for row in report_rows(sandbox, report, query)
    ]


def is_start(request: Request) -> bool:
    """Tell whether a request starts a query."""
    return request.resource == "queries" and request.method == "POST"


def is_poll(request: Request) -> bool:
    """Tell whether a request asks for a query that is under way."""
    return request.resource == "queries" and request.method == "GET" and not request.is_list


def is_page(request: Request) -> bool:
    """Tell whether a request asks for rows of a query that is completed."""
    return request.resource == "queries" and request.is_list
