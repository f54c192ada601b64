"""Weeks of an account in PostgreSQL: the nights of `tests/integration/test_many_nights.py`, with a real target."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.test_many_nights import STREAMS, night, nights_apart, play, snapshot
from tests.sandbox import Sandbox, make_account
from tests.support.examples import examples
from tests.support.tables import assert_same

if TYPE_CHECKING:
    from tests.sandbox import Record
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs, Target

__all__ = ["nights_apart"]

_NUMBERS = itertools.count()


class PostgresTables:
    """The tables that target-postgres fills, and the last state that it gave back."""

    def __init__(self, postgres: Postgres, target: Target, schema: str) -> None:
        """Begin with no table."""
        self._postgres = postgres
        self._target = target
        self._schema = schema
        self.state: Any = None

    def read(self, lines: list[str]) -> None:
        """Load the output of a run, or what came of it."""
        loaded = self._target.run("".join(f"{line}\n" for line in lines))
        assert loaded.code == 0, loaded.stderr
        if loaded.stdout.strip():
            self.state = loaded.state

    @property
    def tables(self) -> dict[str, dict[Any, Record]]:
        """The rows of each table by their keys."""
        named = f"SELECT tablename FROM pg_tables WHERE schemaname = '{self._schema}'"  # noqa: S608
        names = [row["tablename"] for row in self._postgres.rows(named)]
        rows = {name: self._postgres.rows(f'SELECT * FROM {self._schema}."{name}"') for name in names}  # noqa: S608
        return {name: {(row["id"],): row for row in found} for name, found in rows.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("nights_apart")
@examples(2)
@given(nights=st.lists(night, min_size=2, max_size=4), activates=st.booleans())
def test_many_nights(
    nights: list[dict[str, Any]],
    activates: bool,  # noqa: FBT001
    programs: Programs,
    postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """After a run that ended well the tables equal the account; after any other, nothing that was there is gone."""
    schema = f"nights_{next(_NUMBERS)}"
    postgres.execute(f"ALTER DATABASE {postgres.database} SET timezone TO 'UTC'")
    settings = {**postgres.settings, "default_target_schema": schema, "hard_delete": True}
    target = PostgresTables(
        postgres, programs.target("target-postgres", tmp_path_factory.mktemp("nights"), **settings), schema
    )
    try:
        with Sandbox(make_account(reports=5, events=20, properties=9, metrics=4)) as sandbox:
            for read, before, tables, had in play(sandbox, target, nights, emit_activate_version_messages=activates):
                now, rows = snapshot(sandbox.account), target.tables
                for name in STREAMS:
                    table = {key[0]: row for key, row in rows.get(name, {}).items()}
                    stayed = before[name].keys() & now[name].keys()
                    assert {key[0] for key in tables.get(name, {})} & stayed <= table.keys(), name
                    if name in read:
                        same = [key for key in stayed if before[name][key] == now[name][key]]
                        assert_same(name, [table[key] for key in same], [now[name][key] for key in same])
                        if activates and now[name]:
                            assert table.keys() <= had[name], name
    finally:
        postgres.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; ALTER DATABASE {postgres.database} RESET timezone")
