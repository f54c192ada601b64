"""The structure of the package: which module may import which, and what it may use of the SDK and of the system."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tap_kissmetrics
from tap_kissmetrics import sdk_extensions
from tests.support.assertions import assert_every_record_once
from tests.support.cases import small_sandbox
from tests.support.run import Run, environment, settings_for, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(str(tap_kissmetrics.__file__)).parent

MODULES = {
    ".".join(("tap_kissmetrics", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports_of(name: str) -> set[str]:
    """Return the modules of the package that a module imports, for type checking too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            module = str(node.module)
            found |= {full if (full := f"{module}.{alias.name}") in MODULES else module for alias in node.names}
    return found & MODULES.keys()


def test_no_module_imports_in_a_circle() -> None:
    """Imports for type checking count as well."""
    order = list(graphlib.TopologicalSorter({name: imports_of(name) for name in MODULES}).static_order())
    assert order.index("tap_kissmetrics.client") < order.index("tap_kissmetrics.streams")


@pytest.mark.parametrize("name", [name for name in MODULES if ".sdk_extensions" in name])
def test_sdk_extensions_import_nothing_of_the_tap(name: str) -> None:
    """Nor do they mention Kissmetrics, so that they could be published for every REST tap."""
    assert all(imported.startswith("tap_kissmetrics.sdk_extensions") for imported in imports_of(name))
    assert "kissmetrics" not in re.sub(r"tap_kissmetrics|nothing of Kissmetrics", "", MODULES[name].read_text()).lower()


def subclasses_of_the_sdk() -> Iterator[type]:
    """Yield the classes of the package that have a base class in the SDK."""
    for name in MODULES.keys() - {"tap_kissmetrics.__main__"}:
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and value.__module__ == name and any(map(is_of_the_sdk, value.__mro__)):
                yield value


def is_of_the_sdk(cls: type) -> bool:
    """Return whether a class is defined in the SDK."""
    return cls.__module__.startswith("singer_sdk.")


@functools.cache
def source_of(cls: type) -> str:
    """Return the source code of a class."""
    return inspect.getsource(cls)


def private_names_of_the_sdk(cls: type) -> set[str]:
    """Return the private names of the SDK that a class reads, sets or overrides."""
    defined: set[str] = set()
    for base in filter(is_of_the_sdk, cls.__mro__):
        defined |= vars(base).keys() | set(re.findall(r"\bself\.(_\w+)", source_of(base)))
    source = source_of(cls)
    used = set(re.findall(r"\b(?:self|super\(\))\.(_[a-zA-Z]\w*)", source)) | vars(cls).keys()
    return {name for name in used & defined if re.match("_[a-zA-Z]", name)} - {"_abc_impl", "_is_protocol"}


def test_each_private_name_of_the_sdk_is_listed() -> None:
    """And each that is listed is in use; each test that is named exists."""
    documented = str(sdk_extensions.__doc__)
    listed = set(re.findall(r"`\w*\.(_[a-zA-Z]\w*)`", documented))
    assert set().union(*map(private_names_of_the_sdk, subclasses_of_the_sdk())) == listed
    modules = {
        str(node.module)
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and re.search(r"\._", str(node.module))
    }
    assert modules == set(re.findall(r"`(singer_sdk\.\w+\._\w+)`", documented))
    tests = {path.stem for path in Path(__file__).parent.parent.rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+)`", documented)) <= tests


ELSEWHERE = """
import os, select, signal, sys

for module, names in {
    signal: ("SIGALRM", "SIGHUP", "SIGUSR1", "alarm", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait"),
    os: ("fork", "getuid", "killpg", "mkfifo", "set_blocking"),
    select: ("epoll", "poll"),
}.items():
    for name in names:
        delattr(module, name)
sys.modules["fcntl"] = sys.modules["termios"] = sys.modules["resource"] = None

from tap_kissmetrics.__main__ import main

main()
"""
"""The tap on a system without the calls that only POSIX has."""


def run_elsewhere(folder: Path, *arguments: str | Path) -> Run:
    """Run the tap as on a system without POSIX."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=folder,
        env=environment(measured=False),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_discovery_and_a_sync_without_posix(tmp_path: Path) -> None:
    """As on Windows, which the test workflow proves; only SIGHUP is left out there."""
    with small_sandbox() as sandbox:
        config = write_json(tmp_path / "config.json", settings_for(sandbox))
        discovered = run_elsewhere(tmp_path, "--config", config, "--discover").succeeded()
        run = run_elsewhere(tmp_path, "--config", config).succeeded()
    assert {
        entry["tap_stream_id"] for entry in json.loads(discovered.stdout)["streams"]
    } == sandbox.account.records.keys()
    assert_every_record_once(run, sandbox.account)
