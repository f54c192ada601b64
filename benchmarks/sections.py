"""What is measured: one function for each section of the report."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from benchmarks.bench import AS_IT_COMES, ONE_WORKER, Run, Series, Work, bench_for, spread
from benchmarks.exports import LOOP as EXPORT_LOOP
from benchmarks.exports import beside_loop, to_nothing
from benchmarks.measure import BenchmarkError, Command
from benchmarks.programs import LOOP, PEERS, loops
from benchmarks.report import Table, figure
from tests.support.process import TAP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.bench import Tell

_MANY = 8  # workers


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        cpu: The work whose CPU, wall and memory is compared.
        latency: The work that waits for a distant server.
        workers: Values of `max_concurrency`, 1 among them.
        memory: Numbers of events.
        page_sizes: For which requests are counted.
        lines: Of a raw data export that is compared with a bare loop.
        lines_in_memory: Of raw data exports that are read for the memory that it takes.
        rounds: Of what takes CPU.
        long_rounds: Of what takes minutes, and differs little from round to round.
        warm_up: Whether a first round is thrown away.
        peers: Which peers that need an environment of their own take part.
    """

    cpu: Work
    latency: Work
    workers: tuple[int, ...]
    memory: tuple[int, ...]
    page_sizes: tuple[int, ...]
    lines: int
    lines_in_memory: tuple[int, ...]
    rounds: int
    long_rounds: int
    warm_up: bool
    peers: Literal["none", "installed", "all"]


FULL = Plan(
    cpu=Work(65_535, 5_000, 1_000),
    latency=Work(65_535, 5_000, 100, latency=0.08),
    workers=(1, 4, 8, 16),
    memory=(5_000, 65_535, 500_000),
    page_sizes=(100, 1_000),
    lines=1_000_000,
    lines_in_memory=(10_000, 1_000_000, 10_000_000),
    rounds=5,
    long_rounds=3,
    warm_up=True,
    peers="installed",
)
QUICK = Plan(
    cpu=Work(2_000, 300, 100),
    latency=Work(300, 60, 20, latency=0.02),
    workers=(1, 8),
    memory=(3_000,),
    page_sizes=(100,),
    lines=20_000,
    lines_in_memory=(10_000,),
    rounds=1,
    long_rounds=1,
    warm_up=False,
    peers="none",
)


def _cpu(run: Run) -> float:
    return run.usage.cpu


def _wall(run: Run) -> float:
    return run.usage.wall


def _peak(run: Run) -> float:
    return run.usage.peak


def against_loop(base: Series, series: list[Series]) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    """Compare commands with a bare loop."""
    head = ("Command", "CPU s", "of the loop's", "wall s", "of the loop's", "peak MiB")
    rows = [
        (
            one.command.name,
            figure(one.values(_cpu)),
            figure(one.ratios(_cpu, base)),
            figure(one.values(_wall)),
            figure(one.ratios(_wall, base)),
            figure(one.values(_peak), 0),
        )
        for one in series
    ]
    return head, rows


def _about(plan: Plan) -> str:
    return f"{plan.cpu}. Ratios are to `{LOOP}` in the same round."


def cpu(plan: Plan, tell: Tell) -> list[Table]:
    """Measure CPU, wall and memory of the tap and of bare loops."""
    with bench_for(plan.cpu, tell) as bench:
        commands = [*map(bench.program, loops()), bench.tap(ONE_WORKER, max_concurrency=1), bench.tap()]
        to_file, piped = spread(commands), spread(commands, piped=True)
        bench.in_turn([*to_file, *piped], plan.rounds, warm_up=plan.warm_up)
    tables = []
    for where, series in (("to a file", to_file), ("through a pipe", piped)):
        tables.append(Table(f"CPU, output {where}", _about(plan), *against_loop(series[0], series), series))
    return tables


def most_at_once(series: Series, allowed: int | None) -> int:
    """Tell how many requests the sandbox saw at the same time, at most."""
    at_once = max(run.asked.at_once for run in series.runs)
    if allowed is not None and at_once > allowed:
        message = f"{series.command.name}: the sandbox saw {at_once} requests at once"
        raise BenchmarkError(message)
    return at_once


def latency(plan: Plan, tell: Tell) -> list[Table]:
    """Measure how long the tap takes where each answer takes long."""
    with bench_for(plan.latency, tell) as bench:
        settings: dict[str, dict[str, int]] = {
            AS_IT_COMES: {},
            **{f"tap, max_concurrency {workers}": {"max_concurrency": workers} for workers in plan.workers},
        }
        series = spread([bench.program(loops()[0]), *(bench.tap(name, **given) for name, given in settings.items())])
        bench.in_turn(series, plan.long_rounds, warm_up=False)
    rows, (one_worker,) = [], [one for one in series if one.command.name == ONE_WORKER]
    for one in series:
        at_once = most_at_once(one, settings.get(one.command.name, {}).get("max_concurrency"))
        faster = [1 / ratio for ratio in one.ratios(_wall, one_worker)]
        requests = figure([sum(run.asked.requests.values()) for run in one.runs], 0)
        rows.append((one.command.name, figure(one.values(_wall), 1), figure(faster, 1), requests, str(at_once)))
    head = ("Command", "wall s", "times as fast as 1 worker", "requests", "at once")
    pages = sum(plan.latency.pages.values())
    about = f"{plan.latency}, {pages:,} pages. `at once` is the most requests that the sandbox saw at the same time."
    return [Table("Latency", about, head, rows, series)]


def memory(plan: Plan, tell: Tell) -> list[Table]:
    """Measure the tap's memory for lists of several lengths."""
    rows, measured = [], []
    for events in plan.memory:
        with bench_for(replace(plan.cpu, events=events, properties=0), tell) as bench:
            names = {f"tap, max_concurrency {workers}": workers for workers in (1, _MANY)}
            series = spread([bench.tap(name, max_concurrency=workers) for name, workers in names.items()])
            bench.in_turn(series, plan.long_rounds, warm_up=False)
        rows += [(one.command.name, f"{events:,}", figure(one.values(_peak), 0)) for one in series]
        measured += series
    about = f"Events of one list, {plan.cpu.page_size:,} a page."
    return [Table("Memory", about, ("Command", "events", "peak MiB"), rows, measured)]


def requests(plan: Plan, tell: Tell) -> list[Table]:
    """Count the tap's requests for each stream."""
    rows, measured = [], []
    for page_size in plan.page_sizes:
        work = replace(plan.cpu, page_size=page_size)
        with bench_for(work, tell) as bench:
            series = spread([bench.tap()])
            bench.in_turn(series, 1, warm_up=False)
        for stream, count in work.counts.items():
            sent = series[0].runs[0].asked.requests[stream]
            rows.append((stream, f"{count:,}", f"{page_size:,}", f"{work.pages[stream]:,}", f"{sent:,}"))
        measured += series
    about = "`fewest` is the number of records divided by the page size, rounded up."
    return [Table("Requests", about, ("Stream", "records", "page size", "fewest", "requests"), rows, measured)]


def start(plan: Plan, tell: Tell) -> list[Table]:
    """Measure what the tap takes before it does anything."""
    options = ("--version", "--discover", "--about")
    sdk = Command("import singer_sdk", (sys.executable, "-c", "import singer_sdk"))
    with bench_for(Work(0, 0, 1), tell) as bench:
        series = spread([sdk, *(Command(f"tap {option}", (*TAP, option)) for option in options)])
        bench.in_turn(series, plan.rounds, warm_up=plan.warm_up)
    rows = [
        (one.command.name, figure(one.values(_cpu)), figure(one.ratios(_cpu, series[0])), figure(one.values(_peak), 0))
        for one in series
    ]
    head = ("Command", "CPU s", "of the import's", "peak MiB")
    about = "Against a Python that only imports the SDK. Ratios are of the same round."
    return [Table("Start", about, head, rows, series)]


def peers(plan: Plan, tell: Tell) -> list[Table]:
    """Compare the tap with other ways to do the same work."""
    others = []
    for peer in PEERS:
        if plan.peers == "all":
            tell(f"install: {peer.name}")
            peer.install()
        if not peer.is_apart or (plan.peers != "none" and peer.is_installed()):
            others.append(peer)
    with bench_for(plan.cpu, tell) as bench:
        series = spread([bench.program(loops()[0]), bench.tap(), *map(bench.program, others)])
        bench.in_turn(series, plan.long_rounds, warm_up=plan.warm_up)
    return [Table("Peers", f"{_about(plan)} Output to a file.", *against_loop(series[0], series), series)]


def raw(plan: Plan, tell: Tell) -> list[Table]:
    """Compare the tap with a bare loop over a raw data export, and its memory for exports of several lengths."""
    series = beside_loop(plan.lines, plan.long_rounds, tell, warm_up=plan.warm_up)
    about = f"{plan.lines:,} lines in a folder. Ratios are to `{EXPORT_LOOP}` in the same round. Output to a file."
    compared = Table("Raw events", about, *against_loop(series[0], series), series)
    rows, measured = [], []
    for lines in plan.lines_in_memory:
        size, one = to_nothing(lines, tell)
        rows.append((f"{lines:,}", f"{size:,.0f}", figure(one.values(_peak), 0)))
        measured.append(one)
    about = "The tap on exports of several lengths, one run each. The output is discarded."
    return [compared, Table("Raw events, memory", about, ("Lines", "MiB of lines", "peak MiB"), rows, measured)]


SECTIONS: dict[str, Callable[[Plan, Tell], list[Table]]] = {
    "cpu": cpu,
    "latency": latency,
    "memory": memory,
    "requests": requests,
    "start": start,
    "raw": raw,
    "peers": peers,
}
"""What `--only` may name, in the order of the report."""
