"""Each wrong setting is refused: one line that names it, an exit code, no traceback, and no request."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Tap

from tests.sandbox import PARENTS
from tests.support.assertions import assert_refused, in_order_of_sync
from tests.support.cases import small_sandbox, watched_sync
from tests.support.run import environment, settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox


@pytest.mark.parametrize("content", [b"TAP_KISSMETRICS_API_TOKEN=\xff\n", b"TAP_KISSMETRICS_API_TOKEN=a\x00b\n"])
def test_a_dotenv_file(content: bytes, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names it."""
    (tmp_path / ".env").write_bytes(content)
    assert_refused(run_tap(folder=tmp_path), sandbox, f"{tmp_path / '.env'} cannot be read: ")


BUNDLES = [
    None,
    b"",
    b"<html>Log in</html>",
    b"\x00\xff" * 99,
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
]


@pytest.mark.parametrize("content", BUNDLES, ids=["missing", "empty", "HTML", "binary", "damaged"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE"])
def test_certificates_that_cannot_be_read(variable: str, content: bytes | None, tmp_path: Path) -> None:
    """The line names the variable and the file."""
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    env = {**dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), ""), variable: str(path)}
    with small_sandbox() as sandbox:
        chosen: dict[str, Any] = {"export_urls": ["s3://bucket/x"]} if variable.startswith("AWS") else {}
        run = sync(sandbox, tmp_path, api_url=sandbox.url.replace("http:", "https:"), env=env, **chosen)
        assert_refused(run, sandbox, f"{variable}: no certificates can be read from {path}: ")


def test_an_error_that_nobody_expected(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line without secrets; the traceback is for DEBUG, and has none either."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot find {sandbox.token}")

    monkeypatch.setattr(Tap, "setup_mapper", fail)
    line = sync(sandbox, tmp_path).refused()
    assert line == "a bug of the tap; please report it, with LOGLEVEL=DEBUG: RuntimeError: cannot find (hidden)"
    run = sync(sandbox, tmp_path, env={"LOGLEVEL": "DEBUG"})
    assert "RuntimeError: cannot find (hidden)\n" in run.stderr
    assert sandbox.token not in run.stderr


def test_a_setting_from_a_variable(sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the variable too, and no other setting's."""
    env = {**sandbox.env, "TAP_KISSMETRICS_PAGE_SIZE": "0", "TAP_KISSMETRICS_API_URL": "ftp://x"}
    config = write_json(tmp_path / "config.json", {"max_concurrency": 0})
    run = run_tap("--config", config, "--config", "ENV", folder=tmp_path, env=env)
    says = ["page_size (from TAP_KISSMETRICS_PAGE_SIZE): 0 is less", "api_url (from TAP_KISSMETRICS_API_URL): must be"]
    assert_refused(run, sandbox, *says, "max_concurrency: 0 is less")


def test_a_variable_that_is_not_read(sandbox: Sandbox, tmp_path: Path) -> None:
    """A config file alone is given: the line says how to read both."""
    run = run_tap(folder=tmp_path, config={"api_url": sandbox.url}, env=sandbox.env)
    assert_refused(run, sandbox, "api_token or username is required: ", "; beside a file, variables need --config ENV")


def test_names_that_are_misspelt(sandbox: Sandbox, tmp_path: Path) -> None:
    """The nearest name, whatever the case; none for what is near to nothing. They are named beside an error as well."""
    env = {**sandbox.env, "TAP_KISSMETRICS_PGE_SIZE": "1", "TAP_KISSMETRICS__SELECT": "1"}
    config = write_json(tmp_path / "config.json", {"API_TOKEN": "x", "Page-Size": 1, "x" * 5000: 1})
    run = run_tap("--config", config, "--config", "ENV", folder=tmp_path, env=env).succeeded()
    variables, settings = run.warnings
    assert variables.endswith(
        ": TAP_KISSMETRICS_PGE_SIZE (did you mean TAP_KISSMETRICS_PAGE_SIZE?), TAP_KISSMETRICS__SELECT"
    )
    assert ": API_TOKEN (did you mean api_token?), Page-Size (did you mean page_size?), xxx" in settings
    assert len(settings) < 400
    run = run_tap("--config", config, folder=tmp_path)
    assert "did you mean api_token?" in run.stderr
    assert "is required" in run.refused()


@pytest.mark.parametrize("name", ["start_date", "page_size", "product_ids", "stream_maps", "export_urls"])
def test_a_wrong_value_is_shown_in_part(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It may be long, and hold a secret where it is cut."""
    wrong: Any = f"{'x' * 40} {sandbox.token}{'y' * 5000}"
    value = {"product_ids": [wrong], "stream_maps": {"accounts": [wrong]}, "export_urls": [f"https://{wrong}"]}
    run = sync(sandbox, tmp_path, **{name: value.get(name, wrong)})
    assert_refused(run, sandbox, f"{name}: ", "...")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stream_maps": {"accounts": 1}}, "stream_maps: accounts: 1 is not valid under any of the given schemas"),
        ({"export_urls": ["s3:/bucket/x"]}, "export_urls: must be s3://bucket/prefix"),
        ({"start_date": "1711110512345"}, "start_date: must be a date-time such as"),
    ],
    ids=json.dumps,
)
def test_what_other_parts_would_take_for_something_else(
    settings: dict[str, Any], says: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The line names the setting, and not another one."""
    assert_refused(sync(sandbox, tmp_path, **settings), sandbox, says)


@pytest.mark.parametrize("token", ["SECRET with-blanks", "SECRET\n", 1234567890], ids=json.dumps)
def test_a_token(token: object, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names `api_token`, and at no level shows its value."""
    run = sync(sandbox, tmp_path, api_token=token, env={"LOGLEVEL": "DEBUG"})
    assert_refused(run, sandbox, "api_token: ", "(its value is not shown)")
    assert "SECRET" not in run.stderr
    assert "1234567890" not in run.stderr


def test_a_secret_in_an_address(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is not shown, wrong as the address may be otherwise."""
    run = sync(sandbox, tmp_path, api_url="https://joe:SECRET@host:99999999/")
    assert_refused(run, sandbox, "api_url: ")
    assert "SECRET" not in run.stderr


def test_a_batch_config(sandbox: Sandbox, tmp_path: Path) -> None:
    """A size of 0 would write nothing at all, and end well."""
    config = {"batch_size": 0, "encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp"}}
    assert_refused(sync(sandbox, tmp_path, batch_config=config), sandbox, "batch_config: batch_size must be")


@pytest.mark.parametrize("name", ["backoff_factor"])
def test_not_a_number(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """NaN is no JSON, but Python reads it, and it is neither too small nor too large."""
    run = run_tap(folder=tmp_path, config={**settings_for(sandbox), name: float("nan")})
    assert_refused(run, sandbox, "NaN")


@pytest.mark.parametrize("config", [{}, {"api_token": None}, {"api_token": ""}], ids=["absent", "null", "empty"])
def test_no_token(config: dict[str, str | None], sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says where to put it."""
    run = run_tap(folder=tmp_path, config={"api_url": sandbox.url, **config})
    assert_refused(run, sandbox, "api_token or username is required: put it in the config file or in TAP_")


def test_several_settings_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """One line names them all."""
    run = sync(sandbox, tmp_path, page_size=0, query_timeout="long", api_url="ftp://x")
    assert_refused(run, sandbox, "page_size: 0 is less", "; query_timeout: 'long' is not", "api_url: must be an https")
    run = sync(sandbox, tmp_path, start_date="yesterday", report_date_range={"preset": "today"})
    assert_refused(run, sandbox, "report_date_range: must be", "; start_date: must be")


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
        ({"__else__": "x"}, "stream_maps: cannot be used: "),
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
        f"accounts: stream_maps: failed for the record with id={key!r}: "
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
