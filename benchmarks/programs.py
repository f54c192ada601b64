"""The programs that the tap is measured against: bare loops and peers.

Each takes PAGE_SIZE STREAM... for arguments, and the address and the token from the tap's variables.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from benchmarks.measure import BenchmarkError

LOOP = "loop, requests + json"
"""What all else is held to."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes:
        name: What the tables call it.
        path: Its file. Where that begins with what it depends on, it runs in an environment of its own, which uv
            makes and keeps in its cache; otherwise it runs in this one.
        form: How its output is read; see `records.FORMS`.
    """

    name: str
    path: Path
    form: str = "singer"

    @property
    def is_apart(self) -> bool:
        """Whether it runs in an environment of its own."""
        return self.path.read_text(encoding="utf-8").startswith("# /// script\n")

    @property
    def python(self) -> str:
        """The interpreter that runs it."""
        return self._uv("python", "find").stdout.strip() if self.is_apart else sys.executable

    def is_installed(self) -> bool:
        """Tell whether it can run without installing anything."""
        return not self.is_apart or self._uv("sync", "--check", "--offline", "--python", sys.executable).returncode == 0

    def install(self) -> None:
        """Install what it depends on, for this version of Python."""
        if self.is_apart and (done := self._uv("sync", "--python", sys.executable)).returncode:
            message = f"{self.name} cannot be installed: {done.stderr.strip()}"
            raise BenchmarkError(message)

    def _uv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [find_uv_bin(), *arguments, "--script", str(self.path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def loops() -> list[Program]:
    """Give the bare loops that can run here, first the one that all else is held to."""
    found = [Program(LOOP, _HERE / "loops" / "requests_json.py")]
    if importlib.util.find_spec("orjson"):
        found.append(Program("loop, urllib3 + orjson", _HERE / "loops" / "urllib3_orjson.py"))
    return found


PEERS = (
    Program("tap of the SDK's template", _HERE / "peers" / "template_tap.py"),
    Program("singer-python, Transformer", _HERE / "peers" / "singer_python.py"),
    Program("tap-rest-api-msdk", _HERE / "peers" / "rest_api_msdk.py"),
    Program("dlt, rest_api to JSONL", _HERE / "peers" / "dlt_rest_api.py", "files"),
    Program("Airbyte's declarative CDK", _HERE / "peers" / "airbyte_declarative.py", "airbyte"),
)
"""Other ways to do the same work."""
