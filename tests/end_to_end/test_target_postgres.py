"""sandbox → tap → target-postgres → PostgreSQL: every value, the types of the columns, deletions, time zones."""

from __future__ import annotations

import itertools
import json
import operator
import os
import subprocess
import sysconfig
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, faults
from tests.support.catalogs import choose
from tests.support.results import all_report_rows, decoded, report_rows, result_sandbox
from tests.support.run import environment, settings_for, write_json
from tests.support.tables import DATES, assert_same, code_block, columns_of
from tests.support.tap import sync
from tests.support.targets import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.postgres import Postgres
    from tests.support.run import Run
    from tests.support.targets import Programs, Target

TYPES = {
    **dict.fromkeys(columns_of("boolean", "core"), "boolean"),
    **dict.fromkeys(columns_of("integer", "core"), "bigint"),
    **dict.fromkeys(columns_of("object", "core") | columns_of("array", "core"), "jsonb"),
    "links": "jsonb[]",
    "hosts": "text[]",
}
"""The type of each column, in whichever table it is. Dates have their own, and the others are text."""

_NUMBERS = itertools.count()

DELETIONS: dict[str, Any] = {"emit_activate_version_messages": True}

NOT_DELETED = "_sdc_deleted_at IS NULL"


@pytest.fixture
def schema(postgres: Postgres) -> Iterator[str]:
    """A schema of the test's own."""
    name = f"test_{next(_NUMBERS)}"
    yield name
    postgres.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; ALTER DATABASE {postgres.database} RESET timezone")


@pytest.fixture
def target(programs: Programs, postgres: Postgres, schema: str, tmp_path: Path) -> Target:
    """target-postgres with the loader's settings of the README."""
    return programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=schema)


def night(sandbox: Sandbox, folder: Path, target: Target, *arguments: str | Path, **settings: Any) -> Run:
    """Sync and load with the state of the night before, and keep the state that the target gave back."""
    state = folder / "state.json"
    given: list[str | Path] = ["--state", state] if state.exists() else []
    run = sync(sandbox, folder, *given, *arguments, **settings)
    write_json(state, target.load(run.stdout))
    return run


def table(postgres: Postgres, schema: str, stream: str, where: str = "true") -> list[dict[str, Any]]:
    """Read a table."""
    return postgres.rows(f'SELECT * FROM {schema}."{stream}" WHERE {where}')  # noqa: S608


def types(postgres: Postgres, schema: str) -> dict[tuple[str, str], str]:
    """Give the types of all columns that the API's records have."""
    rows = postgres.rows(
        "SELECT c.table_name, c.column_name, c.data_type, e.data_type AS element_type"  # noqa: S608
        " FROM information_schema.columns c LEFT JOIN information_schema.element_types e"
        " ON (e.object_schema, e.object_name, e.collection_type_identifier)"
        f" = (c.table_schema, c.table_name, c.dtd_identifier) WHERE c.table_schema = '{schema}'"
        " AND c.column_name NOT LIKE '\\_sdc\\_%'"
    )
    return {
        (r["table_name"], r["column_name"]): f"{r['element_type']}[]" if r["data_type"] == "ARRAY" else r["data_type"]
        for r in rows
    }


def assert_tables(postgres: Postgres, schema: str, sandbox: Sandbox) -> None:
    """Check that every table holds every record of its stream, with every value."""
    for stream, records in sandbox.account.records.items():
        assert_same(stream, table(postgres, schema, stream), records)


def test_two_full_runs_leave_every_value_and_identical_tables(
    sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
) -> None:
    """And each column has the type that its format asks for."""
    catalog = write_json(tmp_path / "catalog.json", choose(**dict.fromkeys(RESOURCES)))
    postgres.execute(f"ALTER DATABASE {postgres.database} SET timezone TO 'UTC'")
    night(sandbox, tmp_path, target, "--catalog", catalog).succeeded()
    assert_tables(postgres, schema, sandbox)
    for (stream, column), kind in types(postgres, schema).items():
        usual = "timestamp without time zone" if column in DATES else TYPES.get(column, "text")
        assert kind == usual, f"{stream}.{column}"
    first = {stream: table(postgres, schema, stream) for stream in RESOURCES}
    night(sandbox, tmp_path, target, "--catalog", catalog).succeeded()
    assert_tables(postgres, schema, sandbox)
    for stream, rows in first.items():
        assert own(table(postgres, schema, stream)) == own(rows)


def own(rows: list[dict[str, Any]]) -> list[str]:
    """Give rows without the columns in which the target notes when it wrote them."""
    return sorted(json.dumps({c: v for c, v in row.items() if not c.startswith("_sdc_")}) for row in rows)


def test_changes_arrive_with_state(
    sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
) -> None:
    """As it runs every night: accounts by default, and events by the catalog, are INCREMENTAL."""
    everything: dict[str, str | None] = {**dict.fromkeys(RESOURCES), "accounts": "updated_at", "events": "last_sent_at"}
    options: list[str | Path] = ["--catalog", write_json(tmp_path / "catalog.json", choose(**everything))]
    night(sandbox, tmp_path, target, *options).succeeded()
    for stream, key in (("accounts", "updated_at"), ("events", "last_sent_at"), ("metrics", "config_last_changed_at")):
        records = sandbox.account.records[stream]
        records[1] = {
            **records[1],
            key: "2024-02-29T23:59:59.123456+05:30",
            "name" if key != "config_last_changed_at" else "title": "New",
        }
        sandbox.account.insert(stream, 0, {**sandbox.account.fresh(stream), key: "2024-02-29T12:00:00Z"})
    second = night(sandbox, tmp_path, target, *options).succeeded()
    assert 2 <= len(second.records("events")) < len(sandbox.account.records["events"])
    assert_tables(postgres, schema, sandbox)


@pytest.mark.parametrize(
    "hard",
    [pytest.param(True, id="hard_delete", marks=pytest.mark.slow), pytest.param(False, id="soft delete")],
)
def test_deletions(  # noqa: PLR0913, PLR0917
    hard: bool,  # noqa: FBT001
    sandbox: Sandbox,
    tmp_path: Path,
    target: Target,
    postgres: Postgres,
    schema: str,
) -> None:
    """Deleted is what a complete sync did not bring; a broken one deletes nothing."""
    target = replace(target, config={**target.config, "hard_delete": hard})
    options: list[str | Path] = ["--catalog", write_json(tmp_path / "catalog.json", choose(events=None, metrics=None))]
    night(sandbox, tmp_path, target, *options, **DELETIONS).succeeded()
    everything = sandbox.account.records["events"][:]
    gone = sandbox.account.delete("events", 20)

    # Half way through the events the API fails: every row is still there.
    sandbox.faults.append(faults.status(500, resource="events", skip=2))
    broken = night(sandbox, tmp_path, target, *options, page_size=5, retry_timeout=0.1, **DELETIONS)
    assert broken.code == 1
    assert 0 < len(broken.records("events")) < len(everything) - 1
    assert_same("events", table(postgres, schema, "events", NOT_DELETED), everything)

    sandbox.faults.clear()
    night(sandbox, tmp_path, target, *options, **DELETIONS).succeeded()
    for stream in ("events", "metrics"):
        assert_same(stream, table(postgres, schema, stream, NOT_DELETED), sandbox.account.records[stream])
    deleted = table(postgres, schema, "events", f"NOT ({NOT_DELETED})")
    assert [row["id"] for row in deleted] == ([] if hard else [gone["id"]])

    if not hard:  # what comes back is no longer deleted
        sandbox.account.insert("events", 3, gone)
        night(sandbox, tmp_path, target, *options, **DELETIONS).succeeded()
        assert_same("events", table(postgres, schema, "events", NOT_DELETED), everything)


def test_the_query_api_and_results_of_its_reports(
    tmp_path: Path, target: Target, postgres: Postgres, schema: str
) -> None:
    """Two nights: the lists are as they are, and each night's rows are there beside those of the night before.

    Rows are JSON text, whether they are objects or arrays.
    """
    settings: dict[str, Any] = {"report_ids": ["*"], **DELETIONS}
    with result_sandbox("query", reports=2, polls_until_complete=0) as sandbox:
        night(sandbox, tmp_path, target, **settings).succeeded()
        wanted = all_report_rows(sandbox)
        sandbox.row_form = "array"
        gone = sandbox.account.delete("reports", 1)
        sandbox.account.insert("events", 5)
        night(sandbox, tmp_path, target, **settings).succeeded()
    for stream, records in sandbox.account.records.items():
        assert_same(stream, table(postgres, schema, stream, NOT_DELETED), records)
    assert [row["id"] for row in table(postgres, schema, "reports", f"NOT ({NOT_DELETED})")] == [gone["id"]]
    for report, query in zip(sandbox.account.records["reports"], sandbox.queries[2:], strict=True):
        wanted += report_rows(sandbox, report, query)
    loaded = [
        decoded({column: value for column, value in row.items() if not column.startswith("_sdc_")})
        for row in table(postgres, schema, "report_results", NOT_DELETED)
    ]
    key = operator.itemgetter("query_id", "position")
    assert sorted(loaded, key=key) == sorted(wanted, key=key)
    assert {type(row["data"]) for row in loaded} == {dict, list}
    joined = f"SELECT 1 FROM {schema}.report_results r JOIN {schema}.reports o ON o.id = r.report_id"  # noqa: S608
    assert len(postgres.rows(joined)) == len(loaded)
    kinds = {column: kind for (stream, column), kind in types(postgres, schema).items() if stream == "report_results"}
    assert kinds == {
        "report_id": "bigint",
        "product_id": "bigint",
        "date_range": "text",
        "query_id": "text",
        "position": "bigint",
        "data": "text",
        "fields": "text",
        "columns": "text",
        "extracted_at": "timestamp without time zone",
    }


@pytest.mark.slow
class TestTimeZones:
    """A database whose own time zone is not UTC."""

    @pytest.fixture(autouse=True)
    def _new_york(self, postgres: Postgres) -> None:
        """The fixture `schema` puts it back."""
        postgres.execute(f"ALTER DATABASE {postgres.database} SET timezone TO 'America/New_York'")

    @pytest.mark.parametrize("cure", ["options in the URL", "PGTZ"])
    def test_sessions_in_utc(  # noqa: PLR0913, PLR0917
        self, cure: str, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        """Columns without a time zone hold UTC."""
        lines = sync(sandbox, tmp_path).succeeded().stdout
        settings: dict[str, object] = {}
        if cure == "options in the URL":
            settings["sqlalchemy_url"] = f"{postgres.url}&options=-ctimezone%3DUTC"
        target.load(lines, env={"PGTZ": "UTC"} if cure == "PGTZ" else {}, **settings)
        assert_tables(postgres, schema, sandbox)

    def test_the_script_for_cron(
        self, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        """It makes the sessions of the target ones in UTC."""
        write_json(tmp_path / "config.json", settings_for(sandbox))
        write_json(tmp_path / "target.json", target.config)
        path = os.pathsep.join((sysconfig.get_path("scripts"), str(target.program.parent), os.environ["PATH"]))
        command = [PROJECT / "examples" / "nightly.sh"]
        done = subprocess.run(command, cwd=tmp_path, env=environment({"PATH": path}), timeout=100, check=False)
        assert done.returncode == 0
        assert_tables(postgres, schema, sandbox)

    def test_columns_with_time_zone(
        self, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        """Altered once, they stay so, and every instant is right whatever the time zone of the database."""
        utc = {"PGTZ": "UTC"}
        target.load(sync(sandbox, tmp_path).succeeded().stdout, env=utc)
        dates = [place for place, kind in types(postgres, schema).items() if kind.startswith("timestamp")]
        assert {column for _, column in dates} == columns_of("date-time", "core")
        postgres.execute(code_block("nightly", "timestamptz").replace("'tap_kissmetrics'", f"'{schema}'"))
        assert_tables(postgres, schema, sandbox)
        for stream, key in (("events", "last_sent_at"), ("products", "created_at"), ("accounts", "updated_at")):
            records = sandbox.account.records[stream]
            records[0] = {**records[0], key: "2024-02-29T23:59:59.123456+05:30"}
            sandbox.account.insert(stream, 1)
        for use_copy in (False, True):
            target.load(sync(sandbox, tmp_path).succeeded().stdout, use_copy=use_copy)
            assert_tables(postgres, schema, sandbox)
        kinds = types(postgres, schema)
        assert {kinds[place] for place in dates} == {"timestamp with time zone"}
