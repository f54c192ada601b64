"""However a sync is stopped, no line is cut, nothing is lost, and the exit code tells."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import termios
import time
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.assertions import assert_discreet, assert_every_record_once
from tests.support.cases import SMALL, small_sandbox, watched_sync
from tests.support.catalogs import choose
from tests.support.process import PIPE, TAP, WAITS, live_tap, start
from tests.support.run import Run, settings_for, write_json
from tests.support.tap import catalog_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INCREMENTAL = {"replication-method": "INCREMENTAL", "replication-key": "last_sent_at"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All streams, with events and properties INCREMENTAL: so that a bookmark which moves too far is seen."""
    folder = tmp_path_factory.mktemp("catalog")
    streams: dict[str, dict[str, Any]] = {name: {} for name in RESOURCES}
    streams |= {"events": INCREMENTAL, "properties": INCREMENTAL}
    return write_json(folder / "catalog.json", catalog_of(folder, **streams))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small account."""
    with small_sandbox() as running:
        yield running


@pytest.fixture
def large() -> Iterator[Sandbox]:
    """An account whose pages fill a pipe several times."""
    with Sandbox(make_account(**{**SMALL, "events": 800})) as running:
        yield running


def assert_stopped(run: Run, sandbox: Sandbox, folder: Path, catalog: Path, number: int = signal.SIGTERM) -> None:
    """Check how a sync ended, and that another one from its last STATE brings all that it has not brought."""
    assert run.code == 128 + number, run.stderr
    assert_discreet(run, sandbox)
    assert run.errors == []
    assert run.warnings[-1].endswith(f"Stopped by {signal.Signals(number).name}")
    assert run.stdout == "" or run.stdout.endswith("\n")
    assert not run.messages or run.messages[-1]["type"] == "STATE"
    state = run.state if run.messages else {}
    sandbox.faults.clear()
    given = write_json(folder / "state.json", state)
    rest = watched_sync(sandbox, folder, "--catalog", catalog, "--state", given, page_size=1000).succeeded()
    for resource in RESOURCES:
        emitted = {record["id"] for record in [*run.records(resource), *rest.records(resource)]}
        assert emitted == set(sandbox.account.ids(resource)), resource


@pytest.mark.parametrize(
    ("fault", "log"),
    [
        pytest.param(faults.status(503, resource="events", skip=2), "retrying in", id="back-off"),
        pytest.param(faults.status(503), "retrying in", id="back-off before the first record"),
        pytest.param(faults.retry_after(10**9, resource="events", skip=2), "waiting 5 min because", id="Retry-After"),
        pytest.param(faults.hang(nth=1), "", id="no answer"),
        pytest.param(faults.hang("in_headers", nth=5), "", id="half a head"),
        pytest.param(faults.hang("in_body", nth=5), "", id="half a body"),
    ],
)
def test_a_signal_ends_a_wait(fault: faults.Fault, log: str, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    fault.seen = 0
    sandbox.faults.append(fault)
    with live_tap(sandbox, tmp_path, "--catalog", catalog, **WAITS) as tap:
        tap.until(lambda: fault.seen >= (fault.nth or fault.skip + 1) and log in tap.log)
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_each_signal_ends_the_pacing_of_requests(number: int, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    with live_tap(sandbox, tmp_path, "--catalog", catalog, requests_per_minute=5, **WAITS) as tap:
        tap.until(lambda: len(sandbox.requests) == 5 and tap.written.count(b"\n") >= 10)
        tap.process.send_signal(number)
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog, number)


def test_half_a_page_is_a_place_to_stop(large: Sandbox, tmp_path: Path, catalog: Path) -> None:
    with live_tap(large, tmp_path, "--catalog", catalog, stdout=PIPE, page_size=500) as tap:
        read = b"".join(tap.stdout.readline() for _ in range(60))
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends(read + tap.stdout.read())
    assert_stopped(run, large, tmp_path, catalog)
    assert len(run.records("events")) < 800


def is_full(pipe: IO[bytes]) -> bool:
    """Tell whether nothing more comes into a pipe that holds a lot and is not read."""
    counts = []
    for _ in range(5):
        answer = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        counts.append(int.from_bytes(answer, sys.byteorder))
        time.sleep(0.1)
    return counts[0] > 4096 and len(set(counts)) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_that_waits_for_the_reader_is_completed(
    unbuffered: str, large: Sandbox, tmp_path: Path, catalog: Path
) -> None:
    """With PYTHONUNBUFFERED a signal cuts a write short, and only the writer itself can go on with it."""
    env = {"PYTHONUNBUFFERED": unbuffered}
    with live_tap(large, tmp_path, "--catalog", catalog, stdout=PIPE, env=env, page_size=500) as tap:
        tap.until(lambda: is_full(tap.stdout))
        tap.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            tap.process.wait(0.3)  # it cannot end: it would have to cut the line
        run = tap.ends(tap.stdout.read())
    assert_stopped(run, large, tmp_path, catalog)
    assert 0 < len(run.records("events")) < 500


def test_a_second_signal_ends_it_at_once(large: Sandbox, tmp_path: Path) -> None:
    """Also where the reader of a full pipe never reads again."""
    with live_tap(large, tmp_path, stdout=PIPE, page_size=500) as tap:
        tap.until(lambda: is_full(tap.stdout))
        tap.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            tap.process.wait(1)
        tap.process.send_signal(signal.SIGTERM)
        assert tap.process.wait(10) == 128 + signal.SIGTERM


def test_a_state_comes_last_also_where_it_did_not_change(sandbox: Sandbox, tmp_path: Path) -> None:
    """As with a bookmark of a stream that is FULL_TABLE now; the SDK writes no two states that are alike."""
    hang = faults.hang(resource="events", skip=2)
    sandbox.faults.append(hang)
    bookmark = {"replication_key": "last_sent_at", "replication_key_value": "2015-01-01T00:00:00Z"}
    state = write_json(tmp_path / "state.json", {"bookmarks": {"events": bookmark}})
    catalog = write_json(tmp_path / "catalog.json", choose(events=None))
    with live_tap(sandbox, tmp_path, "--state", state, "--catalog", catalog, max_concurrency=1, **WAITS) as tap:
        tap.until(lambda: hang.seen == 3)
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends()
    assert run.code == 128 + signal.SIGTERM
    assert [message["type"] for message in run.messages[-2:]] == ["RECORD", "STATE"]
    assert [message["value"]["bookmarks"]["events"] for message in run.of_type("STATE")] == [bookmark] * 2


def test_a_signal_while_the_tap_is_set_up_loses_no_bookmark(tmp_path: Path) -> None:
    bookmark = {"replication_key": "updated_at", "replication_key_value": "2015-01-01T00:00:00Z"}
    state = write_json(tmp_path / "state.json", {"bookmarks": {"accounts": bookmark}})
    with Sandbox(make_account(events=5)) as sandbox:
        for pause in (0.0, 0.01, 0.02):
            with live_tap(sandbox, tmp_path, "--state", state) as tap:
                tap.until(lambda: "Meltano SDK v" in tap.log)
                time.sleep(pause)
                tap.process.send_signal(signal.SIGTERM)
                run = tap.ends()
            assert run.code in {128 + signal.SIGTERM, -signal.SIGTERM, 0}  # negative: before Python could do anything
            assert run.code or "Total: " in run.stderr
            for message in run.of_type("STATE"):
                assert message["value"]["bookmarks"]["accounts"]["replication_key_value"] >= "2015-01-01T00:00:00Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_it_starts_ends_it_without_a_traceback(number: int, sandbox: Sandbox, tmp_path: Path) -> None:
    with live_tap(sandbox, tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}) as tap:
        tap.until(lambda: re.search(r"\bclick$", tap.log, re.MULTILINE))
        tap.process.send_signal(number)
        run = tap.ends()
    assert run.code in {-number, 128 + number}  # to a shell both are 128 + number
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert sandbox.requests == []


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(sandbox: Sandbox, tmp_path: Path) -> None:
    """As SIGHUP under `nohup`."""
    sandbox.latency = 0.1
    config = write_json(tmp_path / "config.json", settings_for(sandbox, page_size=10))
    with start(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *TAP, "--config", str(config)], tmp_path) as tap:
        tap.until(lambda: sandbox.requests)
        tap.process.send_signal(signal.SIGHUP)
        assert_every_record_once(tap.ends().succeeded(), sandbox.account)


DROPS = """
import io, logging, os, signal
from tap_kissmetrics.__main__ import main

class Closing(io.RawIOBase):
    def close(self):
        if not self.closed:
            super().close()
            os.kill(os.getpid(), signal.SIGTERM)

def dispose(record):
    if record.getMessage() == "events: 60 records to read":
        Closing()  # nobody keeps it: Python disposes of it at once, and drops what that raises
    return True

logging.getLogger("tap-kissmetrics.events").addFilter(dispose)
main()
"""
"""The tap, and a signal where Python drops what is raised."""


def test_a_signal_is_not_lost_with_an_error_that_python_drops(sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """Or the tap would read on to the end; nor is there a traceback of it."""
    sandbox.faults.append(faults.hang(resource="events", skip=2))
    config = write_json(tmp_path / "config.json", settings_for(sandbox, **WAITS))
    command = [sys.executable, "-c", DROPS, "--config", str(config), "--catalog", str(catalog)]
    with start(command, tmp_path) as tap:
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog)
