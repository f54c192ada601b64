"""The raw data export is as the vendor's pages describe it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tests.sandbox.export import Export

if TYPE_CHECKING:
    from pathlib import Path


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
    Export(tmp_path).grow(2)
    before = Export(tmp_path).expected()
    later = Export(tmp_path)
    later.grow(1, lines=3)
    assert later.newest == 3
    assert later.expected().items() >= before.items()
    assert len((tmp_path / "index.csv").read_text(encoding="utf-8").splitlines()) == 4
