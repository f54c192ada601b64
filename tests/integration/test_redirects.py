"""A redirect is never followed, wherever it leads: the token would go along."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import faults
from tests.support.fault_runs import EVENTS, HASTY, assert_only_the_events_failed, small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("location", "names"),
    [
        pytest.param("http://{elsewhere}/core/events", "{elsewhere}", id="to another host"),
        pytest.param("https://{elsewhere}/core/events", "{elsewhere}", id="to another host, to HTTPS"),
        pytest.param("//{elsewhere}/core/events", "{elsewhere}", id="to another host, without a scheme"),
        pytest.param("http://me:hidden@{elsewhere}/x", "{elsewhere}", id="to another host, with a password"),
        pytest.param("http://{here}/core/properties", "{here}", id="to the same host"),
        pytest.param("/core/properties", "no host that it names", id="to a path"),
        pytest.param("http://[", "no host that it names", id="to garbage"),
        pytest.param("http://elsewhere:port/", "elsewhere:port", id="to a port that is none"),
        pytest.param("", "no host that it names", id="to nowhere"),
    ],
)
@pytest.mark.parametrize("code", [302, 307])
def test_a_redirect(location: str, names: str, code: int, tmp_path: Path) -> None:
    """The line names the host and the setting to change; nobody else is asked, and no record comes from elsewhere."""
    with small_sandbox() as sandbox, small_sandbox() as elsewhere:
        hosts = {"here": sandbox.url.split("/")[2], "elsewhere": elsewhere.url.split("/")[2]}
        sandbox.faults.append(faults.redirect(location.format(**hosts), code, **EVENTS))
        run = watched_sync(sandbox, tmp_path, **HASTY)
        assert elsewhere.requests == []
    says = f"HTTP {code}: the API redirects /core/events to {re.escape(names.format(**hosts))}, and .*set api_url to"
    assert_only_the_events_failed(run, sandbox, says)
    assert "hidden@" not in run.stderr


@pytest.mark.parametrize("code", [300, 301, 303, 304, 308])
def test_each_other_3xx(code: int, tmp_path: Path) -> None:
    """Another code does not make a redirect better."""
    with small_sandbox(faults.redirect("http://elsewhere.invalid/", code, **EVENTS)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert_only_the_events_failed(run, sandbox, f"HTTP {code}: the API redirects /core/events to elsewhere.invalid, ")
