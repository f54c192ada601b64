"""Where the output can go nowhere, the tap ends at once, with one line and a code that is not 0."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import Sandbox, faults, make_account
from tests.support.assertions import assert_discreet
from tests.support.cases import SMALL
from tests.support.process import PIPE, TAP, live_tap
from tests.support.run import Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator


PAGES = 80
"""Requests of a sync that nobody stops, at the least."""


@pytest.fixture
def large() -> Iterator[Sandbox]:
    """An account whose events fill a pipe several times."""
    with Sandbox(make_account(**{**SMALL, "events": 800})) as running:
        yield running


def assert_gave_up(run: Run, sandbox: Sandbox, says: str) -> None:
    """Check the one line, the exit code, and that nothing more was asked for."""
    assert run.code == 1, run.stderr
    assert run.errors == [says]
    assert_discreet(run, sandbox)
    assert len(sandbox.requests) < PAGES / 2


@pytest.mark.parametrize("lines", [0, 1, 20])
def test_the_reader_goes_away(lines: int, large: Sandbox, tmp_path: Path) -> None:
    """As with `| head -1`."""
    with live_tap(large, tmp_path, stdout=PIPE, page_size=10) as tap:
        for _ in range(lines):
            assert tap.stdout.readline().endswith(b"\n")
        tap.stdout.close()
        run = tap.ends(b"")
    assert_gave_up(run, large, "the target has ended (see its error above); nothing more can be written")


@pytest.mark.skipif(not Path("/dev/full").exists() and "CI" not in os.environ, reason="this system has no /dev/full")
def test_the_disk_is_full(large: Sandbox, tmp_path: Path) -> None:
    """The line says what the system says."""
    with live_tap(large, tmp_path, stdout="/dev/full", page_size=10) as tap:
        run = tap.ends(b"")
    assert_gave_up(run, large, "the output cannot be written: No space left on device")


@pytest.mark.parametrize("option", ["--config=config.json", "--version"])
def test_stdout_is_closed(option: str, large: Sandbox, tmp_path: Path) -> None:
    """As with `>&-`."""
    write_json(tmp_path / "config.json", settings_for(large, page_size=10))
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *TAP, option]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, check=False)
    run = Run(done.returncode, "", done.stderr.decode())
    assert run.code == 1
    assert_discreet(run, large)
    assert run.stderr == "the output cannot be written: it is closed\n"


def test_the_sync_itself_is_long_enough(large: Sandbox, tmp_path: Path) -> None:
    """The tests above would see a tap that goes on asking."""
    with live_tap(large, tmp_path, page_size=10) as tap:
        tap.ends().succeeded()
    assert len(large.requests) > PAGES


def test_the_terminal_is_closed(large: Sandbox, tmp_path: Path) -> None:
    """SIGHUP ends a sync like SIGTERM does: whole lines, and a STATE at the end."""
    large.faults.append(faults.hang(nth=9))
    with live_tap(large, tmp_path, page_size=10, max_concurrency=1) as tap:
        tap.until(lambda: len(large.requests) >= 9)
        tap.process.send_signal(signal.SIGHUP)
        run = tap.ends()
    assert run.code == 128 + signal.SIGHUP
    assert run.errors == []
    assert run.messages[-1]["type"] == "STATE"
