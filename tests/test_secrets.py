"""The token is shown nowhere and goes to nobody else; the fault matrix looks for it in every run, at DEBUG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fault_runs import assert_discreet, small_sandbox, watched_sync
from tests.sandbox import faults
from tests.tap_process import run_tap, settings_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("_unmeasured")

TOKENS = ["short", "sandbox-token-of-a-usual-length", "a/token+with=signs%20&of?every#kind", r"t\d+(regex)*[x]$"]


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.parametrize(
    "arguments",
    [["--about"], ["--about", "--format", "json"], ["--about", "--format", "markdown"], ["--discover"], ["--test"],
     ["--version"], ["--help"]],
    ids=" ".join,
)  # fmt: skip
def test_no_command_shows_it(arguments: list[str], level: str, tmp_path: Path) -> None:
    """Neither from the config file nor from the environment."""
    with small_sandbox() as sandbox:
        config = settings_for(sandbox)
        given = run_tap(*arguments, folder=tmp_path, config=config, env={"LOGLEVEL": level}).succeeded()
        found = run_tap(*arguments, folder=tmp_path, env={"LOGLEVEL": level, **sandbox.env}).succeeded()
    assert_discreet(given, sandbox)
    assert_discreet(found, sandbox)


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_of_every_kind_are_hidden(token: str, tmp_path: Path) -> None:
    """What is echoed is replaced, whatever signs are in it."""
    with small_sandbox(faults.echo_token(400, resource="events"), token=token) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.code == 1
    assert run.errors[0].endswith("the API says: Cannot do that with Bearer (hidden)")


def test_it_goes_to_one_place_only(tmp_path: Path) -> None:
    """In the Authorization header of each request, and nowhere else."""
    with small_sandbox() as sandbox:
        watched_sync(sandbox, tmp_path).succeeded()
    for request in sandbox.requests:
        carriers = [name for name, value in request.headers.items() if sandbox.token in value]
        assert carriers == ["authorization"]
