"""What Meltano is told of the tap: the extractor in meltano.yml, and plugin.yaml for the projects of others."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import yaml

from tests.about import ABOUT, SETTING_GROUPS, SETTINGS

_KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    # Meltano 4.4 has the kind "decimal", and fails to write it into the tap's config where the value comes from the
    # environment. With "integer" whole seconds work from everywhere, and others from meltano.yml.
    "number": "integer",
    "object": "object",
    "string": "string",
}
"""From a type of JSON Schema to a kind of Meltano."""

_PLUGIN = {
    "name": ABOUT["name"],
    "namespace": ABOUT["name"].replace("-", "_"),
    "label": "Kissmetrics",
    "description": "Product analytics",
    "pip_url": ABOUT["name"],
    "executable": ABOUT["name"],
    "domain_url": "https://www.kissmetrics.io/",
    "keywords": ["api", "meltano_sdk"],
    "maintenance_status": "beta",
}
"""What plugin.yaml says besides `extractor`: a project of others takes the tap from PyPI."""


def extractor() -> dict[str, Any]:
    """Make what the code knows of the extractor in meltano.yml."""
    return {
        "capabilities": sorted(ABOUT["capabilities"]),
        "settings_group_validation": SETTING_GROUPS,
        "settings": [meltano_setting(name, setting) for name, setting in SETTINGS.items()],
    }


def meltano_setting(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Make Meltano's definition of a setting.

    Args:
        name: Its name.
        setting: Its JSON Schema.

    Returns:
        The definition, in the terms of MeltanoHub.
    """
    (kind,) = [kind for kind in setting["type"] if kind != "null"]
    kind = "date_iso8601" if setting.get("format") == "date-time" else _KINDS[kind]
    options = [
        {"label": str(value).capitalize(), "value": value} for value in setting.get("enum", []) if value is not None
    ]
    made = {
        "name": name,
        "kind": "options" if options else kind,
        "value": setting.get("default"),
        "label": setting["title"],
        "description": setting["description"],
        "options": options or None,
        "sensitive": setting.get("secret"),
    }
    return {key: value for key, value in made.items() if value is not None}


def write_meltano(text: str) -> str:
    """Put the extractor's generated keys in the place of those that are there; all other lines stay."""
    found = re.search(r"^  - name: tap-kissmetrics\n(?:    .*\n)+", text, re.MULTILINE)
    if not found:
        message = "meltano.yml must have the extractor tap-kissmetrics"
        raise ValueError(message)
    block = found.group()
    for key, value in extractor().items():
        part = textwrap.indent(_dump(key, value), "    ")
        lines = re.compile(rf"^    {key}:.*\n(?:    [ -].*\n)*", re.MULTILINE)
        there = lines.search(block)
        block = block[: there.start()] + part + block[there.end() :] if there else block + part
    return text[: found.start()] + block + text[found.end() :]


def plugin_yaml(_: str = "") -> str:
    """Make plugin.yaml: what `meltano add --from-ref` takes, in the form of MeltanoHub's own definitions."""
    head = (
        "# Made by `python -m tests.documents --write`. To use it, see README.md, With Meltano: until the tap is\n"
        "# published, pip_url is the path of a clone.\n"
    )
    return head + "".join(_dump(key, value) for key, value in (_PLUGIN | extractor()).items())


def _dump(key: str, value: object) -> str:
    flow = None if key == "settings_group_validation" else False
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=flow)
