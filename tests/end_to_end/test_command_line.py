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
from tests.support.process import run_forked, run_started
from tests.support.run import environment, settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path


VERSION = TapKissmetrics.plugin_version


def without_times(text: str) -> str:
    """Leave out what differs from one run to the next: times, seconds and the version of a table."""
    return re.sub(r"\d+\.\d+ s\b|[\d-]+[ T][\d:,.]+|\"version\":\d+|METRIC.*|in [\d.]+ s", "", text)


class TestAbout:
    """What it tells about itself."""

    def test_version(self, tmp_path: Path) -> None:
        assert run_tap("--version", folder=tmp_path).succeeded().stdout.startswith(f"tap-kissmetrics v{VERSION}, ")

    def test_help(self, tmp_path: Path) -> None:
        text = run_tap("--help", folder=tmp_path).succeeded().stdout
        for option in ("--config", "--catalog", "--state", "--discover", "--test", "--about", "--format", "--version"):
            assert option in text

    def test_about_as_json(self, tmp_path: Path) -> None:
        about = json.loads(run_tap("--about", "--format=json", folder=tmp_path).succeeded().stdout)
        assert (about["name"], about["version"]) == ("tap-kissmetrics", VERSION)
        assert about == ABOUT
        groups = [["api_token"], ["username"], ["export_urls"]]
        assert about["settings"]["anyOf"] == [{"required": group} for group in groups]
        assert about["settings"]["properties"]["api_token"]["secret"] is True
        wanted = {"about", "activate-version", "batch", "catalog", "discover", "schema-flattening", "state"}
        assert wanted | {"stream-maps"} <= set(about["capabilities"])
        assert about["supported_python_versions"] == ["3.11", "3.12", "3.13"]

    @pytest.mark.parametrize("form", [[], ["--format=markdown"]])
    def test_about_for_people(self, form: list[str], tmp_path: Path) -> None:
        text = run_tap("--about", *form, folder=tmp_path).succeeded().stdout
        assert "Extracts account data, the results of reports, and raw events from Kissmetrics" in text
        assert VERSION in text or form
        for name in SETTINGS:
            assert name in text


class TestDiscover:
    """`--discover`."""

    def test_catalog_has_every_stream_and_how_it_is_replicated(self, tmp_path: Path) -> None:
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

    def test_needs_neither_settings_nor_the_api(self, sandbox: Sandbox, tmp_path: Path) -> None:
        without = run_tap("--discover", folder=tmp_path).succeeded().stdout
        assert run_tap("--discover", folder=tmp_path, config=settings_for(sandbox)).succeeded().stdout == without
        assert not sandbox.requests

    def test_its_catalog_can_be_given_back(self, sandbox: Sandbox, tmp_path: Path) -> None:
        catalog = tmp_path / "catalog.json"
        catalog.write_text(run_tap("--discover", folder=tmp_path).succeeded().stdout, encoding="utf-8")
        assert_complete(sync(sandbox, tmp_path, "--catalog", catalog).succeeded(), sandbox.account)


class TestTest:
    """`--test`."""

    def test_reads_a_record_of_each_stream(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, "--test").succeeded()
        assert [len(run.records(name)) for name in RESOURCES] == [1] * len(RESOURCES)
        assert {request.resource for request in sandbox.requests} == set(RESOURCES)
        assert len(sandbox.requests) == len(RESOURCES)
        assert not run.of_type("ACTIVATE_VERSION")

    def test_of_an_empty_account_succeeds(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.account.records.update({name: [] for name in RESOURCES})
        sync(sandbox, tmp_path, "--test").succeeded()

    def test_of_the_schemas_asks_nothing(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, "--test=schema").succeeded()
        assert {message["stream"] for message in run.of_type("SCHEMA")} == set(RESOURCES)
        assert len(run.messages) == len(RESOURCES)
        assert not sandbox.requests

    @pytest.mark.parametrize("code", [401, 403, 503])
    def test_fails_when_the_api_does(self, code: int, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.faults.append(faults.status(code, resource="products"))
        run = sync(sandbox, tmp_path, "--test", retry_timeout=0.1)
        assert run.code == 1
        assert any(str(code) in line for line in run.errors)
        assert "Traceback" not in run.stderr


class TestFiles:
    """Files given on the command line."""

    def test_config_files_are_merged_and_the_later_wins(self, sandbox: Sandbox, tmp_path: Path) -> None:
        later = write_json(tmp_path / "later.json", {"page_size": 17})
        sync(sandbox, tmp_path, "--config", later, page_size=11).succeeded()
        assert {request.query["limit"] for request in sandbox.requests} == {"17"}


class TestProgram:
    """The program as such."""

    @pytest.mark.parametrize("arguments", [["--no-such-option"], ["--about", "--format=xml"]])
    def test_unknown_argument_is_refused_in_one_line(self, arguments: list[str], tmp_path: Path) -> None:
        run = run_tap(*arguments, folder=tmp_path)
        assert (run.code, run.stdout) == (2, "")
        (line,) = run.errors
        assert arguments[-1].rpartition("=")[2] in line
        assert "Traceback" not in run.stderr

    def test_config_file_without_a_name_is_refused(self, tmp_path: Path) -> None:
        assert run_tap("--config=", folder=tmp_path).refused().startswith("config file without a name cannot be read")

    @pytest.mark.parametrize(
        ("arguments", "settings"),
        [
            ([], {}),
            ([], {"page_size": 7, "retry_timeout": 0}),
            (["--no-such-option"], {}),
        ],
        ids=["success", "failure", "usage"],
    )
    def test_the_runners_of_the_tests_are_the_same_program(
        self, arguments: list[str], settings: dict[str, object], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """A new interpreter, a fork of one, and `main()` in this process, twice: nothing is left behind."""
        sandbox.faults.append(faults.status(503, resource="events", where=lambda _: "retry_timeout" in settings))
        config = settings_for(sandbox, max_concurrency=1) | settings
        started, *others = (
            run_tap(*arguments, folder=tmp_path, config=config, env={"LOGLEVEL": "DEBUG"}, runner=runner)
            for runner in (run_started, run_forked, run_in_process, run_in_process)
        )
        for run in others:
            assert run.code == started.code
            assert without_times(run.stdout) == without_times(started.stdout)
            assert without_times(run.stderr) == without_times(started.stderr)

    def test_console_script_is_the_same_program(self, tmp_path: Path) -> None:
        script = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
        assert script, "the package is not installed"
        done = subprocess.run(
            [script, "--version"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == run_tap("--version", folder=tmp_path).stdout
