"""The sandbox in the shell: `python -m tests.sandbox [options] -- COMMAND...`; see `--help`."""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from tests.sandbox.data import RESOURCES, make_account
from tests.sandbox.named import NAMED, make_fault
from tests.sandbox.query_data import QUERY_RESOURCES, make_query_account
from tests.sandbox.server import Sandbox
from tests.sandbox.switches import PASSWORD, TOKEN, USERNAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from tests.sandbox.account import Account

_NOT_FOUND, _NOT_RUNNABLE, _SIGNALLED = 127, 126, 128  # as a shell has them
_COUNTS = {"core": make_account().counts, "query": make_query_account().counts}
_NAMES = {"core": "Core", "query": "v3"}
_RESOURCES = tuple(dict.fromkeys((*RESOURCES, *QUERY_RESOURCES)))


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:<20}{text}" for name, (text, _) in NAMED.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.sandbox",
        usage="%(prog)s [options] [-- COMMAND...]",
        description="Serve a made-up Kissmetrics account on a loopback port while COMMAND runs, with the\n"
        "settings of tap-kissmetrics for it set (TAP_KISSMETRICS_API_URL and the others). The exit code is that of\n"
        "COMMAND, or 128 and the number of the signal that ended it. Without COMMAND: print the settings and serve\n"
        "until Ctrl-C.",
        epilog=f"faults:\n{names}\n\n"
        "With :resource=events,method=GET,nth=2,skip=1,times=3 (or times=always) behind the name a fault concerns\n"
        "one resource, method or request, begins later, or happens so often. --fault may be given several times.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--api",
        choices=("core", "query"),
        default="core",
        help="the Core API, or the Query API v3 (default: %(default)s)",
    )
    parser.add_argument("--form", choices=("envelope", "bare"), default="envelope", help="the form of Core's answers")
    parser.add_argument(
        "--array-key",
        choices=("data", "resource", "events"),
        default="data",
        help="where lists of v3 have their rows (default: %(default)s)",
    )
    parser.add_argument(
        "--cap",
        type=_count,
        metavar="N",
        help="the largest limit that is honoured (default: any; of v3 10,000)",
    )
    parser.add_argument("--rate-limit", type=_count, metavar="N", help="requests a minute (default: any number)")
    parser.add_argument("--rows", type=_count, default=120, metavar="N", help="of each query (default: %(default)s)")
    parser.add_argument(
        "--latency",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="to wait before each answer",
    )
    parser.add_argument("--port", type=_count, default=0, metavar="N", help="of 127.0.0.1 (default: a free one)")
    parser.add_argument("--token", default=TOKEN, help="the token that Core lets in (default: %(default)s)")
    parser.add_argument("--username", default=USERNAME, help="the user that v3 lets in (default: %(default)s)")
    parser.add_argument("--password", default=PASSWORD, help="that user's password (default: %(default)s)")
    parser.add_argument("--no-gzip", action="store_true", help="never compress")
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="NAME", help="see below")
    parser.add_argument("--counts", action="store_true", help="tell in the end, on stderr, what there was to read")
    parser.add_argument("--seed", type=_count, default=0, metavar="N", help="of the made-up data (default: 0)")
    for resource in _RESOURCES:
        counts = [f"{_COUNTS[api][resource]} in {name}" for api, name in _NAMES.items() if resource in _COUNTS[api]]
        text = f"how many {resource} (default: {', '.join(counts)})"
        parser.add_argument(f"--{resource}", type=_count, metavar="N", help=text)
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


def _fault(text: str) -> object:
    try:
        return make_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class _Runner:
    """Runs a command and passes SIGTERM and SIGINT on to it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def run(self, command: Sequence[str], env: dict[str, str]) -> int:
        """Run the command; return its exit code in the way of a shell."""
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

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._early = number
        elif number != signal.SIGINT or not _in_foreground():
            self._child.send_signal(number)


def _in_foreground() -> bool:
    """Tell whether Ctrl-C in a terminal reaches the command by itself, as a member of the terminal's process group."""
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


def _tell_counts(sandbox: Sandbox) -> None:
    for resource, count in sandbox.account.counts.items():
        asked = sum(request.resource == resource for request in sandbox.requests)
        print(f"sandbox: {count:>7} {resource:<10} in the account, {asked} requests", file=sys.stderr)
    if sandbox.queries:
        asked = sum(request.resource == "queries" for request in sandbox.requests)
        print(f"sandbox: {len(sandbox.queries):>7} queries    were started, {asked} requests", file=sys.stderr)


def _account(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Account:
    counts = {name: getattr(options, name) for name in _RESOURCES if getattr(options, name) is not None}
    make: Callable[..., Account] = make_account if options.api == "core" else make_query_account
    for name in counts:
        if name not in inspect.signature(make).parameters:
            parser.error(f"--{name}: {_NAMES[options.api]} lists none")
    return make(options.seed, **counts)


def main(arguments: Sequence[str]) -> int:
    """Run the sandbox as the arguments say; return the exit code."""
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    parser, command = _parser(), arguments[cut + 1 :]
    options = parser.parse_args(arguments[:cut])
    try:
        sandbox = Sandbox(
            _account(options, parser),
            api=options.api,
            form=options.form,
            array_key=options.array_key,
            cap=options.cap,
            rate_limit=options.rate_limit,
            rows=options.rows,
            latency=options.latency,
            token=options.token,
            username=options.username,
            password=options.password,
            faults=options.fault,
            gzip=not options.no_gzip,
            port=options.port,
        )
    except (OSError, OverflowError) as error:
        print(f"sandbox: port {options.port}: {error}", file=sys.stderr)
        return 1
    sandbox.warm()
    runner = _Runner() if command else None
    with sandbox:
        code = runner.run(command, os.environ | sandbox.env) if runner else _serve_until_signal(sandbox)
    if options.counts:
        _tell_counts(sandbox)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
