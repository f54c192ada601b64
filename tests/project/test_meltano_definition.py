"""plugin.yaml: what it says follows from the settings, and Meltano adds the tap with it to a project of anybody."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from scripts.about import ABOUT, ENTRIES, OWN_SETTINGS, SETTINGS
from scripts.documents import PROJECT, extractor
from tests.support.tables import code_block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.targets import Programs


@pytest.fixture(scope="module")
def definition() -> dict[str, Any]:
    """What plugin.yaml holds."""
    found = yaml.safe_load((PROJECT / "plugin.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_settings_are_as_meltano_has_them(definition: dict[str, Any]) -> None:
    settings = {setting["name"]: setting for setting in definition["settings"]}
    assert settings.keys() == SETTINGS.keys()
    kinds = {
        "api_url": "string",
        "page_size": "integer",
        "retry_timeout": "string",  # Meltano has no kind for a number with decimals
        "product_ids": "array",
        "start_date": "date_iso8601",
        "api": "options",
        "flattening_enabled": "boolean",
    }
    assert {name: settings[name]["kind"] for name in kinds} == kinds
    assert [option["value"] for option in settings["api"]["options"]] == ["core", "query"]
    sensitive = {name for name, setting in settings.items() if setting.get("sensitive")}
    assert sensitive == {"api_token", "username", "password"}
    secret_words = {"token", "password", "secret", "key"}
    assert {name for name in OWN_SETTINGS if secret_words & set(name.split("_"))} <= sensitive
    assert all(settings[name]["label"] and settings[name]["description"].endswith(".") for name in OWN_SETTINGS)
    assert "value" not in settings["api_token"]
    assert definition["settings_group_validation"] == [["api_token"], ["username"], ["export_urls"]]
    assert {"catalog", "discover", "state", "about", "batch", "stream-maps"} <= set(definition["capabilities"])


def test_it_says_what_meltano_yml_says(definition: dict[str, Any]) -> None:
    (of_project,) = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["extractors"]
    for key, value in extractor().items():
        assert definition[key] == of_project[key] == value
    for key in ("name", "namespace", "label", "executable"):
        assert definition[key] == of_project[key]


@pytest.mark.slow  # for Meltano has to be installed
def test_it_fits_the_schema_of_meltano(definition: dict[str, Any], programs: Programs) -> None:
    (path,) = programs.install("meltano").glob("lib/*/site-packages/meltano/schemas/meltano.schema.json")
    validator = Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    hub_only = {"domain_url", "keywords", "maintenance_status"}
    plugin = {key: value for key, value in definition.items() if key not in hub_only}
    validator.validate({"version": 1, "plugins": {"extractors": [plugin]}})
    settings = [{**setting, "kind": "secret"} for setting in plugin["settings"]]
    assert not validator.is_valid({"version": 1, "plugins": {"extractors": [plugin | {"settings": settings}]}})


@pytest.mark.slow
@pytest.mark.heavy
def test_meltano_adds_the_tap_to_an_empty_project(programs: Programs, tmp_path: Path) -> None:
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
