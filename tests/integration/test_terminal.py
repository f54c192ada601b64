"""A log on a terminal: one line is updated in place, and what is logged stands above it, whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tap_kissmetrics.sdk_extensions.logs import TerminalLine
from tests.sandbox import RESOURCES, Sandbox, faults, make_account
from tests.support.cases import SMALL
from tests.support.run import environment
from tests.support.tap import sync
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clock import Clock

LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ \| [A-Z]+ +\| tap-kissmetrics\S* +\| \S.*")


@pytest.fixture
def slow(frozen_clock: Clock) -> Iterator[Sandbox]:
    """A sandbox each of whose requests takes a second of the clock."""
    with Sandbox(make_account(**{**SMALL, "events": 400})) as sandbox:
        sandbox.on_request(lambda *_: frozen_clock.sleep(1))
        yield sandbox


def drawn_on(terminal: Terminal) -> list[str]:
    """Give what was drawn in place, in its order; a line that is drawn again below another counts once."""
    drawn = [part.rstrip() for part in re.findall(r"\r([^\r\n]+)\r", terminal.written)]
    return list(dict.fromkeys(filter(None, drawn)))


def assert_lines_are_whole(screen: list[str]) -> None:
    """Check that nothing but log lines is seen in the end."""
    *lines, last = screen
    assert lines
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert last == ""


def test_one_line_is_updated_in_place(slow: Sandbox, tmp_path: Path) -> None:
    """With each page; the lines of ten seconds are for files. The output is that of any other run."""
    terminal = Terminal()
    run = sync(slow, tmp_path, runner=terminal.run, page_size=41, max_concurrency=1).succeeded()
    assert {stream: len(run.records(stream)) for stream in RESOURCES} == slow.account.counts
    assert_lines_are_whole(terminal.screen)
    assert "%" not in run.stderr
    assert "events: complete: 400 records, 11 requests, 11 s" in run.stderr
    shown = [re.fullmatch(r"events: (\d+) of 400 records \((\d+)%\), .*", text) for text in drawn_on(terminal)]
    assert list(dict.fromkeys((match[1], match[2]) for match in shown if match)) == [
        (str(count), f"{count / 4:.0f}") for count in (*range(41, 400, 40), 400)
    ]
    assert "events: 201 of 400 records (50%), 40/s, 5.0 s, about 5.0 s left, stream 4 of 6" in drawn_on(terminal)


def test_lines_that_are_logged_meanwhile(slow: Sandbox, tmp_path: Path) -> None:
    """They stand above the line, which is drawn again below."""
    slow.faults += [faults.status(503, resource="events", nth=3), faults.status(403, resource="metrics")]
    terminal = Terminal()
    run = sync(slow, tmp_path, runner=terminal.run, page_size=41, max_concurrency=1)
    assert run.failed == ["metrics"]
    assert_lines_are_whole(terminal.screen)
    _, _, after = terminal.written.partition("; retrying in ")
    pattern = r"\S+ s\n\revents: 8\d of 400 records \(2\d%\), 4\d/s, 2\.0 s, about [78]\.\d s left, stream 4 of 6\r"
    assert re.match(pattern, after)


def test_a_signal_leaves_no_line_behind(slow: Sandbox, tmp_path: Path) -> None:
    """What is logged last stands in its place."""
    terminal = Terminal()

    def stop(*_: object) -> None:
        if len(slow.requests) == 15:
            os.kill(os.getpid(), signal.SIGTERM)

    slow.on_request(stop)
    run = sync(slow, tmp_path, runner=terminal.run, page_size=41, max_concurrency=1)
    assert run.code == 128 + signal.SIGTERM
    assert_lines_are_whole(terminal.screen)
    assert terminal.screen[-2].endswith("Stopped by SIGTERM")
    assert re.search(r"\r {40,}\r[^\r]* Stopped by SIGTERM\n$", terminal.written)


def test_a_narrow_terminal(slow: Sandbox, tmp_path: Path) -> None:
    """No line wraps; what comes last in it is left out."""
    terminal = Terminal(columns=40)
    sync(slow, tmp_path, runner=terminal.run, page_size=41, max_concurrency=1).succeeded()
    assert "events: 400 of 400 records (100%), 36/s" in drawn_on(terminal)
    assert max(map(len, drawn_on(terminal))) < 40


@pytest.mark.parametrize(
    "env",
    [{"TERM": "dumb"}, {"LOGLEVEL": "DEBUG"}, {"LOGLEVEL": "WARNING"}, {"SINGER_SDK_LOG_CONFIG": "logging.yml"}],
    ids=str,
)
def test_no_line_is_updated_where_nobody_wants_it(
    env: dict[str, str], slow: Sandbox, clock: Clock, tmp_path: Path
) -> None:
    """There the log of a terminal is that of a file."""
    (tmp_path / "logging.yml").write_text("version: 1\ndisable_existing_loggers: false\n", encoding="utf-8")
    terminal = Terminal()
    sync(slow, tmp_path, runner=terminal.run, env=env, page_size=41, max_concurrency=1).succeeded()
    assert clock.slept > 10
    assert "\r" not in terminal.written
    assert ("(100%)" in terminal.written) == (env != {"LOGLEVEL": "WARNING"})


def test_short_lines_cover_long_ones() -> None:
    """What is left of the line that was there is blanked, be it under another or under what is logged."""
    with Terminal() as terminal, os.fdopen(os.dup(terminal.file.fileno()), "w", encoding="utf-8") as file:
        line = TerminalLine(file)
        line.show("events: 100 of 200 records")
        line.write("short\n")
        line.show("events")
    assert terminal.screen == ["short", "events"]


def test_a_terminal_that_is_gone() -> None:
    """As that of a session that was closed: nothing fails for want of a progress line."""
    reader, terminal = os.openpty()
    with os.fdopen(terminal, "w", buffering=1, encoding="utf-8") as file:
        line = TerminalLine(file)
        line.show("events: 1 record")
        os.close(reader)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(terminal, b"x")
        line.show("events: 2 records")
        line.show("")
        os.dup2(os.open(os.devnull, os.O_WRONLY), terminal)  # for what is left in the buffer


def test_a_terminal_of_unknown_width() -> None:
    """Its size is 0, and it is taken for one of 80 columns."""
    with Terminal(columns=0) as terminal, os.fdopen(os.dup(terminal.file.fileno()), "w", encoding="utf-8") as file:
        TerminalLine(file).show("y" * 100)
    assert terminal.screen == ["y" * 79]


def test_a_pipe_whose_target_logs_too(sandbox: Sandbox, tmp_path: Path) -> None:
    """What a target writes is not appended to the line of the tap, which rests in the first column."""
    sandbox.latency = 0.05
    text = "a line of the target, which is longer than that of the tap, as log lines are" * 2
    target = f"import sys; [sys.stderr.write('{text}' + chr(10)) for _ in sys.stdin]"
    script = f'"{sys.executable}" -m tap_kissmetrics | "{sys.executable}" -c "{target}"'
    with Terminal() as terminal:
        command = ["bash", "-o", "pipefail", "-c", script]
        env = environment({**sandbox.env, "TERM": "xterm"})
        done = subprocess.run(command, cwd=tmp_path, env=env, stderr=terminal.file, check=False)
    assert done.returncode == 0, terminal.written
    assert "\raccounts: " in terminal.written
    lines = {line for line in terminal.screen if not LINE.fullmatch(line)}
    assert lines == {text, ""}
