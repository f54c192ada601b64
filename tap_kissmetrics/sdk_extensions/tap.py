"""A tap that validates its inputs, syncs stream by stream, and stops in good order on a signal."""

from __future__ import annotations

import abc
import datetime as dt
import logging
import typing as t
from dataclasses import dataclass
from functools import cached_property

import click
from singer_sdk import Tap, metrics
from singer_sdk.exceptions import SingerSDKError
from singer_sdk.singerlib import StateMessage
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_kissmetrics.sdk_extensions import waiting
from tap_kissmetrics.sdk_extensions.http import logins_in_environment
from tap_kissmetrics.sdk_extensions.inputs import (
    InputError,
    blame,
    name_variables,
    read_catalog,
    read_environment,
    read_json_file,
    read_json_stream,
    read_numbers,
    suggest_names,
    validate_state,
)
from tap_kissmetrics.sdk_extensions.logs import (
    drop_redundant,
    is_log_detailed,
    plural,
    redact_logs,
    shorten,
    summary,
    terminal_line,
)
from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.sdk_extensions.stream import (
    AbortRunError,
    ExtendedStream,
    Services,
    StreamError,
    group_by_kind,
    shared_table,
    unmatched_maps,
)
from tap_kissmetrics.sdk_extensions.waiting import Shutdown, ShutdownRequested
from tap_kissmetrics.sdk_extensions.writer import BufferedWriter

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tap_kissmetrics.sdk_extensions.http import Session
    from tap_kissmetrics.sdk_extensions.inputs import Settings
    from tap_kissmetrics.sdk_extensions.logs import TerminalLine


MAX_CAUSE_LENGTH: t.Final = 250
"""Characters of the cause of a failed stream that the last line of a run repeats."""


class StreamsFailedError(SingerSDKError):
    """Some of the selected streams failed; the others are complete."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a tap says about its settings, besides their JSON Schema, and what follows from them."""

    secrets: Callable[[Settings], Iterable[str]]
    """Return what no log line may show; the settings need not be valid."""

    normalize: Callable[[Settings], Settings]
    """Return the settings in canonical form; they need not be valid."""

    validate: Callable[..., None]
    """Raise `InputError` for wrong `settings` by this `schema`, and for missing ones if `is_complete`."""

    validate_catalog: Callable[[Settings, Settings], None]
    """Raise `InputError` for a catalog that does not belong to the settings."""

    replication_keys: Callable[[Settings], Mapping[str, Sequence[str]]]
    """Return the possible replication keys of each stream that exists with these settings."""

    numbered_streams: Collection[str]
    """Streams whose bookmarks are numbers; those of others are date-times."""


class ExtendedTap(Tap):
    """Base class of a tap whose streams are `ExtendedStream`s and share one session."""

    definition: t.ClassVar[Definition]

    message_writer_class = BufferedWriter
    message_writer: BufferedWriter

    @override
    def __init__(
        self,
        *,
        config: t.Any = None,
        catalog: t.Any = None,
        state: t.Any = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **kwargs: t.Any,
    ) -> None:
        self.shutdown = Shutdown()
        self.logger.addFilter(drop_redundant)
        settings = {name: value for name, value in (config or {}).items() if value is not None}
        schema = self.settings_schema()
        variables: dict[str, str] = {}
        if parse_env_config:
            from_environment = read_environment(schema, self.env_prefix(), self.logger)
            variables = {name: f"{self.env_prefix()}{name.upper()}" for name in from_environment}
            settings |= from_environment
        definition = self.definition
        settings = definition.normalize(read_numbers(settings, schema))
        redact_logs([*definition.secrets(settings), *logins_in_environment()], self.name)
        if unknown := sorted(settings.keys() - schema["properties"].keys()):
            self.logger.warning("Unknown settings are ignored: %s", suggest_names(unknown, schema["properties"]))
        try:
            definition.validate(settings, schema, is_complete=validate_config)
        except InputError as error:
            raise InputError(name_variables(str(error), variables)) from None
        start_date = parse_instant(settings.get("start_date"))
        if start_date and start_date > dt.datetime.now(dt.UTC):
            self.logger.warning("start_date %s is in the future: INCREMENTAL streams write nothing", start_date)
        replication_keys = definition.replication_keys(settings)
        if isinstance(catalog, dict):
            catalog = read_catalog(catalog, replication_keys, self.logger)
            definition.validate_catalog(catalog, settings)
        if isinstance(state, dict):
            validate_state(state, replication_keys, definition.numbered_streams, self.logger)
        super().__init__(config=settings, catalog=catalog, state=state, validate_config=validate_config, **kwargs)
        if not is_log_detailed():
            # They say the same as the lines of the streams, at more than twice the length.
            metrics.get_metrics_logger().setLevel(logging.WARNING)
        self.message_writer.shutdown = self.shutdown
        self.shutdown.install(self._handle_termination)  # the SDK leaves out SIGHUP

    @cached_property
    def services(self) -> Services:
        """What the streams share."""
        return Services(
            connect=self.connect,
            writer=self.message_writer,
            shutdown=self.shutdown,
            user_agent=f"{self.name}/{self.plugin_version}",
            sync_start=dt.datetime.fromtimestamp(self.initialized_at / 1000, tz=dt.UTC),
        )

    @abc.abstractmethod
    def connect(self) -> Session:
        """Make the HTTP session that all streams share."""

    @classmethod
    def env_prefix(cls) -> str:
        """Return what the names of the tap's environment variables begin with."""
        return f"{cls.name.upper().replace('-', '_')}_"

    @classmethod
    def settings_schema(cls) -> dict[str, t.Any]:
        """Return the JSON Schema of the settings, together with those that the SDK adds."""
        schema = {**cls.config_jsonschema, "properties": {**cls.config_jsonschema["properties"]}}
        cls.append_builtin_config(schema)
        return schema

    @override
    def setup_mapper(self) -> None:
        streams = self.streams  # which complete the entries of the catalog that the mapper reads
        if unmatched := list(unmatched_maps(self.config.get("stream_maps") or {}, streams)):
            self.logger.warning("stream_maps: no stream matches %s", suggest_names(unmatched, streams))
        try:
            super().setup_mapper()
        except SingerSDKError as error:
            msg = f"stream_maps: {error}"
            raise InputError(msg) from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # which the SDK does not catch
            msg = f"stream_maps: cannot be used: {type(error).__name__}: {error}"
            raise InputError(msg) from error
        selected = {name: self.mapper.stream_maps[name] for name, stream in streams.items() if stream.selected}
        if shared := shared_table(selected):
            msg = f"stream_maps: several streams would be written to the table {shared}"
            raise InputError(msg)

    # Final in the SDK, whose sync ends with the first stream that fails, and has no hook for a stream that is complete.
    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        """Sync every selected stream; raise `StreamsFailedError` in the end if some failed."""
        streams = t.cast("list[ExtendedStream]", list(self.streams.values()))
        selected = [stream for stream in streams if stream.selected]
        if not selected:
            msg = f"catalog: selects no stream; the streams are {', '.join(self.streams)}"
            raise InputError(msg)
        session = self.services.session  # which logs what is read
        started_at = waiting.monotonic()
        with blame("state"):
            self._reset_state_progress_markers()
        if self.state:
            self.state_writer.write_state(self.state)
        self.message_writer.hold_schemas = True
        failures: list[tuple[str, StreamError]] = []
        for stream in streams:
            if not stream.selected:
                self.logger.info("Skipping deselected stream '%s'.", stream.name)
        try:
            with terminal_line() as line:
                for number, stream in enumerate(selected, 1):
                    position = f"stream {number} of {len(selected)}" if len(selected) > 1 else ""
                    if error := self._sync_stream(stream, position, line):
                        failures.append((stream.name, error))
        except (ShutdownRequested, AbortRunError) as error:
            if self.message_writer.has_written or isinstance(error, ShutdownRequested):
                # Not through the state writer, which leaves out a state that has not changed.
                self.message_writer.write_message(StateMessage(value=self.state))
            raise
        records, skipped = (sum(getattr(each.progress, name) for each in streams) for name in ("records", "skipped"))
        seconds = waiting.monotonic() - started_at
        self.logger.info("Total: %s", summary(records, skipped, session.request_count, seconds))
        if failures:
            # With the causes, for Meltano shows the last lines of a log.
            groups = group_by_kind(failures)
            causes = (f"{', '.join(group.names)}: {shorten(group.cause, MAX_CAUSE_LENGTH)}" for group in groups)
            msg = f"{len(failures)} of {plural(len(selected), 'stream')} failed: {'; '.join(causes)}"
            raise StreamsFailedError(msg)

    def _sync_stream(self, stream: ExtendedStream, position: str, line: TerminalLine | None) -> StreamError | None:
        """Sync a stream and return its error, if any."""
        stream.progress.begin(position, stream.replication_method, line)
        try:
            with stream.wrap_errors():  # for the errors that `partitions` raises
                stream.sync()
            stream.raise_failed_partitions()
        except StreamError as error:
            self.logger.error("%s", error)  # noqa: TRY400
            self.message_writer.discard()
            self._reset_state_progress_markers()
            self.state_writer.write_state(self.state)
            return error
        if stream.is_complete and stream.progress.records:
            self.message_writer.release()
        elif self.message_writer.discard_activate_version() and not stream.progress.records:
            # An empty list may be the mistake of a server.
            stream.stream_logger.warning("no records: the rows in the target stay, and no ACTIVATE_VERSION is sent")
        stream.on_stream_complete()
        stream.finalize_state_progress_markers()
        return None

    # Private, and the only hook for signals: the SDK's own exits with code 0 in the middle of a line.
    @override
    def _handle_termination(self, signum: int, frame: object) -> None:
        self.shutdown.request(signum)

    # The command line

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        parsed = super().cb_config(ctx, param, ())
        parsed.parse_env = not value or "ENV" in value
        for path in value:
            if path.lstrip().startswith(("{", "[")):
                msg = "--config takes the path of a file, not its content (it is not shown)"
                raise InputError(msg)
            if path != "ENV":
                parsed.config |= read_json_file(path, "config")
        return parsed

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        reads = value == CliTestOptionValue.All.value
        if reads:
            # They report a stream that ends after one record as failed.
            metrics.get_metrics_logger().addFilter(metrics.MetricExclusionFilter(types=("counter", "timer")))
        try:
            super().cb_test(ctx, param, value)
        except click.exceptions.Exit:
            if reads:
                cls.logger.info("Connection test passed: every stream can be read")
            raise

    @classmethod
    @override
    def invoke(  # type: ignore[override]  # as the SDK's own Tap does
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: t.Any = None,
        state: t.IO[str] | None = None,
        catalog: t.IO[str] | None = None,
    ) -> None:
        if about:
            super().invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=_read(state, "state"),
            catalog=_read(catalog, "catalog"),
        )
        tap.sync_all()


def _read(file: t.IO[str] | None, kind: str) -> Settings | None:
    # Past the text layer, which decodes as the locale says.
    return read_json_stream(file.buffer, kind, file.name) if file else None  # type: ignore[attr-defined]
