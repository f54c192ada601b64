"""The tap's description of itself: settings and capabilities as in `--about`, streams as in `--discover`."""

from __future__ import annotations

import io
import json
import signal
from contextlib import redirect_stdout
from typing import Any

from tap_kissmetrics.apis import APIS
from tap_kissmetrics.settings import SETTING_NAMES
from tap_kissmetrics.tap import TapKissmetrics

Entry = dict[str, Any]
"""The catalog entry of a stream."""

RESULTS_OF: dict[str, dict[str, Any]] = {
    "core": {"report_ids": ["*"], "metric_ids": ["*"]},
    "query": {"report_ids": ["*"], "metric_ids": [1]},
    "export": {"export_urls": ["export"]},
}
"""For each API, and for the raw data export, the settings with which it has all its streams."""

TITLES = {name: f"{api.title} (`{api.login}`)" for name, api in APIS.items()}
TITLES["export"] = "Raw data export (`export_urls`)"
"""What the documents call each of them."""


def config_of(api: str) -> dict[str, Any]:
    """Make the settings of a tap with all streams of an API, or of the raw data export."""
    return {**({"api": api} if api in APIS else {}), **RESULTS_OF[api]}


def tap_of(api: str) -> TapKissmetrics:
    """Make a tap of an API with all its streams: one that runs every report, and a metric."""
    # A tap takes over these signals when it is made; this process keeps its own handlers.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return TapKissmetrics(config=config_of(api), validate_config=False, setup_mapper=False)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _about() -> dict[str, Any]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        TapKissmetrics.print_about("json")
    about: dict[str, Any] = json.loads(printed.getvalue())
    return about


def _entries(api: str) -> dict[str, Entry]:
    entries: list[Entry] = json.loads(json.dumps(tap_of(api).catalog_dict))["streams"]
    return {entry["tap_stream_id"]: entry for entry in entries}


ABOUT = _about()
"""The output of `--about --format json`."""

SETTINGS: dict[str, dict[str, Any]] = {**ABOUT["settings"]["properties"]}
"""The JSON Schema of every setting, in the order of the tap's; those that the SDK adds come last."""

# The words of the SDK differ between its versions.
SETTINGS["batch_config"] = SETTINGS["batch_config"] | {
    "title": "Batch configuration",
    "description": "Write records to files and name them in BATCH messages: `encoding`, `storage` and `batch_size`.",
}

OWN_SETTINGS = {name: setting for name, setting in SETTINGS.items() if name in SETTING_NAMES}
"""The settings of the tap itself, some of which the SDK has from 0.55 on."""

SETTING_GROUPS: list[list[str]] = [choice["required"] for choice in ABOUT["settings"]["anyOf"]]
"""The groups of settings of which one must be complete."""

ENTRIES = {api: _entries(api) for api in RESULTS_OF}
"""The catalog entries by stream, for each API and for the raw data export."""
