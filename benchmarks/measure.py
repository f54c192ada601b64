"""One run of one command: what it cost, and whether all that there was to read has arrived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.run import environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

_COUNTER = Path(__file__).with_name("records.py")
_READER = "cat"
_MIB = 2**20
_PEAK_UNIT = 1 if sys.platform == "darwin" else 2**10  # bytes in one unit of ru_maxrss
_SHOWN = 500  # characters of what a command that failed had to say


class BenchmarkError(Exception):
    """A command failed or did not bring every record: there is nothing to compare. The message says which."""


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        name: What the tables call it.
        argv: The program and its arguments.
        env: Variables to add to the environment.
        form: How its output is read (see `records.FORMS`); None where it writes no records.
        writes_files: Whether the records are in its working directory, not in its output.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    form: str | None = None
    writes_files: bool = False


@dataclass(frozen=True)
class Usage:
    """What a run cost.

    Attributes:
        cpu: Seconds of CPU, user and system, of the process and what it waited for.
        wall: Seconds from start to end.
        peak: MiB of memory at most. Never below the peak of this process, which is why this one stays small.
    """

    cpu: float
    wall: float
    peak: float


def run(command: Command, folder: Path, *, expected: Mapping[str, int] | None = None, piped: bool = False) -> Usage:
    """Run a command and, when the clock has stopped, check what it wrote."""
    work, output, errors = folder / "work", folder / "output", folder / "errors"
    work.mkdir()
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        code, usage = _through_pipe(command, work, stdout, stderr) if piped else _start(command, work, stdout, stderr)
    if code:
        said = errors.read_text(encoding="utf-8", errors="replace").strip()[-_SHOWN:]
        message = f"{command.name}: exit code {code}: {said}"
        raise BenchmarkError(message)
    if command.form is not None:
        _check(command, work if command.writes_files else output, expected or {})
    return usage


def _start(command: Command, work: Path, stdout: IO[bytes], stderr: IO[bytes]) -> tuple[int, Usage]:
    env = environment(command.env, measured=False)
    started = time.perf_counter()
    process = subprocess.Popen(command.argv, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for what is gone
    return process.returncode, Usage(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * _PEAK_UNIT / _MIB)


def _through_pipe(command: Command, work: Path, stdout: IO[bytes], stderr: IO[bytes]) -> tuple[int, Usage]:
    # To a file, not to /dev/null: what came through the pipe is to be counted as well.
    end, start = os.pipe()
    with (
        os.fdopen(end) as read,
        subprocess.Popen(_READER, stdin=read, stdout=stdout),
        os.fdopen(start, "wb") as written,
    ):
        read.close()  # the reader has it: should that end early, the command is to notice
        return _start(command, work, written, stderr)


def _check(command: Command, output: Path, expected: Mapping[str, int]) -> None:
    counter = [sys.executable, str(_COUNTER), str(command.form), str(output)]
    done = subprocess.run(counter, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{command.name}: what it wrote cannot be read: {done.stderr.strip().splitlines()[-1]}"
        raise BenchmarkError(message)
    found = json.loads(done.stdout)
    for stream in sorted(expected.keys() | found):
        records, different = found.get(stream, (0, 0))
        wanted = expected.get(stream, 0)
        if (records, different) != (wanted, wanted):
            message = (
                f"{command.name}: {records:,} records of {stream}, {different:,} of them different; not {wanted:,}"
            )
            raise BenchmarkError(message)
