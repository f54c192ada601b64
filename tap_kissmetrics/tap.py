"""The tap: its settings and its streams."""

from __future__ import annotations

import datetime as dt
import signal
import threading
import time
import typing as t
from functools import cached_property

from singer_sdk.exceptions import MapExpressionError, SingerSDKError
from singer_sdk.singerlib import StateMessage
from typing_extensions import override

from tap_kissmetrics.apis import APIS, QUERY, secrets_of
from tap_kissmetrics.catalog import check_state, read_catalog
from tap_kissmetrics.checks import check_settings, url_of
from tap_kissmetrics.command_line import CommandLineTap
from tap_kissmetrics.config import read_environment
from tap_kissmetrics.core_streams import CORE_STREAMS
from tap_kissmetrics.errors import SettingsError, StoppedError, StreamError, SyncError
from tap_kissmetrics.logs import drop_deselected, drop_useless, hide_secrets
from tap_kissmetrics.output import MessageWriter
from tap_kissmetrics.progress import many, summary
from tap_kissmetrics.query_streams import QUERY_STREAMS
from tap_kissmetrics.results import MetricResultsStream, ReportResultsStream, UserQueryStream
from tap_kissmetrics.session import make_session
from tap_kissmetrics.settings import SETTINGS
from tap_kissmetrics.stopping import insist

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_sdk import Stream

    from tap_kissmetrics.apis import Api
    from tap_kissmetrics.client import KissmetricsStream
    from tap_kissmetrics.session import Session

LISTS: t.Final = {"core": CORE_STREAMS, "query": QUERY_STREAMS}
"""The lists of each API."""

RESULTS: t.Final[dict[str, type[ReportResultsStream | MetricResultsStream]]] = {
    "report_ids": ReportResultsStream,
    "metric_ids": MetricResultsStream,
}
"""The streams that there are once the setting says what to run."""

SIGNALS: t.Final = (signal.SIGINT, signal.SIGTERM)
"""What ends a run in good order."""

_BUILT_IN: t.Final = {stream.name for stream in (*CORE_STREAMS, *QUERY_STREAMS, *RESULTS.values())}  # type: ignore[misc]


class TapKissmetrics(CommandLineTap):
    """Extracts account data and the results of reports from Kissmetrics."""

    name = "tap-kissmetrics"

    config_jsonschema: t.ClassVar[dict[str, t.Any]] = SETTINGS

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
        self.logger.addFilter(drop_useless)
        settings = {k: v for k, v in (config or {}).items() if v is not None}
        schema = self.settings_schema()
        if parse_env_config:
            settings |= read_environment(schema, self._env_var_prefix, self.logger)
        hide_secrets(secrets_of(settings))
        if not validate_config:
            # Discovery needs no settings; the SDK would warn of the missing ones.
            self.config_jsonschema = {  # type: ignore[misc]  # for this tap only
                k: v for k, v in self.config_jsonschema.items() if k != "anyOf"
            }
        check_settings(settings, schema, complete=validate_config, streams=_BUILT_IN)
        if unknown := sorted(settings.keys() - schema["properties"].keys()):
            self.logger.warning("Unknown settings are ignored: %s", ", ".join(unknown))

        if isinstance(catalog, dict):
            catalog = read_catalog(catalog, _replication_keys(settings), self.logger)
        if isinstance(state, dict):
            check_state(state)
        # The SDK's own handlers end with exit code 0; a signal waits until there are those of the tap.
        waiting = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            super().__init__(
                config=settings,
                catalog=catalog,
                state=state,
                validate_config=validate_config,
                **kwargs,
            )
            if threading.current_thread() is threading.main_thread():
                for number in SIGNALS:
                    signal.signal(number, self._stop)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, waiting)

    @override
    def setup_mapper(self) -> None:
        try:
            super().setup_mapper()
        except SingerSDKError as error:
            msg = f"stream_maps: {error}"
            raise SettingsError(msg) from error
        except (AttributeError, KeyError, TypeError) as error:  # which the SDK lets through
            msg = f"stream_maps: cannot be used: {type(error).__name__}: {error}"
            raise SettingsError(msg) from error

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
        return [
            *(stream(self) for stream in LISTS[self.config["api"]]),
            *(stream(self) for setting, stream in RESULTS.items() if self.config.get(setting)),
            *(UserQueryStream(self, query) for query in self.config.get("queries") or ()),
        ]

    @property
    @override
    def streams(self) -> dict[str, Stream]:
        # The SDK sorts them by name. Here lists come before what needs to know them.
        loaded = super().streams
        first = [name for name in ("accounts", "products", "reports") if name in loaded]
        return {name: loaded[name] for name in (*first, *loaded)}

    @property
    def api(self) -> Api:
        """The API that is read."""
        return APIS[self.config["api"]]

    @cached_property
    def api_url(self) -> str:
        """The root directory of the API, without a slash at its end."""
        return url_of(self.config.get("api_url") or self.api.url)

    @cached_property
    def query_url(self) -> str:
        """The root directory of the endpoints that run reports of the Core API, likewise."""
        return url_of(self.config["query_url"])

    def setting_of(self, url: str) -> str:
        """Tell which setting an address comes from.

        Args:
            url: An address that is asked.

        Returns:
            The name of the setting.
        """
        is_run = self.api is not QUERY and url.startswith(f"{self.query_url}/")
        return "query_url" if is_run and not self.api_url.startswith(self.query_url) else "api_url"

    @property
    def page_size(self) -> int:
        """Records to ask for in one request."""
        return int(self.config.get("page_size") or self.api.page_size)

    @property
    def product_ids(self) -> list[str | int]:
        """The products to read; none stands for all."""
        return list(dict.fromkeys(map(self.api.as_id, self.config.get("product_ids") or ())))

    @cached_property
    def date_range(self) -> dict[str, t.Any]:
        """The time that reports and metrics are run for, as the API takes it."""
        if chosen := self.config.get("report_date_range"):
            return dict(chosen)
        if self.api is QUERY:
            return {"type": "preset", "preset": "this_month_to_date"}
        now = dt.datetime.fromtimestamp(self.initialized_at // 1000, tz=dt.UTC)
        month = now.replace(day=1, hour=0, minute=0, second=0)
        return {"start_date": month.isoformat(), "end_date": now.isoformat()}

    @cached_property
    def session(self) -> Session:
        """The HTTP session that all streams share."""
        self.logger.info("Reading the %s at %s", self.api.title, self.api_url)
        return make_session(
            [self.api_url] if self.api is QUERY else [self.api_url, self.query_url],
            max_concurrency=int(self.config["max_concurrency"]),
            requests_per_minute=int(self.config.get("requests_per_minute") or self.api.requests_per_minute or 0)
            or None,
            logger=self.logger,
        )

    @override
    def run(self) -> None:
        """Sync every selected stream; one that fails does not stop the others.

        Raises:
            SettingsError: If no stream is selected.
            SyncError: If a stream failed, after the others were synced.
        """
        selected = sum(stream.selected for stream in self.streams.values())
        if not selected:
            msg = "catalog: selects no stream"
            raise SettingsError(msg)
        begun = time.monotonic()
        failed = self._sync_each()
        progress = [t.cast("KissmetricsStream", stream).progress for stream in self.streams.values()]
        records, requests = (sum(getattr(each, what) for each in progress) for what in ("records", "requests"))
        self.logger.info("In all: %s", summary(records, requests, time.monotonic() - begun))
        if failed:
            msg = f"{len(failed)} of {many(selected, 'stream')} failed: {', '.join(failed)}"
            raise SyncError(msg)

    def _sync_each(self) -> list[str]:
        """Sync every selected stream, and name those that failed."""
        failed: list[str] = []
        try:
            while True:
                try:
                    self.sync_all()
                except MapExpressionError as error:
                    msg = f"stream_maps: {error}"
                    raise SettingsError(msg) from error
                except StreamError as error:
                    self.logger.error("%s", error)  # noqa: TRY400
                    failed.append(error.stream)
                    self.message_writer.discard()
                    self._deselect_through(error.stream)
                    self.logger.addFilter(drop_deselected)
                else:
                    return failed
        finally:
            self.logger.removeFilter(drop_deselected)

    def _deselect_through(self, name: str) -> None:
        """Leave to the next `sync_all` what comes after a stream."""
        for stream in self.streams.values():
            stream.selected = False
            if stream.name == name:
                break

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002
        """End on a signal: no line is cut, and the last one is a STATE."""

        def end() -> None:
            try:
                if self.message_writer.started:
                    # Past the SDK's writer, which leaves out a state that has not changed, and what was gathered.
                    self.message_writer.write_message(StateMessage(value=self.state))
            finally:
                insist(stop)
            # Logged where it is caught: here a line may be half logged.
            raise StoppedError(number)

        def stop() -> None:
            self.message_writer.call_between_lines(end)

        stop()


def _replication_keys(settings: Mapping[str, t.Any]) -> dict[str, Sequence[str]]:
    """Give, for each stream that there is with these settings, the columns that can be its replication key."""
    lists = LISTS[settings.get("api", "core")]
    others = [*(stream.name for setting, stream in RESULTS.items() if settings.get(setting))]
    others += [query["name"] for query in settings.get("queries") or ()]
    return {stream.name: stream.valid_replication_keys for stream in lists} | dict.fromkeys(others, ())  # type: ignore[misc]
