"""What a refusal looks like: one line, before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.fault_runs import assert_discreet

if TYPE_CHECKING:
    from tests.sandbox import Sandbox
    from tests.support.run import Run


def assert_refused(run: Run, sandbox: Sandbox, *says: str, code: int = 1) -> None:
    """Check that the one line names what is wrong, and how little else happened."""
    asked = sandbox.requests.copy()
    sandbox.requests.clear()
    assert asked == []
    assert run.code == code, run.stderr
    assert_discreet(run, sandbox)
    assert run.stdout == ""
    (line,) = run.errors or run.stderr.splitlines()
    missing = [word for word in says if word not in line]
    assert not missing, line
    assert len(line) < 500, line
