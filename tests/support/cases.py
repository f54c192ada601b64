"""Small sandboxes, rows of the fault matrices, and the runs that are made of each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_discreet
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.sandbox import ApiName, Fault
    from tests.support.run import Run

SMALL: dict[str, Any] = {"products": 3, "reports": 7, "events": 60, "properties": 25, "metrics": 5}
"""Few records, yet several pages of `PAGE_SIZE`."""

SMALL_QUERY: dict[str, Any] = {**SMALL, "products": 1}
"""The same of the Query API; all are of one product, so that each list has the pages that it has in the Core API."""

PAGE_SIZE = 10


EVENTS: faults.When = {"resource": "events"}
"""Every page of the events."""

HASTY: dict[str, Any] = {"retry_timeout": 0.3, "emit_activate_version_messages": True}
"""A request may go on failing for 0.3 s."""


def small_sandbox(*happens: Fault, api: ApiName = "core", **switches: Any) -> Sandbox:
    """Make a sandbox with few records, and with faults that were not met yet."""
    fresh = [dataclasses.replace(fault, seen=0) for fault in happens]
    account = make_account(**SMALL) if api == "core" else make_query_account(**SMALL_QUERY)
    return Sandbox(account, api=api, faults=fresh, **switches)


def watched_sync(
    sandbox: Sandbox,
    folder: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    **settings: Any,
) -> Run:
    """Sync at the log level DEBUG, and check that neither a secret nor a traceback is shown."""
    settings = {"page_size": PAGE_SIZE, **settings}
    run = sync(sandbox, folder, *arguments, env={"LOGLEVEL": "DEBUG", **(env or {})}, **settings)
    assert "| DEBUG " in run.stderr
    assert_discreet(run, sandbox)
    return run


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
