"""Streams of the results of reports, metrics and user-defined queries."""

from __future__ import annotations

import datetime as dt
import typing as t
from functools import cached_property, partial

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.apis import (
    CORE,
    DOCUMENTED_PAGE_SIZES,
    RESULT_PAGE_SIZE,
    find_zone,
    get_api,
    metric_url,
    query_url,
    quote_id,
    resolve_preset,
)
from tap_kissmetrics.client import KissmetricsStream
from tap_kissmetrics.queries import CoreQuery, V3Query
from tap_kissmetrics.rows import (
    DATE_RANGE,
    METRIC_COLUMNS,
    ROW_COLUMNS,
    ROW_KEY,
    column_names,
    json_or_none,
    metric_columns,
    name_fields,
)
from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.pagination import RowPaginator
from tap_kissmetrics.sdk_extensions.stream import AbortRunError
from tap_kissmetrics.sdk_extensions.values import to_json
from tap_kissmetrics.sdk_extensions.waiting import ShutdownRequested
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.apis import Settings
    from tap_kissmetrics.client import ListStream
    from tap_kissmetrics.queries import Query
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage
    from tap_kissmetrics.sdk_extensions.stream import Services

MIN_POLL_INTERVAL: t.Final = 0.5
"""Seconds before the first poll of a query; each further interval is twice as long."""

MAX_POLL_INTERVAL: t.Final = 15.0
"""Most seconds between two polls."""

RUNNABLE_REPORT_TYPE: t.Final = "people_search_v2"
"""The only type of report of the Core API that can be run."""


class ResultStream(KissmetricsStream):
    """The rows of queries. One that fails does not stop the others."""

    path = "/queries"  # the SDK requires one; each query has its own

    noun: t.ClassVar = "query"
    """What is run, as progress lines count it."""

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return False  # results are a history: never delete earlier rows

    def queries(self, failures: list[str]) -> Iterable[Query]:
        """Yield the queries to run, and append to `failures` why others cannot be run."""
        raise NotImplementedError

    def make_record(self, row: t.Any, fields: Record | None, columns: Record) -> Record:
        """Return the record of a row: `fields` are its values by name, `columns` the others without `data`."""
        return {**columns, "data": to_json(row), "fields": json_or_none(fields)}

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        failures: list[str] = []
        read_ids: set[str] = set()
        queries = list(self.queries(failures))
        for number, query in enumerate(queries, 1):
            self.progress.part = f"{self.noun} {number} of {len(queries)}" if len(queries) > 1 else ""
            try:
                self._start(query, read_ids)
                yield from self._read(query)
            except AbortRunError:
                raise
            except (FatalAPIError, RetriableAPIError) as error:
                failures.append(query.describe(error))
            finally:
                if query.is_running:
                    query.cancel()
        if len(failures) > 1:  # the line of the stream may be too long to name them all
            for failure in failures:
                self.stream_logger.warning("%s", failure)
        if failures:
            raise FatalAPIError("; ".join(failures))

    def _start(self, query: Query, read_ids: set[str]) -> None:
        """Start a query; refuse one whose id, a part of the primary key, was read before."""
        try:
            self.request_decorator(query.start)()
        except ShutdownRequested:
            event = "stopped while the query was being started; it may be running"
            self.stream_logger.warning("%s", query.describe(event))
            raise
        self.stream_logger.info("%s", query.describe("started"))
        if query.id in read_ids:
            msg = "the API gave it the id of a query that was read before"
            raise FatalAPIError(msg)
        read_ids.add(query.id)

    def _read(self, query: Query) -> Iterator[Record]:
        """Request the first page until the query is completed, then the others; yield a record for each row."""
        paginator = RowPaginator(self.page_size, DOCUMENTED_PAGE_SIZES)
        request = partial(self._request_page, query, paginator)
        request_page = self.request_decorator(partial(self.request_accepted_size, request, paginator, RESULT_PAGE_SIZE))
        timeout = float(self.config["query_timeout"])
        deadline = waiting.monotonic() + timeout
        interval = MIN_POLL_INTERVAL
        has_warned = False
        while not paginator.finished:
            if not query.is_completed:
                self.services.shutdown.sleep(min(interval, max(deadline - waiting.monotonic(), 0)))
                interval = min(2 * interval, MAX_POLL_INTERVAL)
            page = request_page()
            if page is None:
                self.progress.refresh()
                if waiting.monotonic() >= deadline:
                    done = "" if query.progress is None else f", {query.progress:.0%} done"
                    msg = f"not completed after {timeout:g} s{done}; raise query_timeout or ask for less"
                    raise FatalAPIError(msg)
                continue
            rows = paginator.update(page)
            self.progress.update(len(rows), None)
            names = column_names(query.reported_columns)
            columns = {
                **query.columns,
                "query_id": query.id,
                "columns": json_or_none(query.reported_columns),
                "extracted_at": query.started_at,
            }
            for position, row in rows:
                fields = name_fields(row, names)
                if names and fields is None and not has_warned:
                    has_warned = True
                    size = len(row) if isinstance(row, list) else "no"
                    event = f"its columns do not fit a row of {size} values; fields is null"
                    self.stream_logger.warning("%s", query.describe(event))
                yield self.make_record(row, fields, {**columns, "position": position})

    def _request_page(self, query: Query, paginator: RowPaginator) -> ResultPage | None:
        page = query.request_page(offset=paginator.offset, limit=paginator.page_size)
        return page and self.check_page(page, paginator.validate)


class Choice(t.NamedTuple):
    """An item of `report_ids` or `metric_ids`."""

    id: str | int
    date_range: dict[str, t.Any] | None
    """That of the item, else that of the settings."""
    members: dict[str, t.Any]
    """Goes into the body of the query unchanged."""


class SavedQueryStream(ResultStream):
    """The rows of what is saved in Kissmetrics, and chosen by its ids."""

    choices_setting: t.ClassVar[str]
    lookup: t.ClassVar[str]
    """The list of what can be chosen."""

    @cached_property
    def _default_range(self) -> dict[str, t.Any] | None:
        this_month = None if self.api is CORE else {"type": "preset", "preset": "this_month_to_date"}
        return self.config.get("report_date_range") or this_month

    @property
    def choices(self) -> list[Choice]:
        """What to run, each once; empty stands for everything."""
        items = self.config[self.choices_setting]
        unique: dict[tuple[str | int, str], Choice] = {}
        for item in items if items != [ALL] else ():
            members = {**item} if isinstance(item, dict) else {"id": item}
            key = self.api.parse_id(members.pop("id"))
            same = self.api.identity(key), to_json(sorted(members.items()))
            unique.setdefault(same, Choice(key, members.pop("date_range", self._default_range), members))
        return list(unique.values())

    def find_choices(self, failures: list[str]) -> Iterator[tuple[Choice, Record]]:
        """Yield what to run, each with its record in the list; append to `failures` what is not there."""
        stream = t.cast("ListStream", self.services.streams[self.lookup])
        records: dict[str | int, list[Record]] = {}  # records of two products may have the same id
        for record in stream.lookup_records():
            records.setdefault(self.api.identity(record["id"]), []).append(record)
        for product_id, error in stream.lookup_failures.items():
            failures.append(f"the {self.lookup} of product {product_id} cannot be read: {error}")
        for choice in self.choices or [Choice(key, self._default_range, {}) for key in records]:
            found = records.get(self.api.identity(choice.id), ())
            if not found:
                failures.append(
                    f"{self.noun} {choice.id} is not among the {self.lookup}; "
                    f"check {self.choices_setting} and product_ids"
                )
            yield from ((choice, record) for record in found)

    def core_range(self, choice: Choice, product_id: t.Any) -> tuple[str, str]:
        """Return the start and the end of the date range for the Core API: this month to date if none is set."""
        chosen = choice.date_range
        if not chosen:
            return self._now.replace(day=1, hour=0, minute=0, second=0).isoformat(), self._now.isoformat()
        if "preset" not in chosen:
            return chosen["start_date"], chosen["end_date"]
        key = self.api.identity(product_id)
        zone = self._zones.get(key)
        if zone is None:
            zone = self._zones[key] = dt.UTC  # and warn once
            self.stream_logger.warning("the time zone of product %s is not known: its days are taken in UTC", key)
        return resolve_preset(chosen["preset"], self._now, zone)

    @cached_property
    def _now(self) -> dt.datetime:
        return waiting.now().replace(microsecond=0)

    @cached_property
    def _zones(self) -> dict[object, dt.tzinfo | None]:
        products = t.cast("ListStream", self.services.streams["products"])
        return {self.api.identity(record["id"]): find_zone(record["timezone"]) for record in products.lookup_records()}


def _id_type(settings: Settings) -> th.JSONTypeHelper[t.Any]:
    """Return the type of ids, which is that of the streams that they refer to."""
    return th.IntegerType() if get_api(settings).has_numeric_ids else th.StringType()


class ReportResultsStream(SavedQueryStream):
    """The rows of saved reports."""

    name = "report_results"
    noun = "report"
    primary_keys = ROW_KEY
    choices_setting = "report_ids"
    lookup = "reports"

    @override
    def __init__(self, tap: Tap, services: Services) -> None:
        id_type = _id_type(tap.config)
        columns = (
            th.Property("report_id", id_type, required=True, description="The report that was run."),
            th.Property("product_id", id_type, description="The product that the report belongs to."),
        )
        super().__init__(tap, services, schema=th.PropertiesList(*columns, DATE_RANGE, *ROW_COLUMNS).to_dict())

    @override
    def queries(self, failures: list[str]) -> Iterator[Query]:
        for choice, report in self.find_choices(failures):
            name = f"report {choice.id} ({report['name']!r})"
            columns = {"report_id": report["id"], "product_id": report["product_id"]}
            if self.api is not CORE:
                body = {"report_id": choice.id, "date_range": choice.date_range, **choice.members}
                columns["date_range"] = json_or_none(choice.date_range)
                yield V3Query(self, self.url_base, "/queries/report", body, name, columns)
            elif report["report_type"] != RUNNABLE_REPORT_TYPE:
                if self.choices:
                    failures.append(f"report {choice.id} cannot be run: it is not of type {RUNNABLE_REPORT_TYPE}")
            elif report["product_id"] is None:
                failures.append(f"report {choice.id} cannot be run: the API does not name its product")
            else:
                start, end = self.core_range(choice, report["product_id"])
                body = {"start_date": start, "end_date": end, **choice.members}
                columns["date_range"] = to_json({key: body[key] for key in ("start_date", "end_date")})
                path = f"/products/{quote_id(report['product_id'])}/reports/{quote_id(report['id'])}/run"
                yield CoreQuery(self, query_url(self.config), path, body, name, columns)


class MetricResultsStream(SavedQueryStream):
    """The rows of metrics, over time or by the values of a property."""

    name = "metric_results"
    noun = "metric"
    primary_keys = ROW_KEY
    choices_setting = "metric_ids"
    lookup = "metrics"

    @override
    def __init__(self, tap: Tap, services: Services) -> None:
        id_type = _id_type(tap.config)
        metric = th.Property("metric_id", id_type, required=True, description="The metric that was queried.")
        segment = th.Property("property_id", id_type, description="The property whose values are the segments.")
        columns = (metric, DATE_RANGE, *METRIC_COLUMNS, segment, *ROW_COLUMNS)
        super().__init__(tap, services, schema=th.PropertiesList(*columns).to_dict())

    @override
    def queries(self, failures: list[str]) -> Iterator[Query]:
        if self.api is not CORE:
            for choice in self.choices:  # no list of this API names its metrics
                body = {"metric_id": choice.id, "date_range": choice.date_range, **choice.members}
                columns = {"metric_id": choice.id, "property_id": body.get("property_id")}
                columns["date_range"] = json_or_none(choice.date_range)
                yield V3Query(self, self.url_base, "/queries/metric", body, f"metric {choice.id}", columns)
            return
        for choice, metric in self.find_choices(failures):
            start, end = self.core_range(choice, metric["product_id"])
            body = {"start_at": start, "end_at": end, **choice.members}
            kind = "over-time"
            if "property_id" in body:
                kind = "by-segment"
                body.setdefault("property_date", "first_ever")
            columns = {"metric_id": metric["id"], "property_id": body.get("property_id")}
            columns["date_range"] = to_json({key: body[key] for key in ("start_at", "end_at")})
            path = f"/metrics/{quote_id(metric['id'])}/{kind}"
            name = f"metric {choice.id} ({metric['title']!r})"
            yield CoreQuery(self, metric_url(self.config), path, body, name, columns)

    @override
    def make_record(self, row: t.Any, fields: Record | None, columns: Record) -> Record:
        return super().make_record(row, fields, {**columns, **metric_columns(fields)})


class UserQueryStream(ResultStream):
    """The rows of a user-defined query."""

    @override
    def __init__(self, tap: Tap, services: Services, query: dict[str, t.Any]) -> None:
        schema = query.get("schema")
        self._has_schema = schema is not None
        product = th.Property("product_id", th.IntegerType, description="The product that was queried.")
        # Some targets require the type, which many leave out.
        rows = {"type": "object", **schema} if schema else th.PropertiesList(product, *ROW_COLUMNS).to_dict()
        super().__init__(tap, services, name=query["name"], schema=rows)
        self.primary_keys = tuple(query.get("primary_key") or ()) if schema else ROW_KEY
        self._body = {name: query[name] for name in ("product_id", "query_type", "query_params")}

    @override
    def queries(self, failures: list[str]) -> Iterator[Query]:
        columns = {"product_id": self._body["product_id"]}
        yield V3Query(self, self.url_base, "/queries", self._body, name="", columns=columns)

    @override
    def make_record(self, row: t.Any, fields: Record | None, columns: Record) -> Record:
        if not self._has_schema:
            return super().make_record(row, fields, columns)
        if fields is None:
            msg = f"row {columns['position']} is not an object, so its fields have no names; leave out the schema"
            raise FatalAPIError(msg)
        if missing := [column for column in self.primary_keys if fields.get(column) is None]:
            msg = f"row {columns['position']} has no {missing[0]}, which is in its primary_key"
            raise FatalAPIError(msg)
        return fields


RESULTS: t.Final[dict[str, type[ReportResultsStream | MetricResultsStream]]] = {
    "report_ids": ReportResultsStream,
    "metric_ids": MetricResultsStream,
}
"""The streams that exist once a setting names what to run."""
