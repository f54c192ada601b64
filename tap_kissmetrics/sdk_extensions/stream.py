"""A REST stream that emits each record exactly, keeps bookmarks as instants, and turns errors into one line."""

from __future__ import annotations

import fnmatch
import re
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import requests
from singer_sdk import RESTStream
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError, SingerSDKError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import CustomStreamMap, RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL, Metadata
from typing_extensions import override

from tap_kissmetrics.sdk_extensions.inputs import InputError, read_primary_key
from tap_kissmetrics.sdk_extensions.logs import (
    Progress,
    StreamLogger,
    describe_cause,
    drop_redundant,
    duration,
    first_cause,
    truncate,
)
from tap_kissmetrics.sdk_extensions.retry import RateLimitError, retrying
from tap_kissmetrics.sdk_extensions.state import InstantStateManager, parse_instant
from tap_kissmetrics.sdk_extensions.values import RecordConformer
from tap_kissmetrics.sdk_extensions.writer import write_batches

if t.TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Context
    from singer_sdk.mapper import StreamMap
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import Catalog, MetadataMapping, RecordMessage

    from tap_kissmetrics.sdk_extensions.http import Session
    from tap_kissmetrics.sdk_extensions.retry import Func
    from tap_kissmetrics.sdk_extensions.values import Record
    from tap_kissmetrics.sdk_extensions.waiting import Shutdown
    from tap_kissmetrics.sdk_extensions.writer import BufferedWriter


def unmatched_maps(stream_maps: Mapping[str, t.Any], streams: Collection[str]) -> Iterator[str]:
    """Yield the names, patterns and sources in the setting `stream_maps` that match no stream."""
    for name, definition in stream_maps.items():
        source = definition.get("__source__", name) if isinstance(definition, dict) else name
        if name != "__else__" and not fnmatch.filter(streams, str(source)):
            yield str(source)


def shared_table(stream_maps: Mapping[str, Iterable[StreamMap]]) -> str | None:
    """Return the name of a table that several maps write to: each would delete what the others wrote."""
    tables: set[str] = set()
    for maps in stream_maps.values():
        for each in maps:
            if not isinstance(each, RemoveRecordTransform):
                # Many databases ignore the case, and targets write these with an underscore.
                table = re.sub(r"[\s.-]", "_", each.stream_alias.lower())
                if table in tables:
                    return each.stream_alias
                tables.add(table)
    return None


class StreamError(SingerSDKError):
    """A stream could not be read to its end; the remaining streams are still synced.

    `kind` is the cause without what differs from stream to stream, such as a path; `notes` add to either, such as
    after how long the tap gave up.
    """

    def __init__(self, stream: str, cause: str, kind: str = "", notes: Sequence[str] = ()) -> None:
        self.cause = "; ".join((cause, *notes))
        self.kind = kind or cause
        self.notes = notes
        super().__init__(f"{stream}: {self.cause}")


class Group(t.NamedTuple):
    """What failed in the same way."""

    kind: str
    names: list[str]
    cause: str
    """In full if it is that of one, else without what differs."""


def group_by_kind(failures: Iterable[tuple[str, StreamError]]) -> list[Group]:
    """Group failures, each with the name of what failed, by what happened."""
    kinds: dict[str, dict[str, StreamError]] = {}
    for name, error in failures:
        kinds.setdefault(error.kind, {})[name] = error
    groups = []
    for kind, errors in kinds.items():
        first = next(iter(errors.values()))
        groups.append(Group(kind, list(errors), "; ".join((kind, *first.notes)) if len(errors) > 1 else first.cause))
    return groups


class AbortRunError(FatalAPIError):
    """No stream can be read, so the run ends; for instance because the credentials are wrong."""


@dataclass(kw_only=True)
class Services:
    """What the streams of a tap share."""

    connect: Callable[[], Session]
    """Makes the HTTP session, once the first request is to be sent."""

    writer: BufferedWriter
    shutdown: Shutdown
    user_agent: str
    sync_start: dt.datetime

    page_size: int | None = None
    """That of the whole run, once the API has refused another one."""

    streams: dict[str, ExtendedStream] = field(default_factory=dict)
    """The streams by their names: one may look another up."""

    @cached_property
    def session(self) -> Session:
        """The HTTP session."""
        return self.connect()


class ExtendedStream(RESTStream[int]):
    """Base class of the streams of an `ExtendedTap`.

    It takes `request_timeout`, `retry_timeout` and `backoff_factor` from the settings, each in seconds.
    """

    valid_replication_keys: t.ClassVar[Sequence[str]] = ()
    """The date-time columns that a user may choose as the replication key."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordConformer does it

    @override
    def __init__(self, tap: Tap, services: Services, **kwargs: t.Any) -> None:
        super().__init__(tap, **kwargs)
        self.services = services
        services.streams[self.name] = self
        self._bookmark: dt.datetime | None = None
        self._failures: list[tuple[Context, StreamError]] = []
        """The partitions that failed."""
        self.is_complete = True
        """False if records may be missing; then no ACTIVATE_VERSION is sent."""
        tap.logger.getChild(self.name).addFilter(drop_redundant)
        self.stream_logger = StreamLogger(self.logger, self.name)
        self.progress = Progress(self.stream_logger)

    # Requests

    @property
    @override
    def requests_session(self) -> Session:
        return self.services.session

    @cached_property
    @override
    def user_agent(self) -> str:
        return self.services.user_agent

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]
        return float(self.config["request_timeout"])

    def error_for_exception(self, error: requests.RequestException) -> Exception:
        """Convert an error of the HTTP library to `RetriableAPIError` or `FatalAPIError`."""
        return RetriableAPIError(f"no response: {describe_cause(error)}")

    @override
    def request_decorator(self, func: Func) -> Func:
        def attempt(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self.services.writer.flush()  # a target should not wait for records while the tap waits for the API
            try:
                return func(*args, **kwargs)
            except requests.RequestException as error:
                raise self.error_for_exception(error) from None

        return t.cast("Func", self.retrying(attempt, lambda: self.requests_session.host))

    def retrying(self, func: Func, server: Callable[[], str]) -> Func:
        """Repeat a function that raises `RetriableAPIError`; `server` returns what it has just asked."""
        return retrying(
            func,
            factor=float(self.config["backoff_factor"]),
            max_time=float(self.config["retry_timeout"]),
            sleep=self.services.shutdown.sleep,
            now=self.requests_session.working_time,
            on_retry=self.on_retry,
            failing=self.requests_session.failing,
            server=server,
        )

    def on_retry(self, error: Exception, wait: float) -> None:
        """Log a failed attempt before the wait that follows, and prefetch nothing more after a rate limit."""
        if isinstance(error, RateLimitError) and error.is_too_many_requests:
            self.requests_session.disable_prefetch()
            self.stream_logger.info(
                "waiting %s because of the API's rate limit; set requests_per_minute to stay within it", duration(wait)
            )
        elif isinstance(error, RateLimitError):
            self.stream_logger.info("waiting %s, as the server requires: %s", duration(wait), error)
        else:
            self.stream_logger.warning("%s; retrying in %s", error, duration(wait))

    @override
    def validate_response(self, response: requests.Response) -> None:
        self.state_manager.observe_server_clock(response.headers.get("Date"), response.elapsed)

    # Records

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        self._bookmark = parse_instant(self.get_starting_replication_key_value(context))
        try:
            with self.wrap_errors(), self.progress.count_requests(lambda: self.requests_session.request_count):
                if self.is_plain:
                    self.write_plain(context)  # and the SDK gets none
                else:
                    yield from self.request_records(context)
        except StreamError as error:
            if context is None or self.ABORT_AT_RECORD_COUNT is not None:
                raise
            # The other partitions are still read; the bookmark of this one stays.
            self.state_manager.discard_progress(context)
            self._failures.append((context, error))
        finally:
            self.services.writer.flush()  # the SDK writes no STATE, which would flush, if it has not changed

    @cached_property
    def is_plain(self) -> bool:
        """Whether each record becomes one RECORD with all of its columns: the SDK's own steps would change nothing."""
        first, *others = self.stream_maps
        return (
            not others
            and type(first) is SameRecordTransform
            and not first.flattening_enabled
            and first.stream_alias == self.name
            and all(self.mask.values())
            and self.effective_schema["properties"] == self.schema["properties"]
            and self.ABORT_AT_RECORD_COUNT is None
            and not self.config.get("batch_config")
        )

    def write_plain(self, context: Context | None) -> None:
        """Write the records past the SDK, whose own steps for each record take longer than to request and decode it."""
        key = self.replication_key if self.replication_method == REPLICATION_INCREMENTAL else None
        for record in self.request_records(context):
            if (row := self.post_process(record, context)) is not None:
                self.write_record(row)
                if key:
                    self.state_manager.increment_state(row, context=context, replication_key=key)

    def write_record(self, record: Record) -> None:
        """Write a record that was conformed."""
        self.services.writer.write_record(self.name, record, self._stream_version)
        self.record_counter.increment()

    @cached_property
    def record_counter(self) -> Counter:
        """The SDK's metric of the records that were written."""
        return super().get_record_counter()

    @override
    def get_record_counter(self, **kwargs: t.Any) -> Counter:
        return self.record_counter

    def raise_failed_partitions(self) -> None:
        """Raise `StreamError` if partitions failed. Called by the tap after the last one."""
        if not self._failures:
            return
        partitions = self.partitions or []
        if len(partitions) == 1:
            raise self._failures[0][1]
        groups = group_by_kind([(self.name_partition(context), error) for context, error in self._failures])
        causes = [self.describe_failures(f"{len(group.names)} of {len(partitions)}", group) for group in groups]
        raise StreamError(self.name, "; ".join(causes), "; ".join(group.kind for group in groups))

    def name_partition(self, context: Context) -> str:
        """Return what messages call a partition."""
        return ", ".join(map(str, context.values()))

    def describe_failures(self, share: str, group: Group) -> str:
        """Describe partitions that failed in the same way; `share` is such as "3 of 6"."""
        names = ", ".join(group.names)
        return group.cause if names in group.cause else f"{share} failed: {names}: {group.cause}"

    @contextmanager
    def wrap_errors(self) -> Iterator[None]:
        """Re-raise API errors as `StreamError`, so that the remaining streams are still synced."""
        try:
            yield
        except AbortRunError:
            raise
        except (FatalAPIError, RetriableAPIError) as error:
            notes = getattr(error, "__notes__", ())
            kind = getattr(error, "kind", str(error))
            raise StreamError(self.name, str(error), kind, notes) from error

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        if self._bookmark and self.replication_key:
            instant = parse_instant(row.get(self.replication_key))
            if instant and instant < self._bookmark:
                self.progress.skipped += 1
                return None
        return self._conformer.conform(row)

    @cached_property
    def _conformer(self) -> RecordConformer:
        return RecordConformer(self.effective_schema, self.stream_logger)

    # Private, and no public hook comes after it: what a map makes of a record may not fit the SCHEMA of its table, for
    # instance a null in the place of an object that is flattened.
    @override
    def _generate_record_messages(self, record: Record) -> t.Generator[RecordMessage, None, None]:
        try:
            for message in super()._generate_record_messages(record):
                columns = self._mapped_columns.get(message.stream, message.record.keys())
                unknown = {column: message.record.pop(column) for column in message.record.keys() - columns}
                self._conformer.warn_dropped([column for column, value in unknown.items() if value is not None])
                yield message
        except Exception as error:
            key = ", ".join(f"{name}={truncate(repr(record.get(name)))}" for name in self.primary_keys)
            cause = first_cause(error)
            described = f"{type(cause).__name__}: {truncate(str(cause))}"
            msg = f"stream_maps: failed for the record with {key}: {described}"
            raise StreamError(self.name, msg) from error

    @cached_property
    def _mapped_columns(self) -> dict[str, Collection[str]]:
        """The columns of each table that a map or flattening makes."""
        return {
            each.stream_alias: each.transformed_schema["properties"].keys()
            for each in self.stream_maps
            if each.flattening_enabled or isinstance(each, CustomStreamMap)
        }

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterable[tuple[t.Any, list[str]]]:
        # The SDK would write deselected columns too, and ignore the stream maps.
        if len(self.stream_maps) > 1:
            msg = f"batch_config: cannot be used with stream_maps that split {self.name}"
            raise InputError(msg)
        rows = self._sync_records(context, write_messages=False)
        records = (message.record for row in rows for message in self._generate_record_messages(row))
        # The SDK moves a bookmark once the records up to it were read, which is before a file holds them.
        self.state_manager.hold = True
        for manifest in write_batches(records, batch_config, tap_name=self.tap_name, stream_name=self.name):
            self.state_manager.release()
            yield batch_config.encoding, manifest
        self.state_manager.release()
        self.state_manager.hold = False

    def on_stream_complete(self) -> None:
        """Log that the stream is complete. Called by the tap after the last record."""
        self.progress.complete()

    # Catalog and state

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        own = self.primary_keys
        super().apply_catalog(catalog)
        if entry := catalog.get_stream(self.name):
            self.primary_keys = read_primary_key(entry, own)
        _ = self.metadata  # which selects the keys, before the mapper takes the selection from the catalog

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        metadata.root.valid_replication_keys = list(self.valid_replication_keys)
        for column in filter(None, (*self.primary_keys, self.replication_key)):
            metadata["properties", column].inclusion = Metadata.InclusionType.AUTOMATIC
        return metadata

    @cached_property
    @override
    def state_manager(self) -> InstantStateManager:
        return InstantStateManager(
            stream_name=self.name,
            tap_state=self.tap_state,
            tap_name=self.tap_name,
            sync_start=self.services.sync_start,
            logger=self.stream_logger,
        )

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return no signpost: the SDK would take it for the bookmark of records in the future."""

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:
        return ()  # child streams are not supported, and one context for each record costs time
