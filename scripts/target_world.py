"""The servers that targets load into, for `scripts.try_targets`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from scripts.documents import PROJECT
from tests.support.postgres import free_port
from tests.support.s3 import serve_s3

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from tests.support.targets import Programs

IN_TARGET = PROJECT / "scripts" / "in_target.py"
PATIENCE = 60.0
"""Seconds for a server to start."""

Source = Literal["core", "query", "export"]
"""Where the streams are from: one of the APIs, or a raw data export."""

SOURCES: tuple[Source, ...] = ("core", "query", "export")


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
        """The port of a MariaDB server with a database for each source, user and password `tester`."""
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
        statements = grant + "".join(f"CREATE DATABASE {source};" for source in SOURCES)
        _patiently(lambda: _run(needed["mariadb"], "--no-defaults", socket, "-u", "root", "-e", statements))
        return port

    @cached_property
    def clickhouse(self) -> str:
        """The address of the engine of ClickHouse, with a database for each source."""
        port = free_port()
        python = self.programs.install("chdb", ("chdb==4.4.0",)) / "bin" / "python"
        self._start(python, IN_TARGET, "serve-clickhouse", self.folder / "clickhouse", port)
        url = f"http://127.0.0.1:{port}/"
        _patiently(lambda: ask(url, "SELECT 1"))
        for source in SOURCES:
            ask(url, f"CREATE DATABASE {source}")
        return url

    def _start(self, *command: object) -> None:
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def inside(self, environment: Path, *arguments: object) -> list[Any]:
        """Run a command of `scripts.in_target` in the environment of a target; give what it prints."""
        python = environment / "bin" / "python"
        return [json.loads(line) for line in _run(python, IN_TARGET, *arguments).splitlines()]


def _run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrialError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def _patiently(function: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            function()
        except (TrialError, OSError):
            if time.monotonic() > deadline:
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
