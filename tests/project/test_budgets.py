"""The size of the package: whoever adds a line, a limit or a helper sees here what it costs."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tap_kissmetrics
from scripts.about import tap_of
from tap_kissmetrics.apis import APIS

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINES = 6_500
MOST_MODULES = 27  # without __init__.py
MOST_LINES_OF_A_MODULE = 420
MOST_STATEMENTS = 40  # of a function, nested ones included
MOST_SINGLE_USES = 45
MOST_LIMITS = 25
MOST_CLASSES = 5  # of our own in a stream of results, itself included

PACKAGE = Path(str(tap_kissmetrics.__file__)).parent

SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}

MODULES = {name: source for name, source in SOURCES.items() if Path(name).name != "__init__.py"}

TREES = {name: ast.parse(source) for name, source in SOURCES.items()}

NODES = [(name, node) for name, tree in TREES.items() for node in ast.walk(tree)]

FUNCTIONS = [(name, node) for name, node in NODES if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

BOUNDS = {"min", "max", "range", "islice", "clamp"}
"""Functions whose arguments bound a count or a size."""

BOUND_WORDS = re.compile(r"max|min|most|least|limit|size|bound|count|length|tries|attempts|workers")
"""In the names of parameters that do."""

PARAMETERS = {node.name: [each.arg for each in node.args.args] for _, node in FUNCTIONS}
"""The parameters of each function of the package."""


def lines(source: str) -> int:
    """Count lines."""
    return len(source.splitlines())


def test_lines_of_the_package() -> None:
    """Code, comments, docstrings and blank lines alike."""
    total = sum(map(lines, SOURCES.values()))
    assert total <= MOST_LINES, f"{total} lines: " + ", ".join(f"{name} {lines(SOURCES[name])}" for name in SOURCES)


def test_modules() -> None:
    """How many there are."""
    assert len(MODULES) <= MOST_MODULES, ", ".join(sorted(MODULES))


def test_lines_of_each_module() -> None:
    """None is long."""
    assert {name: count for name in MODULES if (count := lines(MODULES[name])) > MOST_LINES_OF_A_MODULE} == {}


def statements(function: ast.AST) -> int:
    """Count the statements of a function without itself; its docstring is none."""
    found = (node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function)
    return sum(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in found)


def test_statements_of_each_function() -> None:
    """None is long."""
    found = {f"{name}:{node.name}": statements(node) for name, node in FUNCTIONS}
    assert {name: count for name, count in found.items() if count > MOST_STATEMENTS} == {}


def inherited() -> set[str]:
    """Give the names that a class of the package may override: those of its bases from elsewhere."""
    names = set()
    for path in MODULES:
        name = f"tap_kissmetrics.{path.removesuffix('.py').replace('/', '.')}"
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and value.__module__ == name:
                bases = (base for base in value.__mro__ if not base.__module__.startswith("tap_kissmetrics"))
                names |= {attribute for base in bases for attribute in vars(base)}
    return names


def test_private_functions_with_a_single_use() -> None:
    """A helper that is called once sends the reader elsewhere; its name has to be worth that."""
    words = Counter(word for source in SOURCES.values() for word in re.findall(r"\w+", source))
    private = {f"{name}:{node.name}" for name, node in FUNCTIONS if re.match(r"_(?!_)", node.name)}
    overridden = inherited()
    single = [
        each
        for each in sorted(private)
        if words[function := each.partition(":")[2]] == 2 and function not in overridden
    ]
    assert len(single) <= MOST_SINGLE_USES, f"{len(single)}: {', '.join(single)}"


def is_number(value: ast.AST | None, known: set[str]) -> bool:
    """Tell whether an expression is a number, or arithmetic of numbers and of names that are."""
    match value:
        case ast.Constant():
            return type(value.value) in {int, float}
        case ast.UnaryOp():
            return is_number(value.operand, known)
        case ast.BinOp():
            return is_number(value.left, known) and is_number(value.right, known)
        case ast.Name():
            return value.id in known
    return False


def pairs(statement: ast.stmt) -> Iterator[tuple[str, ast.AST | None]]:
    """Yield the names that a statement binds, each with its value."""
    targets: list[ast.expr] = []
    value: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign):
        targets, value = [statement.target], statement.value
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from (
                (each.id, part)
                for each, part in zip(target.elts, value.elts, strict=False)
                if isinstance(each, ast.Name)
            )


def numbers() -> dict[str, str]:
    """Give the module of each name that is bound to a count or a size, and not to seconds, at the level of a module."""
    found: dict[str, str] = {}
    for module, tree in TREES.items():
        for statement, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
            documented = ast.unparse(following.value) if isinstance(following, ast.Expr) else ""
            if not re.match(r"['\"](Seconds|Most seconds|Least seconds)\b", documented):
                found |= {name: module for name, value in pairs(statement) if is_number(value, set(found))}
    return found


def names_in(*expressions: ast.AST | None) -> Iterator[str]:
    """Yield the names in expressions, those behind a dot too."""
    for node in (node for expression in expressions if expression for node in ast.walk(expression)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def bounds() -> Iterator[str]:
    """Yield the names that bound something: in a comparison, a slice, `min`, `max` or `range`, or as an argument."""
    for _, node in NODES:
        match node:
            case ast.Compare():
                yield from names_in(node.left, *node.comparators)
            case ast.Slice():
                yield from names_in(node.lower, node.upper, node.step)
            case ast.Call():
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                arguments = [(each.arg, each.value) for each in node.keywords]
                arguments += zip(PARAMETERS.get(called, ()), node.args, strict=False)
                yield from names_in(*(value for name, value in arguments if BOUND_WORDS.search(name or "")))
                if BOUNDS & set(names_in(node.func)):
                    yield from names_in(*node.args)


def test_limits() -> None:
    """Module constants that a count or a size is compared with, whatever they are called."""
    limits = numbers()
    found = sorted(f"{limits[name]}:{name}" for name in limits.keys() & set(bounds()))
    assert len(found) <= MOST_LIMITS, f"{len(found)}: {', '.join(found)}"


@pytest.mark.parametrize("api", APIS)
def test_classes_above_a_row_of_a_report(api: str) -> None:
    """Who follows a row up its classes comes to the SDK soon."""
    (stream,) = [stream for stream in tap_of(api).discover_streams() if stream.name == "report_results"]
    own = [cls.__name__ for cls in type(stream).__mro__ if cls.__module__.startswith("tap_kissmetrics")]
    assert len(own) <= MOST_CLASSES, ", ".join(own)
