"""The benchmark runs, and does not take a command at its word."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import DOCUMENT, main
from benchmarks.bench import AS_IT_COMES, ONE_WORKER, Run, Series
from benchmarks.exports import LOOP as EXPORT_LOOP
from benchmarks.measure import BenchmarkError, Command, Usage, run
from benchmarks.programs import LOOP, PEERS, loops
from benchmarks.report import write
from benchmarks.sections import QUICK, SECTIONS, most_at_once
from benchmarks.server import Asked
from tests.sandbox import Sandbox, make_account
from tests.support.run import environment
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

LOOPS = [loop.name for loop in loops()]
EIGHT_WORKERS = "tap, max_concurrency 8"
ROWS = {
    "CPU, output to a file": [*LOOPS, ONE_WORKER, AS_IT_COMES],
    "CPU, output through a pipe": [*LOOPS, ONE_WORKER, AS_IT_COMES],
    "Latency": [LOOP, AS_IT_COMES, ONE_WORKER, EIGHT_WORKERS],
    "Memory": [ONE_WORKER, EIGHT_WORKERS],
    "Requests": ["events", "properties"],
    "Start": ["import singer_sdk", "tap --version", "tap --discover", "tap --about"],
    "Raw events": [EXPORT_LOOP, ONE_WORKER, AS_IT_COMES],
    "Raw events, memory": ["10,000"],
    "Peers": [LOOP, AS_IT_COMES, *(peer.name for peer in PEERS if not peer.is_apart)],
}
"""The first cell of each row, for each table of a quick run."""


COUNTS = {"events": 30, "properties": 7}


def cells(report: str) -> dict[str, list[list[str]]]:
    """Read the rows of each table of a report, without the head."""
    tables = {}
    for part in report.split("### ")[1:]:
        title, _, rest = part.partition("\n")
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        tables[title] = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    return tables


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.timeout(180)
def test_quick_run_gives_every_row(tmp_path: Path) -> None:
    """The whole of it, on small lists."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(tmp_path / "runs.json")]
    env = environment(measured=False)
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = cells(done.stdout)
    assert {title: [row[0] for row in rows] for title, rows in tables.items()} == ROWS
    assert all(all(row) for rows in tables.values() for row in rows)

    runs = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))
    by_title = {table["title"]: table["commands"] for table in runs["tables"]}
    assert list(by_title) == list(ROWS)
    everything = [once for commands in by_title.values() for one in commands for once in one["runs"]]
    assert all(once["usage"][name] > 0 for once in everything for name in ("cpu", "wall", "peak"))
    loop, _, one_worker, _ = (one["runs"][0] for one in by_title["Latency"])
    assert loop["asked"] == {"requests": QUICK.latency.pages, "at_once": 1}
    assert one_worker["asked"]["at_once"] == 1
    assert loop["usage"]["wall"] > sum(QUICK.latency.pages.values()) * QUICK.latency.latency


def run_loop(folder: Path, change: str = "") -> None:
    """Run the bare loop in a shell with `change` behind it."""
    with Sandbox(make_account(**COUNTS)) as sandbox:
        script = f"set -o pipefail; {sys.executable} {loops()[0].path} 10 events properties {change}"
        command = Command("the loop", ("bash", "-c", script), sandbox.env, form="singer")
        run(command, folder, expected=COUNTS)


def test_a_run_with_every_record_counts(tmp_path: Path) -> None:
    run_loop(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("| sed 5d", "the loop: 29 records of events, 29 of them different; not 30"),
        ("| sed '5d; 6p'", "the loop: 30 records of events, 29 of them different; not 30"),
        ("| sed s/properties/others/", "the loop: 7 records of others, 7 of them different; not 0"),
        ("| sed '$s/}$//'", "the loop: what it wrote cannot be read: json.decoder.JSONDecodeError: "),
        ("; echo no luck >&2; exit 3", "the loop: exit code 3: no luck"),
    ],
)
def test_a_run_that_proves_nothing_is_refused(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as error:
        run_loop(tmp_path, change)
    assert str(error.value).startswith(message)


def test_what_goes_through_a_pipe_is_counted(tmp_path: Path) -> None:
    line = json.dumps({"type": "RECORD", "stream": "events", "record": {"id": "1"}})
    command = Command("echo", ("echo", line), form="singer")
    (tmp_path / "second").mkdir()
    run(command, tmp_path, expected={"events": 1}, piped=True)
    with pytest.raises(BenchmarkError, match="1 records of events"):
        run(command, tmp_path / "second", expected={"events": 2}, piped=True)


def test_more_requests_at_once_than_allowed_are_refused() -> None:
    series = Series(Command("tap", ()), runs=[Run(Usage(1, 1, 1), Asked({}, at_once)) for at_once in (1, 3)])
    assert most_at_once(series, None) == most_at_once(series, 3) == 3
    with pytest.raises(BenchmarkError, match="tap: the sandbox saw 3 requests at once"):
        most_at_once(series, 2)


def test_its_own_process_stays_small() -> None:
    """No peak that it measures can be below its own."""
    code = "import sys, benchmarks.__main__; print(*{'requests', 'tap_kissmetrics'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=True)
    assert done.stdout == b"\n"


def test_the_tables_of_the_document_go_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / DOCUMENT.name
    shutil.copy(DOCUMENT, path)
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition("<!-- benchmark -->\n")
    after = rest.partition("<!-- /benchmark -->\n")[2]
    for text in ("old\n", "new\n"):
        write(path, text)
    assert path.read_text(encoding="utf-8") == f"{before}<!-- benchmark -->\nnew\n<!-- /benchmark -->\n{after}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--write", "--quick"], "neither --quick nor --only"),
        (["--write", "--only=cpu"], "neither --quick nor --only"),
        (["--only", "cpu,gpu"], f"there is no section 'gpu'; there are {', '.join(SECTIONS)}"),
        (["--runs", "0"], "'0' is not a number of 1 or more"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
