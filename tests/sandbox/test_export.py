"""The raw data export is as the vendor's pages describe it, and grows as it is told."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.sandbox.__main__ import main
from tests.sandbox.export import Export

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_files_are_as_the_vendor_describes_them(tmp_path: Path) -> None:
    """Names, columns, order, and all three kinds of lines."""
    export = Export(tmp_path / "export")
    export.grow(20, lines=60)
    assert sorted(path.name for path in export.folder.iterdir()) == ["index.csv", "revisions", "status.csv"]
    with (export.folder / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == [f"revisions/{number}.json" for number in range(1, 21)]
    lines = export.expected()
    assert len(lines) == 1200
    for revision, row in enumerate(rows, 1):
        times = [line["_t"] for (number, _), line in lines.items() if number == revision]
        assert int(row["min_timestamp"]) <= min(times) <= max(times) <= int(row["max_timestamp"])
        assert row["min_utc_date"].endswith(" GMT")
    kinds = {("_n" in line, "_p2" in line) for line in lines.values()}
    assert kinds == {(True, False), (False, False), (False, True)}
    assert any(" " in name for line in lines.values() for name in line)


def test_it_grows_and_keeps_what_it_had(tmp_path: Path) -> None:
    """Also through another object."""
    Export(tmp_path).grow(2)
    before = Export(tmp_path).expected()
    later = Export(tmp_path)
    later.grow(1, lines=3)
    assert later.newest == 3
    assert later.expected().items() >= before.items()
    assert len((tmp_path / "index.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the setting, or what is wrong."""
    folder = tmp_path / "an export"
    assert main(["--export", str(folder), "--revisions", "2", "--lines", "3"]) == 0
    assert capsys.readouterr().out == f"export TAP_KISSMETRICS_EXPORT_URLS='[\"{folder}\"]'\n"
    assert len(Export(folder).expected()) == 6
    assert main(["--export", "/dev/null/x"]) == 1
    assert "/dev/null/x: Not a directory" in capsys.readouterr().err


def test_command_reads_it(tmp_path: Path) -> None:
    """The setting is in its environment."""
    script = "import os, sys; print(os.environ['TAP_KISSMETRICS_EXPORT_URLS']); sys.exit(3)"
    options = ["--export", str(tmp_path), "--revisions", "1"]
    command = [sys.executable, "-m", "tests.sandbox", *options, "--", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout) == [str(tmp_path)]
