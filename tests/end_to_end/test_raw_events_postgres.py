"""export → tap → target-postgres → PostgreSQL: every line, types, and the questions of docs/raw-events.md."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.test_meltano import Project
from tests.sandbox.export import Export
from tests.support.exports import read_exports, record_of
from tests.support.run import environment
from tests.support.tables import code_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import Postgres
    from tests.support.targets import Programs

SCHEMA = "raw"


@pytest.fixture(autouse=True)
def _schema(postgres: Postgres) -> Iterator[None]:
    """Leave nothing behind."""
    yield
    postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export in which all questions have an answer."""
    export = Export(tmp_path / "export")
    export.grow(4, lines=60)
    chain = [{"_p": one, "_p2": other, "_t": 1349161501} for one, other in ("ab", "cb", "cd", "xy")]
    events = [{"_p": person, "_n": "Visited Site", "_t": 1349161502} for person in "adxz"]
    content = "\n".join(map(json.dumps, [*chain, *events, events[0]]))
    export.write(export.newest + 1, content.encode())
    return export


def rows(postgres: Postgres) -> list[dict[str, Any]]:
    """Read the table, with date-times as the tap writes them."""
    found = postgres.rows(f"SELECT * FROM {SCHEMA}.raw_events ORDER BY export, revision, line")  # noqa: S608
    return [
        {
            **{column: value for column, value in row.items() if not column.startswith("_sdc_")},
            "timestamp": dt.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=dt.UTC).isoformat(),
        }
        for row in found
    ]


def expected(export: Export) -> list[dict[str, Any]]:
    """Give what the table must hold."""
    lines = export.expected()
    return [record_of(export.folder, key, lines[key]) for key in sorted(lines)]


def answer(postgres: Postgres, marker: str) -> list[dict[str, Any]]:
    """Run a statement of the page."""
    statement = code_block("raw-events", f"sql: {marker}").strip().removesuffix(";")
    return postgres.rows(statement.replace("raw_events", f"{SCHEMA}.raw_events"))  # a user has a search path


def test_two_nights_are_a_table_that_answers_what_people_ask(
    export: Export, programs: Programs, postgres: Postgres, tmp_path: Path
) -> None:
    """Values, types, and the three statements, held against the lines."""
    target = programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=SCHEMA)
    state = target.load(read_exports(tmp_path, export.folder).succeeded().stdout)
    export.grow(1, lines=60)
    target.load(read_exports(tmp_path, export.folder, state=state).succeeded().stdout)
    assert rows(postgres) == expected(export)
    kinds = postgres.rows(
        "SELECT column_name, data_type FROM information_schema.columns"  # noqa: S608
        f" WHERE table_schema = '{SCHEMA}' AND column_name NOT LIKE '\\_sdc\\_%'"
    )
    assert {row["column_name"]: row["data_type"] for row in kinds} == {
        **dict.fromkeys(("export", "person", "alias", "event", "raw"), "text"),
        **dict.fromkeys(("revision", "line"), "bigint"),
        "timestamp": "timestamp without time zone",
        "properties": "jsonb",
    }
    lines = export.expected().values()
    events = {(line["_p"], line["_n"], line["_t"]) for line in lines if "_n" in line}

    days: dict[tuple[str, str], list[str]] = {}
    for person, event, at in events:
        days.setdefault((dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat(), event), []).append(person)
    assert answer(postgres, "days") == [
        {"day": day, "event": event, "events": len(people), "people": len(set(people))}
        for (day, event), people in sorted(days.items())
    ]

    visited: dict[str, int] = {}
    for person, event, at in events:
        if event == "Visited Site":
            visited[person] = min(at, visited.get(person, at))
    signed_up = {p for p, event, at in events if event == "Signed Up" and at >= visited.get(p, at + 1)}
    assert answer(postgres, "funnel") == [{"visited": len(visited), "signed_up": len(signed_up)}]
    assert signed_up

    identities = {line[field] for line in lines for field in ("_p", "_p2") if field in line}
    names = {identity: {identity} for identity in identities}
    for line in lines:
        if "_p2" in line:
            both = names[line["_p"]] | names[line["_p2"]]
            names |= dict.fromkeys(both, both)
    counts: dict[tuple[str, str], int] = {}
    for line in lines:
        if "_n" in line:
            key = min(names[line["_p"]]), line["_n"]
            counts[key] = counts.get(key, 0) + 1
    assert answer(postgres, "people") == [
        {"person": person, "event": event, "events": count} for (person, event), count in sorted(counts.items())
    ]
    assert counts["a", "Visited Site"] == 3


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_meltano_keeps_the_state_of_an_export(
    export: Export, postgres: Postgres, programs: Programs, tmp_path: Path
) -> None:
    """With `export_urls` set, and nothing else of the tap."""
    postgres_variables = {f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in postgres.settings.items()}
    env = environment(
        {
            **postgres_variables,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": SCHEMA,
            "TAP_KISSMETRICS_EXPORT_URLS": json.dumps([str(export.folder)]),
            "NO_COLOR": "1",
        }
    )
    tap = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    assert tap, "the package is not installed"
    folder = tmp_path / "project"
    folder.mkdir()
    program = programs.install("meltano") / "bin" / "meltano"
    project = Project(folder, program, programs.forks("meltano"), env)
    postgres_program = programs.install("target-postgres") / "bin" / "target-postgres"
    project.configure({}, {"tap-kissmetrics": tmp_path.joinpath(tap), "target-postgres": postgres_program})
    command = ("el", "tap-kissmetrics", "target-postgres", "--state-id=nightly")
    for _ in range(2):
        project.run(*command)
        assert rows(postgres) == expected(export)
        export.grow()
