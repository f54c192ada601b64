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

DAY = 1_704_067_200  # 2024-01-01


@pytest.fixture(autouse=True)
def _schema(postgres: Postgres) -> Iterator[None]:
    """Leave nothing behind."""
    yield
    postgres.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export: one person has four identities, one event comes twice, and one sign-up comes before the visit."""
    export = Export(tmp_path / "export")
    aliases = [{"_p": one, "_p2": other, "_t": DAY} for one, other in ("ab", "cb", "cd", "xy")]
    visits = [{"_p": person, "_n": "Visited Site", "_t": DAY + 2, "url": "/"} for person in "aadxz"]
    sign_ups = [{"_p": person, "_n": "Signed Up", "_t": DAY + after} for person, after in (("d", 3), ("x", 1))]
    late = {"_p": "z", "_n": "Signed Up", "_t": DAY + 86_400, "plan": {"level": 3, "price": 0.50}}
    export.write(1, "\n".join(map(json.dumps, [*aliases, *visits, *sign_ups, late])).encode())
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
    """By the three statements of docs/raw-events.md. The third takes the identities of a person together."""
    target = programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=SCHEMA)
    state = target.load(read_exports(tmp_path, export.folder).succeeded().stdout)
    export.write(2, b'{"_p":"a","_t":1704067200,"a property":"alone"}')
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
    assert answer(postgres, "days") == [
        {"day": "2024-01-01", "event": "Signed Up", "events": 2, "people": 2},
        {"day": "2024-01-01", "event": "Visited Site", "events": 4, "people": 4},
        {"day": "2024-01-02", "event": "Signed Up", "events": 1, "people": 1},
    ]
    assert answer(postgres, "funnel") == [{"visited": 4, "signed_up": 2}]
    assert answer(postgres, "people") == [
        {"person": "a", "event": "Signed Up", "events": 1},
        {"person": "a", "event": "Visited Site", "events": 3},
        {"person": "x", "event": "Signed Up", "events": 1},
        {"person": "x", "event": "Visited Site", "events": 1},
        {"person": "z", "event": "Signed Up", "events": 1},
        {"person": "z", "event": "Visited Site", "events": 1},
    ]


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
    project = Project(folder, program, env)
    postgres_program = programs.install("target-postgres") / "bin" / "target-postgres"
    project.configure({}, {"tap-kissmetrics": tmp_path.joinpath(tap), "target-postgres": postgres_program})
    command = ("el", "tap-kissmetrics", "target-postgres", "--state-id=nightly")
    for _ in range(2):
        project.run(*command)
        assert rows(postgres) == expected(export)
        export.grow()
