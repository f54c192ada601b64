"""Do the tests notice a change of the code? Change one place of the package at a time, and run them.

`python -m scripts.mutants --sample 60` tries sixty places at random, and lists the changes that no test noticed. Some
of these change nothing that can be observed; each of the others lacks a test.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.documents import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = PROJECT / "tap_kissmetrics"

TESTS = ("tests/unit", "tests/integration", "tests/end_to_end/test_signals.py", "tests/end_to_end/test_output.py")
"""The quickest come first, for the first failure ends a run."""

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
}

NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, Callable[[], None]]]:
    """Yield each place of a module that can be changed, and what changes it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            yield node, partial(node.ops.__setitem__, 0, OPERATORS[type(node.ops[0])]())
        elif isinstance(node, (ast.BoolOp, ast.BinOp)) and type(node.op) in OPERATORS:
            yield node, partial(setattr, node, "op", OPERATORS[type(node.op)]())
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield node, partial(setattr, node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            yield node, partial(setattr, node, "value", _other(node.value))
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node, partial(setattr, node, "id", NAMES[node.id])
        elif _is_statement(node):
            yield node, partial(_leave_out, tree, node)


def _other(value: float) -> float:
    return not value if isinstance(value, bool) else value + 1


def _is_statement(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call or isinstance(node, (ast.Raise, ast.Continue))


def _leave_out(tree: ast.Module, statement: ast.AST) -> None:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and statement in block:
                block[block.index(statement)] = ast.copy_location(ast.Pass(), statement)


def find_places() -> list[tuple[Path, int]]:
    """Return the places of the package, each as a module and a number in it."""
    modules = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in {"settings.py", "__init__.py"})
    return [
        (path.relative_to(PROJECT), number)
        for path in modules
        for number, _ in enumerate(changes(ast.parse(path.read_text(encoding="utf-8"))))
    ]


def make_copy(folder: Path) -> None:
    """Copy the package into a folder."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))


def make_mutant(folder: Path, module: Path, number: int) -> str:
    """Copy the package into a folder with one place changed; describe the change."""
    make_copy(folder)
    tree = ast.parse((PROJECT / module).read_text(encoding="utf-8"))
    node, change = list(changes(tree))[number]
    before = ast.unparse(node).splitlines()[0]
    line = getattr(node, "lineno", 0)
    change()
    after = "left out" if _is_statement(node) else ast.unparse(node).splitlines()[0]
    (folder / module).write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n", encoding="utf-8")
    return f"{module}:{line}: {before}  ->  {after}"


def is_noticed(folder: Path) -> bool:
    """Return whether a test fails with the package in a folder."""
    # -P: the package in the working directory is not the one to import.
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "--timeout=60", *TESTS]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, PROJECT))), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, check=False, timeout=600)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> int:
    """Try some places; return 1 if a change was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=60, help="how many places (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which places (default: %(default)s)")
    parser.add_argument("--module", default="", help="only modules whose path has this in it, such as retry")
    options = parser.parse_args()
    places = [place for place in find_places() if options.module in str(place[0])]
    chosen = random.Random(options.seed).sample(places, min(options.sample, len(places)))  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder:
        make_copy(Path(folder))
        if is_noticed(Path(folder)):
            print("the tests fail without any change", file=sys.stderr)
            return 2
    survivors = []
    for count, (module, number) in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory() as folder:
            description = make_mutant(Path(folder), module, number)
            start = time.monotonic()
            noticed = is_noticed(Path(folder))
            seconds = time.monotonic() - start
        print(
            f"{count:3} of {len(chosen)}  {'noticed ' if noticed else 'SURVIVED'} {seconds:4.0f} s  {description}",
            flush=True,
        )
        survivors += [] if noticed else [description]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} changes were noticed", *survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
