"""However a sync is stopped, no line is cut, nothing is lost, and the exit code tells."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.assertions import assert_discreet, assert_every_record_once
from tests.support.cases import SMALL, small_sandbox, watched_sync
from tests.support.process import PIPE, TAP, WAITS, live_tap
from tests.support.run import Run, environment, settings_for, write_json
from tests.support.tap import catalog_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


each_signal = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
"""For the tests that see whether each signal is handled; what is done then is the same."""

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


def assert_stopped(run: Run, sandbox: Sandbox, folder: Path, catalog: Path, number: int = signal.SIGTERM) -> None:
    """Check how a sync ended, and that another one from its last STATE brings all that it has not brought."""
    assert run.code == 128 + number, run.stderr
    assert_discreet(run, sandbox)
    assert run.errors == []
    assert [line for line in run.stderr.splitlines() if "| WARNING " in line][-1].endswith(
        f"Stopped by {signal.Signals(number).name}"
    )
    assert run.stdout == "" or run.stdout.endswith("\n")
    state: dict[str, Any] = {}
    if run.messages:
        assert run.messages[-1]["type"] == "STATE"
        state = run.state
    sandbox.faults.clear()
    rest = watched_sync(
        sandbox,
        folder,
        *("--catalog", catalog),
        *("--state", write_json(folder / "state.json", state)),
        page_size=1000,
    ).succeeded()
    for resource in RESOURCES:
        emitted = {record["id"] for record in [*run.records(resource), *rest.records(resource)]}
        assert emitted == set(sandbox.account.ids(resource)), resource


def test_a_state_comes_last_also_where_it_did_not_change(tmp_path: Path) -> None:
    """The SDK writes a STATE every 10,000 records, and no two that are alike."""
    with Sandbox(make_account(events=12_000)) as sandbox:
        sandbox.faults.append(faults.hang(resource="events", skip=11))
        with live_tap(sandbox, tmp_path, page_size=1000, max_concurrency=1, request_timeout=60) as tap:
            tap.until(lambda: tap.written.count(b'"stream":"events","record"') > 10_500)
            tap.process.send_signal(signal.SIGTERM)
            run = tap.ends()
    assert run.code == 128 + signal.SIGTERM
    assert run.messages[-1]["type"] == "STATE"
    assert len(run.records("events")) > 10_500


def test_while_the_tap_is_set_up(tmp_path: Path) -> None:
    """Wherever it comes: no state is written that has lost a bookmark, and the exit code tells."""
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


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.status(503, resource="events", skip=2), id="in a back-off"),
        pytest.param(faults.status(503), id="in a back-off before the first record"),
        pytest.param(faults.retry_after(10**9, resource="events", skip=2), id="in a wait that the server asked for"),
    ],
)
def test_while_it_waits(fault: faults.Fault, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """It does not sit the wait out; and a wait that the server asks for is no longer than five minutes."""
    fault.seen = 0
    sandbox.faults.append(fault)
    log = "waiting 5 min because of the API's rate limit" if fault.name != "status 503" else "retrying in"
    with live_tap(sandbox, tmp_path, "--catalog", catalog, **WAITS) as tap:
        tap.until(lambda: log in tap.log)
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog)


@pytest.mark.parametrize(
    "hang",
    [
        pytest.param(faults.hang(nth=1), id="the first, before the answer"),
        pytest.param(faults.hang("in_headers", nth=5), id="the fifth, in the headers"),
        pytest.param(faults.hang("in_body", nth=5), id="the fifth, in the body"),
    ],
)
def test_during_a_request(hang: faults.Fault, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """It does not wait for the answer."""
    hang.seen = 0
    sandbox.faults.append(hang)
    with live_tap(sandbox, tmp_path, "--catalog", catalog, **WAITS) as tap:
        tap.until(lambda: len(sandbox.requests) >= (hang.nth or 0))
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_while_it_paces_its_requests(number: int, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """It does not sit out the minute of `requests_per_minute`."""
    with live_tap(sandbox, tmp_path, "--catalog", catalog, requests_per_minute=5, **WAITS) as tap:
        tap.until(lambda: len(sandbox.requests) == 5 and tap.written.count(b"\n") >= 10)
        tap.process.send_signal(number)
        run = tap.ends()
    assert_stopped(run, sandbox, tmp_path, catalog, number)


@pytest.fixture
def large() -> Iterator[Sandbox]:
    """An account whose pages fill a pipe several times."""
    with Sandbox(make_account(**{**SMALL, "events": 800})) as running:
        yield running


@pytest.mark.parametrize("lines", [1, 60])
def test_in_the_middle_of_a_page(lines: int, large: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """Not all of a page is out, and the reader reads on."""
    with live_tap(large, tmp_path, "--catalog", catalog, stdout=PIPE, page_size=500) as tap:
        read = b"".join(tap.stdout.readline() for _ in range(lines))
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends(read + tap.stdout.read())
    assert_stopped(run, large, tmp_path, catalog)
    assert len(run.records("events")) < 800


def is_full(pipe: BinaryIO) -> bool:
    """Tell whether nothing more comes into a pipe that holds a lot and is not read."""
    counts = []
    for _ in range(5):
        answer = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        counts.append(int.from_bytes(answer, sys.byteorder))
        time.sleep(0.1)
    return counts[0] > 4096 and len(set(counts)) == 1


@pytest.mark.parametrize(("times", "unbuffered"), [(1, ""), (1, "1"), (3, "")],
                         ids=["one signal", "unbuffered", "three signals"])  # fmt: skip
def test_while_blocked_on_a_full_pipe(
    times: int, unbuffered: str, large: Sandbox, tmp_path: Path, catalog: Path
) -> None:
    """The line that waits for the reader is completed when the reader comes back, and STATE comes on its own line.

    With PYTHONUNBUFFERED a signal cuts a write short, and only the writer itself can go on with it.
    """
    env = {"PYTHONUNBUFFERED": unbuffered}
    with live_tap(
        large, tmp_path, "--catalog", catalog, stdout=PIPE, env=env, started=bool(unbuffered), page_size=500
    ) as tap:
        tap.until(lambda: is_full(tap.stdout))
        for _ in range(times):
            tap.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            tap.process.wait(0.3)  # it cannot end: it would have to cut the line
        run = tap.ends(tap.stdout.read())
    assert_stopped(run, large, tmp_path, catalog)
    assert 0 < len(run.records("events")) < 500


DROPS = """
import io, logging, os, sys
from tap_kissmetrics.__main__ import main

kind, number = sys.argv.pop(), int(sys.argv.pop())

class Closing(io.RawIOBase):
    def close(self):
        if not self.closed:
            super().close()
            os.kill(os.getpid(), number)

class Object:
    def __del__(self):
        os.kill(os.getpid(), number)

def dispose(record):
    if record.getMessage() == "events: 60 records to read":
        globals()[kind]()  # nobody keeps it: Python disposes of it at once, and drops what that raises
    return True

logging.getLogger("tap-kissmetrics.events").addFilter(dispose)
main()
"""
"""The tap, and a signal where Python drops what is raised."""


@pytest.mark.parametrize("kind", ["Closing"])
def test_where_python_drops_errors(kind: str, sandbox: Sandbox, tmp_path: Path, catalog: Path) -> None:
    """The signal is not lost with the error, or the tap would read on to the end; nor is there a traceback of it."""
    sandbox.faults.append(faults.hang(resource="events", skip=2))
    config = write_json(tmp_path / "config.json", settings_for(sandbox, **WAITS))
    done = subprocess.run(
        [sys.executable, "-c", DROPS, "--config", config, "--catalog", catalog, str(int(signal.SIGTERM)), kind],
        env=environment(measured=False),
        cwd=tmp_path,
        capture_output=True,
        timeout=WAITS["request_timeout"] / 2,
        check=False,
    )
    run = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert_stopped(run, sandbox, tmp_path, catalog)


def test_a_second_signal_ends_it_at_once(large: Sandbox, tmp_path: Path) -> None:
    """Also where the reader of a full pipe never reads again."""
    with live_tap(large, tmp_path, stdout=PIPE, page_size=500) as tap:
        tap.until(lambda: is_full(tap.stdout))
        tap.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            tap.process.wait(1)
        tap.process.send_signal(signal.SIGTERM)
        assert tap.process.wait(10) == 128 + signal.SIGTERM


@each_signal
def test_while_it_starts(number: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """Before there is anything to write, the signal just ends it, without a traceback."""
    with live_tap(sandbox, tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}, started=True) as tap:
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
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *TAP, "--config", str(config)]
    process = subprocess.Popen(
        command, env=environment(measured=False), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not sandbox.requests:
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr.decode()
    assert_every_record_once(Run(0, stdout.decode(), stderr.decode()), sandbox.account)
