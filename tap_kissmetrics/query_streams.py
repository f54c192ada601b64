"""Base class of the streams of results: each query is started, polled, and read row by row."""

from __future__ import annotations

import datetime as dt
import typing as t

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.client import KissmetricsStream
from tap_kissmetrics.rows import column_names, name_fields
from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.pagination import RowPaginator
from tap_kissmetrics.sdk_extensions.stream import AbortRunError
from tap_kissmetrics.sdk_extensions.values import to_json
from tap_kissmetrics.sdk_extensions.waiting import ShutdownRequested

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.queries import AsyncQuery
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

MIN_POLL_INTERVAL: t.Final = 0.5
"""Seconds before the first poll of a query; each further interval is twice as long."""

MAX_POLL_INTERVAL: t.Final = 15.0
"""Most seconds between two polls."""

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


class QueryJob(t.NamedTuple):
    """A query to run, what to call it in a message, and the columns that all its records have in common."""

    name: str
    """Empty if the stream has no other query."""
    query: AsyncQuery
    columns: Record

    def describe(self, event: object) -> str:
        """Say what happened to the query."""
        return ": ".join(filter(None, (self.name, self.query.id and f"query {self.query.id}", str(event))))


class ResultStream(KissmetricsStream):
    """The rows of queries. One that fails does not stop the others."""

    path = "/queries"  # the SDK requires one; each query has its own

    job_noun: t.ClassVar = "query"
    """What is run, as progress lines count it."""

    @override
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._unnamed: set[str] = set()
        self._read_ids: set[str] = set()
        """The queries whose rows were written: their ids are a part of the primary key."""

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return False  # results are a history: never delete earlier rows

    def jobs(self) -> Iterable[QueryJob | Exception]:
        """Yield the queries to run, and an exception for each that cannot be run."""
        raise NotImplementedError

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
                failures.append(job.describe(error) if isinstance(job, QueryJob) else str(error))
        if failures:
            raise FatalAPIError("; ".join(failures))

    def make_record(self, row: t.Any, fields: Record | None, columns: Record) -> Record:
        """Make a record of a row, of its values by name, and of its position and what is known about the query."""
        return {**columns, "data": to_json(row), "fields": None if fields is None else to_json(fields)}

    def _read(self, job: QueryJob) -> Iterator[Record]:
        """Run a query and read its rows; cancel it if that comes to no good end."""
        try:
            yield from self._run(job)
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
                self.warn_unknown(page)
            return page

        request = self.request_decorator(request_page)
        try:
            self.request_decorator(job.query.start)()
        except ShutdownRequested:
            event = "stopped while the query was being started; it may be running"
            self.stream_logger.warning("%s", job.describe(event))
            raise
        self.stream_logger.info("%s", job.describe("started"))
        if job.query.id in self._read_ids:
            msg = "the API gave it the id of a query that was read before"
            raise FatalAPIError(msg)
        self._read_ids.add(job.query.id)
        page = self._poll(job, request)
        while True:
            described = job.query.columns
            columns = {
                **job.columns,
                "query_id": job.query.id,
                "columns": None if described is None else to_json(described),
                "extracted_at": extracted_at,
            }
            names = column_names(described)
            rows = paginator.update(page)
            self.progress.update(len(rows), None)
            for position, row in rows:
                fields = name_fields(row, names)
                if names and fields is None:
                    self._warn_unnamed(job, row)
                yield self.make_record(row, fields, {**columns, "position": position})
            if paginator.finished:
                break
            page = self._poll(job, request)

    def _warn_unnamed(self, job: QueryJob, row: object) -> None:
        if job.query.id not in self._unnamed:
            self._unnamed.add(job.query.id)
            size = len(row) if isinstance(row, list) else "no"
            event = f"its columns do not fit a row of {size} values; fields is null"
            self.stream_logger.warning("%s", job.describe(event))

    def _poll(self, job: QueryJob, request: t.Callable[[], ResultPage | None]) -> ResultPage:
        timeout = float(self.config["query_timeout"])
        end = waiting.monotonic() + timeout
        interval = 0.0 if job.query.is_completed else MIN_POLL_INTERVAL
        while True:
            self.services.shutdown.sleep(min(interval, max(end - waiting.monotonic(), 0)))
            if (page := request()) is not None:
                return page
            self.progress.refresh()
            if waiting.monotonic() >= end:
                done = "" if job.query.progress is None else f", {job.query.progress:.0%} done"
                msg = f"not completed after {timeout:g} s{done}; raise query_timeout or ask for less"
                raise FatalAPIError(msg)
            interval = min(max(2 * interval, MIN_POLL_INTERVAL), MAX_POLL_INTERVAL)
