"""The sandbox in a shell: `python -m tests.sandbox [options] -- COMMAND...`; see `--help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sandbox import faults
from tests.sandbox.data import COUNTS, QUERY_COUNTS, make_account, make_query_account
from tests.sandbox.export import Export
from tests.sandbox.server import PASSWORD, TOKEN, USERNAME, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from tests.sandbox.account import Account
    from tests.sandbox.faults import Fault

_NOT_FOUND, _NOT_RUNNABLE, _SIGNALLED = 127, 126, 128  # exit codes of a shell
_RESOURCES = tuple(dict.fromkeys((*COUNTS, *QUERY_COUNTS)))
_METHODS = ("GET", "POST", "DELETE")

_ELSEWHERE = "http://example.invalid/core"

FAULTS: dict[str, tuple[str, Callable[[], Fault]]] = {
    "server-error": ("answers 503 to the 2nd and 3rd request", lambda: faults.status(503, skip=1, times=2)),
    "unauthorized": ("answers 401", lambda: faults.status(401)),
    "forbidden": ("answers 403", lambda: faults.status(403)),
    "not-found": ("answers 404", lambda: faults.status(404)),
    "bad-request": ("answers 400", lambda: faults.status(400)),
    "retry-after": ("answers 429 with Retry-After: 1, once", lambda: faults.retry_after(1, nth=2)),
    "retry-after-date": ("answers 503 with Retry-After as a date, once",
                         lambda: faults.retry_after(2, code=503, as_date=True, nth=2)),
    "rate-limit": ("15 requests a minute, 429 without Retry-After", lambda: faults.rate_limit(15, 60)),
    "rate-limit-told": ("15 requests a minute, 429 with Retry-After", lambda: faults.rate_limit(15, 60, tell=True)),
    "close": ("closes the connection without an answer, once", lambda: faults.close(nth=2)),
    "close-in-body": ("closes it halfway in the body, once", lambda: faults.close("in_body", nth=2)),
    "reset": ("resets the connection without an answer, once", lambda: faults.reset(nth=2)),
    "reset-in-headers": ("resets it in the headers, once", lambda: faults.reset("in_headers", nth=2)),
    "reset-after-headers": ("resets it after the headers, once", lambda: faults.reset("after_headers", nth=2)),
    "reset-in-body": ("resets it halfway in the body, once", lambda: faults.reset("in_body", nth=2)),
    "hang": ("never answers the 2nd request", lambda: faults.hang(nth=2)),
    "hang-in-body": ("stops sending halfway in the body, once", lambda: faults.hang("in_body", nth=2)),
    "drip": ("sends one byte of the body a second, once", lambda: faults.drip(1.0, nth=2)),
    "drip-all": ("sends one byte a second from the status line on, once", lambda: faults.drip(1.0, part="all", nth=2)),
    "short-body": ("sends less than Content-Length, once", lambda: faults.short_body(nth=2)),
    "bad-gzip": ("declares gzip for a body that is not, once", lambda: faults.bad_gzip(nth=2)),
    "truncated-json": ("cuts off the JSON, once", lambda: faults.truncated_json(nth=2)),
    "html": ("answers 200 with an HTML page, once", lambda: faults.html_page(nth=2)),
    "empty-body": ("answers 200 with no body, once", lambda: faults.empty_body(nth=2)),
    "null-body": ("answers 200 with null, once", lambda: faults.null_body(nth=2)),
    "scalar-body": ("answers 200 with a number, once", lambda: faults.scalar_body(nth=2)),
    "null-data": ('answers 200 with "data": null, once', lambda: faults.data(None, nth=2)),
    "no-data": ("answers 200 without data, once", lambda: faults.data(faults.MISSING, nth=2)),
    "meta-status": ("answers 200 with meta.status 500, once", lambda: faults.meta_status(500, nth=2)),
    "redirect": ("redirects to another host", lambda: faults.redirect(_ELSEWHERE)),
    "echo-token": ("answers 400 and repeats the token everywhere", faults.echo_token),
    "ignore-offset": ("always serves the first page", faults.ignore_offset),
    "ignore-limit": ("always serves the whole list", faults.ignore_limit),
    "ignore-limit-20": ("always serves 20 rows", lambda: faults.ignore_limit(20)),
    "overlap": ("starts each page 3 rows early", lambda: faults.overlap(3)),
    "total-missing": ("has no pagination.total", lambda: faults.total(faults.MISSING)),
    "total-null": ("has a pagination.total of null", lambda: faults.total(None)),
    "total-text": ("has a pagination.total that is text", lambda: faults.total(str)),
    "total-small": ("has half the true pagination.total", lambda: faults.total(lambda true: true // 2)),
    "total-large": ("has a pagination.total that is 10 too large", lambda: faults.total(lambda true: true + 10)),
    "total-random": ("has a random pagination.total", faults.total_random),
    "no-links": ("has neither links nor a Link header", faults.no_links),
    "empty-page": ("serves no rows to the 2nd request for events", lambda: faults.empty_page(resource="events", nth=2)),
    "endless": ("sends the rows of events for ever", lambda: faults.endless(resource="events")),
}  # fmt: skip
"""Name: what it does, and how it is made. Those that happen once happen to the second request."""

_DESCRIPTION = """\
Serve a made-up Kissmetrics account on a loopback port while COMMAND runs, with
the settings of tap-kissmetrics (TAP_KISSMETRICS_API_URL and so on) in its
environment. The exit code is that of COMMAND, or 128 plus the number of the
signal that ended it. Without COMMAND, print the settings and serve until
Ctrl-C. With --export, there is no server: COMMAND reads a folder.
"""

_EPILOG = """\
faults:
{faults}

A fault takes parameters, as in --fault reset:resource=events,skip=1,times=3
  resource=NAME       only requests for this resource
  method=NAME         only requests with this method
  nth=N               only the Nth of these requests
  skip=N              not the first N of these requests
  times=N             so often; times=always without an end
  where=beyond-end    only requests for what comes after the end of a list
--fault may be given several times.
"""


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<20}{text}" for name, (text, _) in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.sandbox",
        usage="%(prog)s [options] [-- COMMAND...]",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(faults=listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--api", choices=("core", "query"), default="core", help="Core API or Query API v3 (default: %(default)s)")
    add(
        "--form",
        choices=("envelope", "bare"),
        default="envelope",
        help="form of Core's responses (default: %(default)s)",
    )
    keys = ("data", "resource", "events")
    add("--array-key", choices=keys, default="data", help="key of the rows in lists of v3 (default: %(default)s)")
    add("--cap", type=_count, metavar="N", help="largest limit that is honoured (default: any, in v3 10,000)")
    add("--over-cap", type=int, choices=(400, 422), help="refuse a larger limit with this status (default: cut it)")
    add("--rate-limit", type=_count, metavar="N", help="requests a minute (default: any number)")
    add("--rows", type=_count, default=120, metavar="N", help="rows of each query (default: %(default)s)")
    add("--latency", type=_seconds, default=0.0, metavar="SECONDS", help="time before each response (default: none)")
    add("--port", type=_count, default=0, metavar="N", help="port of 127.0.0.1 (default: a free one)")
    add("--token", default=TOKEN, help="token of Core (default: %(default)s)")
    add("--username", default=USERNAME, help="user of v3 (default: %(default)s)")
    add("--password", default=PASSWORD, help="password of v3 (default: %(default)s)")
    add("--no-gzip", action="store_false", dest="gzip", help="never compress")
    add("--fault", type=make_fault, action="append", default=[], dest="faults", metavar="NAME", help="see below")
    add("--export", type=Path, metavar="FOLDER", help="make a raw data export there, or add to it, and serve no API")
    add("--revisions", type=_count, default=24, metavar="N", help="files to add to the export (default: %(default)s)")
    add("--lines", type=_count, default=1000, metavar="N", help="lines of each (default: %(default)s)")
    add("--counts", action="store_true", help="print on stderr, at the end, what the account holds and the requests")
    add("--seed", type=_count, default=0, metavar="N", help="seed of the made-up data (default: 0)")
    for resource in _RESOURCES:
        counts = [
            f"{counts[resource]} in {name}"
            for name, counts in (("Core", COUNTS), ("v3", QUERY_COUNTS))
            if resource in counts
        ]
        add(f"--{resource}", type=_count, metavar="N", help=f"number of {resource} (default: {', '.join(counts)})")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        message = f"{text!r} is not a number of 0 or more"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        message = f"{text!r} is not a number of seconds"
        raise argparse.ArgumentTypeError(message)
    return seconds


def make_fault(text: str) -> Fault:
    """Make the fault of NAME or NAME:KEY=VALUE,... `times` and `skip` replace the `nth` of the named fault."""
    name, _, parameters = text.partition(":")
    if name not in FAULTS:
        message = f"there is no fault {name!r}; there are {', '.join(FAULTS)}"
        raise argparse.ArgumentTypeError(message)
    fault = FAULTS[name][1]()
    for parameter in filter(None, parameters.split(",")):
        key, _, value = parameter.partition("=")
        match key:
            case "resource" if value in {*COUNTS, *QUERY_COUNTS, "queries"}:
                fault = dataclasses.replace(fault, resource=value)
            case "where" if value == "beyond-end":
                fault = dataclasses.replace(fault, **faults.BEYOND_END)
            case "method" if value in _METHODS:
                fault = dataclasses.replace(fault, method=value)
            case "times" if value == "always":
                fault = dataclasses.replace(fault, times=None, nth=None)
            case "nth" if value.isdecimal():
                fault = dataclasses.replace(fault, nth=int(value))
            case "times" if value.isdecimal():
                fault = dataclasses.replace(fault, times=int(value), nth=None)
            case "skip" if value.isdecimal():
                fault = dataclasses.replace(fault, skip=int(value), nth=None)
            case _:
                known = "resource=NAME, method=NAME, where=beyond-end, nth=N, skip=N, times=N or times=always"
                message = f"{parameter!r} is not understood: {known}"
                raise argparse.ArgumentTypeError(message)
    return fault


class _Runner:
    """Runs a command and forwards SIGTERM and SIGINT to it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)

    def run(self, command: Sequence[str], env: dict[str, str]) -> int:
        """Run the command; return its exit code as a shell does."""
        try:
            self._child = subprocess.Popen(command, env=env)
        except FileNotFoundError:
            print(f"sandbox: {command[0]}: there is no such program", file=sys.stderr)
            return _NOT_FOUND
        except OSError as error:
            print(f"sandbox: {command[0]}: {error.strerror}", file=sys.stderr)
            return _NOT_RUNNABLE
        if self._early is not None:
            self._child.send_signal(self._early)
        code = self._child.wait()
        return code if code >= 0 else _SIGNALLED - code

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._early = number
        elif number != signal.SIGINT or not _in_foreground():
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Tell whether a terminal's Ctrl-C reaches the command by itself, as a member of the foreground process group."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno() if sys.__stdin__ else 0) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _serve_until_signal(sandbox: Sandbox) -> int:
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    for name, value in sandbox.env.items():
        print(f"export {name}={value}", flush=True)
    done.wait()
    return 0


def _make_export(folder: Path, seed: int, revisions: int, lines: int, command: Sequence[str]) -> int:
    runner = _Runner() if command else None
    try:
        Export(folder, seed).grow(revisions, lines)
    except OSError as error:
        print(f"sandbox: {folder}: {error.strerror}", file=sys.stderr)
        return 1
    env = {"TAP_KISSMETRICS_EXPORT_URLS": json.dumps([str(folder.resolve())])}
    if runner:
        return runner.run(command, os.environ | env)
    for name, value in env.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _print_counts(sandbox: Sandbox) -> None:
    for resource, count in sandbox.account.counts.items():
        requests = sum(request.resource == resource for request in sandbox.requests)
        print(f"sandbox: {count:>7} {resource:<10} in the account, {requests} requests", file=sys.stderr)
    if sandbox.queries:
        requests = sum(request.resource == "queries" for request in sandbox.requests)
        print(f"sandbox: {len(sandbox.queries):>7} queries    were started, {requests} requests", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Run the sandbox; return the exit code."""
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    parser, command = _parser(), arguments[cut + 1 :]
    options = vars(parser.parse_args(arguments[:cut]))
    # What is left in `options` are arguments of `Sandbox`.
    seed, print_counts = options.pop("seed"), options.pop("counts")
    folder, revisions, lines = options.pop("export"), options.pop("revisions"), options.pop("lines")
    if folder:
        return _make_export(folder, seed, revisions, lines, command)
    given = {resource: options.pop(resource) for resource in _RESOURCES}
    counts = {resource: count for resource, count in given.items() if count is not None}
    for resource in counts:
        if resource not in (COUNTS if options["api"] == "core" else QUERY_COUNTS):
            parser.error(f"--{resource}: {'Core' if options['api'] == 'core' else 'v3'} lists none")
    make: Callable[..., Account] = make_account if options["api"] == "core" else make_query_account
    try:
        sandbox = Sandbox(make(seed, **counts), **options)
    except (OSError, OverflowError) as error:
        print(f"sandbox: port {options['port']}: {error}", file=sys.stderr)
        return 1
    sandbox.warm()
    runner = _Runner() if command else None
    with sandbox:
        code = runner.run(command, os.environ | sandbox.env) if runner else _serve_until_signal(sandbox)
    if print_counts:
        _print_counts(sandbox)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
