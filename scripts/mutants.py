"""Do the tests notice a change of the code? Change one place of the package at a time, and run the tests concerned.

`python -m scripts.mutants --sample 60` tries sixty places at random, `--module retry state:87` those of a module and
of a line, and lists the changes that no test noticed. Some of these change nothing that can be observed; each of the
others lacks a test. Which tests execute which lines is measured first, and kept until the package or a test changes.
"""

from __future__ import annotations

import argparse
import ast
import copy
import itertools
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from typing_extensions import override

from scripts.executed_lines import PACKAGE, PROJECT, ExecutedLines
from scripts.forked_trials import OPTIONS, Trial, Trials

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_PROCESSES = [f"tests/end_to_end/test_{name}.py" for name in ("output", "stopped_queries", "signals")]
"""Tests that run the tap in processes of their own, for what no other test executes."""

_PAIRS: list[tuple[type[ast.AST], type[ast.AST]]] = [
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.In, ast.NotIn),
    (ast.Is, ast.IsNot),
    (ast.And, ast.Or),
    (ast.Add, ast.Sub),
]

OPERATORS = {**dict(_PAIRS), **{right: left for left, right in _PAIRS}, ast.Mult: ast.Add}

NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Change(NamedTuple):
    """A part of a module, and what stands in its place."""

    module: Path
    statement: ast.stmt
    part: ast.expr | ast.stmt
    text: str

    @override
    def __str__(self) -> str:
        """Describe it in a line."""
        before = ast.unparse(self.part).splitlines()[0]
        return f"{self.module.relative_to(PROJECT)}:{self.part.lineno}: {before}  ->  {self.text}"

    def apply(self) -> str:
        """Return the source of the module with it."""
        lines = self.module.read_bytes().splitlines(keepends=True)
        part = self.part
        end, end_col = part.end_lineno or part.lineno, part.end_col_offset or 0
        before = b"".join(lines[: part.lineno - 1]) + lines[part.lineno - 1][: part.col_offset]
        after = lines[end - 1][end_col:] + b"".join(lines[end:])
        return (before + self.text.encode() + after).decode()


def find_changes(module: Path) -> list[Change]:
    """Return all changes of a module."""

    def walk(node: ast.AST, statement: ast.stmt) -> Iterator[Change]:
        # Before Python 3.12, the parts of an f-string have wrong positions.
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            return
        statement = node if isinstance(node, ast.stmt) else statement
        for part, text in _changes_at(node):
            yield Change(module, statement, part, text)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, statement)

    return [found for node in ast.parse(module.read_bytes()).body for found in walk(node, node)]


def _changes_at(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield node, _with(node, "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, (ast.BoolOp, ast.BinOp)) and type(node.op) in OPERATORS:
        yield node, _with(node, "op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        yield node, repr(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield node, NAMES[node.id]
    elif isinstance(node, (ast.Raise, ast.Continue, ast.Delete)) or _has_effect(node):
        yield node, "pass"
    conditions = [node.test] if isinstance(node, (ast.If, ast.IfExp, ast.While)) else []
    for condition in node.ifs if isinstance(node, ast.comprehension) else conditions:
        yield condition, f"not ({ast.unparse(condition)})"


def _with(node: ast.expr, field: str, value: object) -> str:
    changed = copy.copy(node)
    setattr(changed, field, value)
    return f"({ast.unparse(changed)})"


def _has_effect(node: ast.AST) -> TypeGuard[ast.stmt]:
    """Return whether a statement calls something, or sets more than a local variable."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in targets)


def find_trial(change: Change, executed: ExecutedLines, max_seconds: float) -> Trial:
    """Return how to try a change: by the tests that execute it, in a fork unless the import of the module does."""
    start, end = min(change.statement.lineno, change.part.lineno), change.part.end_lineno or change.part.lineno
    contexts = executed.contexts_of(change.module, range(start, end + 1))
    is_imported = "" in contexts
    if contexts == {""}:  # take the tests that use the name it defines
        targets = getattr(change.statement, "targets", [getattr(change.statement, "target", change.statement)])
        name = re.compile(rf"\b{re.escape(getattr(targets[0], 'name', ast.unparse(targets[0])))}\b")
        for module in PACKAGE.rglob("*.py"):
            lines = module.read_text(encoding="utf-8").splitlines()
            contexts |= executed.contexts_of(module, [n for n, line in enumerate(lines, 1) if name.search(line)])
    tests = executed.tests_of(contexts, max_seconds)
    others = OF_PROCESSES * (change.module.stem in {"session", "shutdown", "stream", "writer"} or not tests)
    if is_imported:
        return Trial(change.module, change.apply(), [], lambda: find_failure(change, tests + others))
    return Trial(change.module, change.apply(), tests, lambda: find_failure(change, others))


def find_failure(change: Change, tests: list[str]) -> str:
    """Return the first of some tests that fails in a process of its own with a change; empty if none does."""
    if not tests:
        return ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / change.module.relative_to(PROJECT)).write_text(change.apply(), encoding="utf-8")
        (folder / "tests").write_text("\n".join(tests), encoding="utf-8")
        # -P: the package in the working directory is not the one to import.
        command = [sys.executable, "-P", "-m", "pytest", *OPTIONS, f"@{folder / 'tests'}"]
        env = os.environ | {"PYTHONPATH": os.pathsep.join((name, str(PROJECT))), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, check=False)
    if not done.returncode:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout.decode(), re.MULTILINE)
    return failed[1] if failed else "no summary"


def main() -> int:
    """Try some changes; return 1 if one was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=60, help="how many changes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which changes (default: %(default)s)")
    parser.add_argument("--module", nargs="+", default=[], help="only those of some modules, such as retry or state:87")
    parser.add_argument("--seconds", type=float, default=math.inf, help="most time of the tests of a change")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time (default: %(default)s)")
    options = parser.parse_args()
    modules = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in {"settings.py", "__init__.py"})
    changes = [change for module in modules for change in find_changes(module)]
    if options.module:
        asked = set(options.module)
        changes = [c for c in changes if asked & {c.module.stem, f"{c.module.stem}:{c.part.lineno}"}]
    chosen = random.Random(options.seed).sample(changes, min(options.sample, len(changes)))  # noqa: S311 - no secret
    executed = ExecutedLines()
    trials = [find_trial(change, executed, options.seconds) for change in chosen]
    survivors = []
    count = itertools.count(1)

    def report(index: int, failure: str) -> None:
        result = f"by {failure}" if failure else "SURVIVED"
        print(f"{next(count)} of {len(chosen)}  {chosen[index]}\n  {result}", flush=True)
        if not failure:
            survivors.append(chosen[index])

    Trials(trials, options.jobs, report).run()
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} changes were noticed", *survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
