"""The tap: its settings and its streams."""

from __future__ import annotations

import signal
import sys
import threading
import typing as t
from functools import cached_property

from singer_sdk import Tap
from singer_sdk import typing as th
from typing_extensions import override

from tap_kissmetrics.catalog import check_state, read_catalog
from tap_kissmetrics.config import (
    check_settings,
    read_environment,
    read_json_file,
    read_json_stream,
)
from tap_kissmetrics.errors import SettingsError, StreamError, SyncError
from tap_kissmetrics.logs import hide_secrets
from tap_kissmetrics.output import MessageWriter
from tap_kissmetrics.session import make_session
from tap_kissmetrics.streams import STREAMS

if t.TYPE_CHECKING:
    import click

    from tap_kissmetrics.client import KissmetricsStream
    from tap_kissmetrics.session import Session


class TapKissmetrics(Tap):
    """Extracts the account data of Kissmetrics through its Core API."""

    name = "tap-kissmetrics"

    config_jsonschema: t.ClassVar[dict[str, t.Any]] = th.PropertiesList(
        th.Property(
            "api_token",
            th.StringType,
            required=True,
            secret=True,
            title="API token",
            description=(
                "Personal Token, made under Manage API Tokens in the account settings "
                "of Kissmetrics. Not needed for --discover."
            ),
        ),
        th.Property(
            "api_url",
            th.StringType,
            default="https://api.kissmetrics.com/core",
            title="API URL",
            description=(
                "Root directory of the Core API, with or without a slash at its end. "
                "HTTPS, or HTTP to a loopback address; the token is sent to no other host."
            ),
        ),
        th.Property(
            "page_size",
            th.IntegerType(minimum=1, maximum=10000),
            default=1000,
            title="Page size",
            description=(
                "Records to ask for in one request, 1 to 10000. Pages overlap by one "
                "record, so 1 is sent as 2. A server that gives fewer is fine."
            ),
        ),
        th.Property(
            "product_ids",
            th.ArrayType(th.StringType),
            title="Product IDs",
            description=(
                "Read reports, events, properties and metrics of these products only. "
                "Left out, those of all products are read."
            ),
        ),
        th.Property(
            "start_date",
            th.DateTimeType,
            title="Start date",
            description=(
                "Date-time before which records of INCREMENTAL streams are left out. It never cuts a FULL_TABLE stream."
            ),
        ),
        th.Property(
            "request_timeout",
            th.NumberType(exclusive_minimum=0, maximum=3600),
            default=60,
            title="Request timeout",
            description=(
                "Seconds to wait for the server to send something. A whole answer may take five times as long."
            ),
        ),
        th.Property(
            "retry_timeout",
            th.NumberType(minimum=0, maximum=86400),
            default=120,
            title="Retry timeout",
            description=(
                "Seconds that one request may go on failing before the stream is given "
                "up. Waiting for a rate limit does not count."
            ),
        ),
        th.Property(
            "backoff_factor",
            th.NumberType(exclusive_minimum=0, maximum=60),
            default=1,
            title="Back-off factor",
            description=(
                "Seconds before the second try of a request; each further wait is twice "
                "as long, up to 60 times this. A rate limit that does not say how long "
                "it lasts is waited for 60 times this."
            ),
        ),
        th.Property(
            "requests_per_minute",
            th.IntegerType(minimum=1, maximum=100000),
            title="Requests per minute",
            description=(
                "Pace that is never exceeded, where the limit of the account is known. "
                "Left out, requests follow each other until the API asks for a pause."
            ),
        ),
        th.Property(
            "max_concurrency",
            th.IntegerType(minimum=1, maximum=32),
            default=4,
            title="Concurrent requests",
            description=(
                "Requests under way at once: the pages of a list are fetched ahead. One at a time "
                "where requests_per_minute is set, and once the API has asked for a pause."
            ),
        ),
        th.Property(
            "emit_activate_version_messages",
            th.BooleanType,
            default=False,
            title="Emit ACTIVATE_VERSION messages",
            description=(
                "Tell the target, at the end of each complete FULL_TABLE stream, to "
                "remove what Kissmetrics no longer has."
            ),
        ),
    ).to_dict()

    message_writer_class = MessageWriter
    message_writer: MessageWriter

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
        """Check what the user gave, then let the SDK set up the tap.

        Args:
            config: The settings.
            catalog: The catalog, as an object.
            state: The state, as an object.
            parse_env_config: Whether to read settings from the environment as well.
            validate_config: Whether all required settings must be there.
            kwargs: What else the SDK takes.

        Raises:
            SettingsError: If a setting, the catalog or the state is wrong.
        """
        settings = {k: v for k, v in (config or {}).items() if v is not None}
        schema = self.settings_schema()
        if parse_env_config:
            settings |= read_environment(schema, self._env_var_prefix)
        if isinstance(token := settings.get("api_token"), str):
            hide_secrets([token])
        if not validate_config:
            # Discovery needs no settings; the SDK would warn of the missing ones.
            schema = {**schema, "required": []}
            self.config_jsonschema = {  # type: ignore[misc]  # for this tap only
                **self.config_jsonschema,
                "required": [],
            }
        check_settings(settings, schema)
        if unknown := sorted(settings.keys() - schema["properties"].keys()):
            self.logger.warning("Unknown settings are ignored: %s", ", ".join(unknown))

        if isinstance(catalog, dict):
            keys = {s.name: s.valid_replication_keys for s in STREAMS}  # type: ignore[misc]
            catalog = read_catalog(catalog, keys)
        if isinstance(state, dict):
            check_state(state)
        super().__init__(
            config=settings,
            catalog=catalog,
            state=state,
            validate_config=validate_config,
            **kwargs,
        )
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._stop)

    @classmethod
    def settings_schema(cls) -> dict[str, t.Any]:
        """Give the settings of the tap together with those that the SDK adds.

        Returns:
            A JSON Schema.
        """
        schema = {**cls.config_jsonschema}
        schema["properties"] = {**schema["properties"]}
        cls.append_builtin_config(schema)
        return schema

    @override
    def discover_streams(self) -> list[KissmetricsStream]:
        return [stream(self) for stream in STREAMS]

    @property
    def api_url(self) -> str:
        """The root directory of the API, without a slash at its end."""
        return str(self.config["api_url"]).rstrip("/")

    @cached_property
    def session(self) -> Session:
        """The HTTP session that all streams share."""
        return make_session(
            self.api_url,
            max_concurrency=self.config["max_concurrency"],
            requests_per_minute=self.config.get("requests_per_minute"),
        )

    def run(self) -> None:
        """Sync every selected stream; one that fails does not stop the others.

        Raises:
            SettingsError: If no stream is selected.
            SyncError: If a stream failed, after the others were synced.
        """
        if not any(stream.selected for stream in self.streams.values()):
            msg = "catalog: selects no stream"
            raise SettingsError(msg)
        failed: list[str] = []
        while True:
            try:
                self.sync_all()
                break
            except StreamError as error:
                self.logger.error("%s", error)  # noqa: TRY400
                failed.append(error.stream)
                self.message_writer.discard()
                self._deselect_through(error.stream)
        if failed:
            msg = f"{len(failed)} of the streams failed: {', '.join(failed)}"
            raise SyncError(msg)

    def _deselect_through(self, name: str) -> None:
        """Leave to the next `sync_all` what comes after a stream."""
        for stream in self.streams.values():
            stream.selected = False
            if stream.name == name:
                break

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002
        """End on a signal: no line is cut, and the last one is a STATE."""

        def stop() -> None:
            self.logger.warning("Stopped by %s", signal.Signals(number).name)
            if self.message_writer.started:
                self.state_writer.write_state(self.state)
            sys.exit(128 + number)

        self.message_writer.call_between_lines(stop)

    # Command line

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> t.Any:
        """Read the config files; without any, the environment is read."""
        parsed = super().cb_config(ctx, param, ())
        parsed.parse_env = not value or "ENV" in value
        for path in value:
            if path != "ENV":
                parsed.config |= read_json_file(path, f"config file {path}")
        return parsed

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
            state=state and read_json_stream(state, f"state file {state.name}"),
            catalog=catalog and read_json_stream(catalog, f"catalog file {catalog.name}"),
        )
        tap.run()
