"""What the command line does besides a plain sync: to tell about itself, to discover, to test, to merge files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from scripts.about import ABOUT, SETTINGS
from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import RESOURCES, Sandbox, faults
from tests.support.assertions import assert_complete
from tests.support.catalogs import KEYS
from tests.support.in_process import run_in_process
from tests.support.process import run_started
from tests.support.run import environment, settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

VERSION = TapKissmetrics.plugin_version


def test_version_is_that_of_the_package_also_for_the_console_script(tmp_path: Path) -> None:
    shown = run_tap("--version", folder=tmp_path).succeeded().stdout
    assert shown.startswith(f"tap-kissmetrics v{VERSION}, ")
    script = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    assert script, "the package is not installed"
    command = [script, "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == shown


def test_help_names_every_option(tmp_path: Path) -> None:
    text = run_tap("--help", folder=tmp_path).succeeded().stdout
    for option in ("--config", "--catalog", "--state", "--discover", "--test", "--about", "--format", "--version"):
        assert option in text


def test_about_as_json_has_settings_and_capabilities(tmp_path: Path) -> None:
    about = json.loads(run_tap("--about", "--format=json", folder=tmp_path).succeeded().stdout)
    assert (about["name"], about["version"]) == ("tap-kissmetrics", VERSION)
    assert about == ABOUT
    groups = [["api_token"], ["username"], ["export_urls"]]
    assert about["settings"]["anyOf"] == [{"required": group} for group in groups]
    assert about["settings"]["properties"]["api_token"]["secret"] is True
    wanted = {"about", "activate-version", "batch", "catalog", "discover", "schema-flattening", "state", "stream-maps"}
    assert wanted <= set(about["capabilities"])
    assert {"3.11", "3.12", "3.13"} <= set(about["supported_python_versions"])


@pytest.mark.parametrize("form", [[], ["--format=markdown"]])
def test_about_for_people_names_every_setting(form: list[str], tmp_path: Path) -> None:
    text = run_tap("--about", *form, folder=tmp_path).succeeded().stdout
    assert "Extracts account data, the results of reports, and raw events from Kissmetrics" in text
    assert VERSION in text or form
    assert [name for name in SETTINGS if name not in text] == []


def test_the_catalog_has_every_stream_and_how_it_is_replicated(tmp_path: Path) -> None:
    entries = json.loads(run_tap("--discover", folder=tmp_path).succeeded().stdout)["streams"]
    assert {entry["tap_stream_id"] for entry in entries} == set(RESOURCES)
    for entry in entries:
        metadata = {tuple(item["breadcrumb"]): item["metadata"] for item in entry["metadata"]}
        root = metadata.pop(())
        assert entry["key_properties"] == root["table-key-properties"] == ["id"]
        assert root["valid-replication-keys"] == list(KEYS.get(entry["tap_stream_id"], ()))
        assert entry["replication_method"] == "FULL_TABLE"
        assert entry.get("replication_key") is None
        assert root["selected"] is True
        assert {place[1] for place in metadata} == entry["schema"]["properties"].keys()
        for place, about in metadata.items():
            assert about["inclusion"] == ("automatic" if place == ("properties", "id") else "available"), place


def test_discovery_needs_no_settings_and_its_catalog_can_be_given_back(sandbox: Sandbox, tmp_path: Path) -> None:
    catalog = run_tap("--discover", folder=tmp_path).succeeded().stdout
    assert run_tap("--discover", folder=tmp_path, config=settings_for(sandbox)).succeeded().stdout == catalog
    assert not sandbox.requests
    assert_complete(sync(sandbox, tmp_path, catalog=json.loads(catalog)).succeeded(), sandbox.account)


def test_a_test_reads_a_record_of_each_stream(sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, "--test").succeeded()
    assert [len(run.records(name)) for name in RESOURCES] == [1] * len(RESOURCES)
    assert sorted(str(request.resource) for request in sandbox.requests) == sorted(RESOURCES)
    assert not run.of_type("ACTIVATE_VERSION")


def test_a_test_of_an_empty_account_succeeds(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.account.records.update({name: [] for name in RESOURCES})
    sync(sandbox, tmp_path, "--test").succeeded()


def test_a_test_of_the_schemas_asks_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, "--test=schema").succeeded()
    assert sorted(message["stream"] for message in run.of_type("SCHEMA")) == sorted(RESOURCES)
    assert len(run.messages) == len(RESOURCES)
    assert not sandbox.requests


@pytest.mark.parametrize("code", [401, 403, 503])
def test_a_test_fails_when_the_api_does(code: int, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.append(faults.status(code, resource="products"))
    run = sync(sandbox, tmp_path, "--test", retry_timeout=0.1)
    assert run.code == 1
    assert any(str(code) in line for line in run.errors)
    assert "Traceback" not in run.stderr


def test_config_files_are_merged_and_the_later_wins(sandbox: Sandbox, tmp_path: Path) -> None:
    later = write_json(tmp_path / "later.json", {"page_size": 17})
    sync(sandbox, tmp_path, "--config", later, page_size=11).succeeded()
    assert {request.query["limit"] for request in sandbox.requests} == {"17"}


def test_a_config_file_without_a_name_is_refused(tmp_path: Path) -> None:
    assert run_tap("--config=", folder=tmp_path).refused().startswith("config file without a name cannot be read")


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--about", "--format=xml"]])
def test_an_unknown_argument_is_refused_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    run = run_tap(*arguments, folder=tmp_path)
    assert (run.code, run.stdout) == (2, "")
    (line,) = run.errors
    assert arguments[-1].rpartition("=")[2] in line
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_in_this_process_is_like_one_in_its_own(fails: bool, sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: FBT001
    """Twice: nothing is left behind. It is what most tests rely on."""
    sandbox.faults += [faults.status(503, resource="events")] * fails
    runs = [
        sync(sandbox, tmp_path, env={"LOGLEVEL": "DEBUG"}, runner=runner, max_concurrency=1, retry_timeout=0)
        for runner in (run_started, run_in_process, run_in_process)
    ]
    varies = r"\d+\.\d+ s\b|[\d-]+[ T][\d:,.]+|\"version\":\d+|METRIC.*|in [\d.]+ s"
    shown = {(run.code, re.sub(varies, "", run.stdout), re.sub(varies, "", run.stderr)) for run in runs}
    assert len(shown) == 1, shown
