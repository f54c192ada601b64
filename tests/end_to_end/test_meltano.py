"""Meltano runs the tap as the project's meltano.yml describes it: selection, metadata, state ids, full refresh."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    from tests.support.fork import Forks
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs

pytestmark = pytest.mark.slow

KEY = "last_sent_at"

PLUGINS = ("tap-kissmetrics", "target-jsonl")

(CHOICES,) = yaml.safe_load(code_block("nightly", "choices"))["plugins"]["extractors"]
"""What docs/nightly.md chooses."""


@dataclass(frozen=True)
class Project:
    """A Meltano project that is a copy of this one; the programs come from elsewhere, which takes no time.

    Meltano is forked, unless two commands run at the same time.
    """

    folder: Path
    program: Path
    forks: Forks
    env: dict[str, str]

    def configure(self, extractor: dict[str, Any], executables: dict[str, Path]) -> None:
        """Write meltano.yml and .env."""
        project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
        (tap,) = project["plugins"]["extractors"]
        tap |= extractor
        for plugin in [tap, *project["plugins"]["loaders"]]:
            del plugin["pip_url"]
            plugin["executable"] = str(executables.get(plugin["name"], "absent"))
        (self.folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")

    def run(self, *arguments: str, **env: str) -> str:
        """Run a command of Meltano, which must succeed, with `env` in its environment; give its output."""
        process = self.forks.start([*arguments], folder=self.folder, env=self.env | env)
        try:
            code = process.wait(100)
        finally:
            process.kill()
        output = [(self.folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        assert code == 0, "".join(output)
        return output[0]

    def run_beside(self, *arguments: str, **env: str) -> None:
        """The same, in a process that starts for it."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=100,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout

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
    jsonl = programs.install("target-jsonl") / "bin" / "target-jsonl"
    program = programs.install("meltano") / "bin" / "meltano"
    project = Project(tmp_path, program, programs.forks("meltano"), inherited | variables)
    project.configure(CHOICES, {"tap-kissmetrics": Path(tap), "target-jsonl": jsonl})
    return project


def selected(events: list[Record]) -> list[Record]:
    """Give what `CHOICES` leave of the events."""
    return [{column: value for column, value in event.items() if column != "description"} for event in events]


def first_night(project: Project, sandbox: Sandbox, *command: str) -> None:
    """Run a command: all comes that `CHOICES` select."""
    project.run(*command)
    accounts, events = (sandbox.account.records[name] for name in ("accounts", "events"))
    assert project.take() == {"accounts": expected("accounts", accounts), "events": selected(events)}


def two_nights(project: Project, sandbox: Sandbox, *command: str) -> None:
    """Run a command twice: all comes at first, and then what is at or after the bookmark."""
    first_night(project, sandbox, *command)
    events = sandbox.account.records["events"]
    bookmark = max((event[KEY] for event in events if event[KEY]), default="")
    new = sandbox.account.insert("events", 4, {**sandbox.account.fresh("events"), KEY: "2024-02-29T23:59:59+05:30"})
    project.run(*command)
    loaded = project.take()
    assert ids(loaded["events"]) == at_or_after(events, KEY, bookmark)
    assert new["id"] in ids(loaded["events"])
    assert len(loaded["events"]) < len(events)


@pytest.mark.heavy
def test_el_with_state_ids(project: Project, sandbox: Sandbox) -> None:
    """Night after night under one, all again with `--full-refresh`; then two products side by side."""
    two_nights(project, sandbox, "el", *PLUGINS, "--state-id=nightly")
    project.run("el", *PLUGINS, "--state-id=nightly", "--full-refresh")
    assert project.take()["events"] == selected(sandbox.account.records["events"])

    products = sandbox.account.ids("products")[:2]

    def job(number: int) -> None:
        (project.folder / f"output-{number}").mkdir()
        project.run_beside(
            *("el", *PLUGINS, f"--state-id=product-{number}"),
            TAP_KISSMETRICS_PRODUCT_IDS=json.dumps([products[number]]),
            TARGET_JSONL_DESTINATION_PATH=f"output-{number}",
        )

    with ThreadPoolExecutor() as pool:
        list(pool.map(job, (0, 1)))
    for number, product in enumerate(products):
        loaded = project.take(f"output-{number}")
        assert loaded["events"] == selected(sandbox.account.scoped("events", product))
    assert {"nightly", "product-0", "product-1"} <= set(project.run("state", "list").split())


def test_run(project: Project, sandbox: Sandbox) -> None:
    """It makes a state id of its own. Meltano configures the log, so the SDK's metrics are part of it."""
    two_nights(project, sandbox, "run", *PLUGINS)
    assert "record_count" in (project.folder / "stderr").read_text(encoding="utf-8")
    assert "dev:tap-kissmetrics-to-target-jsonl" in project.run("state", "list").split()


@pytest.mark.heavy
def test_the_commands_of_the_pages(project: Project, sandbox: Sandbox) -> None:
    """Each block of Meltano's commands in the README and in docs/nightly.md, in their order, with target-jsonl."""
    first, second = sandbox.account.ids("products")[:2]
    blocks = [*code_blocks("README", PROJECT), *code_blocks("nightly")]
    commands = (text for marker, language, text in blocks if (marker, language) == ("", "bash"))
    scripts = [text for text in commands if re.search("(?m)^(TAP_.* )?meltano ", text)]
    assert len(scripts) == 9
    for script in scripts:
        text = re.sub(r"(?m)^(uv tool install|meltano install).*\n", "", script)
        if "config set target-postgres" not in text:
            text = text.replace("target-postgres", "target-jsonl")
        text = text.replace("YOUR-API-TOKEN", sandbox.token).replace("FIRST-ID", first).replace("SECOND-ID", second)
        if text.endswith("wait\n"):
            env = project.env | {"PATH": f"{project.program.parent}{os.pathsep}{project.env['PATH']}"}
            subprocess.run(["/bin/bash", "-euc", text], cwd=project.folder, env=env, timeout=100, check=True)
        else:
            for line in text.splitlines():
                words = shlex.split(line, comments=True)
                at = words.index("meltano")
                project.run(*words[at + 1 :], **dict(word.split("=", 1) for word in words[:at]))
        if re.search(r"meltano (run|el|schedule run) ", text):
            assert project.take()["events"], text
    assert {"first", "second", "nightly"} <= set(project.run("state", "list").split())


def test_the_environment_of_target_postgres(project: Project, tmp_path: Path) -> None:
    """Its sessions are in UTC."""
    program = tmp_path / "target-postgres"
    program.write_text('#!/bin/sh\necho "PGTZ is $PGTZ"\n', encoding="utf-8")
    program.chmod(0o755)
    project.configure({}, {"target-postgres": program})
    assert "PGTZ is UTC" in project.run("invoke", "target-postgres")


@pytest.mark.heavy
def test_the_query_api(project: Project) -> None:
    """Events by bookmark of each product, reports with their results; what belongs to the Core API is left as it is."""
    with result_sandbox("query") as sandbox:
        lines = [*sandbox.env.items(), ("TAP_KISSMETRICS_API_TOKEN", ""), ("TAP_KISSMETRICS_REPORT_IDS", '["*"]')]
        lines += [("TAP_KISSMETRICS_REQUESTS_PER_MINUTE", "1000")]
        lines += [("TAP_KISSMETRICS__SELECT", '["events.*", "!events.index", "report_results.*"]')]
        (project.folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines), encoding="utf-8")
        api_url = {"TAP_KISSMETRICS_API_URL": sandbox.url}
        project.run("el", *PLUGINS, "--state-id=query", **api_url)
        loaded = project.take()
        events = sandbox.account.records["events"]
        assert loaded["events"] == [{k: v for k, v in event.items() if k != "index"} for event in events]
        assert list(map(decoded, loaded["report_results"])) == all_report_rows(sandbox)
        bookmark = max(event[KEY] for event in events if event[KEY])
        project.run("el", *PLUGINS, "--state-id=query", **api_url)
        loaded = project.take()
        assert ids(loaded["events"]) == at_or_after(events, KEY, bookmark)
        assert len(loaded["report_results"]) == 75
    assert loaded.keys() == {"events", "report_results"}


def test_metrics_into_postgresql(project: Project, programs: Programs, postgres: Postgres) -> None:
    """One line of settings each, and no `api`: over time as a series, by segment, and people with their fields."""
    bin_of = {name: programs.install(name) / "bin" / name for name in ("target-postgres",)}
    tap = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    assert tap
    project.configure({}, {"tap-kissmetrics": Path(tap), **bin_of})
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
def test_a_fraction(project: Project, sandbox: Sandbox) -> None:
    """It works from the environment, from `meltano config set` and from meltano.yml."""
    path = project.folder / "meltano.yml"
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    (tap,) = definition["plugins"]["extractors"]
    tap["config"] = {"query_timeout": 60.5}
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    project.run("config", "set", "tap-kissmetrics", "backoff_factor", "0.5")
    fraction = {"TAP_KISSMETRICS_RETRY_TIMEOUT": "0.5"}
    sandbox.faults.append(faults.status(503, resource="events"))
    with pytest.raises(AssertionError, match=r"retrying in 0\.5 s"):
        project.run("el", *PLUGINS, **fraction)
    sandbox.faults.clear()
    project.take()
    first_night(project, sandbox, "el", *PLUGINS)

    # The kind for it would be "decimal", once Meltano can write such a value into the config of a tap.
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    (tap,) = definition["plugins"]["extractors"]
    (setting,) = [setting for setting in tap["settings"] if setting["name"] == "retry_timeout"]
    setting["kind"] = "decimal"
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    with pytest.raises(AssertionError, match="Object of type Decimal is not JSON serializable"):
        project.run("el", *PLUGINS, **fraction)


def test_connection_test(project: Project, sandbox: Sandbox) -> None:
    """`meltano config test`."""
    assert "Plugin configuration is valid" in project.run("config", "test", "tap-kissmetrics")
    assert sandbox.requests, "Meltano is content with one record, but that one has to be read"
