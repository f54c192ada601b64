"""Each wrong setting is refused: one line that names it, an exit code, no traceback, and no request."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import PARENTS
from tests.support.assertions import assert_refused, in_order_of_sync
from tests.support.cases import small_sandbox, watched_sync
from tests.support.run import environment, settings_for
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox


@pytest.mark.parametrize("content", [b"TAP_KISSMETRICS_API_TOKEN=\xff\n", b"TAP_KISSMETRICS_API_TOKEN=a\x00b\n"])
def test_a_dotenv_file(content: bytes, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names it."""
    (tmp_path / ".env").write_bytes(content)
    assert_refused(run_tap(folder=tmp_path), sandbox, f"{tmp_path / '.env'} cannot be read: ")


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    """`REQUESTS_CA_BUNDLE` may name a file that does not exist."""
    with small_sandbox() as sandbox:
        url = sandbox.url.replace("http:", "https:")
        run = sync(sandbox, tmp_path, api_url=url, env={"REQUESTS_CA_BUNDLE": "/nonexistent.pem"})
    assert run.code == 1
    assert "cannot be reached: Could not find a suitable TLS CA certificate bundle" in run.errors[0]
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("token", ["", "SECRET with-blanks", 1234567890], ids=json.dumps)
def test_a_token(token: object, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names `api_token`, and at no level shows its value."""
    run = sync(sandbox, tmp_path, api_token=token, env={"LOGLEVEL": "DEBUG"})
    assert_refused(run, sandbox, "api_token: must be ", "(its value is not shown)")
    assert "SECRET" not in run.stderr
    assert "1234567890" not in run.stderr


def test_a_secret_in_an_address(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is not shown, wrong as the address may be otherwise."""
    run = sync(sandbox, tmp_path, api_url="https://joe:SECRET@host:99999999/")
    assert_refused(run, sandbox, "api_url: ")
    assert "SECRET" not in run.stderr


def test_a_batch_config(sandbox: Sandbox, tmp_path: Path) -> None:
    """A size of 0 would write nothing at all, and end well."""
    config = {"batch_size": 0, "storage": {"root": "file:///tmp"}}
    assert_refused(sync(sandbox, tmp_path, batch_config=config), sandbox, "batch_config: batch_size must be")


@pytest.mark.parametrize("name", ["backoff_factor"])
def test_not_a_number(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """NaN is no JSON, but Python reads it, and it is neither too small nor too large."""
    run = run_tap(folder=tmp_path, config={**settings_for(sandbox), name: float("nan")})
    assert_refused(run, sandbox, "NaN")


@pytest.mark.parametrize("config", [{}, {"api_token": None}], ids=["absent", "null"])
def test_no_token(config: dict[str, None], sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says where to put it."""
    run = run_tap(folder=tmp_path, config={"api_url": sandbox.url, **config})
    assert_refused(run, sandbox, "api_token or username is required: put it in the config file or in TAP_")


def test_several_settings_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """One line names them all."""
    run = sync(sandbox, tmp_path, page_size=0, start_date="yesterday", api_url="ftp://x")
    assert_refused(run, sandbox, "page_size: must be", "start_date: must be", "api_url: must start with")


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_KISSMETRICS_LOGLEVEL"])
def test_an_unknown_log_level(variable: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the variable and the levels."""
    run = sync(sandbox, tmp_path, env={variable: "LOUD"})
    assert_refused(run, sandbox, f"{variable} must be one of ", "WARNING", "DEBUG", "not 'LOUD'")


def test_an_unknown_log_level_in_a_dotenv_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """The same line."""
    (tmp_path / ".env").write_text("LOGLEVEL=LOUD\n", encoding="utf-8")
    assert_refused(run_tap(folder=tmp_path, env=sandbox.env), sandbox, "LOGLEVEL must be one of ")


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_KISSMETRICS_LOGLEVEL"])
def test_an_empty_log_level_is_absent(variable: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """As `docker compose` passes on a variable that is not set."""
    assert "| INFO " in sync(sandbox, tmp_path, env={variable: ""}).succeeded().stderr


@pytest.mark.parametrize(
    ("maps", "says"),
    [
        ({"__else__": "x"}, "stream_maps: its __else__ must be __NULL__"),
        ({"events": {"__else__": 5}}, "stream_maps: its __else__ must be __NULL__"),
        ({"accounts": {"name": "1 +"}}, "stream_maps: Failed to parse expression 1 +."),
    ],
    ids=json.dumps,
)
def test_stream_maps(maps: dict[str, Any], says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the setting."""
    assert_refused(sync(sandbox, tmp_path, stream_maps=maps), sandbox, says)


def test_a_stream_map_that_knows_no_such_column(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is only seen with the first record, and an error of that stream."""
    run = sync(sandbox, tmp_path, stream_maps={"accounts": {"name": "nmae"}})
    assert run.code == 1
    assert run.failed == ["accounts"]
    key = sandbox.account.ids("accounts")[0]
    assert run.errors[0] == (
        f"accounts: stream_maps: name: nmae failed for the record with id={key!r}: "
        "NameNotDefined: 'nmae' is not defined for expression 'nmae'"
    )


def test_a_folder_that_is_gone(sandbox: Sandbox, tmp_path: Path) -> None:
    """A job may be started in one that was deleted."""
    program = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    assert program
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, program],
        cwd=tmp_path,
        env=environment(sandbox.env),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    assert "the working directory cannot be read: " in done.stderr.splitlines()[-1]
    assert sandbox.requests == []


def test_products_that_do_not_exist(tmp_path: Path) -> None:
    """Each stream below the product says so; the others are complete."""
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, product_ids=["no-such-product"])
    assert run.code == 1
    *lines, _ = run.errors
    assert all("HTTP 404: nothing at /core/products/no-such-product/" in line for line in lines)
    assert all("check api_url and product_ids" in line for line in lines)
    below = in_order_of_sync(name for name, parent in PARENTS.items() if parent == "products")
    assert run.failed == below
    assert run.records("products") == sandbox.account.records["products"]
