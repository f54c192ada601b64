"""The sandbox in the shell."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import requests

from tests.sandbox.__main__ import FAULTS


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m tests.sandbox`."""
    command = [sys.executable, "-m", "tests.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class TestShell:
    """`python -m tests.sandbox`."""

    READ = (
        "import os, json, urllib.request as u; e = os.environ; "
        "r = u.Request(e['TAP_KISSMETRICS_API_URL'] + '/events?limit=100', "
        "headers={'Authorization': 'Bearer ' + e['TAP_KISSMETRICS_API_TOKEN']}); "
        "print(len(json.load(u.urlopen(r))['data']))"
    )

    def test_runs_a_command_with_the_settings(self) -> None:
        result = shell("--events", "33", "--counts", "--", sys.executable, "-c", self.READ)
        assert (result.returncode, result.stdout) == (0, "33\n")
        assert [line.split()[1:3] for line in result.stderr.splitlines()][3] == ["33", "events"]

    def test_switches(self) -> None:
        switches = (
            "--cap",
            "5",
            "--fault",
            "overlap:resource=events",
            "--latency",
            "0.01",
            "--token",
            "other",
        )
        result = shell(*switches, "--", sys.executable, "-c", self.READ)
        assert (result.returncode, result.stdout) == (0, "5\n")

    def test_serves_v3(self) -> None:
        script = (
            "import os, requests; e = os.environ; "
            "login = (e['TAP_KISSMETRICS_USERNAME'], e['TAP_KISSMETRICS_PASSWORD']); "
            "url = e['TAP_KISSMETRICS_API_URL']; get = lambda path: requests.get(url + path, auth=login).json(); "
            "post = lambda body: requests.post(url + '/queries/report', json=body, auth=login).json(); "
            "products = get('/products')['products']; print(e['TAP_KISSMETRICS_API'], len(products)); "
            "report = get(f\"/products/{products[0]['id']}/reports\")['reports'][0]; "
            "print(list(post({'report_id': report['id']}))); print(requests.get(url).status_code)"
        )
        switches = ("--api", "query", "--products", "2", "--array-key", "resource", "--rate-limit", "3", "--counts")
        result = shell(*switches, "--", sys.executable, "-c", script)
        assert (result.returncode, result.stdout) == (0, "query 2\n['id']\n429\n")
        assert [line.split()[1:3] for line in result.stderr.splitlines()][-1] == ["1", "queries"]
        result = shell("--api", "query", "--accounts", "2")
        assert (result.returncode, "v3 lists none" in result.stderr) == (2, True)

    @pytest.mark.parametrize(
        ("command", "code", "message"),
        [
            (["sh", "-c", "exit 7"], 7, ""),
            (["sh", "-c", "kill -TERM $$"], 143, ""),
            (
                ["no-such-program-at-all"],
                127,
                "sandbox: no-such-program-at-all: there is no such program\n",
            ),
            (["/"], 126, "sandbox: /: Permission denied\n"),
        ],
    )
    def test_exit_codes(self, command: list[str], code: int, message: str) -> None:
        result = shell("--", *command)
        assert (result.returncode, result.stdout, result.stderr) == (code, "", message)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--fault", "nonsense"], "there is no fault 'nonsense'; there are server-error, "),
            (["--events", "-1"], "'-1' is not a number of 0 or more"),
            (["--latency", "nan"], "'nan' is not a number of seconds"),
            (["true"], "unrecognized arguments: true"),
        ],
    )
    def test_wrong_arguments(self, arguments: list[str], message: str) -> None:
        result = shell(*arguments)
        assert result.returncode == 2
        assert message in result.stderr

    def test_help_names_every_fault(self) -> None:
        text = shell("--help").stdout
        assert all(f"  {name} " in text for name in FAULTS)

    @pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")])
    def test_passes_signals_on(self, number: signal.Signals, name: str) -> None:
        script = f"trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        command = [sys.executable, "-m", "tests.sandbox", "--", "bash", "-c", script]
        # A session of its own: in the foreground of a terminal Ctrl-C reaches the command without our help.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.stdout.read() == f"got {name}\n"
        assert process.returncode == 5

    def test_serves_until_a_signal(self) -> None:
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
