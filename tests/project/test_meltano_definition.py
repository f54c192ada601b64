"""plugin.yaml: what it says follows from the settings, and Meltano adds the tap with it to a project of anybody."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from scripts.about import ABOUT, ENTRIES, OWN_SETTINGS, SETTINGS
from scripts.documents import PROJECT, extractor, meltano_setting
from tests.support.tables import code_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.targets import Programs


def strings(*keys: str) -> dict[str, dict[str, str]]:
    """Give the schemas of properties that are strings."""
    return {key: {"type": "string"} for key in keys}


STRINGS = {"type": "array", "items": {"type": "string"}}

HUB: dict[str, Any] = {
    "type": "object",
    "required": ["name", "namespace", "variant", "quality"],
    "additionalProperties": False,
    "properties": {
        **strings("name", "namespace", "variant", "label", "description", "docs", "repo", "pip_url", "executable"),
        **strings("definition", "next_steps", "settings_preamble", "usage", "prereq"),
        "logo_url": {"type": ["string", "null"]},
        "domain_url": {"type": ["string", "null"], "format": "uri"},
        "keywords": STRINGS,
        "maintenance_status": {"enum": ["active", "beta", "development", "inactive", "unknown"]},
        "quality": {"enum": ["gold", "silver", "bronze", "unknown"]},
        "capabilities": {
            "type": "array",
            "items": {
                "enum": [
                    *("about", "activate-version", "batch", "catalog", "discover", "log-based", "properties"),
                    *("schema-flattening", "state", "stream-maps", "structured-logging", "test"),
                ]
            },
        },
        "settings_group_validation": {"type": "array", "items": STRINGS},
        "settings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    **strings("name", "label", "description", "placeholder", "env"),
                    "aliases": STRINGS,
                    "value": {},
                    "kind": {
                        "enum": [
                            *("array", "boolean", "date_iso8601", "decimal", "email", "file", "hidden"),
                            *("integer", "oauth", "object", "options", "password", "string"),
                        ]
                    },
                    "options": {
                        "type": "array",
                        "items": {"properties": strings("label", "value")},
                    },
                    "hidden": {"type": "boolean"},
                    "sensitive": {"type": "boolean"},
                },
            },
        },
    },
}
"""What is known of MeltanoHub's schema of an extractor: its keys as far as a tap may use them."""

PUBLISHER = {
    "variant": "somebody",
    "quality": "unknown",
    "repo": "https://example.org/somebody/tap-kissmetrics",
    "logo_url": "/assets/logos/extractors/kissmetrics.png",
}
"""What CONTRIBUTING.md tells the publisher to add."""


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    """What plugin.yaml holds."""
    found = yaml.safe_load((PROJECT / "plugin.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


class TestSettings:
    """From the schema of a setting to Meltano's definition."""

    @pytest.mark.parametrize(
        ("schema", "wanted"),
        [
            ({"type": ["string", "null"]}, {"kind": "string"}),
            ({"type": ["string"], "secret": True}, {"kind": "string", "sensitive": True}),
            ({"type": ["string", "null"], "format": "date-time"}, {"kind": "date_iso8601"}),
            ({"type": ["number", "null"], "default": 0.5}, {"kind": "string", "value": 0.5}),
            ({"type": ["boolean", "null"], "default": False}, {"kind": "boolean", "value": False}),
            ({"type": ["array", "null"], "items": {"type": "string"}}, {"kind": "array"}),
            (
                {"type": ["string", "null"], "enum": ["core", "query", None], "default": "core"},
                {
                    "kind": "options",
                    "value": "core",
                    "options": [{"label": "Core", "value": "core"}, {"label": "Query", "value": "query"}],
                },
            ),
        ],
    )
    def test_definition(self, schema: dict[str, Any], wanted: dict[str, Any]) -> None:
        made = meltano_setting("one", {"title": "One", "description": "The first.", **schema})
        assert made == {"name": "one", "label": "One", "description": "The first.", **wanted}

    def test_each_own_setting_can_be_understood(self) -> None:
        for name, setting in OWN_SETTINGS.items():
            assert setting["title"], name
            assert setting["description"].endswith("."), name

    def test_what_is_named_like_a_secret_is_one(self) -> None:
        parts = {"token", "password", "secret", "key"}
        secrets = {name for name in OWN_SETTINGS if parts & set(name.split("_"))}
        assert secrets <= {name for name, setting in SETTINGS.items() if setting.get("secret")}


class TestDefinition:
    """The file, and Meltano with it."""

    def test_it_says_what_meltano_yml_says(self, definition: dict[str, Any]) -> None:
        (of_project,) = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["extractors"]
        for key, value in extractor().items():
            assert definition[key] == of_project[key] == value
        for key in ("name", "namespace", "label", "executable"):
            assert definition[key] == of_project[key]

    def test_it_fits_meltano_hub_with_what_its_publisher_adds(self, definition: dict[str, Any]) -> None:
        _, _, told = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("For an entry in MeltanoHub, ")
        assert re.findall(r"`(\w+)`", told.partition("\n\n")[0]) == list(PUBLISHER)
        hub = Draft202012Validator(HUB)
        hub.validate(definition | PUBLISHER)
        missing = {error.message for error in hub.iter_errors(definition)}
        assert missing == {f"{name!r} is a required property" for name in ("variant", "quality")}
        assert not hub.is_valid({**definition, **PUBLISHER, "quality": "best"})

    @pytest.mark.slow  # for Meltano has to be installed
    def test_it_fits_the_schema_of_meltano(self, definition: dict[str, Any], programs: Programs) -> None:
        (path,) = programs.install("meltano").glob("lib/*/site-packages/meltano/schemas/meltano.schema.json")
        validator = Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
        hub_only = {"domain_url", "keywords", "maintenance_status"}
        plugin = {key: value for key, value in definition.items() if key not in hub_only}
        validator.validate({"version": 1, "plugins": {"extractors": [plugin]}})
        settings = [{**setting, "kind": "secret"} for setting in plugin["settings"]]
        assert not validator.is_valid({"version": 1, "plugins": {"extractors": [plugin | {"settings": settings}]}})

    @pytest.mark.slow
    @pytest.mark.heavy
    def test_meltano_adds_the_tap_to_an_empty_project(self, programs: Programs, tmp_path: Path) -> None:
        """With the commands of the README."""
        program = programs.install("meltano") / "bin" / "meltano"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MELTANO_", "TAP_"))}
        env = inherited | {
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            "PATH": f"{program.parent}{os.pathsep}{inherited['PATH']}",
            "UV_CONSTRAINT": str(PROJECT / "constraints.txt"),
        }
        project = tmp_path / "project"

        def run(command: Sequence[str | Path]) -> str:
            done = subprocess.run(
                command,
                cwd=project if project.exists() else tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=100,
                encoding="utf-8",
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def meltano(*arguments: str) -> str:
            return run([program, *arguments])

        (tmp_path / "tap-kissmetrics").symlink_to(PROJECT)  # the clone, beside the project
        meltano("init", "project")
        run(["bash", "-euc", code_block("README", "definition", PROJECT)])
        assert meltano("invoke", "tap-kissmetrics", "--version").startswith("tap-kissmetrics v")
        streams = json.loads(meltano("invoke", "tap-kissmetrics", "--discover"))["streams"]
        assert {entry["tap_stream_id"] for entry in streams} == set(ENTRIES["core"]) - {
            "report_results",
            "metric_results",
        }
        told = meltano("config", "list", "tap-kissmetrics", "--all")
        for name in ABOUT["settings"]["properties"]:
            assert f"TAP_KISSMETRICS_{name.upper()}" in told
