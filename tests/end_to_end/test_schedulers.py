"""What docs/nightly.md and examples/ give to schedulers: each is run, or checked for the facts that it repeats."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.about import SETTINGS
from tests.support.run import environment
from tests.support.tables import code_block
from tests.support.tap import sync
from tests.support.targets import PROJECT, requirements

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.targets import Programs

COMMAND = "meltano run tap-kissmetrics target-postgres"

AIRFLOW = """
import json, sys
from airflow_dag import dag

dag.validate()
(task,) = dag.tasks
task.cwd = sys.argv[1]
print(json.dumps([dag.schedule, dag.max_active_runs, dag.catchup, task.retries]))
task.execute({})
"""

DAGSTER = """
import json, sys
import dagster, dagster_definitions
from dagster_definitions import defs

dagster_definitions.PROJECT = sys.argv[1]
dagster.Definitions.validate_loadable(defs)
(schedule,) = defs.schedules
print(json.dumps([schedule.cron_schedule, schedule.execution_timezone, schedule.job_name]))
dagster_definitions.load()
defs.resolve_job_def("kissmetrics").execute_in_process()
"""


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "program", "facts", "times"),
    [
        ("airflow", AIRFLOW, ["15 3 * * *", 1, False, 2], 1),
        ("dagster", DAGSTER, ["15 3 * * *", "UTC", "kissmetrics"], 2),
    ],
)
def test_orchestrators(  # noqa: PLR0913, PLR0917
    name: str, program: str, facts: list[object], times: int, programs: Programs, tmp_path: Path
) -> None:
    """Airflow and Dagster load the example and run Meltano in the project; they notice when it fails."""
    python = programs.install(name) / "bin" / "python"
    meltano = tmp_path / "bin" / "meltano"
    meltano.parent.mkdir()
    meltano.write_text('#!/bin/sh\necho "$PWD: meltano $*" >> "$CALLS"\nexit "$CODE"\n', encoding="utf-8")
    meltano.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()

    def run(code: int) -> subprocess.CompletedProcess[str]:
        variables = {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "CALLS": str(tmp_path / "calls"),
            "CODE": str(code),
            "PATH": f"{meltano.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT / "examples"),
        }
        command = [str(python), "-c", program, str(project)]
        env = environment(variables, measured=False)
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False)

    done = run(0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(next(line for line in done.stdout.splitlines() if line.startswith("["))) == facts
    assert (tmp_path / "calls").read_text(encoding="utf-8") == f"{project}: {COMMAND}\n" * times
    assert run(3).returncode != 0


def test_github_actions() -> None:
    """Its names are those of the settings, its program that of the tests; zizmor checks it in `tox -e lint`."""
    workflow = yaml.safe_load((PROJECT / "examples" / "github-actions.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    *_, run = job["steps"]
    assert run["run"] == COMMAND
    assert f"python -m pip install {requirements('meltano')[0]}" in [step.get("run") for step in job["steps"]]
    loaders = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (postgres,) = [loader for loader in loaders if loader["name"] == "target-postgres"]
    known = {f"TAP_KISSMETRICS_{name.upper()}" for name in SETTINGS}
    known |= {f"TARGET_POSTGRES_{setting['name'].upper()}" for setting in postgres["settings"]}
    assert run["env"].keys() - known == {"MELTANO_STATE_BACKEND_URI"}
    secrets = {name: value for name, value in run["env"].items() if "secrets." in value}
    assert secrets == {name: f"${{{{ secrets.{name} }}}}" for name in run["env"].keys() & known}


def test_the_same_time_everywhere() -> None:
    """The page, and each file that it names."""
    page = (PROJECT / "docs" / "nightly.md").read_text(encoding="utf-8")
    files = [path for path in (PROJECT / "examples").iterdir() if path.is_file()]
    assert {f"(../examples/{path.name})" for path in files} <= set(re.findall(r"\([^)\s]*\)", page))
    texts = [page, *(path.read_text(encoding="utf-8") for path in files if path.suffix != ".sh")]
    assert [text for text in texts if "15 3 * * *" not in text] == []


def test_lines_for_cron() -> None:
    """Five fields and a command that a shell can read."""
    page = (PROJECT / "docs" / "nightly.md").read_text(encoding="utf-8")
    lines = re.findall(r"^<!-- crontab -->\n```text\n(.*)\n```$", page, re.MULTILINE)
    assert len(lines) == page.count("<!-- crontab -->") == 2
    for line in lines:
        match = re.fullmatch(r"(?:[\d*]+ ){5}(.+)", line)
        assert match, line
        assert "%" not in line  # cron's line break
        assert subprocess.run(["/bin/sh", "-n", "-c", match[1]], check=False).returncode == 0
    assert [COMMAND in lines[0], "./nightly.sh" in lines[1]] == [True, True]


class TestDockerfile:
    """The workflow builds it; here no registry is needed."""

    @pytest.fixture
    def steps(self) -> list[tuple[str, str]]:
        """Its instructions."""
        lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
        return [(instruction, rest) for instruction, rest in pairs]

    def test_its_facts(self, steps: list[tuple[str, str]]) -> None:
        """A supported Python, the tap's command, and a user who is not root."""
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        images = [rest.split()[0] for instruction, rest in steps if instruction == "FROM"]
        version = images[0].removeprefix("python:")
        assert images == [f"python:{version}", f"python:{version}-slim"]
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]
        *_, (user, name), _, (entry, command) = steps
        assert (user, entry) == ("USER", "ENTRYPOINT")
        assert any(instruction == "RUN" and f"useradd --create-home {name}" in rest for instruction, rest in steps)
        assert json.loads(command) == [*project["scripts"]]
        copied = [rest.split()[0] for instruction, rest in steps if instruction == "COPY" and "--from" not in rest]
        assert [path for path in copied if not (PROJECT / path).exists()] == []

    def test_secrets_stay_out_of_it_and_what_git_has_comes_in(self) -> None:
        """A file that git has and the build has not would change the version that is made from the tags."""
        lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        ignored = [line for line in lines if line and not line.startswith("#")]
        assert {".env", "config.json", ".venv"} <= set(ignored)
        top = {path.name for path in PROJECT.iterdir()}
        tracked = {"tap_kissmetrics", "pyproject.toml", "constraints.txt", ".git", "tests", ".env.example"} & top
        assert [name for name in tracked if any(fnmatch.fnmatch(name, pattern) for pattern in ignored)] == []

    def test_the_commands_of_the_page(self) -> None:
        """They name the image that is built, and paths within it."""
        page = (PROJECT / "docs" / "nightly.md").read_text(encoding="utf-8")
        commands = [shlex.split(line.rstrip(" |")) for line in page.splitlines() if line.startswith("docker ")]
        assert [command[1] for command in commands] == ["build", "run", "run"]
        assert all("tap-kissmetrics" in command for command in commands)
        workflow = PROJECT / ".github" / "workflows" / "test.yml"
        if workflow.exists():  # not in an sdist
            assert "docker build --tag=tap-kissmetrics ." in workflow.read_text(encoding="utf-8")


def test_the_log_as_json(sandbox: Sandbox, tmp_path: Path) -> None:
    """With the configuration of the page; the metrics are there."""
    (tmp_path / "logging.yml").write_text(code_block("nightly", "logging"), encoding="utf-8")
    run = sync(sandbox, tmp_path, env={"SINGER_SDK_LOG_CONFIG": "logging.yml"}).succeeded()
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert any(line.get("metric_info") for line in lines)
    (total,) = [line for line in lines if line["message"].startswith("Total: ")]
    assert total["level"] == "info"


def test_the_settings_of_the_target() -> None:
    """Those that the script reads from target.json."""
    loaders = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (postgres,) = [loader for loader in loaders if loader["name"] == "target-postgres"]
    shown = json.loads(code_block("nightly", "target.json"))
    assert shown.keys() == {"sqlalchemy_url", "default_target_schema"}
    assert shown.keys() <= {setting["name"] for setting in postgres["settings"]}


def test_meltano_yml_has_the_time_zone_of_the_page() -> None:
    """And what Meltano makes of it is in the tests of Meltano."""
    (shown,) = yaml.safe_load(code_block("nightly", "pgtz"))["plugins"]["loaders"]
    loaders = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (loader,) = [loader for loader in loaders if loader["name"] == shown["name"]]
    assert loader["env"] == shown["env"] == {"PGTZ": "UTC"}
