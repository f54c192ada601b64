"""sandbox → tap → target-postgres → PostgreSQL: every value, types, deletions, time zones, what it cannot take."""

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
import yaml

from tests.sandbox import RESOURCES, faults
from tests.support.catalogs import choose
from tests.support.results import all_report_rows, decoded, report_rows, result_sandbox
from tests.support.run import environment, settings_for, write_json
from tests.support.tables import DATES, assert_same, code_block, columns_of
from tests.support.tap import sync, sync_here
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
    **dict.fromkeys(DATES, "timestamp without time zone"),
    "links": "jsonb[]",
    "hosts": "text[]",
}
"""The type of each column, in whichever table it is; the others are text."""

DELETIONS: dict[str, Any] = {"emit_activate_version_messages": True}
NOT_DELETED = "_sdc_deleted_at IS NULL"

_NUMBERS = itertools.count()


@pytest.fixture
def schema(postgres: Postgres) -> Iterator[str]:
    """A schema of the test's own, in a database whose sessions are in UTC unless the test says otherwise."""
    name = f"test_{next(_NUMBERS)}"
    yield name
    postgres.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; ALTER DATABASE {postgres.database} RESET timezone")


@pytest.fixture
def target(programs: Programs, postgres: Postgres, schema: str, tmp_path: Path) -> Target:
    """target-postgres with the loader's settings of the README."""
    return programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema=schema)


def night(sandbox: Sandbox, folder: Path, target: Target, **settings: Any) -> Run:
    """Sync and load with the state of the night before, and keep the state that the target gave back."""
    path = folder / "state.json"
    state = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    run = sync(sandbox, folder, state=state, **settings)
    write_json(path, target.load(run.stdout))
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


def assert_tables(postgres: Postgres, schema: str, sandbox: Sandbox, where: str = "true") -> None:
    """Check that every table holds every record of its stream, with every value."""
    for stream, records in sandbox.account.records.items():
        assert_same(stream, table(postgres, schema, stream, where), records)


def test_every_night_leaves_every_value(
    sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
) -> None:
    """In columns of the types that the formats ask for; accounts and events are INCREMENTAL, the others whole again."""
    chosen: dict[str, str | None] = {**dict.fromkeys(RESOURCES), "accounts": "updated_at", "events": "last_sent_at"}
    catalog = choose(**chosen)
    night(sandbox, tmp_path, target, catalog=catalog).succeeded()
    assert_tables(postgres, schema, sandbox)
    kinds = types(postgres, schema)
    assert kinds == {place: TYPES.get(place[1], "text") for place in kinds}

    for stream, key in (("accounts", "updated_at"), ("events", "last_sent_at"), ("metrics", "config_last_changed_at")):
        records = sandbox.account.records[stream]
        changed = {key: "2024-02-29T23:59:59.123456+05:30", "title" if stream == "metrics" else "name": "New"}
        records[1] = {**records[1], **changed}
        sandbox.account.insert(stream, 0, {**sandbox.account.fresh(stream), key: "2024-02-29T12:00:00Z"})
    second = night(sandbox, tmp_path, target, catalog=catalog).succeeded()
    assert 2 <= len(second.records("events")) < len(sandbox.account.records["events"])
    assert_tables(postgres, schema, sandbox)
    assert types(postgres, schema) == kinds


@pytest.mark.parametrize("hard", [pytest.param(True, marks=pytest.mark.slow), False], ids=["hard", "soft"])
def test_deleted_is_what_a_complete_sync_did_not_bring(  # noqa: PLR0913, PLR0917
    hard: bool,  # noqa: FBT001
    sandbox: Sandbox,
    tmp_path: Path,
    target: Target,
    postgres: Postgres,
    schema: str,
) -> None:
    """A broken one deletes nothing, and what comes back is no longer deleted."""
    target = replace(target, config={**target.config, "hard_delete": hard})
    settings: dict[str, Any] = {"catalog": choose(events=None, metrics=None), **DELETIONS}
    night(sandbox, tmp_path, target, **settings).succeeded()
    events = sandbox.account.records["events"]
    everything = events[:]
    gone = sandbox.account.delete("events", 20)

    # Half way through the events the API fails: every row is still there.
    sandbox.faults.append(faults.status(500, resource="events", skip=2))
    broken = night(sandbox, tmp_path, target, page_size=5, retry_timeout=0.1, **settings)
    assert broken.code == 1
    assert 0 < len(broken.records("events")) < len(everything) - 1
    assert_same("events", table(postgres, schema, "events", NOT_DELETED), everything)

    sandbox.faults.clear()
    night(sandbox, tmp_path, target, **settings).succeeded()
    for stream in ("events", "metrics"):
        assert_same(stream, table(postgres, schema, stream, NOT_DELETED), sandbox.account.records[stream])
    deleted = table(postgres, schema, "events", f"NOT ({NOT_DELETED})")
    assert [row["id"] for row in deleted] == ([] if hard else [gone["id"]])

    sandbox.account.insert("events", 3, gone)
    night(sandbox, tmp_path, target, **settings).succeeded()
    assert_same("events", table(postgres, schema, "events", NOT_DELETED), everything)


def test_the_results_of_a_night_stand_beside_those_of_the_night_before(
    tmp_path: Path, target: Target, postgres: Postgres, schema: str
) -> None:
    """And the lists of the Query API are as they are; rows are JSON text, whether they are objects or arrays."""
    settings: dict[str, Any] = {"report_ids": ["*"], **DELETIONS}
    with result_sandbox("query", reports=2, polls_until_complete=0) as sandbox:
        night(sandbox, tmp_path, target, **settings).succeeded()
        wanted = all_report_rows(sandbox)
        sandbox.row_form = "array"
        gone = sandbox.account.delete("reports", 1)
        sandbox.account.insert("events", 5)
        night(sandbox, tmp_path, target, **settings).succeeded()
    assert_tables(postgres, schema, sandbox, NOT_DELETED)
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
    assert {
        column: kind for (stream, column), kind in types(postgres, schema).items() if stream == "report_results"
    } == {
        **dict.fromkeys(("report_id", "product_id", "position"), "bigint"),
        **dict.fromkeys(("date_range", "query_id", "data", "fields", "columns"), "text"),
        "extracted_at": "timestamp without time zone",
    }


@pytest.mark.slow
class TestInADatabaseOfAnotherTimeZone:
    """Dates are right all the same, in each of the ways that docs/nightly.md has."""

    @pytest.fixture(autouse=True)
    def _new_york(self, postgres: Postgres) -> None:
        """The fixture `schema` puts it back."""
        postgres.execute(f"ALTER DATABASE {postgres.database} SET timezone TO 'America/New_York'")

    @pytest.mark.parametrize("way", ["options in the URL", "PGTZ"])
    def test_sessions_in_utc(  # noqa: PLR0913, PLR0917
        self, way: str, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        lines = sync(sandbox, tmp_path).succeeded().stdout
        if way == "PGTZ":
            target.load(lines, env={"PGTZ": "UTC"})
        else:
            target.load(lines, sqlalchemy_url=f"{postgres.url}&options=-ctimezone%3DUTC")
        assert_tables(postgres, schema, sandbox)

    def test_the_script_for_cron(
        self, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        write_json(tmp_path / "config.json", settings_for(sandbox))
        write_json(tmp_path / "target.json", target.config)
        path = os.pathsep.join((sysconfig.get_path("scripts"), str(target.program.parent), os.environ["PATH"]))
        command = [PROJECT / "examples" / "nightly.sh"]
        subprocess.run(command, cwd=tmp_path, env=environment({"PATH": path}), timeout=100, check=True)
        assert_tables(postgres, schema, sandbox)

    def test_columns_with_time_zone(
        self, sandbox: Sandbox, tmp_path: Path, target: Target, postgres: Postgres, schema: str
    ) -> None:
        """Altered once, they stay so."""
        target.load(sync(sandbox, tmp_path).succeeded().stdout, env={"PGTZ": "UTC"})
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
        assert {types(postgres, schema)[place] for place in dates} == {"timestamp with time zone"}


LINK = {"templated": False, "href": "https://example.com", "rel": "a\0b", "name": "c\ud800d"}

ODD: dict[str, tuple[str, Any, Any]] = {
    "NUL": ("name", "a\0b", "ab"),
    "unpaired surrogate": ("name", "a\ud800b", "a?b"),
    "both in links": (
        "links",
        [LINK],
        '[{"templated": false, "href": "https://example.com", "rel": "a\\u0000b", "name": "c\\ud800d"}]',
    ),
    "text in links": ("links", "none", '"none"'),
    "text for an integer": ("total", "many", "many"),
    "fraction": ("total", 12.5, "12.5"),
    "not a number": ("total", float("nan"), "NaN"),
    "integer beyond bigint": ("total", 2**63, "9223372036854775808"),
    "no date": ("last_sent_at", "never", "never"),
    "empty date": ("last_sent_at", "", ""),
}
"""For each: the column, the value of the API, and the value in the table with the workaround of docs/targets.md."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_a_value_that_it_cannot_take_stops_it_and_nothing_is_stored(
    name: str, sandbox: Sandbox, target: Target, postgres: Postgres, schema: str
) -> None:
    column, value, _ = ODD[name]
    sandbox.account.records["events"][1][column] = value
    loaded = target.run(sync_here(sandbox, catalog=choose(events=None)).stdout)
    assert (loaded.code, loaded.stdout) == (1, "")
    assert table(postgres, schema, "events") == []


def test_the_workarounds_load_such_values_and_leave_usual_ones(
    sandbox: Sandbox, target: Target, postgres: Postgres, schema: str
) -> None:
    """A table that is there already is altered first. NUL is also taken with the target's own setting."""
    events = sandbox.account.records["events"]
    events[1]["name"] = "a\0b"
    target.load(sync_here(sandbox, catalog=choose(events=None)).stdout, sanitize_null_text_characters=True)
    assert "a\N{REPLACEMENT CHARACTER}b" in [row["name"] for row in table(postgres, schema, "events")]
    for event, (column, value, _) in zip(events, ODD.values(), strict=False):
        event[column] = value
    nulls = dict.fromkeys(("name", "product_id", "total", "last_sent_at"))
    events[-1] |= nulls
    (extractor,) = yaml.safe_load(code_block("targets", "stream maps"))["plugins"]["extractors"]
    maps = extractor["config"]["stream_maps"]
    statement = code_block("targets", "alter").replace("tap_kissmetrics", schema)
    for column in maps["events"]:
        postgres.execute(statement.replace("COLUMN total", f"COLUMN {column}"))
    postgres.execute(f"DELETE FROM {schema}.events")  # noqa: S608
    target.load(sync_here(sandbox, catalog=choose(events=None), stream_maps=maps).stdout)
    rows = {row["index"]: row for row in table(postgres, schema, "events")}
    assert len(rows) == len(events)
    for event, (column, _, wanted) in zip(events, ODD.values(), strict=False):
        assert rows[event["index"]][column] == wanted
    usual = events[-2]
    kept = {column: usual[column] for column in ("id", "name", "product_id", "last_sent_at")}
    assert rows[usual["index"]].items() >= {**kept, "total": str(usual["total"])}.items()
    assert rows[events[-1]["index"]].items() >= nulls.items()
