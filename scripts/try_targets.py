"""Load the sandbox's account into targets that the tests leave out, and measure what arrives.

`python -m scripts.try_targets [--write] [NAME ...]` installs each target into an environment of its own in
`.tox/targets`, loads every stream of both APIs and of a raw data export twice, with a change in between, and compares
each value. Of a target whose database runs in a cloud alone, it shows the columns that the target's own code makes of
the streams. `--write` updates the table of types in docs/targets.md.

It needs git, for target-mysql also a C compiler and Debian's mariadb-server and libmariadb-dev. It takes five minutes
and 3 GB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sqlite3
import sys
import tempfile
from collections import Counter, defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.compare import Again, DifferenceError, compare
from scripts.documents import PROJECT
from scripts.target_world import SOURCES, Source, TrialError, World, ask
from tests.sandbox.export import Export
from tests.support.exports import read_exports
from tests.support.results import metric_ids, result_sandbox
from tests.support.run import settings_for, write_json
from tests.support.s3 import BUCKET
from tests.support.tables import code_block
from tests.support.tap import catalog_of, sync
from tests.support.targets import Programs, Target, requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.sandbox import ApiName
    from tests.support.run import Run

PAGE = PROJECT / "docs" / "targets.md"

KINDS = ("string", "integer", "number", "boolean", "date-time", "object", "array")
"""The formats and types of columns, in the order of the table."""

QUERY = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
"""A query of the user's own, for the Query API."""

AWS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
"""Credentials that the server of this machine does not look at."""

Kinds = dict[str, set[str]]
"""The types of columns, by their kind."""

Table = dict[str, Any]
"""`stream`, `types` by column, and `rows`; a table may come in several parts."""


# How each target is set up, and read


def read_sqlite(world: World, source: Source) -> Iterator[Table]:
    """Yield each table."""
    with closing(sqlite3.connect(world.folder / f"{source}.db")) as connection:
        connection.row_factory = sqlite3.Row
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [name])
            rows = map(dict, connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608
            yield {"stream": name, "types": dict(map(tuple, columns)), "rows": [*rows]}


def read_clickhouse(world: World, source: Source) -> Iterator[Table]:
    """Yield each table."""
    url = f"{world.clickhouse}?database={source}"
    for name in ask(url, "SHOW TABLES FORMAT TSV").split():
        described = map(json.loads, ask(url, f"DESCRIBE TABLE {name} FORMAT JSONEachRow").splitlines())
        rows = map(json.loads, ask(url, f"SELECT * FROM {name} FORMAT JSONEachRow").splitlines())  # noqa: S608
        yield {"stream": name, "types": {each["name"]: each["type"] for each in described}, "rows": [*rows]}


def s3_settings(world: World, source: Source) -> dict[str, Any]:
    """Give the settings of target-s3, as docs/targets.md has them, for the server of this machine."""
    settings: dict[str, Any] = yaml.safe_load(code_block("targets", "s3"))["plugins"]["loaders"][0]["config"]
    settings["cloud_provider"]["aws"] = {
        "aws_region": "us-east-1",
        "aws_bucket": BUCKET,
        "aws_endpoint_override": world.s3,
    }
    return settings | {"prefix": source}


def parquet_settings(world: World, source: Source) -> dict[str, Any]:
    """Give the settings of target-parquet."""
    (world.folder / source).mkdir(exist_ok=True)
    return {"destination_path": str(world.folder / source)}


@dataclass(frozen=True)
class Trial:
    """A target, how it is set up, and how what it stored is read; by default its types are read, and it is not run."""

    version: str
    requirements: tuple[str, ...]
    settings: Callable[[World, Source], dict[str, Any]] | None = None
    read: Callable[[World, Source], Iterable[Table]] | None = None
    again: Again = "updates"
    workaround: str | None = None
    """The marker, in docs/targets.md, of the extractor's settings without which it does not load."""


# For those that import `pkg_resources` without a requirement for it.
_OLD = "setuptools<81"

TRIALS = {
    "target-sqlite": Trial(
        "0.7.0",
        ("target-sqlite @ git+https://github.com/MeltanoLabs/target-sqlite.git@d4e802e",),
        lambda world, source: {"database": str(world.folder / f"{source}.db")},
        read_sqlite,
    ),
    "target-parquet": Trial(
        "1.1.2",
        ("target-parquet @ git+https://github.com/Automattic/target-parquet.git@v1.1.2",),
        parquet_settings,
        lambda world, source: _inside(world, "target-parquet", "read-parquet", world.folder / source),
        again="appends",
    ),
    "target-s3": Trial(
        "0.1.7",
        requirements("target-s3"),
        s3_settings,
        lambda world, source: _inside(
            world, "target-s3", "read-parquet", f"{BUCKET}/{source}", world.s3.partition("//")[2]
        ),
        again="appends",
    ),
    "target-mysql": Trial(
        "0.1.3",
        ("thk-target-mysql @ git+https://github.com/thkwag/target-mysql.git@c84fe01", _OLD),
        lambda world, source: {
            "sqlalchemy_url": f"mysql+mysqldb://tester:tester@127.0.0.1:{world.mysql_port}/{source}?charset=utf8mb4"
        },
        lambda world, source: _inside(
            world, "target-mysql", "read-mysql", "127.0.0.1", world.mysql_port, "tester", "tester", source
        ),
        again="keeps",
        workaround="mysql",
    ),
    "target-clickhouse": Trial(
        "0.2.5",
        ("shaped-target-clickhouse==0.2.5", _OLD),
        lambda world, source: {
            "sqlalchemy_url": f"clickhouse+{world.clickhouse.replace('//', '//default:@')}{source}?protocol=http",
            **yaml.safe_load(code_block("targets", "clickhouse"))["plugins"]["loaders"][0]["config"],
        },
        read_clickhouse,
    ),
    "target-snowflake": Trial("0.20.4", ("meltanolabs-target-snowflake==0.20.4",)),
    "target-bigquery": Trial("0.7.2", ("z3-target-bigquery==0.7.2", _OLD)),
    "target-redshift": Trial(
        "0.3.2", ("target-redshift @ git+https://github.com/TicketSwap/target-redshift.git@v0.3.2", _OLD)
    ),
}
"""By default those variants that MeltanoHub installs; that of target-s3 is a fork which is on PyPI."""


# The trial


def _inside(world: World, name: str, *arguments: object) -> list[Any]:
    return world.inside(world.programs.install(name, TRIALS[name].requirements), *arguments)


def two_nights(folder: Path, source: Source, workaround: str | None) -> list[Run]:
    """Read every stream of a source twice, with a change in between."""
    extra: dict[str, Any] = {"schema": {}, "config": {}}
    if workaround:
        (extra,) = yaml.safe_load(code_block("targets", workaround))["plugins"]["extractors"]
        extra["schema"] |= {QUERY["name"]: extra["schema"]["report_results"]}
    return _two_exports(folder, extra) if source == "export" else _two_syncs(folder, source, extra)


def _two_syncs(folder: Path, api: ApiName, extra: dict[str, Any]) -> list[Run]:
    with result_sandbox(api) as sandbox:
        settings: dict[str, Any] = {"report_ids": ["*"], **extra["config"]}
        if api == "query":
            settings |= {"metric_ids": metric_ids(sandbox)[:1], "queries": [QUERY]}
        catalog = _catalog(folder, settings_for(sandbox, **settings), extra)
        first = sync(sandbox, folder, catalog=catalog, **settings).succeeded()
        event = sandbox.account.records["events"][0]
        event |= {"name": "New, \"quoted\"\r\n'name' \\ ☃", "total": 2**53 + 1}
        return [first, sync(sandbox, folder, catalog=catalog, **settings).succeeded()]


def _two_exports(folder: Path, extra: dict[str, Any]) -> list[Run]:
    export = Export(folder / "exported")
    export.grow(3, lines=20)
    maps = yaml.safe_load(code_block("targets", "csv: export"))
    catalog = _catalog(folder, {"export_urls": [str(export.folder)]}, extra)
    first = read_exports(folder, export.folder, catalog=catalog, **maps).succeeded()
    export.grow(lines=20)
    return [first, read_exports(folder, export.folder, catalog=catalog, state=first.state, **maps).succeeded()]


def _catalog(folder: Path, config: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Make a catalog of every stream, as Meltano does from the key `schema` of an extractor."""
    names = [entry["tap_stream_id"] for entry in catalog_of(folder, config)["streams"]]
    catalog = catalog_of(folder, config, **{name: {} for name in names})
    for entry in catalog["streams"]:
        for column, members in extra["schema"].get(entry["tap_stream_id"], {}).items():
            entry["schema"]["properties"][column] |= members
    return catalog


def load(name: str, trial: Trial, world: World, source: Source) -> tuple[Counter[str], Kinds]:
    """Load both nights and compare; give in what ways values are changed, and the types by kind of column."""
    nights = two_nights(world.folder, source, trial.workaround)
    schemas = {message["stream"]: message for message in nights[-1].of_type("SCHEMA")}
    if trial.settings:
        program = world.programs.install(name, trial.requirements) / "bin" / name
        target = Target(program, world.folder, trial.settings(world, source))
        for run in nights:
            loaded = target.run(run.stdout, env=AWS)
            if loaded.code:
                raise TrialError(f"exit code {loaded.code}\n{loaded.stderr[-3000:]}")
            if loaded.state != run.state:
                raise TrialError(f"it gave back {loaded.state} instead of {run.state}")
    tables: dict[str, Table] = defaultdict(lambda: {"types": {}, "rows": []})
    given = write_json(world.folder / f"{source}-schemas.json", schemas)
    for part in trial.read(world, source) if trial.read else _inside(world, name, name, given):
        tables[part["stream"]]["types"] |= part["types"]
        tables[part["stream"]]["rows"] += part["rows"]
    changes: Counter[str] = Counter()
    for stream, message in schemas.items() if trial.read else ():
        records = [record for run in nights for record in run.records(stream)]
        changes += compare(stream, message, records, tables[stream]["rows"], again=trial.again)
    return changes, by_kind(schemas, tables)


def by_kind(schemas: dict[str, Any], tables: dict[str, Table]) -> Kinds:
    """Sort the types of columns by the kind of column; a flattened object has the columns of its fields."""
    kinds: Kinds = defaultdict(set)
    for stream, message in schemas.items():
        for column, field in message["schema"]["properties"].items():
            names = [field["type"]] if isinstance(field["type"], str) else field["type"]
            (kind,) = {field.get("format", name) for name in names if name != "null"}
            for loaded, loaded_type in tables[stream]["types"].items():
                if loaded == column:
                    kinds[kind].add(f"`{loaded_type}`")
                elif loaded.startswith(f"{column}__"):
                    kinds[kind].add(f"`{column}__*` `{loaded_type}`")
    return kinds


def write(rows: dict[str, str]) -> None:
    """Put rows into the table of docs/targets.md, those of other targets stay."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"(<!-- types -->\n).*?(\|---.*?\n)(.*?)(<!-- /types -->)", text, re.DOTALL)
    if not found:
        message = "docs/targets.md must have a table between <!-- types --> and <!-- /types -->"
        raise TrialError(message)
    lines = {line.split()[1]: line for line in found[3].splitlines()} | rows
    table = "".join(f"{lines[name]}\n" for name in TRIALS if name in lines)
    head = (
        f"Measured on {dt.datetime.now(tz=dt.UTC):%Y-%m-%d} by `python -m scripts.try_targets`.\n\n"
        f"| Target | {' | '.join(KINDS)} | What changes |\n"
    )
    new = f"{found[1]}{head}{found[2]}{table}{found[4]}"
    PAGE.write_text(text[: found.start()] + new + text[found.end() :], encoding="utf-8")


def main() -> int:
    """Try the targets; return 1 if one fails or is skipped."""
    parser = argparse.ArgumentParser(prog="python -m scripts.try_targets", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="update the table of types in docs/targets.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(TRIALS)} (default: all)")
    options = parser.parse_args()
    programs, rows, failed = Programs(PROJECT / ".tox" / "targets"), {}, 0
    programs.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or TRIALS:
        trial, kinds, changed = TRIALS[name], defaultdict[str, set[str]](set), set[str]()
        try:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                world = World(Path(folder), programs, stack)
                for source in SOURCES:
                    changes, found = load(name, trial, world, source)
                    print(f"{name} {trial.version}, {source}: {dict(sorted(changes.items()))}")
                    changed |= changes.keys()
                    for kind, types in found.items():
                        kinds[kind] |= types
        except (TrialError, DifferenceError) as error:
            print(f"{name} {trial.version}: {error}", file=sys.stderr)
            failed = 1
            continue
        cells = [", ".join(sorted(kinds[kind])) for kind in KINDS]
        cells.append("; ".join(sorted(changed)) or "as sent" if trial.read else "not loaded")
        rows[name] = f"| {name} {trial.version} | {' | '.join(cells)} |"
        print(rows[name])
    if options.write:
        write(rows)
    return failed


if __name__ == "__main__":
    sys.exit(main())
