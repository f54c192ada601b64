"""Pipes as the pages print them: word for word, run after run, with the state that they keep."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import RESOURCES
from tests.support.run import environment, settings_for, write_json
from tests.support.tables import code_block
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.targets import Programs


@pytest.fixture
def shell(programs: Programs, tmp_path: Path) -> Callable[[str], int]:
    """Run a script in the test's folder, with the tap and target-csv on the PATH; give its exit code."""
    scripts = sysconfig.get_path("scripts")
    assert shutil.which("tap-kissmetrics", path=scripts), "the package is not installed"
    folders = [scripts, str(programs.install("target-csv") / "bin"), os.environ["PATH"]]
    env = environment({"PATH": os.pathsep.join(folders)})

    def run(script: str) -> int:
        command = ["bash", "-c", script]
        return subprocess.run(command, cwd=tmp_path, env=env, timeout=100, check=False).returncode

    return run


def assert_loaded(folder: Path, sandbox: Sandbox) -> None:
    """Check that target-csv has a file with every record of each stream."""
    for stream in RESOURCES:
        with (folder / f"{stream}.csv").open(encoding="utf-8", newline="") as file:
            assert [row["id"] for row in csv.DictReader(file)] == sandbox.account.ids(stream)


def test_the_pipe_of_the_readme_replaces_the_files_unless_it_fails(
    shell: Callable[[str], int], sandbox: Sandbox, tmp_path: Path
) -> None:
    shutil.copy(PROJECT / "sample_config.json", tmp_path)
    assert shell(code_block("README", "pipe: once", PROJECT)) == 0
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == {"username": "YOUR-API-KEY"}
    each_time = code_block("README", "pipe: each time", PROJECT)
    for settings in ({}, {"api_token": "another"}, {}):
        write_json(tmp_path / "config.json", settings_for(sandbox, **settings))
        assert (shell(each_time) == 0) is not bool(settings)
        assert_loaded(tmp_path, sandbox)


def test_the_commands_of_the_page_make_an_export_and_read_it(shell: Callable[[str], int], tmp_path: Path) -> None:
    assert shell(f"export PYTHONPATH={PROJECT}\n" + code_block("raw-events", "try")) == 0
    lines = (tmp_path / "output" / "raw_events.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum(json.loads(line)["type"] == "RECORD" for line in lines) == 24_000


def test_the_script_for_every_night_keeps_the_state_unless_it_fails(
    shell: Callable[[str], int], sandbox: Sandbox, tmp_path: Path
) -> None:
    """With target-csv for target-postgres. A target that gives no state back leaves it as it was, too."""
    example = (PROJECT / "examples" / "nightly.sh").read_text(encoding="utf-8")
    script = example.replace("target-postgres --config", "target-csv --config")
    silent = example.replace("target-postgres --config target.json", "cat > records.jsonl; true")
    write_json(tmp_path / "target.json", {})
    write_json(tmp_path / "config.json", settings_for(sandbox))
    assert shell(script) == 0
    state = (tmp_path / "state.json").read_text(encoding="utf-8")
    assert set(json.loads(state)["bookmarks"]) == set(RESOURCES)

    assert shell(silent) == 0
    assert (tmp_path / "records.jsonl").stat().st_size
    assert (tmp_path / "state.json").read_text(encoding="utf-8") == state

    write_json(tmp_path / "config.json", settings_for(sandbox, api_token="another"))  # noqa: S106 - opens nothing
    assert shell(script) == 1
    assert (tmp_path / "state.json").read_text(encoding="utf-8") == state
