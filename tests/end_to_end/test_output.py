"""Where the output can go nowhere, the tap ends at once, with one line and a code that is not 0."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import Sandbox, make_account
from tests.support.assertions import assert_discreet
from tests.support.cases import SMALL
from tests.support.process import PIPE, TAP, live_tap
from tests.support.run import Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def large() -> Iterator[Sandbox]:
    """An account whose events fill a pipe several times, and are 80 pages."""
    with Sandbox(make_account(**{**SMALL, "events": 800})) as running:
        yield running


def assert_gave_up(run: Run, sandbox: Sandbox, says: str) -> None:
    """Check the one line, the exit code, and that nothing more was asked for."""
    assert run.code == 1, run.stderr
    assert run.errors == [says]
    assert_discreet(run, sandbox)
    assert len(sandbox.requests) < 40


@pytest.mark.parametrize("lines", [0, 20])
def test_a_reader_that_goes_away_ends_the_sync(lines: int, large: Sandbox, tmp_path: Path) -> None:
    with live_tap(large, tmp_path, stdout=PIPE, page_size=10) as tap:
        for _ in range(lines):
            assert tap.stdout.readline().endswith(b"\n")
        tap.stdout.close()
        run = tap.ends(b"")
    assert_gave_up(run, large, "the target has ended (see its error above); nothing more can be written")


@pytest.mark.skipif(not Path("/dev/full").exists() and "CI" not in os.environ, reason="this system has no /dev/full")
def test_a_full_disk_ends_the_sync(large: Sandbox, tmp_path: Path) -> None:
    with live_tap(large, tmp_path, stdout="/dev/full", page_size=10) as tap:
        run = tap.ends(b"")
    assert_gave_up(run, large, "the output cannot be written: No space left on device")


def test_a_closed_stdout_is_refused(large: Sandbox, tmp_path: Path) -> None:
    config = write_json(tmp_path / "config.json", settings_for(large))
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *TAP, "--config", str(config)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the output cannot be written: it is closed\n")
    assert large.requests == []
