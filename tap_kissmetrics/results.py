"""Streams of the results of reports, metrics and user-defined queries: each is run, waited for, and read row by row."""

from __future__ import annotations

import datetime as dt
import typing as t

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.apis import CORE, get_api
from tap_kissmetrics.queries import AsyncQuery, CoreReportQuery, QueryClientStream, V3Query
from tap_kissmetrics.sdk_extensions import clock
from tap_kissmetrics.sdk_extensions.records import identity
from tap_kissmetrics.sdk_extensions.row_pagination import RowPaginator
from tap_kissmetrics.sdk_extensions.shutdown import ShutdownRequested
from tap_kissmetrics.sdk_extensions.stream import AbortRunError
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.client import ListStream
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

MIN_POLL_INTERVAL: t.Final = 0.5
"""Seconds before the first poll of a query; each further interval is twice as long."""

MAX_POLL_INTERVAL: t.Final = 15.0
"""Most seconds between two polls."""

RUNNABLE_REPORT_TYPE: t.Final = "people_search_v2"
"""The only type of report of the Core API that can be run."""

ROW_KEY: t.Final = ("query_id", "position")

_ROW_COLUMNS: t.Final = (
    th.Property("query_id", th.StringType, required=True, description="Query id assigned by the API."),
    th.Property("position", th.IntegerType, required=True, description="Position of the row in the result, from 0."),
    th.Property(
        "row",
        th.CustomType({"type": ["object", "array", "null"]}),
        description="The row as returned by the API: an object or an array.",
    ),
    th.Property(
        "columns",
        th.CustomType({"type": ["array", "object", "null"]}),
        description="What the API says about the columns of the row; null if nothing.",
    ),
    th.Property("extracted_at", th.DateTimeType, description="When the query was started."),
)
_DATE_RANGE: t.Final = th.Property(
    "date_range",
    th.CustomType({"type": ["object", "null"], "additionalProperties": True}),
    description="Date range of the query, as sent to the API.",
)


class QueryJob(t.NamedTuple):
    """A query to run, what to call it in a message, and the columns that all its records have in common."""

    name: str
    query: AsyncQuery
    columns: Record

    @override
    def __str__(self) -> str:
        return f"{self.name}: query {self.query.id}" if self.query.id else self.name


class ResultStream(QueryClientStream):
    """The rows of queries. One that fails does not stop the others."""

    path = "/queries"  # the SDK requires one; each query has its own

    job_noun: t.ClassVar = "query"
    """What is run, as progress lines count it."""

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return False  # results are a history: never delete earlier rows

    def jobs(self) -> Iterable[QueryJob | Exception]:
        """Yield the queries to run, and an exception for each that cannot be run."""
        raise NotImplementedError

    @property
    def date_range(self) -> dict[str, t.Any]:
        """The date range of reports and metrics, as the API takes it."""
        if chosen := self.config.get("report_date_range"):
            return dict(chosen)
        if self.api is not CORE:
            return {"type": "preset", "preset": "this_month_to_date"}
        now = dt.datetime.fromtimestamp(self._tap.initialized_at // 1000, tz=dt.UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0)
        return {"start_date": month.isoformat(), "end_date": now.isoformat()}

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        failures = []
        jobs = list(self.jobs())
        for number, job in enumerate(jobs, 1):
            self.progress.part = f"{self.job_noun} {number} of {len(jobs)}" if len(jobs) > 1 else ""
            try:
                if isinstance(job, Exception):
                    raise job
                yield from self._read(job)
            except AbortRunError:
                raise
            except (FatalAPIError, RetriableAPIError) as error:
                failures.append(f"{job}: {error}" if isinstance(job, QueryJob) else str(error))
        if failures:
            raise FatalAPIError("; ".join(failures))

    def make_record(self, row: t.Any, columns: Record) -> Record:
        """Make a record of a row, its position and what is known about the query."""
        return {**columns, "row": row}

    def _read(self, job: QueryJob) -> Iterator[Record]:
        """Run a query and read its rows; cancel it if that comes to no good end."""
        try:
            yield from self._run(job)
        except AbortRunError:
            raise  # a cancellation would be refused as well
        except BaseException:
            job.query.abandon()
            raise

    def _run(self, job: QueryJob) -> Iterator[Record]:
        extracted_at = dt.datetime.now(dt.UTC).isoformat()
        paginator = RowPaginator(self.api.page_size(self.config))

        def request_page() -> ResultPage | None:
            page = job.query.request_page(offset=paginator.offset, limit=paginator.page_size)
            if page is not None:
                paginator.validate(page)
            return page

        request = self.request_decorator(request_page)
        try:
            self.request_decorator(job.query.start)()
        except ShutdownRequested:
            self.stream_logger.warning("%s: stopped while the query was being started; it may be running", job.name)
            raise
        self.stream_logger.info("%s: query %s was started", job.name, job.query.id)
        page = self._poll(job, request)
        while True:
            columns = {
                **job.columns,
                "query_id": job.query.id,
                "columns": job.query.columns,
                "extracted_at": extracted_at,
            }
            rows = paginator.update(page)
            self.progress.update(len(rows), None)
            for position, row in rows:
                yield self.make_record(row, {**columns, "position": position})
            if paginator.finished:
                break
            page = self._poll(job, request)

    def _poll(self, job: QueryJob, request: t.Callable[[], ResultPage | None]) -> ResultPage:
        timeout = float(self.config["query_timeout"])
        end = clock.monotonic() + timeout
        interval = 0.0 if job.query.is_completed else MIN_POLL_INTERVAL
        while True:
            self._tap.shutdown.sleep(min(interval, max(end - clock.monotonic(), 0)))
            if (page := request()) is not None:
                return page
            self.progress.refresh()
            if clock.monotonic() >= end:
                done = "" if job.query.progress is None else f", {job.query.progress:.0%} of it done"
                msg = f"not completed after {timeout:g} s{done}; raise query_timeout or ask for less"
                raise FatalAPIError(msg)
            interval = min(max(2 * interval, MIN_POLL_INTERVAL), MAX_POLL_INTERVAL)


class ReportResultsStream(ResultStream):
    """The rows of saved reports."""

    name = "report_results"
    job_noun = "report"
    primary_keys = ROW_KEY

    @override
    def __init__(self, tap: Tap) -> None:
        # The types of ids are those of the streams that they refer to.
        id_type = th.CustomType((th.IntegerType if get_api(tap.config).has_numeric_ids else th.UUIDType).type_dict)
        columns = (
            th.Property("report_id", id_type, required=True, description="The report that was run."),
            th.Property("product_id", id_type, description="The product that the report belongs to."),
        )
        super().__init__(tap, schema=th.PropertiesList(*columns, _DATE_RANGE, *_ROW_COLUMNS).to_dict())

    @override
    def jobs(self) -> Iterable[QueryJob | Exception]:
        stream = t.cast("ListStream", self._tap.streams["reports"])
        records = stream.lookup_records()
        for product_id, error in stream.lookup_failures.items():
            yield FatalAPIError(f"the reports of product {product_id} cannot be read: {error}")
        chosen, is_numeric = self.config["report_ids"], self.api.has_numeric_ids
        reports: dict[str | int, list[Record]] = {}  # reports of two products may have the same id
        for record in records:
            reports.setdefault(identity(record["id"], is_numeric=is_numeric), []).append(record)
        ids = [] if chosen == [ALL] else self.api.unique_ids(chosen)
        for report_id in [identity(one, is_numeric=is_numeric) for one in ids] or reports:
            if report_id not in reports:
                yield FatalAPIError(f"report {report_id} is not among the reports; check report_ids and product_ids")
            for report in reports.get(report_id, ()):
                if self.api is CORE and report["product_id"] is None:
                    yield FatalAPIError(f"report {report_id} cannot be run: the API does not name its product")
                elif self.api is not CORE or report["report_type"] == RUNNABLE_REPORT_TYPE:
                    yield self._make_job(report)
                elif chosen != [ALL]:
                    yield FatalAPIError(f"report {report_id} cannot be run: it is not of type {RUNNABLE_REPORT_TYPE}")

    def _make_job(self, report: Record) -> QueryJob:
        date_range, report_id = self.date_range, report["id"]
        if self.api.has_numeric_ids and str(report_id).isdecimal():
            report_id = int(report_id)
        columns = {"report_id": report_id, "product_id": report["product_id"], "date_range": date_range}
        query: AsyncQuery
        if self.api is CORE:
            query = CoreReportQuery(self, report, date_range)
        else:
            query = V3Query(self, "/queries/report", {"report_id": report_id, "date_range": date_range})
        return QueryJob(f"report {report_id} ({report['name']!r})", query, columns)


class MetricResultsStream(ResultStream):
    """The rows of metrics."""

    name = "metric_results"
    job_noun = "metric"
    primary_keys = ROW_KEY

    @override
    def __init__(self, tap: Tap) -> None:
        metric = th.Property("metric_id", th.IntegerType, required=True, description="The metric that was queried.")
        super().__init__(tap, schema=th.PropertiesList(metric, _DATE_RANGE, *_ROW_COLUMNS).to_dict())

    @override
    def jobs(self) -> Iterable[QueryJob | Exception]:
        for metric_id in self.api.unique_ids(self.config["metric_ids"]):
            columns = {"metric_id": metric_id, "date_range": self.date_range}
            yield QueryJob(f"metric {metric_id}", V3Query(self, "/queries/metric", columns), columns)


class UserQueryStream(ResultStream):
    """The rows of a user-defined query."""

    @override
    def __init__(self, tap: Tap, query: dict[str, t.Any]) -> None:
        schema = query.get("schema")
        self._has_schema = schema is not None
        product = th.Property("product_id", th.IntegerType, description="The product that was queried.")
        super().__init__(tap, name=query["name"], schema=schema or th.PropertiesList(product, *_ROW_COLUMNS).to_dict())
        self.primary_keys = tuple(query.get("primary_key") or ()) if schema else ROW_KEY
        self._query = {name: query[name] for name in ("product_id", "query_type", "query_params")}

    @override
    def jobs(self) -> Iterable[QueryJob | Exception]:
        columns = {"product_id": self._query["product_id"]}
        yield QueryJob("the query", V3Query(self, "/queries", self._query), columns)

    @override
    def make_record(self, row: t.Any, columns: Record) -> Record:
        if not self._has_schema:
            return super().make_record(row, columns)
        if not isinstance(row, dict):
            msg = f"row {columns['position']} is not an object, so its fields have no names; leave out the schema"
            raise FatalAPIError(msg)
        if missing := [column for column in self.primary_keys if row.get(column) is None]:
            msg = f"row {columns['position']} has no {missing[0]}, which is in its primary_key"
            raise FatalAPIError(msg)
        return row


RESULTS: t.Final[dict[str, type[ReportResultsStream | MetricResultsStream]]] = {
    "report_ids": ReportResultsStream,
    "metric_ids": MetricResultsStream,
}
"""The streams that exist once a setting names what to run."""
