"""Values that target-postgres cannot take: it refuses each; with the workarounds of docs/targets.md it loads all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.sandbox import Sandbox, make_account
from tests.support.catalogs import choose
from tests.support.tables import code_block
from tests.support.tap import sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Record
    from tests.support.postgres import Postgres
    from tests.support.targets import Programs, Target

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
"""For each: the column, the value of the API, and the value in the table with the workaround."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account with a few events."""
    with Sandbox(make_account(events=len(ODD) + 2)) as running:
        yield running


@pytest.fixture
def target(programs: Programs, postgres: Postgres, tmp_path: Path) -> Iterator[Target]:
    """target-postgres, with an empty schema."""
    yield programs.target("target-postgres", tmp_path, **postgres.settings, default_target_schema="odd")
    postgres.execute("DROP SCHEMA IF EXISTS odd CASCADE")


def rows(postgres: Postgres) -> dict[int, Record]:
    """Give the rows of the events, by their index."""
    return {row["index"]: row for row in postgres.rows("SELECT * FROM odd.events")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_is_refused_and_nothing_is_stored(name: str, sandbox: Sandbox, target: Target, postgres: Postgres) -> None:
    """The table of docs/targets.md says so."""
    column, value, _ = ODD[name]
    sandbox.account.records["events"][1][column] = value
    loaded = target.run(sync_here(sandbox, catalog=choose(events=None)).stdout)
    assert loaded.code == 1
    assert loaded.stdout == ""
    assert rows(postgres) == {}


def test_ways_round(sandbox: Sandbox, target: Target, postgres: Postgres) -> None:
    """Usual values and null go through them as well; a table that is there already is altered first."""
    events = sandbox.account.records["events"]
    target.load(sync_here(sandbox, catalog=choose(events=None)).stdout)
    for event, (column, value, _) in zip(events, ODD.values(), strict=False):
        event[column] = value
    events[-1] |= dict.fromkeys(("name", "product_id", "total", "last_sent_at"))
    (extractor,) = yaml.safe_load(code_block("targets", "stream maps"))["plugins"]["extractors"]
    maps = extractor["config"]["stream_maps"]
    for column in maps["events"]:
        statement = (
            code_block("targets", "alter").replace("tap_kissmetrics", "odd").replace("COLUMN total", f"COLUMN {column}")
        )
        postgres.execute(statement)
    postgres.execute("DELETE FROM odd.events")
    target.load(sync_here(sandbox, catalog=choose(events=None), stream_maps=maps).stdout)
    table = rows(postgres)
    assert len(table) == len(events)
    for event, (column, _, expected) in zip(events, ODD.values(), strict=False):
        assert table[event["index"]][column] == expected
    last_but_one, last = table[events[-2]["index"]], table[events[-1]["index"]]
    for column in ("id", "name", "product_id", "last_sent_at"):
        assert last_but_one[column] == events[-2][column]
    assert last_but_one["total"] == str(events[-2]["total"])
    assert [last[column] for column in ("name", "product_id", "total", "last_sent_at")] == [None] * 4


def test_setting_for_nul(sandbox: Sandbox, target: Target, postgres: Postgres) -> None:
    """The target's own cure."""
    event = sandbox.account.records["events"][1]
    event["name"] = "a\0b"
    target.load(sync_here(sandbox, catalog=choose(events=None)).stdout, sanitize_null_text_characters=True)
    assert rows(postgres)[event["index"]]["name"] == "a\N{REPLACEMENT CHARACTER}b"
