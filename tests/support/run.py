"""Runs the real command line, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.fork import Forks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.sandbox import Record, Sandbox

TAP = [sys.executable, "-m", "tap_kissmetrics"]

FORKS = Forks()
"""Where most runs begin: its process has done the imports, which take longer than most runs."""

QUICK = {"backoff_factor": 0.02, "retry_timeout": 30, "request_timeout": 30}
"""Pauses fifty times shorter than by default, and patience that no load of the machine exhausts: a test that waits for
the end of patience sets its own."""

UNPACED = 100_000
"""Requests a minute that no test comes near."""


@dataclass(frozen=True)
class Run:
    """What a run of the tap left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output: what ends with LF. Text may hold other line ends of Unicode."""
        return lines_of(self.stdout)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The Singer messages, each of which must be a whole line."""
        return [json.loads(line) for line in self.lines]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type, in their order."""
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[Record]:
        """The records of one stream, in their order."""
        return [m["record"] for m in self.of_type("RECORD") if m["stream"] == stream]

    @property
    def state(self) -> dict[str, Any]:
        """The value of the last STATE."""
        value: dict[str, Any] = self.of_type("STATE")[-1]["value"]
        return value

    @property
    def errors(self) -> list[str]:
        """The lines that the tap logged as errors, without their prefix."""
        return [line.split(" | ", 3)[3] for line in self.stderr.splitlines() if "| ERROR " in line]

    @property
    def failed(self) -> list[str]:
        """The streams that failed, as the last error names and counts them."""
        told = re.fullmatch(r"(\d+) of (\d+) streams? failed: (.+)", self.errors[-1])
        assert told, self.errors[-1]
        names = told[3].split(", ")
        assert int(told[1]) == len(names) <= int(told[2])
        return names

    def refused(self) -> str:
        """The one line of a run that was refused.

        A refusal has an exit code, a single line, and neither a traceback nor a record.
        """
        assert self.code == 1, self.stderr
        assert "Traceback" not in self.stderr, self.stderr
        assert self.stdout == ""
        (line,) = self.errors
        return line

    def succeeded(self) -> Run:
        """Assert that all went well."""
        assert self.code == 0, self.stderr
        assert not self.errors, self.stderr
        return self


def lines_of(text: str) -> list[str]:
    """Split JSON Lines; the last line may have no end, and then is one that was cut."""
    return text.removesuffix("\n").split("\n") if text else []


def environment(variables: Mapping[str, str] | None = None, *, measured: bool = True) -> dict[str, str]:
    """Give this process's environment without settings of the tap.

    Args:
        variables: What to add.
        measured: Whether coverage follows. It hangs where a signal comes while it takes notes.
    """
    dropped = ("TAP_KISSMETRICS_",) if measured else ("TAP_KISSMETRICS_", "COVERAGE_PROCESS_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {**kept, "NO_PROXY": "*", **(variables or {})}


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def run_tap(
    *arguments: str | Path,
    folder: Path,
    config: object = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    afresh: bool = False,
) -> Run:
    """Run the tap.

    Args:
        arguments: What stands on its command line, besides the config file.
        folder: Its working directory, where the config file is written.
        config: Settings for a config file; None for no config file.
        env: Variables to add to the environment.
        timeout: Seconds after which it is killed and the test fails.
        afresh: Start a Python for it, as a shell does. If not, the run begins with the imports done, in a fork with its
            own process, environment, working directory and output.

    Returns:
        What it left behind.
    """
    options: list[str | Path] = []
    if config is not None:
        options = ["--config", write_json(folder / "config.json", config)]
    command = [str(part) for part in (*options, *arguments)]
    variables = environment(env)
    if not afresh:
        code = FORKS.run(command, folder=str(folder), env=variables, timeout=timeout)
        stdout, stderr = ((folder / name).read_bytes().decode() for name in ("stdout", "stderr"))
        return Run(code, stdout, stderr)
    done = subprocess.run(
        [*TAP, *command],
        cwd=folder,
        env=variables,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def settings_for(sandbox: Sandbox, **settings: object) -> dict[str, object]:
    """Give settings that lead to a sandbox, whichever API it has, with short waits and without a pace."""
    if sandbox.api == "core":
        own: dict[str, object] = {"api_token": sandbox.token, "query_url": sandbox.query_url}
    else:
        own = {"api": sandbox.api, "username": sandbox.username, "requests_per_minute": UNPACED}
        own |= {"password": sandbox.password} if sandbox.password else {}
    return {"api_url": sandbox.url, **own, **QUICK, **settings}


def sync(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    **settings: object,
) -> Run:
    """Sync a sandbox's account."""
    return run_tap(*arguments, folder=folder, config=settings_for(sandbox, **settings), env=env)


def catalog_of(folder: Path, config: object = None, /, **streams: dict[str, Any]) -> dict[str, Any]:
    """Discover the catalog and select only the streams that are named.

    Args:
        folder: Working directory.
        config: Settings that say which streams there are; by default those of the Core API.
        streams: For each stream to select, what to add to its root metadata.

    Returns:
        The catalog.
    """
    catalog: dict[str, Any] = json.loads(run_tap("--discover", folder=folder, config=config).succeeded().stdout)
    for entry in catalog["streams"]:
        (root,) = [m["metadata"] for m in entry["metadata"] if not m["breadcrumb"]]
        root["selected"] = entry["tap_stream_id"] in streams
        root.update(streams.get(entry["tap_stream_id"], {}))
    return catalog
