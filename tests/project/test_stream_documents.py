"""A change of a stream shows in its snapshot and in docs/streams.md, and the changelog has a place for it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from scripts.about import ENTRIES, TITLES, config_of
from scripts.documents import PROJECT, SNAPSHOTS, columns, main
from tap_kissmetrics.apis import APIS
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path

VERSION = re.compile(r"\[(?P<number>\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def headings(level: str) -> list[str]:
    """Give the headings of CHANGELOG.md of a level."""
    lines = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{level} ") for line in lines if line.startswith(f"{level} ")]


@pytest.mark.parametrize("api", ENTRIES)
def test_discover_gives_what_the_snapshots_hold(api: str, tmp_path: Path) -> None:
    run = run_tap("--discover", folder=tmp_path, config=config_of(api)).succeeded()
    streams = json.loads(run.stdout)["streams"]
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in (PROJECT / SNAPSHOTS / api).glob("*.json")]
    assert {entry["tap_stream_id"]: entry for entry in streams} == {entry["tap_stream_id"]: entry for entry in kept}
    assert len(streams) == len(kept) == len(ENTRIES[api])


def test_stream_that_is_no_more_is_found_and_removed(copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(copies)]
    old = copies / SNAPSHOTS / "core" / "visits.json"
    old.write_text("{}\n", encoding="utf-8")
    assert main(root) == 1
    assert f"{SNAPSHOTS}/core/visits.json" in capsys.readouterr().err
    assert main([*root, "--write"]) == 0
    assert not old.exists()


@pytest.mark.parametrize(("api", "stream"), [(api, name) for api, entries in ENTRIES.items() for name in entries])
def test_has_every_column_with_type_and_description(api: str, stream: str) -> None:
    page = (PROJECT / "docs" / "streams.md").read_text(encoding="utf-8")
    _, _, rest = page.partition(f"\n## {TITLES[api]}\n")
    _, _, rest = rest.partition(f"\n### {stream}\n")
    section, _, _ = rest.partition("\n##")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if "| `" in line]
    fields = dict(columns(ENTRIES[api][stream]["schema"]))
    assert [row[0] for row in rows] == [f"`{name}`" for name in fields]
    assert all(len(row) == 4 and row[0] and row[1] and row[3] for row in rows)
    never_null = [row[0].strip("`") for row in rows if "never null" in row[1]]
    assert never_null == [name for name, field in fields.items() if "null" not in field["type"]]
    assert set(ENTRIES[api][stream]["key_properties"]) <= set(never_null)


@pytest.mark.parametrize("api", APIS)
def test_has_a_diagram_of_the_keys(api: str) -> None:
    """Each stream with its primary key; each product has its lists, and what runs a report refers to it."""
    page = (PROJECT / "docs" / "streams.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {TITLES[api]}\n")[2]
    diagram = section.partition("```mermaid\nerDiagram\n")[2].partition("```")[0]
    boxes = dict(re.findall(r"^    (\w+) \{\n(.*?)^    \}\n", diagram, re.DOTALL | re.MULTILINE))
    keys = {name: set(re.findall(r"^        \S+ (\w+) PK", text, re.MULTILINE)) for name, text in boxes.items()}
    assert keys == {name: set(entry["key_properties"]) for name, entry in ENTRIES[api].items()}
    lines = set(re.findall(r"^    (\w+) \|[|o]--o\{ (\w+) : (\w+)$", diagram, re.MULTILINE))
    assert {("products", "events", "product_id"), ("reports", "report_results", "report_id")} <= lines
    assert (("accounts", "products", "account_id") in lines) == (api == "core")
    assert diagram.count("FK") == len(lines)
    assert ("products ||--o{ events" in diagram) == (api == "query")  # elsewhere product_id may be null


def test_has_what_comes_next_or_a_version_on_top() -> None:
    first, *others = headings("##")
    assert first == "[Unreleased]" or VERSION.fullmatch(first)
    assert all(VERSION.fullmatch(heading) for heading in others)
    found = [VERSION.fullmatch(heading) for heading in headings("##")]
    numbers = [tuple(int(part) for part in match["number"].split(".")) for match in found if match]
    assert numbers == sorted(set(numbers), reverse=True)


def test_names_the_kind_of_each_change() -> None:
    assert headings("###")
    assert set(headings("###")) <= KINDS
