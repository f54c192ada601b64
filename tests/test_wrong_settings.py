"""Each wrong setting is refused: one line that names it, an exit code, no traceback, and no request."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from scripts.about import OWN_SETTINGS
from tap_kissmetrics.apis import QUERY
from tests.expected import in_order_of_sync
from tests.fault_runs import small_sandbox, watched_sync
from tests.refusals import assert_refused
from tests.sandbox import PARENTS
from tests.tap_process import environment, run_tap, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox


def wrong(name: str, says: str, *values: object) -> list[Any]:
    """Make a row of each value."""
    return [pytest.param(name, value, says, id=f"{name} {json.dumps(value)}") for value in values]


SETTINGS = [
    pytest.param("page_size", True, "must be an integer from 1 to 10000, not true", id="page_size true"),
    *wrong("page_size", "must be an integer from 1 to 10000, not ", 0, -1, "abc", "10", "", 1.5, 10_001, 10**9, [], {}),
    *wrong("api_url", "must be a URL such as https://api.kissmetrics.com/core, not ", "", " ", "https://", "/core",
           "api.kissmetrics.com/core", "https:///core", "https://ho st/", "https://host\n/core"),
    *wrong("api_url", "must start with https:// (http:// is for this machine only), not ", "ftp://127.0.0.1/core",
           "//host/core", "file://localhost/core", "http://api.kissmetrics.com/core", "http://192.168.1.1/core",
           "http://127.0.0.1.example.com/core", "http://localhost.example.com/", "http://0.0.0.0/core"),
    *wrong("api_url", "is not a URL", "http://[", "https://[::1/core", "https://host:port/", "https://host:99999/"),
    *wrong("api_url", "must not hold a user, a password, a query or a fragment", "https://me:password@host/core",
           "http://user@127.0.0.1/core",
           "https://host/core?limit=1", "https://host/core#top"),
    *wrong("api_url", "is not a URL", "https://*.kissmetrics.com/core"),
    *wrong("api_url", "must be text, not 5", 5),
    *wrong("start_date", "must be a date-time such as 2024-01-31T00:00:00Z, not ", "yesterday", "", "2024-13-01",
           "2024-01-01T25:00:00Z", "31.01.2024"),
    *wrong("start_date", "must be text, not 20240101", 20240101),
    *wrong("product_ids", "must be a list of text or numbers, not ", "one", 5, {}, [1.5], [None], [["a"]]),
    *wrong("product_ids", "must be ids, not ", [""], ["a/b"], [".."], ["a?b"], ["ü"]),
    *wrong("request_timeout", "must be a number above 0, up to 3600, not ", 0, -1, "abc", 10**9, float("inf")),
    *wrong("retry_timeout", "must be a number from 0 to 86400, not ", -1, "abc"),
    *wrong("backoff_factor", "must be a number above 0, up to 60, not ", 0, "abc"),
    *wrong("requests_per_minute", "must be an integer from 1 to 100000, not ", 0, "many", 1.5),
    *wrong("emit_activate_version_messages", "must be true or false, not ", "perhaps", "yes"),
    *wrong("query_url", "must start with https:// (http:// is for this machine only), not ",
           "http://query.example.com/v2", "ftp://query.example.com/v2"),
    *wrong("max_concurrency", "must be an integer from 1 to 32, not ", 0, 33, "4"),
    *wrong("api", "must be core or query, not ", "v3", 3),
    *wrong("query_timeout", "must be a number above 0, up to 86400, not ", 0, "long"),
    *wrong("report_ids", "must be ", ["*", "x"], "x", [""]),
    *wrong("report_date_range", "must be an object, not ", "today"),
]  # fmt: skip


BATCHES: dict[str, Any] = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp"}}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"batch_size": 0, "storage": {"root": "file:///tmp"}}, "its batch_size must be an integer from 1 on, not 0"),
        (
            {"batch_size": 10.0, "storage": {"root": "file:///tmp"}},
            "its batch_size must be an integer from 1 on, not 10.0",
        ),
        ({"encoding": {"format": "jsonl"}}, "must have a storage with a root"),
        ({"storage": {"root": "file:///tmp"}}, "must have an encoding with a format, jsonl or parquet"),
        ({"storage": {"root": "file:///tmp"}, "encoding": {}}, "must have an encoding with a format, jsonl or parquet"),
        ({**BATCHES, "encoding": {"format": "csv"}}, "must have an encoding with a format, jsonl or parquet"),
        ({**BATCHES, "encoding": {"format": "jsonl", "level": 9}}, "got an unexpected keyword argument 'level'"),
        ({**BATCHES, "rows": 5}, "got an unexpected keyword argument 'rows'"),
        ({**BATCHES, "storage": {"root": "data:,x"}}, ""),
        ({**BATCHES, "storage": {"root": "nowhere://batches"}}, "Unsupported filesystem: 'nowhere'"),
        ({**BATCHES, "storage": {"root": "file:///tmp", "params": 5}}, ""),
    ],
    ids=json.dumps,
)
def test_a_batch_config(config: dict[str, Any], says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A size of 0 would write nothing at all, and end well."""
    assert_refused(sync(sandbox, tmp_path, batch_config=config), sandbox, f"batch_config: {says}")


@pytest.mark.parametrize(
    "url", ["https://joe:SECRET@host:99999999/", "https://host/core?token=SECRET ", "ftp://h/?SECRET"]
)
def test_a_secret_in_an_address(url: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is not shown, wrong as the address may be otherwise."""
    run = sync(sandbox, tmp_path, api_url=url)
    assert_refused(run, sandbox, "api_url: ")
    assert "SECRET" not in run.stderr


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
    assert "cannot be asked: Could not find a suitable TLS CA certificate bundle" in run.errors[0]
    assert "Traceback" not in run.stderr


def test_each_setting_has_a_row() -> None:
    """Those of the Query API are in test_settings_of_each_api.py, `api_token` below."""
    named = {row.values[0] for row in SETTINGS}
    assert OWN_SETTINGS.keys() - named == {"api_token", *QUERY.settings}


@pytest.mark.parametrize(("name", "value", "says"), SETTINGS)
def test_a_setting(name: str, value: object, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the setting and what it may be."""
    run = run_tap(folder=tmp_path, config={**settings_for(sandbox), name: value})
    assert_refused(run, sandbox, f"{name}: ", says)


@pytest.mark.parametrize("name", ["request_timeout", "retry_timeout", "backoff_factor"])
def test_not_a_number(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """NaN is no JSON, but Python reads it, and it is neither too small nor too large."""
    run = run_tap(folder=tmp_path, config={**settings_for(sandbox), name: float("nan")})
    assert_refused(run, sandbox, "NaN")


@pytest.mark.parametrize(
    "token",
    ["", " ", "SECRET with-blanks", "SECRET-and\nline-break", "SECRET-and-newline\n", "\tSECRET", "SECRET-ünïcode",
     "SECRET\ud800", "SECRET\x00", 1234567890, ["SECRET"], {"SECRET": 1}, True],
    ids=json.dumps,
)  # fmt: skip
def test_a_token(token: object, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names `api_token`, and never shows its value."""
    run = sync(sandbox, tmp_path, api_token=token, env={"LOGLEVEL": "DEBUG"})
    assert_refused(run, sandbox, "api_token: must be ", "(its value is not shown)")
    assert "SECRET" not in run.stderr
    assert "1234567890" not in run.stderr


@pytest.mark.parametrize("config", [{}, {"api_token": None}], ids=["absent", "null"])
def test_no_token(config: dict[str, None], sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says where to put it."""
    run = run_tap(folder=tmp_path, config={"api_url": sandbox.url, **config})
    assert_refused(run, sandbox, "api_token is required: put it in the config file or in TAP_KISSMETRICS_API_TOKEN")


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
    """It is only seen with the first record."""
    run = sync(sandbox, tmp_path, stream_maps={"accounts": {"name": "nmae"}})
    assert run.code == 1
    assert run.errors == ["stream_maps: Failed to evaluate simpleeval expressions nmae."]


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
