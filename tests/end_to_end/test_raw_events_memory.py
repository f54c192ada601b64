"""Reading an export takes the memory of some pieces of it, not that of a file."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.export import Export
from tests.support.run import environment, write_json
from tests.support.s3 import serve_s3

if TYPE_CHECKING:
    from pathlib import Path

MOST = 100
"""MiB of memory."""

# Not what `wait4` reports: a process inherits the peak of the one that starts it.
READING = """
import atexit, pathlib
from tap_kissmetrics.__main__ import main

atexit.register(lambda: pathlib.Path("status").write_text(pathlib.Path("/proc/self/status").read_text()))
main()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("place", "size"), [("folder", 150), ("s3", 40)])
def test_a_file_is_not_held(place: str, size: int, tmp_path: Path) -> None:
    """One of `size` MiB, which is more than there is left. The server of S3 takes long for more."""
    export = Export(tmp_path / "export")
    export.grow(1, lines=5000)
    lines = export.path(1).read_bytes()
    with export.path(2).open("wb") as file:
        for _ in range(size * 2**20 // len(lines) + 1):
            file.write(lines)
    export.list(2)
    with serve_s3() as s3:
        url = s3.upload(export.folder, "large") if place == "s3" else str(export.folder)
        config = write_json(tmp_path / "config.json", {"export_urls": [url]})
        command = [sys.executable, "-c", READING, "--config", str(config)]
        env = environment(s3.env, measured=False)
        subprocess.run(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, check=True)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (tmp_path / "status").read_text(encoding="ascii"))
    assert int(peak) / 2**10 < MOST
