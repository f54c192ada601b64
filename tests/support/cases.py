"""Small sandboxes, and the runs that are made of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tests.sandbox import Sandbox, make_account, make_query_account
from tests.support.assertions import assert_discreet
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.sandbox import ApiName, Fault, faults
    from tests.support.run import Run

SMALL: dict[str, Any] = {"products": 3, "reports": 7, "events": 60, "properties": 25, "metrics": 5}
"""Few records, yet several pages of ten, which `watched_sync` reads."""

SMALL_QUERY: dict[str, Any] = {**SMALL, "products": 1}
"""The same of the Query API; all are of one product, so that each list has the pages that it has in the Core API."""

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
    settings = {"page_size": 10, **settings}
    run = sync(sandbox, folder, *arguments, env={"LOGLEVEL": "DEBUG", **(env or {})}, **settings)
    assert "| DEBUG " in run.stderr
    assert_discreet(run, sandbox)
    return run
