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
        ahead: Whether it is tried with pages fetched ahead too, for their order can matter.
        real_time: Whether the sandbox counts time, so that waiting has to take time.
    """

    faults: tuple[Fault, ...]
    says: str
    pause: float
    within: float
    switches: dict[str, Any]
    settings: dict[str, Any]
    apis: tuple[ApiName, ...]
    ahead: bool
    real_time: bool


def row(  # noqa: PLR0913 - what varies
    what: str,
    *happens: Fault,
    says: str = "",
    pause: float = 0.0,
    within: float = 30.0,
    switches: dict[str, Any] | None = None,
    apis: tuple[ApiName, ...] = CORE,
    ahead: bool = False,
    real_time: bool = False,
    **settings: object,
) -> Any:
    """Make a row of a matrix."""
    return pytest.param(Case(happens, says, pause, within, switches or {}, settings, apis, ahead, real_time), id=what)


def in_each_api(rows: Iterable[Any]) -> list[Any]:
    """Make of each row the parameters `api`, `max_concurrency` and `case`.

    Pages are fetched ahead in the Core API alone: the lists of the Query API have no total.
    """
    found = []
    for param in rows:
        case: Case = param.values[0]
        runs = [(api, 1) for api in case.apis] + [("core", 8)] * (case.ahead and "core" in case.apis)
        found += [pytest.param(api, most, case, id=f"{api}-{most}-{param.id}") for api, most in runs]
    return found
