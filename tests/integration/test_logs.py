"""What a person reads while a sync goes on: how much there is, how far it is, what it took. A terminal has one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tap_kissmetrics.sdk_extensions.logs import TerminalLine
from tests.sandbox import RESOURCES, Sandbox, faults, make_account, make_query_account
from tests.support.assertions import in_order_of_sync
from tests.support.cases import SMALL
from tests.support.catalogs import choose
from tests.support.run import environment
from tests.support.tap import attempt, catalog_of, sync, sync_here
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.clock import Clock
    from tests.support.run import Run

LONG: dict[str, Any] = {**SMALL, "events": 400}
"""An account with a list that takes a while."""


def lines_of(run: Run) -> list[str]:
    """Give what was logged at the level of people's lines and above, without the SDK's metrics."""
    lines = [re.fullmatch(r"\S+ \S+ \| (\w+) +\| \S+ +\| (.*)", line) for line in run.stderr.splitlines()]
    return [line[2] for line in lines if line and line[1] != "DEBUG" and not line[2].startswith("METRIC")]


class TestLines:
    """In a file, and in what a scheduler shows."""

    def test_a_sync_from_its_first_line_to_its_last(self, sandbox: Sandbox) -> None:
        """Where it reads, who has logged in, and for each stream how much there is and what it took."""
        run = sync_here(sandbox, page_size=100)
        names = ", ".join(re.escape(repr(account["name"])) for account in sandbox.account.records["accounts"])
        wanted = [r"tap-kissmetrics v\S+, Meltano SDK v\S+", "Reading the Core API at " + re.escape(sandbox.url)]
        for number, name in enumerate(in_order_of_sync(RESOURCES), 1):
            count, asked = sandbox.account.counts[name], sum(request.resource == name for request in sandbox.requests)
            wanted += [rf"{name}: started \(stream {number} of 6, FULL_TABLE\)"]
            wanted += [f"{name}: {count} records to read"]
            wanted += [f"accounts: these credentials can access {names}"] * (name == "accounts")
            wanted += [rf"{name}: complete: {count} records, {asked} requests?, \d+\.\d s"]
        total, requests = sum(sandbox.account.counts.values()), len(sandbox.requests)
        wanted += [rf"Total: {total} records, {requests} requests, \d+\.\d s"]
        for line, pattern in zip(lines_of(run), wanted, strict=True):
            assert re.fullmatch(pattern, line), f"{line!r}, not {pattern!r}"

    def test_a_test_of_the_connection_reads_one_page_of_each_list_and_says_how_it_ended(self, sandbox: Sandbox) -> None:
        """And nothing of failures: `--test` ends each stream after one record."""
        run = sync_here(sandbox, "--test", page_size=3, max_concurrency=1)
        assert [request.resource for request in sandbox.requests] == in_order_of_sync(RESOURCES)
        assert lines_of(run)[-1] == "Connection test passed: every stream can be read"
        assert "fail" not in run.stderr
        assert "METRIC" not in run.stderr

    def test_records_before_the_bookmark_are_counted_apart(self, sandbox: Sandbox) -> None:
        catalog = choose(accounts="updated_at")
        run = sync_here(sandbox, catalog=catalog, state=sync_here(sandbox, catalog=catalog).state)
        read, written = sandbox.account.counts["accounts"], len(run.records("accounts"))
        assert written < read
        (line,) = [line for line in lines_of(run) if line.startswith("accounts: complete")]
        assert re.fullmatch(rf"accounts: complete: {read} read, {written} written, 2 requests, \d+\.\d s", line)
        assert lines_of(run)[-1].startswith(f"Total: {read} read, {written} written, ")

    def test_requests_that_failed_count_and_so_do_waits(self, sandbox: Sandbox, clock: Clock) -> None:
        sandbox.faults += [
            faults.status(503, resource="accounts", nth=1),
            faults.retry_after(1, resource="events", nth=1),
        ]
        sandbox.on_request(lambda *_: clock.sleep(1))
        lines = lines_of(sync_here(sandbox))
        assert any(re.fullmatch(r"accounts: HTTP 503: .*; retrying in \d\.\d s", line) for line in lines)
        assert (
            "events: waiting 1.0 s because of the API's rate limit; set requests_per_minute to stay within it" in lines
        )
        (events,) = [line for line in lines if line.startswith("events: complete")]
        told = re.fullmatch(r"events: complete: 25 records, 3 requests, (\d+\.\d) s", events)
        assert told, events
        assert 4 <= float(told[1]) < 4.9
        assert f" {len(sandbox.requests)} requests" in lines[-1]

    def test_nothing_is_called_skipped_but_a_deselected_stream(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.faults.append(faults.status(403, resource="events"))
        assert "Skipping" not in attempt(sandbox).stderr
        run = sync_here(sandbox, catalog=catalog_of(tmp_path, products={}))
        assert run.stderr.count("Skipping deselected stream") == len(RESOURCES) - 1

    def test_a_long_stream_tells_every_ten_seconds_how_far_it_is(self, clock: Clock) -> None:
        with Sandbox(make_account(**LONG)) as sandbox:
            sandbox.on_request(lambda *_: clock.sleep(0.8))
            run = sync_here(sandbox, page_size=11, max_concurrency=1)
        said = [line for line in lines_of(run) if "%" in line]
        pattern = r"events: (\d+) of 400 records \((\d+)%\), 1\d/s, (\d+) s, about ([\d.]+) s left, stream 4 of 6"
        assert len(said) == 3  # 40 pages, 32 s
        for number, line in enumerate(said, 1):
            match = re.fullmatch(pattern, line)
            assert match, said
            assert int(match[2]) == round(int(match[1]) / 4)
            assert number * 10 <= int(match[3]) <= number * 11
            assert int(match[3]) + float(match[4]) == pytest.approx(32, abs=2)

    @pytest.mark.parametrize(("count", "more"), [(10, ""), (12, " and 2 more")])
    def test_of_the_query_api_the_product_is_told(self, count: int, more: str, clock: Clock, tmp_path: Path) -> None:
        """Lists have no total there, but the products are known. Ten of them are named."""
        account = make_query_account(products=count, reports=0, events=60, properties=0)
        names = [repr(product["name"]) for product in account.records["products"]]
        catalog = catalog_of(tmp_path, {"api": "query"}, products={}, events={})
        with Sandbox(account, api="query") as sandbox:
            sandbox.on_request(lambda *_: clock.sleep(0.8))
            lines = lines_of(sync_here(sandbox, catalog=catalog))
        assert f"products: these credentials can access {', '.join(names[:10])}{more}" in lines
        pattern = rf"events: \d+ records, (\d/s, )?\d\d s, product \d+ of {count}, stream 2 of 2"
        assert any(re.fullmatch(pattern, line) for line in lines)

    @pytest.mark.parametrize("count", [1, 3])
    def test_of_results_the_report_is_told(self, count: int, clock: Clock) -> None:
        """Which of how many is run, also while it takes long."""
        with Sandbox(make_query_account(reports=count), api="query") as sandbox:
            sandbox.on_request(lambda *_: clock.sleep(6))
            run = sync_here(sandbox, report_ids=["*"])
        parts = {re.sub(r"^.* s, ", "", line) for line in lines_of(run) if ", report " in line}
        numbers = range(1, count + 1) if count > 1 else ()
        assert parts == {f"report {number} of 3, stream 5 of 5" for number in numbers}

    def test_a_wait_is_told_with_what_it_is_for(self, clock: Clock) -> None:
        with Sandbox(make_query_account(products=2), api="query") as sandbox:
            run = sync_here(sandbox, requests_per_minute=5)
        assert clock.slept > 60
        waits = [line for line in lines_of(run) if line.startswith("Waiting")]
        path = re.escape(urlsplit(sandbox.url).path)
        pattern = rf"Waiting 6[01] s before GET {path}/products/\d+/\w+, to stay within 5 requests a minute"
        assert waits
        assert all(re.fullmatch(pattern, line) for line in waits), waits

    @pytest.mark.parametrize(
        ("env", "shown"),
        [
            ({}, False),
            ({"TAP_KISSMETRICS_LOGLEVEL": "debug"}, True),
            ({"SINGER_SDK_LOG_CONFIG": "logging.yml"}, True),
            ({"SINGER_SDK_LOG_CONFIG": "logging.yml", "TAP_KISSMETRICS_LOGLEVEL": "WARNING"}, False),
        ],
        ids=str,
    )
    def test_metrics_are_for_programs(
        self,
        env: dict[str, str],
        shown: bool,  # noqa: FBT001
        sandbox: Sandbox,
        tmp_path: Path,
    ) -> None:
        """The SDK's metrics are shown at DEBUG, and where a file configures the log; that of each request never."""
        (tmp_path / "logging.yml").write_text("version: 1\ndisable_existing_loggers: false\n", encoding="utf-8")
        run = sync(sandbox, tmp_path, env=env).succeeded()
        assert ("METRIC: " in run.stderr) == ("http_request_count" in run.stderr) == shown
        assert "http_request_duration" not in run.stderr


LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ \| [A-Z]+ +\| tap-kissmetrics\S* +\| \S.*")

PAGES: dict[str, Any] = {"page_size": 41, "max_concurrency": 1}


@pytest.fixture
def slow(frozen_clock: Clock) -> Iterator[Sandbox]:
    """A sandbox each of whose requests takes a second of the clock."""
    with Sandbox(make_account(**LONG)) as sandbox:
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
    assert [line for line in lines if not LOG_LINE.fullmatch(line)] == []
    assert last == ""


class TestTerminal:
    """One line is updated in place, and what is logged stands above it, whole."""

    def test_the_line_is_updated_with_each_page(self, slow: Sandbox) -> None:
        """The lines of ten seconds are for files. The output is that of any other run."""
        terminal = Terminal()
        run = sync_here(slow, runner=terminal.run, **PAGES)
        assert {stream: len(run.records(stream)) for stream in RESOURCES} == slow.account.counts
        assert_lines_are_whole(terminal.screen)
        assert "%" not in run.stderr
        assert "events: complete: 400 records, 11 requests, 11 s" in run.stderr
        shown = [re.fullmatch(r"events: (\d+) of 400 records \((\d+)%\), .*", text) for text in drawn_on(terminal)]
        assert list(dict.fromkeys((match[1], match[2]) for match in shown if match)) == [
            (str(count), f"{count / 4:.0f}") for count in (*range(41, 400, 40), 400)
        ]
        assert "events: 201 of 400 records (50%), 40/s, 5.0 s, about 5.0 s left, stream 4 of 6" in drawn_on(terminal)

    def test_what_is_logged_meanwhile_stands_above_it(self, slow: Sandbox) -> None:
        slow.faults += [faults.status(503, resource="events", nth=3), faults.status(403, resource="metrics")]
        terminal = Terminal()
        assert attempt(slow, runner=terminal.run, **PAGES).failed == ["metrics"]
        assert_lines_are_whole(terminal.screen)
        _, _, after = terminal.written.partition("; retrying in ")
        pattern = r"\S+ s\n\revents: 8\d of 400 records \(2\d%\), 4\d/s, 2\.0 s, about [78]\.\d s left, stream 4 of 6\r"
        assert re.match(pattern, after)

    def test_a_signal_leaves_no_line_behind(self, slow: Sandbox) -> None:
        terminal = Terminal()
        slow.on_request(lambda *_: os.kill(os.getpid(), signal.SIGTERM) if len(slow.requests) == 15 else None)
        assert attempt(slow, runner=terminal.run, **PAGES).code == 128 + signal.SIGTERM
        assert_lines_are_whole(terminal.screen)
        assert re.search(r"\r {40,}\r[^\r]* Stopped by SIGTERM\n$", terminal.written)

    def test_no_line_wraps(self, slow: Sandbox) -> None:
        """What comes last in it is left out."""
        terminal = Terminal(columns=40)
        sync_here(slow, runner=terminal.run, **PAGES)
        assert "events: 400 of 400 records (100%), 36/s" in drawn_on(terminal)
        assert max(map(len, drawn_on(terminal))) < 40

    @pytest.mark.parametrize(("columns", "width"), [(40, 39), (0, 79)])
    def test_a_terminal_that_reports_no_width_is_taken_for_one_of_80_columns(self, columns: int, width: int) -> None:
        with Terminal(columns) as terminal, os.fdopen(os.dup(terminal.file.fileno()), "w", encoding="utf-8") as file:
            TerminalLine(file).show("y" * 100)
        assert terminal.screen == ["y" * width]

    @pytest.mark.parametrize(
        "env",
        [{"TERM": "dumb"}, {"LOGLEVEL": "DEBUG"}, {"LOGLEVEL": "WARNING"}, {"SINGER_SDK_LOG_CONFIG": "logging.yml"}],
        ids=str,
    )
    def test_no_line_is_updated_where_nobody_wants_it(self, env: dict[str, str], slow: Sandbox, tmp_path: Path) -> None:
        """There the log of a terminal is that of a file."""
        (tmp_path / "logging.yml").write_text("version: 1\ndisable_existing_loggers: false\n", encoding="utf-8")
        terminal = Terminal()
        sync(slow, tmp_path, runner=terminal.run, env=env, **PAGES).succeeded()
        assert "\r" not in terminal.written
        assert ("%)" in terminal.written) == (env != {"LOGLEVEL": "WARNING"})

    def test_a_short_line_covers_a_long_one(self) -> None:
        with Terminal() as terminal, os.fdopen(os.dup(terminal.file.fileno()), "w", encoding="utf-8") as file:
            line = TerminalLine(file)
            line.show("events: 100 of 200 records")
            line.write("short\n")
            line.show("events")
        assert terminal.screen == ["short", "events"]

    def test_nothing_fails_once_the_terminal_is_gone(self) -> None:
        """As that of a session that was closed."""
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

    def test_what_a_target_logs_is_not_appended_to_the_line(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """The cursor rests in the first column."""
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
        lines = {line for line in terminal.screen if not LOG_LINE.fullmatch(line)}
        assert lines == {text, ""}
