"""Streams of the results of reports, metrics and user-defined queries."""

from __future__ import annotations

import datetime as dt
import typing as t
from functools import cached_property

from singer_sdk import typing as th
from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_kissmetrics.apis import CORE, find_zone, get_api, resolve_preset
from tap_kissmetrics.queries import CoreMetricQuery, CoreReportQuery, V3Query
from tap_kissmetrics.query_streams import DATE_RANGE, ROW_COLUMNS, ROW_KEY, QueryJob, ResultStream
from tap_kissmetrics.rows import METRIC_COLUMNS, fit_property_id, metric_columns
from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.values import identity, to_json
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Record

    from tap_kissmetrics.apis import Settings
    from tap_kissmetrics.client import ListStream
    from tap_kissmetrics.sdk_extensions.stream import Services

RUNNABLE_REPORT_TYPE: t.Final = "people_search_v2"
"""The only type of report of the Core API that can be run."""


class Choice(t.NamedTuple):
    """An item of `report_ids` or `metric_ids`."""

    id: str | int
    members: dict[str, t.Any]
    """Goes into the body of the query unchanged, except `date_range`, which replaces that of the settings."""


class SavedQueryStream(ResultStream):
    """The rows of what is saved in Kissmetrics, and chosen by its ids."""

    choices_setting: t.ClassVar[str]
    lookup: t.ClassVar[str]
    """The list of what can be chosen."""

    @property
    def choices(self) -> list[Choice]:
        """What to run, each once; empty stands for everything."""
        items = self.config[self.choices_setting]
        unique: dict[tuple[str | int, str], Choice] = {}
        for item in items if items != [ALL] else ():
            members = {**item} if isinstance(item, dict) else {"id": item}
            choice = Choice(self.api.parse_id(members.pop("id")), members)
            unique.setdefault((self._identity(choice.id), to_json(sorted(members.items()))), choice)
        return list(unique.values())

    def _identity(self, value: str | int) -> str | int:
        return identity(value, is_numeric=self.api.has_numeric_ids)

    def find_choices(self) -> Iterator[tuple[Choice, Record] | Exception]:
        """Yield what to run, each with its record in the list, and an exception for what is not there."""
        stream, kind = t.cast("ListStream", self.services.streams[self.lookup]), self.lookup.removesuffix("s")
        records: dict[str | int, list[Record]] = {}  # records of two products may have the same id
        for record in stream.lookup_records():
            records.setdefault(self._identity(record["id"]), []).append(record)
        for product_id, error in stream.lookup_failures.items():
            yield FatalAPIError(f"the {self.lookup} of product {product_id} cannot be read: {error}")
        for choice in self.choices or [Choice(key, {}) for key in records]:
            found = records.get(self._identity(choice.id), ())
            if not found:
                yield FatalAPIError(
                    f"{kind} {choice.id} is not among the {self.lookup}; check {self.choices_setting} and product_ids"
                )
            yield from ((choice, record) for record in found)

    def v3_range(self, choice: Choice) -> t.Any:
        """Return the date range for the Query API."""
        default = self.config.get("report_date_range") or {"type": "preset", "preset": "this_month_to_date"}
        return choice.members.get("date_range", default)

    def core_range(self, choice: Choice, product_id: object) -> tuple[str, str]:
        """Return the start and the end of the date range for the Core API."""
        chosen = choice.members.get("date_range") or self.config.get("report_date_range")
        if not chosen:
            return self._now.replace(day=1, hour=0, minute=0, second=0).isoformat(), self._now.isoformat()
        if preset := chosen.get("preset"):
            return resolve_preset(preset, self._now, self._zone_of(product_id))
        return chosen["start_date"], chosen["end_date"]

    @cached_property
    def _now(self) -> dt.datetime:
        return waiting.now().replace(microsecond=0)

    @cached_property
    def _zones(self) -> dict[object, dt.tzinfo | None]:
        products = t.cast("ListStream", self.services.streams["products"])
        return {self._identity(record["id"]): find_zone(record["timezone"]) for record in products.lookup_records()}

    def _zone_of(self, product_id: object) -> dt.tzinfo:
        key = None if product_id is None else self._identity(t.cast("str", product_id))
        if zone := self._zones.get(key):
            return zone
        if key not in self._without_zone:
            self._without_zone.add(key)
            self.stream_logger.warning("the time zone of product %s is not known: its days are taken in UTC", key)
        return dt.UTC

    @override
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._without_zone: set[object] = set()


def _body(choice: Choice, **body: object) -> dict[str, t.Any]:
    return {**body, **{name: value for name, value in choice.members.items() if name != "date_range"}}


def _range_columns(body: dict[str, t.Any], *names: str) -> Record:
    """Return the column `date_range`: what of a body is its date range."""
    sent = {name: body[name] for name in names} or body["date_range"]
    return {"date_range": None if sent is None else to_json(sent)}


def _id_type(settings: Settings) -> th.CustomType:
    """Return the type of ids, which is that of the streams that they refer to."""
    return th.CustomType((th.IntegerType if get_api(settings).has_numeric_ids else th.StringType).type_dict)


class ReportResultsStream(SavedQueryStream):
    """The rows of saved reports."""

    name = "report_results"
    job_noun = "report"
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
    def jobs(self) -> Iterable[QueryJob | Exception]:
        for found in self.find_choices():
            if isinstance(found, Exception):
                yield found
                continue
            choice, report = found
            if self.api is CORE and report["product_id"] is None:
                yield FatalAPIError(f"report {choice.id} cannot be run: the API does not name its product")
            elif self.api is not CORE or report["report_type"] == RUNNABLE_REPORT_TYPE:
                yield self._make_job(choice, report)
            elif self.choices:
                yield FatalAPIError(f"report {choice.id} cannot be run: it is not of type {RUNNABLE_REPORT_TYPE}")

    def _make_job(self, choice: Choice, report: Record) -> QueryJob:
        report_id = self._identity(report["id"]) if self.api.has_numeric_ids else report["id"]
        columns = {"report_id": report_id, "product_id": report["product_id"]}
        name = f"report {report_id} ({report['name']!r})"
        if self.api is CORE:
            start, end = self.core_range(choice, report["product_id"])
            body = _body(choice, start_date=start, end_date=end)
            columns |= _range_columns(body, "start_date", "end_date")
            return QueryJob(name, CoreReportQuery(self, report, body), columns)
        body = _body(choice, report_id=report_id, date_range=self.v3_range(choice))
        return QueryJob(name, V3Query(self, "/queries/report", body), columns | _range_columns(body))


class MetricResultsStream(SavedQueryStream):
    """The rows of metrics, over time or by the values of a property."""

    name = "metric_results"
    job_noun = "metric"
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
    def jobs(self) -> Iterable[QueryJob | Exception]:
        if self.api is CORE:
            for found in self.find_choices():
                yield found if isinstance(found, Exception) else self._make_core_job(*found)
            return
        for choice in self.choices:  # no list of this API names its metrics
            body = _body(choice, metric_id=choice.id, date_range=self.v3_range(choice))
            columns = {"metric_id": choice.id, "property_id": choice.members.get("property_id")}
            query = V3Query(self, "/queries/metric", body)
            yield QueryJob(f"metric {choice.id}", query, columns | _range_columns(body))

    def _make_core_job(self, choice: Choice, metric: Record) -> QueryJob:
        start, end = self.core_range(choice, metric["product_id"])
        segment = {"property_date": "first_ever"} if "property_id" in choice.members else {}
        body = _body(choice, start_at=start, end_at=end, **segment)
        columns = {"metric_id": metric["id"], "property_id": choice.members.get("property_id")}
        columns |= _range_columns(body, "start_at", "end_at")
        return QueryJob(
            f"metric {metric['id']} ({metric['title']!r})", CoreMetricQuery(self, metric["id"], body), columns
        )

    @override
    def make_record(self, row: t.Any, fields: Record | None, columns: Record) -> Record:
        found = [(fields or {}).get("property_id"), columns["property_id"]]
        fitting = [fit_property_id(value, is_numeric=self.api.has_numeric_ids) for value in found]
        values = {**metric_columns(fields), "property_id": next((one for one in fitting if one is not None), None)}
        return super().make_record(row, fields, {**columns, **values})


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
        self._query = {name: query[name] for name in ("product_id", "query_type", "query_params")}

    @override
    def jobs(self) -> Iterable[QueryJob | Exception]:
        columns = {"product_id": self._query["product_id"]}
        yield QueryJob("", V3Query(self, "/queries", self._query), columns)

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
