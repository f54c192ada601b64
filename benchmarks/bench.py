"""The work to do, the commands that do it, and their runs in turn."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from benchmarks.measure import Command, run
from benchmarks.server import sandbox_process
from tests.support.process import TAP
from tests.support.run import environment, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmarks.measure import Usage
    from benchmarks.programs import Program
    from benchmarks.server import Asked, SandboxProcess

    Tell = Callable[[str], object]

AS_IT_COMES = "tap"
ONE_WORKER = "tap, max_concurrency 1"


@dataclass(frozen=True)
class Work:
    """What there is to read.

    Attributes:
        events: How many.
        properties: How many.
        page_size: Records to ask for in one request.
        latency: Seconds that the sandbox waits before each answer.
    """

    events: int
    properties: int
    page_size: int
    latency: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """The number of records of each stream."""
        return {"events": self.events, "properties": self.properties}

    @property
    def pages(self) -> dict[str, int]:
        """The fewest pages that each stream fits on."""
        return {stream: -(-count // self.page_size) for stream, count in self.counts.items()}

    @override
    def __str__(self) -> str:
        """Describe it."""
        wait = f"{self.latency * 1000:.0f} ms for each answer" if self.latency else "no latency"
        return f"{self.events:,} events and {self.properties:,} properties, {self.page_size:,} a page, {wait}"


@dataclass(frozen=True)
class Run:
    """One run: what it cost, and what the sandbox saw of it."""

    usage: Usage
    asked: Asked


@dataclass(frozen=True)
class Series:
    """The runs of one command, one for each round."""

    command: Command
    piped: bool = False
    runs: list[Run] = field(default_factory=list)

    def values(self, of: Callable[[Run], float]) -> list[float]:
        """Take one figure of each run."""
        return [of(run) for run in self.runs]

    def ratios(self, of: Callable[[Run], float], to: Series) -> list[float]:
        """Divide one figure of each run by that of the other command in the same round."""
        return [mine / other for mine, other in zip(self.values(of), to.values(of), strict=True)]


class Bench:
    """Commands that read a sandbox in another process."""

    def __init__(self, work: Work, tell: Tell, sandbox: SandboxProcess, folder: Path) -> None:
        """Take note of the work."""
        self.work = work
        self._tell = tell
        self._sandbox = sandbox
        self._home = folder

    def program(self, program: Program) -> Command:
        """Make the command of a bare loop or a peer."""
        argv = (program.python, str(program.path), str(self.work.page_size), *self.work.counts)
        env = self._sandbox.env
        return Command(program.name, argv, env, form=program.form, writes_files=program.form == "files")

    def tap(self, name: str = AS_IT_COMES, **settings: object) -> Command:
        """Make the command of the tap, with settings besides those that it needs to read the sandbox."""
        folder = Path(tempfile.mkdtemp(dir=self._home))
        catalog = write_json(folder / "catalog.json", _catalog(*self.work.counts))
        config = write_json(
            folder / "config.json",
            {
                "api_url": self._sandbox.env["TAP_KISSMETRICS_API_URL"],
                "api_token": self._sandbox.env["TAP_KISSMETRICS_API_TOKEN"],
                "page_size": self.work.page_size,
                **settings,
            },
        )
        return Command(name, (*TAP, "--config", str(config), "--catalog", str(catalog)), form="singer")

    def in_turn(self, series: Iterable[Series], rounds: int, *, warm_up: bool) -> None:
        """Run commands A, B, C, A, B, C and so on, so that what slows the machine down meets all of them."""
        turns = list(series)
        for number in range(0 if warm_up else 1, rounds + 1):
            for turn in turns:
                through = " | cat" if turn.piped else ""
                self._tell(f"{f'round {number}/{rounds}' if number else 'warm-up'}: {turn.command.name}{through}")
                once = self._run(turn.command, piped=turn.piped)
                if number:
                    turn.runs.append(once)

    def _run(self, command: Command, *, piped: bool) -> Run:
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            usage = run(command, Path(folder), expected=self.work.counts, piped=piped)
        return Run(usage, self._sandbox.asked())


@functools.cache
def _catalog(*streams: str) -> dict[str, Any]:
    done = subprocess.run([*TAP, "--discover"], env=environment(), capture_output=True, check=True)
    catalog: dict[str, Any] = json.loads(done.stdout)
    for entry in catalog["streams"]:
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        root["selected"] = entry["tap_stream_id"] in streams
    return catalog


@contextmanager
def bench_for(work: Work, tell: Tell) -> Iterator[Bench]:
    """Serve what there is to read."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-") as folder,
        sandbox_process(work.counts, work.latency) as sandbox,
    ):
        yield Bench(work, tell, sandbox, Path(folder))


def spread(commands: Sequence[Command], *, piped: bool = False) -> list[Series]:
    """Make an empty series for each command."""
    return [Series(command, piped) for command in commands]
