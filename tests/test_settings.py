"""Settings come from a file, the environment or `.env`; a wrong one is refused in one line, before any request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_kissmetrics.errors import SettingsError
from tests.about import OWN_SETTINGS
from tests.sandbox import RESOURCES, Sandbox
from tests.tap_in_process import sync_here
from tests.tap_process import QUICK, Run, catalog_of, run_tap, settings_for, sync, write_json

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("_forked")

TOKEN_OF_A_USER = "a-token-that-must-never-be-shown"  # noqa: S105 - it opens nothing
DEFAULTS = {
    "api": "core",
    "query_timeout": 3600,
    "query_url": "https://query.kissmetrics.com/v2",
    "max_concurrency": 4,
    "request_timeout": 60,
    "retry_timeout": 120,
    "backoff_factor": 1,
    "emit_activate_version_messages": False,
}
OWN = list(OWN_SETTINGS)


def limits(sandbox: Sandbox) -> set[str]:
    """Give the values of `limit` that were asked for: they show which `page_size` was in force."""
    return {request.query["limit"] for request in sandbox.requests}


def dotenv(folder: Path, **settings: object) -> None:
    """Write a `.env` file into a folder."""
    lines = [f"TAP_KISSMETRICS_{name.upper()}={value}\n" for name, value in settings.items()]
    (folder / ".env").write_text("".join(lines), encoding="utf-8")


class TestDefinition:
    """What a user is told of a setting."""

    @pytest.mark.parametrize("name", OWN)
    def test_each_has_a_title_a_description_and_its_default(self, name: str) -> None:
        assert OWN_SETTINGS[name]["title"]
        assert len(OWN_SETTINGS[name]["description"].split()) >= 5
        assert OWN_SETTINGS[name].get("default") == DEFAULTS.get(name)
        assert OWN_SETTINGS[name].get("secret", False) is (name in {"api_token", "username", "password"})


class TestWhereTheyComeFrom:
    """A file, the environment, `.env`."""

    def test_file(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, page_size=11).succeeded()
        assert limits(sandbox) == {"11"}

    def test_default(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path).succeeded()
        assert limits(sandbox) == {"1000"}

    def test_environment_with_values_of_every_type(self, sandbox: Sandbox, tmp_path: Path) -> None:
        product = sandbox.account.ids("products")[0]
        env = {
            "PAGE_SIZE": "12",
            "REQUEST_TIMEOUT": "7.5",
            "PRODUCT_IDS": json.dumps([product]),
            "EMIT_ACTIVATE_VERSION_MESSAGES": "true",
            "START_DATE": "2001-01-01T00:00:00Z",
        }
        prefixed = {f"TAP_KISSMETRICS_{name}": value for name, value in env.items()}
        run = run_tap(folder=tmp_path, env=sandbox.env | prefixed).succeeded()
        assert limits(sandbox) == {"12"}
        assert f"/core/products/{product}/events" in {request.path for request in sandbox.requests}
        assert run.of_type("ACTIVATE_VERSION")

    def test_list_in_the_environment_may_be_plain(self, sandbox: Sandbox, tmp_path: Path) -> None:
        first, second = sandbox.account.ids("products")[:2]
        env = sandbox.env | {"TAP_KISSMETRICS_PRODUCT_IDS": f"{first}, {second}"}
        run_tap(folder=tmp_path, env=env).succeeded()
        paths = {request.path for request in sandbox.requests}
        assert {f"/core/products/{product}/events" for product in (first, second)} <= paths

    def test_dotenv_in_the_working_folder(self, sandbox: Sandbox, tmp_path: Path) -> None:
        dotenv(tmp_path, api_url=sandbox.url, api_token=sandbox.token, page_size=13)
        run_tap(folder=tmp_path).succeeded()
        assert limits(sandbox) == {"13"}

    def test_real_environment_wins_over_dotenv(self, sandbox: Sandbox, tmp_path: Path) -> None:
        dotenv(tmp_path, api_url=sandbox.url, api_token="stale", page_size=13)  # noqa: S106 - it opens nothing
        run_tap(folder=tmp_path, env=sandbox.env | {"TAP_KISSMETRICS_PAGE_SIZE": "14"}).succeeded()
        assert limits(sandbox) == {"14"}

    def test_file_alone_takes_nothing_from_the_environment(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, page_size=11, env={"TAP_KISSMETRICS_PAGE_SIZE": "15"}).succeeded()
        assert limits(sandbox) == {"11"}

    def test_environment_wins_over_a_file_where_both_are_named(self, sandbox: Sandbox, tmp_path: Path) -> None:
        env = {"TAP_KISSMETRICS_PAGE_SIZE": "15"}
        sync(sandbox, tmp_path, "--config", "ENV", page_size=11, env=env).succeeded()
        assert limits(sandbox) == {"15"}

    def test_null_is_absent(self, sandbox: Sandbox, tmp_path: Path) -> None:
        nulls = dict.fromkeys(name for name in OWN if name not in {"api_token", "api_url"})
        run_tap(folder=tmp_path, config=settings_for(sandbox) | nulls).succeeded()
        assert limits(sandbox) == {"1000"}

    def test_empty_variable_is_absent(self, sandbox: Sandbox, tmp_path: Path) -> None:
        empty = {f"TAP_KISSMETRICS_{name.upper()}": "" for name in OWN} | {"TAP_KISSMETRICS_PRODUCT_IDS": " "}
        run_tap(folder=tmp_path, env=empty | sandbox.env).succeeded()
        assert limits(sandbox) == {"1000"}

    def test_empty_variable_is_no_token(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, env=sandbox.env | {"TAP_KISSMETRICS_API_TOKEN": ""})
        assert_refused(run, sandbox, "api_token is required")

    def test_where_they_come_from_is_logged(self, sandbox: Sandbox, tmp_path: Path) -> None:
        dotenv(tmp_path, api_url=sandbox.url, api_token=sandbox.token)
        (tmp_path / "below").mkdir()
        log = run_tap(folder=tmp_path / "below").succeeded().stderr
        assert f"Settings from the environment and {tmp_path / '.env'}: api_token, api_url\n" in log

    def test_unknown_one_gets_a_warning(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, page_sice=5).succeeded()
        (line,) = [line for line in run.stderr.splitlines() if "| WARNING " in line]
        assert "page_sice" in line


WRONG: list[tuple[str, object, tuple[str, ...]]] = [
    ("page_size", 0, ("integer", "1", "10000", "not 0")),
    ("page_size", -1, ("integer", "1", "10000", "not -1")),
    ("page_size", 10_001, ("integer", "1", "10000")),
    ("page_size", "100", ("integer", "1", "10000")),
    ("page_size", 2.5, ("integer", "1", "10000")),
    ("page_size", True, ("integer", "1", "10000")),
    ("request_timeout", 0, ("number above 0", "3600")),
    ("request_timeout", -1, ("number above 0", "3600")),
    ("request_timeout", "soon", ("number above 0", "3600")),
    ("retry_timeout", -1, ("number", "0", "86400")),
    ("backoff_factor", 0, ("number above 0", "60")),
    ("requests_per_minute", 0, ("integer", "1")),
    ("emit_activate_version_messages", "yes", ("true or false",)),
    ("product_ids", "one", ("a list of text or numbers",)),
    ("product_ids", [1.5], ("a list of text or numbers",)),
    ("product_ids", ["a/../b"], ("must be ids", "a/../b")),
    ("product_ids", [""], ("must be ids",)),
    ("start_date", "yesterday", ("date-time", "such as", "yesterday")),
    ("start_date", "2024-13-01", ("date-time", "2024-13-01")),
    ("start_date", 2024, ("text",)),
    ("api_token", "", ("bare token",)),
    ("api_token", f"{TOKEN_OF_A_USER}\n", ("bare token",)),
    ("api_token", f"Bearer {TOKEN_OF_A_USER}", ("bare token", "without spaces")),
    ("api_token", f"{TOKEN_OF_A_USER}é", ("bare token", "ASCII")),
    ("api_token", [TOKEN_OF_A_USER], ("text",)),
]
"""A setting, a value it may not have, and what the line must say."""


class TestWrongValues:
    """Values that a setting may not have."""

    @pytest.mark.parametrize(("name", "value", "words"), WRONG)
    def test_wrong_value_is_refused(self, name: str, value: object, words: tuple[str, ...], sandbox: Sandbox) -> None:
        with pytest.raises(SettingsError) as caught:
            sync_here(sandbox, **{name: value})
        assert_says(str(caught.value), name, *words)
        assert not sandbox.requests

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [rows[-1] for rows in ([row for row in WRONG if row[0] == name] for name in OWN) if rows],
    )
    def test_command_line_refuses_in_one_line(
        self, name: str, value: object, words: tuple[str, ...], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        run = run_tap(folder=tmp_path, config=settings_for(sandbox) | {name: value})
        assert_refused(run, sandbox, name, *words)

    @pytest.mark.parametrize(
        ("name", "text"), [("page_size", "many"), ("request_timeout", "1,5"), ("product_ids", "[1")]
    )
    def test_wrong_variable_is_refused_likewise(self, name: str, text: str, sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, env=sandbox.env | {f"TAP_KISSMETRICS_{name.upper()}": text})
        assert_refused(run, sandbox, name, "must be")

    def test_all_that_is_wrong_is_named_at_once(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, page_size=0, start_date="soon", api_url="ftp://x")
        assert_refused(run, sandbox, "page_size", "start_date", "api_url")


def assert_refused(run: Run, sandbox: Sandbox, *words: str) -> None:
    """Assert that a run was refused in one line that says these words, with no request and no secret shown."""
    assert_says(run.refused(), *words)
    assert not sandbox.requests
    for secret in (TOKEN_OF_A_USER, sandbox.token):
        assert secret not in run.stderr


def assert_says(line: str, *words: str) -> None:
    """Assert that an error is one line, says these words, and shows no secret."""
    assert line.splitlines() == [line]
    for word in words:
        assert word in line
    assert TOKEN_OF_A_USER not in line


class TestToken:
    """`api_token` is required to sync, and to nothing else."""

    @pytest.mark.parametrize("config", [{}, {"api_token": None}])
    def test_sync_needs_it(self, config: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, config={"api_url": sandbox.url, **QUICK, **config})
        assert_refused(run, sandbox, "api_token", "required", "TAP_KISSMETRICS_API_TOKEN")

    @pytest.mark.parametrize("option", ["--discover", "--about", "--version", "--help"])
    def test_other_commands_do_not(self, option: str, tmp_path: Path) -> None:
        assert run_tap(option, folder=tmp_path).succeeded().stdout

    def test_is_in_nothing_that_the_tap_writes(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, env={"TAP_KISSMETRICS_LOGLEVEL": "DEBUG"}).succeeded()
        assert "DEBUG" in run.stderr
        assert sandbox.token not in run.stdout + run.stderr


class TestAddress:
    """`api_url`."""

    @pytest.mark.parametrize("slashes", ["", "/", "//"])
    def test_may_end_with_a_slash(self, slashes: str, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, api_url=sandbox.url + slashes).succeeded()
        assert {request.path for request in sandbox.requests} == {f"/core/{name}" for name in RESOURCES}

    def test_loopback_has_a_name_too(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, api_url=sandbox.url.replace("127.0.0.1", "localhost")).succeeded()

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.example.invalid/core",
            "http://127.0.0.1.example.invalid/core",
            "http://localhost.example.invalid/core",
            "http://192.0.2.1/core",
            "http://0.0.0.0/core",
            "ftp://127.0.0.1/core",
            "file:///core",
            "api.example.invalid/core",
            "",
            "https://",
            "https://api.example.invalid:port/core",
            "https://[::1/core",
            "https://api example.invalid/core",
            "{sandbox}?limit=5",
            "{sandbox}#top",
            "http://user@127.0.0.1/core",
            f"http://user:{TOKEN_OF_A_USER}@127.0.0.1/core",
        ],
    )
    def test_anything_else_is_refused(self, url: str, sandbox: Sandbox) -> None:
        with pytest.raises(SettingsError) as caught:
            sync_here(sandbox, api_url=url.format(sandbox=sandbox.url))
        assert_says(str(caught.value), "api_url: ")
        assert not sandbox.requests

    @pytest.mark.parametrize("start", ["http://user@", f"http://user:{TOKEN_OF_A_USER}@", "ftp://"])
    def test_command_line_refuses_in_one_line(self, start: str, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, api_url=sandbox.url.replace("http://", start))
        assert_refused(run, sandbox, "api_url: ")


class TestStartDate:
    """`start_date`."""

    def test_start_date_cuts_incremental_streams_only(self, sandbox: Sandbox, tmp_path: Path) -> None:
        for number, record in enumerate(sandbox.account.records["accounts"]):
            record["updated_at"] = f"20{10 + number}-01-01T00:00:00Z"
        catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path, accounts={}, products={}, events={}))
        run = sync(sandbox, tmp_path, "--catalog", catalog, start_date="2011-01-01T01:00:00+01:00").succeeded()
        assert [record["updated_at"][:4] for record in run.records("accounts")] == ["2011"]
        assert len(run.records("products")) == sandbox.account.counts["products"]
        assert len(run.records("events")) == sandbox.account.counts["events"]
