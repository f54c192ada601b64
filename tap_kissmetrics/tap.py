"""The tap: its settings and its streams."""

from __future__ import annotations

import os
import typing as t
from functools import partial

from typing_extensions import override

from tap_kissmetrics.apis import APIS, CORE, get_api, metric_url, query_url, reads_api, secrets_of
from tap_kissmetrics.client import columns_of
from tap_kissmetrics.raw_events import RawEventsStream
from tap_kissmetrics.results import RESULTS, UserQueryStream
from tap_kissmetrics.sdk_extensions.files import CREDENTIAL_VARIABLES, S3, S3_BUNDLE_VARIABLES, parse_folder_url
from tap_kissmetrics.sdk_extensions.http import Limits, Session, find_bundle
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.sdk_extensions.tap import Definition, ExtendedTap
from tap_kissmetrics.settings import SETTINGS
from tap_kissmetrics.streams import LISTS
from tap_kissmetrics.validation import normalize_settings, validate_settings

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from singer_sdk import Stream

    from tap_kissmetrics.sdk_extensions.inputs import Settings
    from tap_kissmetrics.sdk_extensions.stream import ExtendedStream

MAX_RESPONSE_TIMEOUTS: t.Final = 5
"""Read timeouts after which a response that still trickles in is abandoned."""

_BUILT_IN_NAMES: t.Final = {
    RawEventsStream.name,
    *(stream.name for lists in (*LISTS.values(), RESULTS.values()) for stream in lists),  # type: ignore[misc]
}


def max_response_time(settings: Mapping[str, t.Any]) -> float:
    """Return the seconds that a whole response may take: short enough for another attempt within `retry_timeout`."""
    timeout = float(settings["request_timeout"])
    return max(timeout, min(MAX_RESPONSE_TIMEOUTS * timeout, float(settings["retry_timeout"]) / 2))


def secrets(settings: Settings) -> Iterable[str]:
    """Return the credentials of both APIs and of S3."""
    return [*secrets_of(settings), *filter(None, map(os.environ.get, CREDENTIAL_VARIABLES))]


def replication_keys(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Return the possible replication keys of each stream that exists with these settings."""
    exports = {RawEventsStream.name: RawEventsStream.valid_replication_keys} if settings.get("export_urls") else {}
    if not reads_api(settings):
        return exports
    lists = LISTS[get_api(settings).name]
    results = [*(stream.name for setting, stream in RESULTS.items() if settings.get(setting))]
    results += [query["name"] for query in settings.get("queries") or ()]
    keys = {stream.name: stream.valid_replication_keys for stream in lists}  # type: ignore[misc]
    return keys | dict.fromkeys(results, ()) | exports


def validate_catalog(catalog: Settings, settings: Settings) -> None:
    """Refuse a catalog of the other API, whose columns are others even where the keys are the same."""
    own = get_api(settings)
    for entry in catalog["streams"]:
        extra = entry["schema"]["properties"].keys() - columns_of(own, entry["tap_stream_id"])
        for other in APIS.values():
            if extra & columns_of(other, entry["tap_stream_id"]):
                msg = f"catalog: was made for the {other.title}, not for the {own.title}; make a new one with "
                raise InputError(msg + "--discover and the settings of the sync")


class TapKissmetrics(ExtendedTap):
    """Extracts account data, the results of reports, and raw events from Kissmetrics."""

    name = "tap-kissmetrics"

    definition = Definition(
        secrets=secrets,
        normalize=normalize_settings,
        validate=partial(validate_settings, reserved_names=_BUILT_IN_NAMES),
        validate_catalog=validate_catalog,
        replication_keys=replication_keys,
        numbered_streams={RawEventsStream.name},
    )
    config_jsonschema: t.ClassVar[dict[str, t.Any]] = SETTINGS

    @override
    def discover_streams(self) -> list[ExtendedStream]:
        config, services = self.config, self.services
        streams: list[ExtendedStream] = []
        if config.get("export_urls"):
            streams.append(RawEventsStream(self, services, max_read_time=max_response_time(config)))
        if reads_api(config):
            streams += [stream(self, services) for stream in LISTS[get_api(config).name]]
            streams += [stream(self, services) for setting, stream in RESULTS.items() if config.get(setting)]
            streams += [UserQueryStream(self, services, query) for query in config.get("queries") or ()]
        return streams

    @property
    @override
    def streams(self) -> dict[str, Stream]:
        # The SDK sorts streams by name. Here those come first that show whose credentials these are, or that others
        # look up.
        streams = super().streams
        looked_up = ("accounts", "products", "reports", *(("metrics",) if "metric_results" in streams else ()))
        first = [name for name in looked_up if name in streams]
        return {name: streams[name] for name in (*first, *streams)}

    @override
    def connect(self) -> Session:
        api = get_api(self.config)
        url = api.url(self.config)
        roots = [url, query_url(self.config), metric_url(self.config)] if api is CORE else [url]
        if any(parse_folder_url(folder).protocol == S3 for folder in self.config.get("export_urls") or ()):
            find_bundle(S3_BUNDLE_VARIABLES)
        if reads_api(self.config):
            self.logger.info("Reading the %s at %s", api.title, url)
        else:
            self.logger.info("Reading raw events only: there are no credentials of Kissmetrics")
        limits = Limits(
            max_concurrency=int(self.config["max_concurrency"]),
            requests_per_minute=api.requests_per_minute(self.config),
            max_response_time=max_response_time(self.config),
        )
        return Session(roots if reads_api(self.config) else [], limits, shutdown=self.shutdown, logger=self.logger)
