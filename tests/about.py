"""What the tap says of itself: settings and capabilities as `--about` has them, streams as `--discover` has them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

from tap_kissmetrics.tap import TapKissmetrics
from tests.support.in_process import signals_kept

Entry = dict[str, Any]
"""What a catalog holds of one stream."""


def _about() -> dict[str, Any]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        TapKissmetrics.print_about("json")
    told: dict[str, Any] = json.loads(printed.getvalue())
    return told


def _built_in() -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {}}
    TapKissmetrics.append_builtin_config(schema)
    added: dict[str, Any] = schema["properties"]
    return added


ABOUT = _about()
"""The answer to `--about --format json`."""

SETTINGS: dict[str, dict[str, Any]] = ABOUT["settings"]["properties"]
"""Every setting, in the order of tap.py; those that the SDK adds come last."""

OWN_SETTINGS = {name: setting for name, setting in SETTINGS.items() if name not in _built_in()}
"""The settings that the SDK does not bring along."""

SETTING_GROUPS: list[list[str]] = [choice["required"] for choice in ABOUT["settings"]["anyOf"]]
"""The groups of settings of which one must be complete."""

RESULTS_OF: dict[str, dict[str, Any]] = {
    "core": {"report_ids": ["*"]},
    "query": {"report_ids": ["*"], "metric_ids": [1]},
}
"""For each API, the settings with which it has all its streams."""


def tap_of(api: str) -> TapKissmetrics:
    """Make a tap of an API that runs every report and a metric: one that has all its streams."""
    with signals_kept():
        return TapKissmetrics(config={"api": api, **RESULTS_OF[api]}, validate_config=False, setup_mapper=False)


def discover(api: str) -> list[Entry]:
    """Give the catalog's entries of an API, as `--discover` does."""
    entries: list[Entry] = json.loads(json.dumps(tap_of(api).catalog_dict))["streams"]
    return entries
