"""examples/nightly.sh through good and bad nights, with target-postgres."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.export import Export
from tests.support.run import environment, settings_for, write_json
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs

SCRIPT = PROJECT / "examples" / "nightly.sh"


@pytest.fixture
def schema(postgres: Postgres) -> Iterator[str]:
    """A schema of the test's own."""
    yield "nightly"
    postgres.execute("DROP SCHEMA IF EXISTS nightly CASCADE")


@pytest.fixture
def play(
    sandbox: Sandbox, tmp_path: Path, programs: Programs, postgres: Postgres, schema: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the script with an export of two revisions and a report that somebody deleted."""
    export = Export(tmp_path / "export")
    export.grow(2, 5)
    settings = {"export_urls": [str(tmp_path / "export")], "report_ids": ["00000000-0000-4000-8000-000000000000"]}
    target = programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=schema)
    scripts = (sysconfig.get_path("scripts"), str(target.program.parent))

    def play(*path: str, **of_target: Any) -> subprocess.CompletedProcess[str]:
        write_json(tmp_path / "config.json", settings_for(sandbox, **settings))
        write_json(tmp_path / "target.json", {**target.config, **of_target})
        env = environment({"PATH": os.pathsep.join((*path, *scripts, os.environ["PATH"]))})
        return subprocess.run([SCRIPT], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False)

    return play


def state_of(folder: Path) -> dict[str, Any]:
    """Read the state that the script has kept."""
    state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return state


def test_a_failed_stream_costs_no_other_its_progress_and_the_reason_stands_last(
    play: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    first, second = play(), play()
    assert (first.returncode, second.returncode) == (1, 1)
    (partition,) = state_of(tmp_path)["bookmarks"]["raw_events"]["partitions"]
    assert partition["replication_key_value"] == 2
    assert "2 revisions to read" in first.stderr
    assert "0 revisions to read; 2 was the last one read" in second.stderr
    last = second.stderr.splitlines()[-1]
    assert "streams failed: report_results: report 00000000-" in last
    assert last.endswith("is not among the reports; check report_ids and product_ids")


def test_a_target_that_is_dead_leaves_the_state_as_it_was(
    play: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    play()
    before = state_of(tmp_path)
    url = "postgresql+psycopg://nobody@127.0.0.1:9/nothing"
    dead = play(sqlalchemy_url=url)
    assert dead.returncode != 0
    assert state_of(tmp_path) == before
    assert "refused" in dead.stderr
    assert "target-postgres failed with exit code 1: its error is above\n" in dead.stderr


def test_half_a_line_of_state_is_not_kept(
    play: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """As a full disk, or a target that is killed, leaves it."""
    target = tmp_path / "bin" / "target-postgres"
    target.parent.mkdir()
    whole, half = '{"bookmarks": {"whole": {}}}', '{"bookmarks": {"half": {}}'
    target.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{whole}'\nprintf '{half}'\nexit 3\n")
    target.chmod(0o755)
    assert play(str(target.parent)).returncode == 3
    assert state_of(tmp_path) == {"bookmarks": {"whole": {}}}


def test_a_run_that_begins_before_the_last_has_ended_is_skipped_aloud(
    play: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    with (tmp_path / "job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = play()
    assert (done.returncode, done.stderr) == (75, "skipped: the run before this one has not ended\n")
