"""Settings come from a file, the environment or `.env`; a wrong one is refused in one line, before any request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from scripts.about import OWN_SETTINGS
from tests.sandbox import RESOURCES, Sandbox
from tests.support.run import settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = {
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

    def test_null_in_a_variable_is_absent(self, sandbox: Sandbox, tmp_path: Path) -> None:
        nulls = {f"TAP_KISSMETRICS_{name}": "null" for name in ("MAX_CONCURRENCY", "RETRY_TIMEOUT", "STREAM_MAPS")}
        run_tap(folder=tmp_path, env=nulls | sandbox.env).succeeded()
        assert limits(sandbox) == {"1000"}

    def test_environment_wins_wherever_it_is_named(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = write_json(tmp_path / "second.json", settings_for(sandbox, page_size=11))
        env = {"TAP_KISSMETRICS_PAGE_SIZE": "15"}
        run_tap("--config", "ENV", "--config", path, folder=tmp_path, env=env).succeeded()
        assert limits(sandbox) == {"15"}

    def test_empty_variable_is_no_token(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, env=sandbox.env | {"TAP_KISSMETRICS_API_TOKEN": ""})
        assert run.refused().startswith("api_token or username is required")
        assert not sandbox.requests

    def test_where_they_come_from_is_logged(self, sandbox: Sandbox, tmp_path: Path) -> None:
        dotenv(tmp_path, api_url=sandbox.url, api_token=sandbox.token)
        (tmp_path / "below").mkdir()
        log = run_tap(folder=tmp_path / "below").succeeded().stderr
        assert f"Settings from the environment and {tmp_path / '.env'}: api_token, api_url\n" in log

    def test_unknown_one_gets_a_warning(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, page_sice=5).succeeded()
        (line,) = [line for line in run.stderr.splitlines() if "| WARNING " in line]
        assert "page_sice" in line


class TestWrongValues:
    """Values that a setting may not have."""

    @pytest.mark.parametrize(
        ("name", "text"), [("page_size", "many"), ("request_timeout", "1,5"), ("product_ids", "[1")]
    )
    def test_wrong_variable_is_refused_likewise(self, name: str, text: str, sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, env=sandbox.env | {f"TAP_KISSMETRICS_{name.upper()}": text})
        assert run.refused().startswith(f"{name} (from TAP_KISSMETRICS_{name.upper()}): {text!r} is not of type ")
        assert not sandbox.requests


class TestToken:
    """`api_token` is required to sync, and to nothing else."""

    @pytest.mark.parametrize("option", ["--discover", "--about", "--version", "--help"])
    def test_other_commands_do_not(self, option: str, tmp_path: Path) -> None:
        assert run_tap(option, folder=tmp_path).succeeded().stdout


class TestAddress:
    """`api_url`."""

    @pytest.mark.parametrize("slashes", ["", "/", "//"])
    def test_may_end_with_a_slash(self, slashes: str, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, api_url=sandbox.url + slashes).succeeded()
        assert {request.path for request in sandbox.requests} == {f"/core/{name}" for name in RESOURCES}

    @pytest.mark.parametrize(("old", "new"), [("/core", "/./core"), ("/core", "/%63ore"), (":", ":0")])
    def test_is_written_as_it_is_sent(self, old: str, new: str, sandbox: Sandbox, tmp_path: Path) -> None:
        before, found, after = sandbox.url.rpartition(old)
        assert found
        sync(sandbox, tmp_path, api_url=before + new + after).succeeded()
        assert {request.path for request in sandbox.requests} == {f"/core/{name}" for name in RESOURCES}

    def test_loopback_has_a_name_too(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, api_url=sandbox.url.replace("127.0.0.1", "localhost")).succeeded()
