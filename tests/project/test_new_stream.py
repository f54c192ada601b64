"""A new list needs a schema and a class, as CONTRIBUTING has it: sandbox, catalog, sync and documents know it then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from scripts.documents import PROJECT
from tests.support.run import environment
from tests.support.tables import code_blocks

if TYPE_CHECKING:
    from pathlib import Path


def add_segments(package: Path) -> None:
    """Take the steps of CONTRIBUTING."""
    (text,) = [text for _, language, text in code_blocks("CONTRIBUTING", PROJECT) if language == "python"]
    streams = package / "streams.py"
    code = streams.read_text(encoding="utf-8").replace(
        "        MetricsStream,\n", "        MetricsStream,\n        SegmentsStream,\n"
    )
    streams.write_text(code.replace("LISTS:", f"{text}\n\nLISTS:"), encoding="utf-8")
    schemas = package / "schemas" / "core"
    schema = (
        (schemas / "reports.json").read_text(encoding="utf-8").replace("Report", "Segment").replace("report", "segment")
    )
    (schemas / "segments.json").write_text(schema, encoding="utf-8")


def test_a_list_of_the_core_api(copies: Path) -> None:
    """The sandbox has ten records, and each comes once; the catalog entry gets its snapshot, and the README its row."""
    for name in ("scripts", "tap_kissmetrics", "tests/sandbox"):
        shutil.copytree(PROJECT / name, copies / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests" / "__init__.py", copies / "tests")  # else another folder's package comes first
    add_segments(copies / "tap_kissmetrics")

    def python(*command: str) -> str:
        env = environment(measured=False)
        done = subprocess.run([sys.executable, "-m", *command], cwd=copies, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    few = [word for name in ("reports", "events", "properties", "metrics") for word in (f"--{name}", "2")]
    messages = python("tests.sandbox", *few, "--", sys.executable, "-m", "tap_kissmetrics", "--config", "ENV")
    records = [message for message in map(json.loads, messages.splitlines()) if message.get("stream") == "segments"]
    assert [message["type"] for message in records] == ["SCHEMA", *["RECORD"] * 10]
    assert len({message["record"]["id"] for message in records[1:]}) == 10
    assert all(message["record"]["segment_type"] for message in records[1:9])

    python("scripts.documents", "--write")
    assert "| `segments` | a segment | ✓ |" in (copies / "README.md").read_text(encoding="utf-8")
    snapshot = json.loads((copies / "tests/snapshots/core/segments.json").read_text(encoding="utf-8"))
    assert snapshot["schema"]["properties"].keys() == records[0]["schema"]["properties"].keys()
