"""What docs/nightly.md and examples/ give to schedulers: each is run, or checked for the facts that it repeats."""

from __future__ import annotations

import fnmatch
import json
import os
import re
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


def page() -> str:
    """Give the text of docs/nightly.md."""
    return (PROJECT / "docs" / "nightly.md").read_text(encoding="utf-8")


def loader(name: str) -> dict[str, Any]:
    """Give a loader of meltano.yml."""
    loaders = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["loaders"]
    (found,) = [loader for loader in loaders if loader["name"] == name]
    return dict(found)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "program", "facts"),
    [
        ("airflow", AIRFLOW, ["15 3 * * *", 1, False, 2]),
        ("dagster", DAGSTER, ["15 3 * * *", "UTC", "kissmetrics"]),
    ],
)
def test_an_orchestrator_runs_meltano_and_notices_when_it_fails(
    name: str, program: str, facts: list[object], programs: Programs, tmp_path: Path
) -> None:
    """As the example for it says: every night, in the folder of the project."""
    for folder in ("bin", "project"):
        (tmp_path / folder).mkdir()
    meltano = tmp_path / "bin" / "meltano"
    meltano.write_text('#!/bin/sh\necho "$PWD: meltano $*" >> "$CALLS"\nexit "$CODE"\n', encoding="utf-8")
    meltano.chmod(0o755)
    variables = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "CALLS": str(tmp_path / "calls"),
        "PATH": f"{meltano.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT / "examples"),
    }

    def run(code: int) -> subprocess.CompletedProcess[str]:
        command = [str(programs.install(name) / "bin" / "python"), "-c", program, str(tmp_path / "project")]
        env = environment(variables | {"CODE": str(code)}, measured=False)
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False)

    done = run(0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(next(line for line in done.stdout.splitlines() if line.startswith("["))) == facts
    assert set((tmp_path / "calls").read_text(encoding="utf-8").splitlines()) == {f"{tmp_path / 'project'}: {COMMAND}"}
    assert run(3).returncode != 0


def test_the_example_for_github_actions_names_settings_that_there_are() -> None:
    """`tox -e lint` checks its syntax, with zizmor."""
    workflow = yaml.safe_load((PROJECT / "examples" / "github-actions.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    *_, run = job["steps"]
    assert run["run"] == COMMAND
    assert f"python -m pip install {requirements('meltano')[0]}" in [step.get("run") for step in job["steps"]]
    known = {f"TAP_KISSMETRICS_{name.upper()}" for name in SETTINGS}
    known |= {f"TARGET_POSTGRES_{setting['name'].upper()}" for setting in loader("target-postgres")["settings"]}
    assert run["env"].keys() - known == {"MELTANO_STATE_BACKEND_URI"}
    secrets = {name: value for name, value in run["env"].items() if "secrets." in value}
    assert secrets == {name: f"${{{{ secrets.{name} }}}}" for name in run["env"].keys() & known}


def test_every_example_is_on_the_page_and_runs_at_the_same_time() -> None:
    files = [path for path in (PROJECT / "examples").iterdir() if path.is_file()]
    assert {f"(../examples/{path.name})" for path in files} <= set(re.findall(r"\([^)\s]*\)", page()))
    texts = [page(), *(path.read_text(encoding="utf-8") for path in files if path.suffix != ".sh")]
    assert [text for text in texts if "15 3 * * *" not in text] == []


def test_the_lines_for_cron_are_five_fields_and_a_command_that_a_shell_can_read() -> None:
    lines = re.findall(r"^<!-- crontab -->\n```text\n(.*)\n```$", page(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        match = re.fullmatch(r"(?:[\d*]+ ){5}(.+)", line)
        assert match, line
        assert "%" not in line  # cron's line break
        subprocess.run(["/bin/sh", "-n", "-c", match[1]], check=True)
    assert ["--log-level=warning run" in lines[0], "./nightly.sh" in lines[1]] == [True, True]


def test_the_image_has_a_supported_python_the_command_and_a_user_who_is_not_root() -> None:
    """The workflow builds it; here no registry is needed."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    (version,) = set(re.findall(r"^FROM python:([\d.]+)", text, re.MULTILINE))
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    (user,) = re.findall(r"^USER (\w+)$", text, re.MULTILINE)
    assert f"useradd --create-home {user}" in text
    (command,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    assert json.loads(command) == [*project["scripts"]]
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert [path for path in copied if not (PROJECT / path).exists()] == []
    commands = [line.split()[1] for line in page().splitlines() if line.startswith("docker ")]
    assert commands == ["build", "run", "run"]


def test_secrets_stay_out_of_the_image_and_what_git_has_comes_in() -> None:
    """A file that git has and the build has not would change the version that is made from the tags."""
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    assert {".env", "config.json", ".venv"} <= set(ignored)
    top = {path.name for path in PROJECT.iterdir()}
    tracked = {"tap_kissmetrics", "pyproject.toml", "constraints.txt", ".git", "tests", ".env.example"} & top
    assert [name for name in tracked if any(fnmatch.fnmatch(name, pattern) for pattern in ignored)] == []


def test_the_log_is_json_with_the_configuration_of_the_page(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "logging.yml").write_text(code_block("nightly", "logging"), encoding="utf-8")
    run = sync(sandbox, tmp_path, env={"SINGER_SDK_LOG_CONFIG": "logging.yml"}).succeeded()
    lines: list[dict[str, Any]] = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert any(line.get("metric_info") for line in lines)
    (total,) = [line for line in lines if line["message"].startswith("Total: ")]
    assert total["level"] == "info"


def test_the_page_and_meltano_yml_agree_on_target_postgres() -> None:
    """Its settings, and the time zone, of which the tests of Meltano see what becomes of it."""
    settings = {setting["name"] for setting in loader("target-postgres")["settings"]}
    assert json.loads(code_block("nightly", "target.json")).keys() == {"sqlalchemy_url", "default_target_schema"}
    assert {"sqlalchemy_url", "default_target_schema"} <= settings
    (shown,) = yaml.safe_load(code_block("nightly", "pgtz"))["plugins"]["loaders"]
    assert loader(shown["name"])["env"] == shown["env"] == {"PGTZ": "UTC"}
