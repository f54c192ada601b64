"""What a run of the tap leaves behind, and what every way of running it needs."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.sandbox import Record, Sandbox

QUICK = {"backoff_factor": 0.02, "retry_timeout": 30, "request_timeout": 30}
"""Waits fifty times shorter than by default, and time-outs that no load of the machine exhausts: a test of a time-out
sets its own."""


@dataclass(frozen=True)
class Run:
    """The exit code and the output of a run."""

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

    def lines_of_records(self, stream: str) -> list[str]:
        """The lines with the records of one stream, in their order."""
        start = f'{{"type":"RECORD","stream":"{stream}",'
        return [line for line in self.lines if line.startswith(start)]

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
    def warnings(self) -> list[str]:
        """The lines that the tap logged as warnings, with their prefix."""
        return [line for line in self.stderr.splitlines() if "| WARNING " in line]

    @property
    def failed(self) -> list[str]:
        """The streams that failed: one error line each, and a last one that counts them."""
        *lines, last = self.errors
        assert re.match(rf"{len(lines)} of \d+ streams? failed: ", last), last
        return [line.partition(": ")[0] for line in lines]

    def refused(self) -> str:
        """The one line of a run that was refused, which has an exit code and neither a traceback nor a record."""
        assert self.code == 1, self.stderr
        assert "Traceback" not in self.stderr, self.stderr
        assert self.stdout == ""
        (line,) = self.errors
        return line

    def succeeded(self) -> Run:
        """Assert that nothing failed."""
        assert self.code == 0, self.stderr
        assert not self.errors, self.stderr
        return self


def lines_of(text: str) -> list[str]:
    """Split JSON Lines; a last line without an end was cut."""
    return text.removesuffix("\n").split("\n") if text else []


def environment(variables: Mapping[str, str] | None = None, *, measured: bool = True) -> dict[str, str]:
    """This process's environment without settings of the tap and buffering of Python, and with `variables`.

    Coverage follows into a process unless `measured` is false: it hangs where a signal comes while it takes notes.
    """
    dropped = ["TAP_KISSMETRICS_", "PYTHONUNBUFFERED", *([] if measured else ["COVERAGE_PROCESS_"])]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(tuple(dropped))}
    return {**kept, "NO_PROXY": "*", **(variables or {})}


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def settings_for(sandbox: Sandbox, **settings: object) -> dict[str, object]:
    """Settings for reading a sandbox of either API, with short waits and without a limit of requests per minute."""
    if sandbox.api == "core":
        own: dict[str, object] = {"api_token": sandbox.token, "query_url": sandbox.query_url}
    else:
        own = {"username": sandbox.username, "requests_per_minute": 100_000}
        own |= {"password": sandbox.password} if sandbox.password else {}
    return {"api_url": sandbox.url, **own, **QUICK, **settings}
