"""Streams of what reports, metrics and queries give: each is run on the server, waited for, and read row by row."""

from __future__ import annotations

import datetime as dt
import time
import typing as t

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.client import KissmetricsStream
from tap_kissmetrics.errors import AuthenticationError
from tap_kissmetrics.rows import RowPaginator
from tap_kissmetrics.runs import QueryRun, ReportRun
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.lists import ListStream
    from tap_kissmetrics.page import Window
    from tap_kissmetrics.runs import Run
    from tap_kissmetrics.tap import TapKissmetrics

FIRST_PAUSE: t.Final = 0.5
"""Seconds before a query is asked for the first time whether it is completed; each further pause is twice as long."""

LONGEST_PAUSE: t.Final = 15.0
"""Most seconds between two questions: with one that cannot wait, they stay within 15 requests a minute."""

RUNNABLE: t.Final = "people_search_v2"
"""The only type of report of the Core API that can be run."""

_ROW: t.Final = (
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
    "date_range", th.ObjectType(additional_properties=True), description="Date range of the query, as sent to the API."
)


class ResultStream(KissmetricsStream):
    """The rows of queries. One that fails does not stop the others."""

    path = "/queries"  # the SDK wants one; each run knows where it is posted to

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return False  # what a query gave yesterday is no less true for what it gives today

    class Job(t.NamedTuple):
        """A query to run.

        Attributes:
            name: What to call it in a message.
            run: The query.
            columns: What all its records have in common.
        """

        name: str
        run: Run
        columns: Record

        @override
        def __str__(self) -> str:
            return f"{self.name}: query {self.run.id}" if self.run.id else self.name

    def jobs(self) -> Iterable[Job | Exception]:
        """Tell what to run, and what cannot be run."""
        raise NotImplementedError

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        failed = []
        for job in self.jobs():
            try:
                if isinstance(job, Exception):
                    raise job
                yield from self._records_of(job)
            except AuthenticationError:
                raise
            except (FatalAPIError, RetriableAPIError) as error:
                failed.append(f"{job}: {error}" if isinstance(job, self.Job) else str(error))
        if failed:
            raise FatalAPIError("; ".join(failed))

    def record(self, row: t.Any, columns: Record) -> Record:  # noqa: ANN401
        """Make a record of a row.

        Args:
            row: The row.
            columns: Its position, and what is known of the query.

        Returns:
            The record.
        """
        return {**columns, "row": row}

    def _records_of(self, job: Job) -> Iterator[Record]:
        started = dt.datetime.now(dt.UTC).isoformat()
        pages = RowPaginator(self._tap.page_size)

        def get_rows() -> Window | None:
            window = job.run.rows(offset=pages.offset, limit=pages.limit)
            return window and pages.check(window)

        ask = self.retried(get_rows)
        window = self._first_window(job, ask)
        while True:
            known = {**job.columns, "query_id": job.run.id, "columns": job.run.columns, "extracted_at": started}
            rows = pages.accept(window)
            self.progress.page(len(rows), None)
            for position, row in rows:
                yield self.record(row, {**known, "position": position})
            self._tap.message_writer.flush()
            if pages.finished:
                break
            window = self._wait(job, ask)

    def _first_window(self, job: Job, ask: t.Callable[[], Window | None]) -> Window:
        """Run a query until it is completed; cancel it where that comes to no good end."""
        run = job.run
        try:
            self.retried(run.start)()
            self.lines.info("%s: query %s is started", job.name, run.id)
            return self._wait(job, ask)
        except AuthenticationError:
            raise  # nor would it be heard
        except BaseException:
            run.give_up()
            raise

    def _wait(self, job: Job, ask: t.Callable[[], Window | None]) -> Window:
        timeout = float(self.config["query_timeout"])
        end = time.monotonic() + timeout
        pause = 0.0 if job.run.completed else FIRST_PAUSE
        while True:
            time.sleep(min(pause, max(end - time.monotonic(), 0)))
            if (window := ask()) is not None:
                return window
            if time.monotonic() >= end:
                job.run.give_up()
                done = "" if job.run.progress is None else f", {job.run.progress:.0%} of it done"
                msg = f"not completed after {timeout:g} s{done}; raise query_timeout or ask for less"
                raise FatalAPIError(msg)
            pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)


class ReportResultsStream(ResultStream):
    """The rows of saved reports."""

    name = "report_results"
    primary_keys = ("query_id", "position")

    @override
    def __init__(self, tap: TapKissmetrics) -> None:
        # As in the streams that they refer to.
        kind = th.CustomType((th.IntegerType if tap.api.numeric_ids else th.UUIDType).type_dict)
        columns = (
            th.Property("report_id", kind, required=True, description="The report that was run."),
            th.Property("product_id", kind, description="The product that the report belongs to."),
        )
        super().__init__(tap, schema=th.PropertiesList(*columns, _DATE_RANGE, *_ROW).to_dict())

    @override
    def jobs(self) -> Iterable[ResultStream.Job | Exception]:
        known = t.cast("ListStream", self._tap.streams["reports"]).known()
        reports = {str(report["id"]).lower(): report for report in known}
        chosen = self.config["report_ids"]
        is_core = not self._tap.api.numeric_ids
        wanted = {} if chosen == [ALL] else dict.fromkeys(str(self._tap.api.as_id(one)).lower() for one in chosen)
        for report_id in wanted or reports:
            report = reports.get(report_id)
            if report is None:
                yield FatalAPIError(f"report {report_id} is not among the reports; check report_ids and product_ids")
            elif is_core and report["product_id"] is None:
                yield FatalAPIError(f"report {report_id} cannot be run: the API does not name its product")
            elif not is_core or report["report_type"] == RUNNABLE:
                yield self._job(report)
            elif chosen != [ALL]:
                yield FatalAPIError(f"report {report_id} cannot be run: it is not of type {RUNNABLE}")

    def _job(self, report: Record) -> ResultStream.Job:
        dates, report_id = self._tap.date_range, report["id"]
        if self._tap.api.numeric_ids and str(report_id).isdecimal():
            report_id = int(report_id)
        ids = {"report_id": report_id, "product_id": report["product_id"], "date_range": dates}
        run: Run
        if self._tap.api.numeric_ids:
            run = QueryRun(self, "/queries/report", {"report_id": report_id, "date_range": dates})
        else:
            run = ReportRun(self, self._tap.query_url, report, dates)
        return self.Job(f"report {report_id} ({report['name']!r})", run, ids)


class MetricResultsStream(ResultStream):
    """The rows of metrics."""

    name = "metric_results"
    primary_keys = ("query_id", "position")

    @override
    def __init__(self, tap: TapKissmetrics) -> None:
        metric = th.Property("metric_id", th.IntegerType, required=True, description="The metric that was queried.")
        super().__init__(tap, schema=th.PropertiesList(metric, _DATE_RANGE, *_ROW).to_dict())

    @override
    def jobs(self) -> Iterable[ResultStream.Job | Exception]:
        dates = self._tap.date_range
        for metric_id in dict.fromkeys(map(self._tap.api.as_id, self.config["metric_ids"])):
            columns = {"metric_id": metric_id, "date_range": dates}
            yield self.Job(f"metric {metric_id}", QueryRun(self, "/queries/metric", columns), columns)


class UserQueryStream(ResultStream):
    """The rows of a query of the user's own."""

    @override
    def __init__(self, tap: TapKissmetrics, query: dict[str, t.Any]) -> None:
        schema = query.get("schema")
        self._has_schema = schema is not None
        product = th.Property("product_id", th.IntegerType, description="The product that was queried.")
        super().__init__(tap, name=query["name"], schema=schema or th.PropertiesList(product, *_ROW).to_dict())
        self.primary_keys = tuple(query.get("primary_key") or ()) if schema else ("query_id", "position")
        self._query = {name: query[name] for name in ("product_id", "query_type", "query_params")}

    @override
    def jobs(self) -> Iterable[ResultStream.Job | Exception]:
        columns = {"product_id": self._query["product_id"]}
        yield self.Job("the query", QueryRun(self, "/queries", self._query), columns)

    @override
    def record(self, row: t.Any, columns: Record) -> Record:
        if not self._has_schema:
            return super().record(row, columns)
        if not isinstance(row, dict):
            msg = f"row {columns['position']} is no object, so its fields have no names; leave out the schema"
            raise FatalAPIError(msg)
        if missing := [column for column in self.primary_keys if row.get(column) is None]:
            msg = f"row {columns['position']} has no {missing[0]}, which is in its primary_key"
            raise FatalAPIError(msg)
        return row
