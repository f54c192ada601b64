"""What the tap says of itself: settings and capabilities as `--about` has them, streams as `--discover` has them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

from tap_kissmetrics.tap import TapKissmetrics
from tests.tap_in_process import signals_kept

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

REQUIRED: list[str] = ABOUT["settings"].get("required", [])
"""The settings without which no sync starts."""


def setting_groups(schema: dict[str, Any]) -> list[list[str]]:
    """Give the groups of settings of which one must be complete.

    Args:
        schema: JSON Schema of the settings: the required ones, `anyOf` or `oneOf` for a choice between groups of
            required ones, and `dependentRequired` for settings that need others.

    Returns:
        The groups. Where the schema knows no choice, a setting that needs others opens a group with them.
    """
    needs: dict[str, list[str]] = schema.get("dependentRequired", {})
    required: list[str] = schema.get("required", [])
    choices = [choice["required"] for choice in schema.get("anyOf", schema.get("oneOf", [])) if "required" in choice]
    starts = [[*required, *choice] for choice in choices] or [required, *([*required, name] for name in needs)]
    groups = [_complete(start, needs) for start in starts]
    order = list(schema["properties"])
    least = [group for group in groups if group and not any(other < group for other in groups if other)]
    return [list(names) for names in dict.fromkeys(tuple(sorted(group, key=order.index)) for group in least)]


def _complete(names: list[str], needs: dict[str, list[str]]) -> set[str]:
    group = set(names)
    while missing := {need for name in group for need in needs.get(name, [])} - group:
        group |= missing
    return group


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
