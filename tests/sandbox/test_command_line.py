"""`python -m tests.sandbox`."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
import requests

from tests.sandbox.__main__ import FAULTS, main, make_fault

CLIENT = """
import base64, json, os, sys, urllib.request
e = {name.removeprefix("TAP_KISSMETRICS_"): value for name, value in os.environ.items()}
login = base64.b64encode(f"{e.get('USERNAME')}:{e.get('PASSWORD')}".encode()).decode()
headers = {"Authorization": f"Bearer {e['API_TOKEN']}" if "API_TOKEN" in e else f"Basic {login}"}
request = lambda path: urllib.request.Request(e["API_URL"] + path, headers=headers)
print(json.dumps([json.load(urllib.request.urlopen(request(path))) for path in sys.argv[1:]]))
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, stdout and stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code: Any = main(arguments)
    except SystemExit as error:
        code = error.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, *capfd.readouterr()


def client(*paths: str) -> list[str]:
    """Return the arguments that run a client, which prints what it got from the paths."""
    return ["--", sys.executable, "-c", CLIENT, *paths]


def test_runs_a_command_with_the_settings(capfd: pytest.CaptureFixture[str]) -> None:
    """The command finds the sandbox; its requests are counted."""
    code, out, err = run(capfd, "--events", "33", "--counts", *client("/events?limit=100"))
    assert (code, len(json.loads(out)[0]["data"])) == (0, 33)
    assert re.search(r"^sandbox: +33 events +in the account, 1 requests$", err, re.MULTILINE)


def test_options_reach_the_sandbox(capfd: pytest.CaptureFixture[str]) -> None:
    """Of the Core API."""
    options = ("--cap", "5", "--fault", "overlap:resource=events", "--latency", "0.01", "--token", "other", "--no-gzip")
    code, out, _ = run(capfd, *options, *client("/events?offset=5", "/events?offset=2"))
    assert code == 0
    first, second = (page["data"] for page in json.loads(out))
    assert (len(first), first[0]) == (5, second[2])


def test_serves_v3(capfd: pytest.CaptureFixture[str]) -> None:
    """With the options that only v3 has."""
    options = ("--api", "query", "--products", "2", "--array-key", "resource", "--rate-limit", "1", "--username", "me")
    code, out, _ = run(capfd, *options, *client("/products"))
    assert (code, len(json.loads(out)[0]["products"])) == (0, 2)
    code, _, err = run(capfd, *options, *client("/products", "/products"))
    assert (code, "HTTP Error 429" in err) == (1, True)
    code, _, err = run(capfd, "--api", "query", "--accounts", "2")
    assert (code, "v3 lists none" in err) == (2, True)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -TERM $$"], 143, ""),
        (["no-such-program-at-all"], 127, "sandbox: no-such-program-at-all: there is no such program\n"),
        (["/"], 126, "sandbox: /: Permission denied\n"),
    ],
)
def test_exit_codes(command: list[str], code: int, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Those of the command, as a shell has them."""
    assert run(capfd, "--", *command) == (code, "", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "nonsense"], "there is no fault 'nonsense'; there are server-error, "),
        (["--events", "-1"], "'-1' is not a number of 0 or more"),
        (["--latency", "nan"], "'nan' is not a number of seconds"),
        (["true"], "unrecognized arguments: true"),
    ],
)
def test_wrong_arguments(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """They are refused before anything starts."""
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It names every fault, and no line is longer than a terminal is wide."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capfd, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in FAULTS)
    assert max(map(len, out.splitlines())) <= 80


def test_faults() -> None:
    """Every name makes a fault; parameters change it."""
    assert all(make_fault(name).name for name in FAULTS)
    fault = make_fault("server-error:resource=events,skip=4,times=always")
    assert (fault.resource, fault.skip, fault.times) == ("events", 4, None)
    fault = make_fault("close:resource=queries,method=POST")
    assert (fault.resource, fault.method) == ("queries", "POST")
    assert make_fault("close:nth=7").nth == 7
    assert make_fault("close:times=2").nth is None
    for text in ("nonsense", "close:nth=x", "close:resource=x", "close:colour=red", "close:method=x"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"no fault|not understood"):
            make_fault(text)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")])
def test_forwards_signals(number: signal.Signals, name: str) -> None:
    """The command decides what a signal means."""
    script = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.02; done"
    command = [sys.executable, "-m", "tests.sandbox", "--", "bash", "-c", script]
    # In a session of its own: in the foreground of a terminal Ctrl-C reaches the command by itself.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"got {name}\n"
    assert process.returncode == 5


def test_serves_until_a_signal() -> None:
    """Without a command it prints the settings."""
    command = [sys.executable, "-m", "tests.sandbox", "--events", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
        env = dict(line.split("=", 1) for line in lines)
        headers = {"Authorization": f"Bearer {env['TAP_KISSMETRICS_API_TOKEN']}"}
        body = requests.get(f"{env['TAP_KISSMETRICS_API_URL']}/events", headers=headers, timeout=5).json()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert body["pagination"]["total"] == 4
