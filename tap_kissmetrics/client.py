"""What all streams share: how the API is asked, and how records become messages."""

from __future__ import annotations

import datetime as dt
import typing as t
from contextlib import contextmanager
from functools import cached_property

from singer_sdk import RESTStream
from singer_sdk.batch import Batcher
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.catalog import Metadata
from typing_extensions import override
from urllib3.exceptions import LocationValueError

from tap_kissmetrics.bookmarks import Bookmarks, parse_instant
from tap_kissmetrics.catalog import check_keys
from tap_kissmetrics.errors import AuthenticationError, RateLimitError, SettingsError, StreamError
from tap_kissmetrics.logs import StreamLogger, drop_useless
from tap_kissmetrics.page import error_status, read_body
from tap_kissmetrics.problems import no_answer, problem, root_cause
from tap_kissmetrics.progress import Progress
from tap_kissmetrics.records import RecordShaper
from tap_kissmetrics.retry import retrying

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import requests
    from backoff.types import Details
    from requests.auth import AuthBase
    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import Catalog, MetadataMapping

    from tap_kissmetrics.retry import Func
    from tap_kissmetrics.session import Session
    from tap_kissmetrics.tap import TapKissmetrics


class KissmetricsStream(RESTStream[int]):
    """What is read of an API of Kissmetrics and written as one stream.

    Attributes:
        lines: Logs what is about this stream.
        progress: What was read so far.
    """

    valid_replication_keys: t.ClassVar[Sequence[str]] = ()
    """The columns that a user may choose for INCREMENTAL."""

    allow_redirects = False
    _LOG_REQUEST_METRICS = False  # a line for each request, at the level of what people read
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordShaper does it

    _tap: TapKissmetrics

    @override
    def __init__(self, tap: TapKissmetrics, **kwargs: t.Any) -> None:
        super().__init__(tap, **kwargs)
        self._bookmark: dt.datetime | None = None
        self.logger.addFilter(drop_useless)
        self.lines = StreamLogger(self.logger, self.name)
        self.progress = Progress(self.lines)

    # How the API is asked

    @property
    @override
    def url_base(self) -> str:
        return self._tap.api_url

    @cached_property
    @override
    def authenticator(self) -> AuthBase:
        return self._tap.api.authenticator(self.config)

    @cached_property
    @override
    def user_agent(self) -> str:
        return f"{self.tap_name}/{self._tap.plugin_version}"

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    @property
    @override
    def requests_session(self) -> Session:
        return self._tap.session

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]
        return float(self.config["request_timeout"])

    def ask(
        self, method: str, url: str, context: Context | None = None, **options: object
    ) -> tuple[requests.Response, t.Any]:
        """Send one request, once.

        Args:
            method: The HTTP method.
            url: An address below one of the roots of the API.
            context: The product that is read, or None for all of them.
            options: The `params` of the URL, or what is sent as `json`.

        Returns:
            The answer and its decoded body.

        Raises:
            RetriableAPIError: If another try may bring the answer.
            FatalAPIError: If none can.
        """
        self.progress.request()
        try:
            response = self._request(self.prepare(method, url, **options), context)
        except (OSError, LocationValueError, UnicodeError) as error:
            raise no_answer(error, url, self._tap.setting_of(url)) from None
        self.state_manager.read_at(response.headers.get("Date"), response.elapsed)
        body = read_body(response)
        if reported := self._problem(error_status(body), response):
            raise reported
        return response, body

    def prepare(self, method: str, url: str, **options: object) -> requests.PreparedRequest:
        """Make a request ready to be sent.

        Args:
            method: The HTTP method.
            url: An address below one of the roots of the API.
            options: The `params` of the URL, or what is sent as `json`.

        Returns:
            The request.
        """
        return self.build_prepared_request(method, url, headers=self.http_headers, **options)

    def retried(self, func: Func) -> Func:
        """Make a function repeat a request that fails, as the settings say.

        Args:
            func: Sends the request.

        Returns:
            The function. It raises the last error once `retry_timeout` is over.
        """
        return retrying(
            func,
            failures=RetriableAPIError,
            factor=float(self.config["backoff_factor"]),
            patience=float(self.config["retry_timeout"]),
            on_backoff=self.backoff_handler,
        )

    @override
    def validate_response(self, response: requests.Response) -> None:
        if error := self._problem(response.status_code, response):
            raise error

    def _problem(self, status: int | None, response: requests.Response) -> Exception | None:
        return problem(status, response, self._tap.api, self._tap.setting_of(response.url))

    @override
    def backoff_handler(self, details: Details) -> None:
        error, wait = details["exception"], details["wait"]
        if isinstance(error, RateLimitError):
            self.requests_session.give_way()
            self.lines.info("waiting %.1f s, for the API limits its requests; requests_per_minute sets a pace", wait)
        else:
            self.lines.warning("%s; trying again in %.1f s", error, wait)

    # How answers become records

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        self._bookmark = parse_instant(self.get_starting_replication_key_value(context))
        with self.naming_itself():
            yield from super().get_records(context)

    @contextmanager
    def naming_itself(self) -> Iterator[None]:
        """Make errors of the API those of this stream, so that the others are synced.

        Raises:
            StreamError: If something of it cannot be read.
        """
        try:
            yield
        except AuthenticationError:
            raise  # of no use to go on with the other streams
        except (FatalAPIError, RetriableAPIError) as error:
            raise StreamError(self.name, error) from error

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterable[tuple[t.Any, list[str]]]:
        # The SDK would write what is not selected too, and past the stream maps.
        if len(self.stream_maps) > 1:
            msg = f"batch_config: cannot be used with stream_maps that split {self.name}"
            raise SettingsError(msg)
        batcher = Batcher(tap_name=self.tap_name, stream_name=self.name, batch_config=batch_config)
        rows = self._sync_records(context, write_messages=False)
        records = (message.record for row in rows for message in self._generate_record_messages(row))
        # The SDK moves the bookmark with the last record, before the file that holds it is written and named.
        self.state_manager.is_held = True
        try:
            for manifest in batcher.get_batches(records=records):
                yield batch_config.encoding, manifest
        except (OSError, ImportError) as error:
            # Of what is not installed, the last words are those that help.
            msg = f"batch_config: {error if isinstance(error, ImportError) else root_cause(error)}"
            raise SettingsError(msg) from error
        self.state_manager.is_held = False

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        if self._bookmark and self.replication_key:
            instant = parse_instant(row.get(self.replication_key))
            if instant and instant < self._bookmark:
                self.progress.left_out += 1
                return None
        return self._shaper.shape(row)

    @override
    def _generate_record_messages(self, record: Record) -> t.Generator[RecordMessage, None, None]:
        # The SDK looks at every column of every record for what is not selected: more than a quarter of the
        # whole run, and no public hook comes before that. tests/test_fast_paths.py compares the two.
        if not self._is_whole:
            yield from super()._generate_record_messages(record)
            return
        for stream_map in self.stream_maps:
            if (mapped := stream_map.transform(record)) is not None:
                yield RecordMessage(
                    stream=stream_map.stream_alias,
                    record=mapped,
                    version=self._stream_version,
                    time_extracted=dt.datetime.now(dt.UTC),
                )

    @cached_property
    def _is_whole(self) -> bool:
        return all(self.mask.values())

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:
        return ()  # no stream has a child

    @cached_property
    def _shaper(self) -> RecordShaper:
        return RecordShaper(self.effective_schema, self.lines)

    # What the catalog and the state say of it

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        own = self.primary_keys
        super().apply_catalog(catalog)
        check_keys(self.name, own, self.primary_keys)

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
    def state_manager(self) -> Bookmarks:
        return Bookmarks(
            stream_name=self.name,
            tap_state=self.tap_state,
            tap_name=self.tap_name,
            sync_start=dt.datetime.fromtimestamp(self._tap.initialized_at / 1000, tz=dt.UTC),
            logger=self.lines,
        )

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Give no signpost: the SDK would take it as the bookmark of what lies ahead."""

    @override
    def finalize_state_progress_markers(self, state: dict[str, t.Any] | None = None) -> None:
        # No public hook comes once the stream is complete, and never with --test. tests/test_deletions.py and
        # tests/test_logs.py fail if this one no longer does.
        self.end()
        super().finalize_state_progress_markers(state)

    def end(self) -> None:
        """Do what is due once the stream is complete."""
        self._tap.message_writer.release()
        self.progress.done()
