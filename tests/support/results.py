"""Runs of the tap that read what reports, metrics and queries give, and what must come of each."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

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

both = pytest.mark.parametrize("api", ["core", "query"])
"""For tests of either API."""

RUNNABLE = "people_search_v2"
"""The only type of report of the Core API that can be run."""

THIS_MONTH = {"type": "preset", "preset": "this_month_to_date"}
"""The date range of the Query API where none is set."""

SPAN = {"start_date": "2024-01-01", "end_date": "2024-01-31"}
"""A date range of the Core API."""

BRIEFLY: dict[str, Any] = {"polls_until_complete": 0, "rows": 25}
"""Queries that are completed when they are asked for the first time, with a few rows."""


def result_sandbox(api: ApiName, *, reports: int = 3, **switches: Any) -> Sandbox:
    """Make a sandbox with few records. Of the Core API each report can be run."""
    if api == "query":
        account = make_query_account(**SMALL_QUERY | {"reports": reports})
        return Sandbox(account, api=api, **{**BRIEFLY, **switches})
    core = make_account(**SMALL | {"reports": reports})
    for report in core.records["reports"]:
        report["report_type"] = RUNNABLE
    return Sandbox(core, api=api, **{**BRIEFLY, **switches})


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


def read_results(sandbox: Sandbox, folder: Path, **settings: Any) -> Run:
    """Read the results of all reports and nothing else."""
    settings = ALL | settings
    catalog = write_json(folder / "catalog.json", only(sandbox, "report_results", **settings))
    return watched_sync(sandbox, folder, "--catalog", catalog, **settings)


def results(run: Run, stream: str = "report_results") -> list[Record]:
    """Give the records of a stream without `extracted_at`, which must be the same moment in all of a query."""
    records = run.records(stream)
    moments = {(record["query_id"], record["extracted_at"]) for record in records}
    assert len(moments) == len({query_id for query_id, _ in moments})
    for _, moment in moments:
        assert abs(dt.datetime.fromisoformat(moment) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    return [{column: value for column, value in record.items() if column != "extracted_at"} for record in records]


def rows_of(query: Query, columns: object = None, **known: object) -> list[Record]:
    """Give the records that a query must bring: every row, in its order, duplicates too."""
    assert query.result is not None, "its rows were not asked for"
    return [
        {**known, "query_id": query.id, "position": position, "row": row, "columns": columns}
        for position, row in enumerate(query.result)
    ]


def report_rows(sandbox: Sandbox, report: Record, query: Query, columns: object = None) -> list[Record]:
    """Give the records that a run of a report must bring."""
    dates = query.body if sandbox.api == "core" else query.body["date_range"]
    return rows_of(query, columns, report_id=report["id"], product_id=report["product_id"], date_range=dates)


def all_report_rows(sandbox: Sandbox, columns: object = None) -> list[Record]:
    """Give the records that a run of every report must bring, report after report."""
    reports = sandbox.account.records["reports"]
    return [
        row
        for report, query in zip(reports, sandbox.queries, strict=True)
        for row in report_rows(sandbox, report, query, columns)
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
