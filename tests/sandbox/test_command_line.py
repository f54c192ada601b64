"""`python -m tests.sandbox`."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox.__main__ import FAULTS, main, make_fault
from tests.sandbox.export import Export

if TYPE_CHECKING:
    from pathlib import Path

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
    try:
        code: Any = main(arguments)
    except SystemExit as error:
        code = error.code
    return code, *capfd.readouterr()


def client(*paths: str) -> list[str]:
    """Return the arguments that run a client, which prints what it got from the paths."""
    return ["--", sys.executable, "-c", CLIENT, *paths]


def test_a_command_runs_with_the_settings(capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--events", "33", "--cap", "5", "--fault", "overlap:resource=events", "--token", "other", "--no-gzip")
    code, out, err = run(capfd, *options, "--counts", *client("/events?offset=5", "/events?offset=2"))
    first, second = (page["data"] for page in json.loads(out))
    assert (code, len(first), first[0]) == (0, 5, second[2])
    assert re.search(r"^sandbox: +33 events +in the account, 2 requests$", err, re.MULTILINE)


def test_it_serves_v3(capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--api", "query", "--products", "2", "--array-key", "resource", "--rate-limit", "1", "--username", "me")
    code, out, _ = run(capfd, *options, *client("/products"))
    assert (code, len(json.loads(out)[0]["products"])) == (0, 2)
    code, _, err = run(capfd, *options, *client("/products", "/products"))
    assert (code, "HTTP Error 429" in err) == (1, True)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -TERM $$"], 143, ""),
        (["no-such-program-at-all"], 127, "sandbox: no-such-program-at-all: there is no such program\n"),
        (["/"], 126, "sandbox: /: Permission denied\n"),
    ],
)
def test_the_exit_code_is_that_of_the_command(
    command: list[str], code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(capfd, "--", *command) == (code, "", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "nonsense"], "there is no fault 'nonsense'; there are server-error, "),
        (["--events", "-1"], "'-1' is not a number of 0 or more"),
        (["--latency", "nan"], "'nan' is not a number of seconds"),
        (["--api", "query", "--accounts", "2"], "v3 lists none"),
        (["true"], "unrecognized arguments: true"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_help_names_every_fault(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capfd, "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in FAULTS)
    assert max(map(len, out.splitlines())) <= 80


def test_a_name_makes_a_fault_and_parameters_change_it() -> None:
    assert all(make_fault(name).name for name in FAULTS)
    fault = make_fault("server-error:resource=events,skip=4,times=always")
    assert (fault.resource, fault.skip, fault.times) == ("events", 4, None)
    fault = make_fault("close:resource=queries,method=POST")
    assert (fault.resource, fault.method) == ("queries", "POST")
    assert make_fault("close:nth=7").nth == 7
    assert make_fault("close:times=2").nth is None
    assert make_fault("not-found:where=beyond-end").where is not None
    for text in ("nonsense", "close:nth=x", "close:resource=x", "close:colour=red", "close:method=x"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"no fault|not understood"):
            make_fault(text)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")])
def test_signals_reach_the_command(number: signal.Signals, name: str) -> None:
    script = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.02; done"
    command = [sys.executable, "-m", "tests.sandbox", "--", "bash", "-c", script]
    # In a session of its own: in the foreground of a terminal Ctrl-C reaches the command by itself.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"got {name}\n"
    assert process.returncode == 5


def test_without_a_command_it_prints_the_settings_and_serves_until_a_signal() -> None:
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


def test_it_makes_an_export(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "an export"
    options = ("--export", str(folder), "--revisions", "2", "--lines", "3")
    code, out, _ = run(capfd, *options)
    assert (code, out) == (0, f"export TAP_KISSMETRICS_EXPORT_URLS='[\"{folder}\"]'\n")
    assert len(Export(folder).expected()) == 6
    code, out, _ = run(capfd, *options, "--", "sh", "-c", 'echo "$TAP_KISSMETRICS_EXPORT_URLS"; exit 3')
    assert (code, json.loads(out), Export(folder).newest) == (3, [str(folder)], 4)
    code, _, err = run(capfd, "--export", "/dev/null/x")
    assert (code, "/dev/null/x: Not a directory" in err) == (1, True)
