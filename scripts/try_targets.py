"""Load the sandbox's account into targets that the tests leave out, and measure what arrives.

`python -m scripts.try_targets [--write] [NAME ...]` installs each target into an environment of its own in `.tox/targets`, loads
every stream of both APIs twice, with a change in between, and compares each value. Of targets whose database runs in a cloud
alone it shows the columns that their own code makes of the streams. `--write` updates the table of types in docs/targets.md.

It needs uv, git, and for some targets a server: `mariadbd` in PATH or in /usr/sbin. It takes some minutes and 3 GB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.compare import compare
from scripts.documents import PROJECT
from tests.support.postgres import free_port
from tests.support.results import metric_ids, result_sandbox
from tests.support.s3 import BUCKET, serve_s3
from tests.support.tables import code_block
from tests.support.tap import catalog_of, sync
from tests.support.targets import Programs, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.sandbox import ApiName
    from tests.support.run import Run

IN_TARGET = PROJECT / "scripts" / "in_target.py"
PAGE = PROJECT / "docs" / "targets.md"
APIS: tuple[ApiName, ...] = ("core", "query")

KINDS = ("string", "integer", "number", "boolean", "date-time", "object", "array")
"""The formats and types of columns, in the order of the table."""

Table = dict[str, Any]
"""`stream`, `types` by column, and `rows`."""


class TrialError(Exception):
    """A target cannot be tried, or fails."""


class World:
    """A folder for the files of a trial, and the servers that it needs, which end with it."""

    def __init__(self, folder: Path, programs: Programs, stack: ExitStack) -> None:
        """Start nothing yet."""
        self.folder = folder
        self.programs = programs
        self._stack = stack

    @cached_property
    def s3(self) -> str:
        """The address of a server of S3, with a bucket."""
        return self._stack.enter_context(serve_s3()).url

    @cached_property
    def mysql_port(self) -> int:
        """The port of a MariaDB server with a database for each API, user and password `tester`."""
        path = f"{os.environ['PATH']}:/usr/sbin"
        needed = {name: shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db", "mariadb")}
        if missing := [name for name, found in needed.items() if not found]:
            raise TrialError(f"SKIPPED: {', '.join(missing)} not found; Debian has them in mariadb-server")
        user = ["--user=root"] if os.geteuid() == 0 else []
        home, port = self.folder / "mariadb", free_port()
        socket = f"--socket={tempfile.mkdtemp(prefix='mariadb-', dir='/tmp')}/socket"
        data = ["--no-defaults", f"--datadir={home}", *user]
        _run(needed["mariadb-install-db"], *data, "--auth-root-authentication-method=normal", "--skip-test-db")
        options = [*data, socket, f"--port={port}", "--bind-address=127.0.0.1", "--character-set-server=utf8mb4"]
        self._start(needed["mariadbd"], *options)
        grant = "GRANT ALL ON *.* TO tester@'%' IDENTIFIED BY 'tester';"
        statements = grant + "".join(f"CREATE DATABASE {api};" for api in APIS)
        _patiently(lambda: _run(needed["mariadb"], "--no-defaults", socket, "-u", "root", "-e", statements))
        return port

    @cached_property
    def clickhouse(self) -> str:
        """The address of the engine of ClickHouse, with a database for each API."""
        port = free_port()
        python = self.programs.install("chdb", ("chdb==4.4.0",)) / "bin" / "python"
        self._start(python, IN_TARGET, "serve-clickhouse", self.folder / "clickhouse", port)
        for api in APIS:
            _patiently(lambda api=api: ask(f"http://127.0.0.1:{port}/", f"CREATE DATABASE IF NOT EXISTS {api}"))
        return f"http://127.0.0.1:{port}/"

    def _start(self, *command: object) -> None:
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def inside(self, name: str, *arguments: object) -> list[Any]:
        """Run a command of `scripts.in_target` in a target's environment; give what it prints."""
        python = self.programs.install(name, TRIALS[name].requirements) / "bin" / "python"
        return [json.loads(line) for line in _run(python, IN_TARGET, *arguments).splitlines()]


def _run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrialError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def _patiently(function: Callable[[], object]) -> None:
    for attempt in range(100):
        try:
            function()
        except (TrialError, OSError):
            if attempt == 99:
                raise
            time.sleep(0.2)
        else:
            return


def ask(url: str, query: str) -> str:
    """Send a query to ClickHouse."""
    request = urllib.request.Request(url, data=query.encode())  # noqa: S310 - this machine
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        text: str = response.read().decode()
    return text


# How each target is set up, and read


def read_sqlite(world: World, api: ApiName) -> Iterator[Table]:
    """Yield each table."""
    with closing(sqlite3.connect(world.folder / f"{api}.db")) as connection:
        connection.row_factory = sqlite3.Row
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [name])
            rows = map(dict, connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608
            yield {"stream": name, "types": dict(map(tuple, columns)), "rows": [*rows]}


def read_clickhouse(world: World, api: ApiName) -> Iterator[Table]:
    """Yield each table."""
    url = f"{world.clickhouse}?database={api}"
    for name in ask(url, "SHOW TABLES FORMAT TSV").split():
        described = map(json.loads, ask(url, f"DESCRIBE TABLE {name} FORMAT JSONEachRow").splitlines())
        rows = map(json.loads, ask(url, f"SELECT * FROM {name} FORMAT JSONEachRow").splitlines())  # noqa: S608
        yield {"stream": name, "types": {each["name"]: each["type"] for each in described}, "rows": [*rows]}


def s3_settings(world: World, api: ApiName) -> dict[str, Any]:
    """Give the settings of target-s3, as docs/targets.md has them, for the server of this machine."""
    settings: dict[str, Any] = yaml.safe_load(code_block("targets", "s3"))["plugins"]["loaders"][0]["config"]
    settings["cloud_provider"]["aws"] = {
        "aws_access_key_id": "none",
        "aws_secret_access_key": "none",
        "aws_region": "us-east-1",
        "aws_bucket": BUCKET,
        "aws_endpoint_override": world.s3,
    }
    return settings | {"prefix": api}


def parquet_settings(world: World, api: ApiName) -> dict[str, Any]:
    """Give the settings of target-parquet."""
    (world.folder / api).mkdir(exist_ok=True)
    return {"destination_path": str(world.folder / api)}


@dataclass(frozen=True)
class Trial:
    """A target, how it is set up, and how what it stored is read; without these, only its types are shown."""

    version: str
    requirements: tuple[str, ...]
    settings: Callable[[World, ApiName], dict[str, Any]] | None = None
    read: Callable[[World, ApiName], Iterable[Table]] | None = None
    appends: bool = False
    workaround: str | None = None
    """The marker, in docs/targets.md, of the extractor's settings without which it does not load."""


# What needs `pkg_resources` says nothing of it.
_OLD = "setuptools<81"

TRIALS = {
    "target-sqlite": Trial(
        "0.7.0",
        ("target-sqlite @ git+https://github.com/MeltanoLabs/target-sqlite.git@d4e802e",),
        lambda world, api: {"database": str(world.folder / f"{api}.db")},
        read_sqlite,
    ),
    "target-parquet": Trial(
        "1.1.2",
        ("target-parquet @ git+https://github.com/Automattic/target-parquet.git@v1.1.2",),
        parquet_settings,
        lambda world, api: world.inside("target-parquet", "read-parquet", world.folder / api),
        appends=True,
    ),
    "target-s3": Trial(
        "0.1.7",
        ("plinxore-target-s3==0.1.7", _OLD),
        s3_settings,
        lambda world, api: world.inside("target-s3", "read-parquet", f"{BUCKET}/{api}", world.s3.partition("//")[2]),
        appends=True,
    ),
    "target-mysql": Trial(
        "0.1.3",
        ("thk-target-mysql @ git+https://github.com/thkwag/target-mysql.git@c84fe01", _OLD),
        lambda world, api: {
            "sqlalchemy_url": f"mysql+mysqldb://tester:tester@127.0.0.1:{world.mysql_port}/{api}?charset=utf8mb4"
        },
        lambda world, api: world.inside(
            "target-mysql", "read-mysql", "127.0.0.1", world.mysql_port, "tester", "tester", api
        ),
        workaround="mysql",
    ),
    "target-clickhouse": Trial(
        "0.2.5",
        ("shaped-target-clickhouse==0.2.5", _OLD),
        lambda world, api: {
            "sqlalchemy_url": f"clickhouse+{world.clickhouse.replace('//', '//default:@')}{api}?protocol=http",
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


def two_nights(folder: Path, api: ApiName, workaround: str | None) -> list[Run]:
    """Read every stream twice, with a change in between."""
    extra: dict[str, Any] = {}
    if workaround:
        (extra,) = yaml.safe_load(code_block("targets", workaround))["plugins"]["extractors"]
    with result_sandbox(api) as sandbox:
        settings: dict[str, Any] = {"report_ids": ["*"], **extra.get("config", {})}
        if api == "query":
            query = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
            settings |= {"metric_ids": metric_ids(sandbox)[:1], "queries": [query]}
        options: list[str | Path] = []
        if workaround:
            catalog = folder / f"{api}-catalog.json"
            catalog.write_text(json.dumps(_with_lengths(sandbox, folder, settings, extra["schema"])), encoding="utf-8")
            options = ["--catalog", catalog]
        first = sync(sandbox, folder, *options, **settings).succeeded()
        event = sandbox.account.records["events"][0]
        event |= {"name": "New, \"quoted\"\r\n'name' \\ ☃", "total": 2**53 + 1}
        return [first, sync(sandbox, folder, *options, **settings).succeeded()]


def _with_lengths(sandbox: Any, folder: Path, settings: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Make a catalog as Meltano does from the key `schema` of an extractor."""
    from tests.support.run import settings_for

    config = settings_for(sandbox, **settings)
    names = [entry["tap_stream_id"] for entry in catalog_of(folder, config)["streams"]]
    catalog = catalog_of(folder, config, **{name: {} for name in names})
    for entry in catalog["streams"]:
        for column, members in schema.get(entry["tap_stream_id"], {}).items():
            entry["schema"]["properties"][column] |= members
    return catalog


def load(name: str, trial: Trial, world: World, api: ApiName) -> dict[tuple[str, str], set[str]]:
    """Load both nights and compare; give the types by kind of column."""
    assert trial.settings
    assert trial.read
    nights = two_nights(world.folder, api, trial.workaround)
    program = world.programs.install(name, trial.requirements) / "bin" / name
    target = Target(program, None, world.folder, trial.settings(world, api))
    for run in nights:
        loaded = target.run(run.stdout)
        if loaded.code:
            raise TrialError(f"exit code {loaded.code}\n{loaded.stderr[-3000:]}")
        if loaded.state != run.state:
            raise TrialError(f"it gave back {loaded.state} instead of {run.state}")
    schemas = {message["stream"]: message for message in nights[-1].of_type("SCHEMA")}
    tables: dict[str, Table] = defaultdict(lambda: {"types": {}, "rows": []})
    for part in trial.read(world, api):
        tables[part["stream"]]["types"] |= part["types"]
        tables[part["stream"]]["rows"] += part["rows"]
    changes: Counter[str] = Counter()
    for stream, message in schemas.items():
        records = [record for run in nights for record in run.records(stream)]
        changes += compare(stream, message, records, tables[stream]["rows"], appends=trial.appends)
    rows = sum(len(table["rows"]) for table in tables.values())
    print(f"{name} {trial.version}, {api}: {rows} rows of {len(schemas)} streams")
    for change, count in sorted(changes.items()):
        print(f"  {count} x {change}")
    return by_kind(schemas, {stream: table["types"] for stream, table in tables.items()})


def by_kind(schemas: dict[str, Any], types: dict[str, dict[str, str]]) -> dict[tuple[str, str], set[str]]:
    """Sort the types of columns by the kind of column; a flattened object has the columns of its fields."""
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for stream, message in schemas.items():
        for column, field in message["schema"]["properties"].items():
            names = [field["type"]] if isinstance(field["type"], str) else field["type"]
            (kind,) = {field.get("format", name) for name in names if name != "null"}
            role = "key" if column in message["key_properties"] else "other"
            for loaded, loaded_type in types[stream].items():
                if loaded == column:
                    kinds[kind, role].add(f"`{loaded_type}`")
                elif loaded.startswith(f"{column}__"):
                    kinds[kind, role].add(f"`{column}__*` `{loaded_type}`")
    return kinds


def types_of(name: str, trial: Trial, world: World) -> dict[tuple[str, str], set[str]]:
    """Give the types that the target's code makes of each kind of column."""
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for api in APIS:
        schemas = {m["stream"]: m for m in two_nights(world.folder, api, trial.workaround)[0].of_type("SCHEMA")}
        given = world.folder / f"{api}-schemas.json"
        given.write_text(json.dumps({stream: m["schema"] for stream, m in schemas.items()}), encoding="utf-8")
        (types,) = world.inside(name, name, given)
        for kind, found in by_kind(schemas, types).items():
            kinds[kind] |= found
    print(f"{name} {trial.version}: types only")
    return kinds


def row_of(name: str, trial: Trial, kinds: dict[tuple[str, str], set[str]]) -> str:
    """Make a target's row of the table: a type that only keys have is marked."""
    cells = []
    for kind in KINDS:
        other, key = kinds.get((kind, "other"), set()), kinds.get((kind, "key"), set())
        cells.append(", ".join([*sorted(other), *(f"{each} (keys)" for each in sorted(key - other) if other)]))
    return f"| {name} {trial.version} | {' | '.join(cells)} |"


def write(rows: dict[str, str]) -> None:
    """Put rows into the table of docs/targets.md, those of other targets stay."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"(<!-- types -->\n).*?(\|---.*?\n)(.*?)(<!-- /types -->)", text, re.DOTALL)
    assert found, "docs/targets.md must have <!-- types --> and <!-- /types -->"
    lines = {line.split()[1]: line for line in found[3].splitlines()} | rows
    table = "".join(f"{lines[name]}\n" for name in TRIALS if name in lines)
    head = f"Measured on {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}.\n\n| Target | {' | '.join(KINDS)} |\n"
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
        trial, kinds = TRIALS[name], defaultdict[tuple[str, str], set[str]](set)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            world = World(Path(folder), programs, stack)
            try:
                if trial.settings is None:
                    kinds = types_of(name, trial, world)
                else:
                    for api in APIS:
                        for kind, found in load(name, trial, world, api).items():
                            kinds[kind] |= found
            except (TrialError, AssertionError) as error:
                print(f"{name} {trial.version}: {error}", file=sys.stderr)
                failed = 1
                continue
        rows[name] = row_of(name, trial, kinds)
        print(rows[name])
    if options.write:
        write(rows)
    return failed


if __name__ == "__main__":
    sys.exit(main())
