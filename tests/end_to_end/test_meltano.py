"""Meltano runs the tap as the project's meltano.yml describes it: selection, metadata, state ids, full refresh."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.sandbox import faults
from tests.support.assertions import expected
from tests.support.catalogs import at_or_after, ids
from tests.support.results import all_report_rows, decoded, result_sandbox
from tests.support.tables import code_block, code_blocks
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from tests.sandbox import Record, Sandbox
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs

pytestmark = pytest.mark.slow

KEY = "last_sent_at"

PLUGINS = ("tap-kissmetrics", "target-jsonl")

(CHOICES,) = yaml.safe_load(code_block("nightly", "choices"))["plugins"]["extractors"]
"""What docs/nightly.md chooses."""


@dataclass(frozen=True)
class Project:
    """A Meltano project that is a copy of this one; the programs come from elsewhere, which takes no time."""

    folder: Path
    program: Path
    env: dict[str, str]
    executables: dict[str, Path] = field(default_factory=dict)

    def configure(self, extractor: dict[str, Any], executables: dict[str, Path]) -> None:
        """Write meltano.yml."""
        project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
        (tap,) = project["plugins"]["extractors"]
        tap |= extractor
        for plugin in [tap, *project["plugins"]["loaders"]]:
            del plugin["pip_url"]
            plugin["executable"] = str(executables.get(plugin["name"], "absent"))
        (self.folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")

    def execute(self, command: list[str | Path], **env: str) -> subprocess.CompletedProcess[str]:
        """Run any command in the folder, which must succeed, with `env` in its environment."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run(self, *arguments: str, **env: str) -> str:
        """Run a command of Meltano; give its output."""
        return self.execute([self.program, *arguments], **env).stdout

    def take(self, folder: str = "output") -> dict[str, list[Record]]:
        """Take what was loaded into a folder, and leave it empty for the next run."""
        loaded = {}
        for path in (self.folder / folder).glob("*.jsonl"):
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            loaded[path.stem] = [json.loads(line) for line in lines]
            path.unlink()
        return loaded


@pytest.fixture
def project(tmp_path: Path, programs: Programs, sandbox: Sandbox) -> Project:
    """A project in which nothing was run yet. The token is in `.env`, as Meltano keeps it."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MELTANO_", "TAP_", "TARGET_"))}
    variables = {
        "TAP_KISSMETRICS_API_URL": sandbox.url,
        "TARGET_JSONL_DESTINATION_PATH": "output",
        "TARGET_JSONL_DO_TIMESTAMP_FILE": "false",
        "NO_COLOR": "1",
    }
    (tmp_path / ".env").write_text(f"TAP_KISSMETRICS_API_TOKEN={sandbox.token}\n", encoding="utf-8")
    (tmp_path / "output").mkdir()
    tap = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    assert tap, "the package is not installed"
    executables = {name: programs.install(name) / "bin" / name for name in ("target-jsonl", "target-postgres")}
    executables["tap-kissmetrics"] = Path(tap)
    project = Project(tmp_path, programs.install("meltano") / "bin" / "meltano", inherited | variables, executables)
    project.configure(CHOICES, executables)
    return project


def selected(events: list[Record]) -> list[Record]:
    """Give what `CHOICES` leave of the events."""
    return [{column: value for column, value in event.items() if column != "description"} for event in events]


def assert_two_nights(project: Project, sandbox: Sandbox, *command: str) -> None:
    """Run a command twice: all that `CHOICES` select comes at first, and then what is at or after the bookmark."""
    project.run(*command)
    accounts, events = (sandbox.account.records[name] for name in ("accounts", "events"))
    assert project.take() == {"accounts": expected("accounts", accounts), "events": selected(events)}
    bookmark = max(event[KEY] for event in events if event[KEY])
    new = sandbox.account.insert("events", 4, {**sandbox.account.fresh("events"), KEY: "2024-02-29T23:59:59+05:30"})
    project.run(*command)
    loaded = ids(project.take()["events"])
    assert loaded == at_or_after(events, KEY, bookmark)
    assert new["id"] in loaded
    assert len(loaded) < len(events)


def test_run_keeps_the_state_of_each_night(project: Project, sandbox: Sandbox) -> None:
    assert_two_nights(project, sandbox, "run", *PLUGINS)
    assert "dev:tap-kissmetrics-to-target-jsonl" in project.run("state", "list").split()


@pytest.mark.heavy
def test_el_keeps_a_state_for_each_state_id_until_a_full_refresh(project: Project, sandbox: Sandbox) -> None:
    assert_two_nights(project, sandbox, "el", *PLUGINS, "--state-id=nightly")
    done = project.execute([project.program, "el", *PLUGINS, "--state-id=nightly", "--full-refresh"])
    assert project.take()["events"] == selected(sandbox.account.records["events"])
    assert "record_count" in done.stderr  # Meltano configures the log, so the SDK's metrics are part of it


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_the_commands_of_the_pages_work_in_their_order(project: Project, sandbox: Sandbox) -> None:
    """Each block of Meltano's commands in the README and in docs/nightly.md, with target-jsonl."""
    first, second = sandbox.account.ids("products")[:2]
    path = f"{project.program.parent}{os.pathsep}{project.env['PATH']}"
    blocks = [*code_blocks("README", PROJECT), *code_blocks("nightly")]
    commands = (text for marker, language, text in blocks if (marker, language) == ("", "bash"))
    scripts = [text for text in commands if re.search("(?m)^(TAP_.* )?meltano ", text)]
    assert len(scripts) == 9
    for script in scripts:
        text = re.sub(r"(?m)^(uv tool install|meltano install).*\n", "", script)
        if "config set target-postgres" not in text:
            text = text.replace("target-postgres", "target-jsonl")
        text = text.replace("YOUR-API-TOKEN", sandbox.token).replace("FIRST-ID", first).replace("SECOND-ID", second)
        project.execute(["/bin/bash", "-euc", text], PATH=path)
        if re.search(r"meltano (run|el|schedule run) ", text):
            assert project.take()["events"], text
    assert {"first", "second", "nightly"} <= set(project.run("state", "list").split())


def test_sessions_of_target_postgres_are_in_utc(project: Project, tmp_path: Path) -> None:
    program = tmp_path / "target-postgres"
    program.write_text('#!/bin/sh\necho "PGTZ is $PGTZ"\n', encoding="utf-8")
    program.chmod(0o755)
    project.configure({}, {"target-postgres": program})
    assert "PGTZ is UTC" in project.run("invoke", "target-postgres")


@pytest.mark.heavy
def test_the_query_api_needs_nothing_of_the_core_api(project: Project) -> None:
    """Events by bookmark of each product, and reports with their results."""
    with result_sandbox("query") as sandbox:
        env = sandbox.env | {
            "TAP_KISSMETRICS_API_TOKEN": "",
            "TAP_KISSMETRICS_REPORT_IDS": '["*"]',
            "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": "1000",
            "TAP_KISSMETRICS__SELECT": '["events.*", "!events.index", "report_results.*"]',
        }
        project.run("el", *PLUGINS, "--state-id=query", **env)
        loaded = project.take()
        events = sandbox.account.records["events"]
        assert loaded["events"] == [{k: v for k, v in event.items() if k != "index"} for event in events]
        assert list(map(decoded, loaded["report_results"])) == all_report_rows(sandbox)
        bookmark = max(event[KEY] for event in events if event[KEY])
        project.run("el", *PLUGINS, "--state-id=query", **env)
        loaded = project.take()
        assert ids(loaded["events"]) == at_or_after(events, KEY, bookmark)
    assert loaded.keys() == {"events", "report_results"}


def test_metrics_go_into_postgresql_with_a_line_of_settings_each(project: Project, postgres: Postgres) -> None:
    """And no `api`: over time as a series, by segment, and people with their fields."""
    project.configure({}, project.executables)
    with result_sandbox("core", columns=True) as sandbox:
        first, second, _ = sandbox.account.ids("metrics")
        segment = sandbox.account.ids("properties")[0]
        env = sandbox.env | {
            "TAP_KISSMETRICS_METRIC_IDS": json.dumps([first, {"id": second, "property_id": segment}]),
            "TAP_KISSMETRICS_REPORT_IDS": '["*"]',
            "TAP_KISSMETRICS_REPORT_DATE_RANGE": '{"type": "preset", "preset": "last_30_days"}',
            "TARGET_POSTGRES_SQLALCHEMY_URL": postgres.url,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "series",
        }
        try:
            project.run("el", "tap-kissmetrics", "target-postgres", **env)
            statement = code_block("results", "sql: core over time").strip().removesuffix(";")
            series = postgres.rows(statement.replace("tap_kissmetrics.", "series."))
            segments = postgres.rows("SELECT property_value, value FROM series.metric_results WHERE people_count > -1")
            people = postgres.rows("SELECT fields::jsonb ->> 'Identity' AS who FROM series.report_results")
        finally:
            postgres.execute("DROP SCHEMA IF EXISTS series CASCADE")
    over_time, by_segment = (query.result or [] for query in sandbox.queries if query.kind != "run")
    assert [row["value"] for row in series] == [row["value"] for row in over_time if isinstance(row, dict)]
    assert {row["metric_id"] for row in series} == {first}
    assert len(segments) == len(by_segment) == 25
    assert len(people) == 75
    assert all(row["who"].startswith("bob") for row in people)


@pytest.mark.heavy
def test_a_fraction_is_a_number_wherever_it_is_set(project: Project, sandbox: Sandbox) -> None:
    """In the environment, by `meltano config set`, and in meltano.yml."""
    project.configure({"config": {"query_timeout": 60.5}}, project.executables)
    project.run("config", "set", "tap-kissmetrics", "backoff_factor", "0.5")
    sandbox.faults.append(faults.status(503, resource="events", times=1))
    done = project.execute([project.program, "el", *PLUGINS], TAP_KISSMETRICS_RETRY_TIMEOUT="0.5")
    assert "retrying in 0.5 s" in done.stderr


def test_config_test_reads_a_record(project: Project, sandbox: Sandbox) -> None:
    assert "Plugin configuration is valid" in project.run("config", "test", "tap-kissmetrics")
    assert sandbox.requests
