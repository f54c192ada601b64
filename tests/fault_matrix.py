"""Rows of the two fault matrices, and the runs that are made of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox import ApiName, Fault

CORE: tuple[ApiName, ...] = ("core",)
QUERY: tuple[ApiName, ...] = ("query",)
BOTH: tuple[ApiName, ...] = ("core", "query")


@dataclass(frozen=True)
class Case:
    """What goes wrong.

    Attributes:
        faults: The faults.
        says: A pattern that a line of the log must match.
        pause: The least seconds between the first answer that was refused and the next try.
        within: The most seconds between the two.
        switches: Those of the sandbox.
        settings: Those of the tap.
        apis: The APIs in which it goes wrong.
    """

    faults: tuple[Fault, ...]
    says: str
    pause: float
    within: float
    switches: dict[str, Any]
    settings: dict[str, Any]
    apis: tuple[ApiName, ...]


def row(  # noqa: PLR0913 - what varies
    what: str,
    *happens: Fault,
    says: str = "",
    pause: float = 0.0,
    within: float = 30.0,
    switches: dict[str, Any] | None = None,
    apis: tuple[ApiName, ...] = CORE,
    **settings: object,
) -> Any:
    """Make a row of a matrix."""
    return pytest.param(Case(happens, says, pause, within, switches or {}, settings, apis), id=what)


def in_each_api(rows: Iterable[Any]) -> list[Any]:
    """Make of each row the parameters `api`, `max_concurrency` and `case`: one run for each API and way of reading.

    Args:
        rows: What `row` made. The Core API is read page by page and ahead, the Query API, whose lists say no total,
            page by page.
    """
    runs: dict[str, tuple[int, ...]] = {"core": (1, 8), "query": (1,)}
    found = []
    for param in rows:
        case: Case = param.values[0]
        found += [
            pytest.param(api, ahead, case, id=f"{api}-{ahead}-{param.id}") for api in case.apis for ahead in runs[api]
        ]
    return found
