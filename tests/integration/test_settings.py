"""What settings do: where they come from, what may be written for them, and which addresses they name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from scripts.about import OWN_SETTINGS
from tests.sandbox import RESOURCES
from tests.support.results import metric_ids, result_sandbox, results, rows_of
from tests.support.run import settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Sandbox


def page_sizes(sandbox: Sandbox) -> set[str]:
    """Give the page sizes that were asked for."""
    return {request.query["limit"] for request in sandbox.requests}


def dotenv(folder: Path, env: dict[str, str]) -> None:
    """Write a `.env` file into a folder."""
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()), encoding="utf-8")


@pytest.mark.parametrize(
    ("in_file", "in_env", "arguments", "size"),
    [
        ({}, {}, ["--config", "config.json"], "1000"),
        ({"page_size": 11}, {}, ["--config", "config.json"], "11"),
        ({"page_size": 11}, {"TAP_KISSMETRICS_PAGE_SIZE": "15"}, ["--config", "config.json"], "11"),
        ({"page_size": 11}, {"TAP_KISSMETRICS_PAGE_SIZE": "15"}, ["--config", "config.json", "--config", "ENV"], "15"),
        ({"page_size": 11}, {"TAP_KISSMETRICS_PAGE_SIZE": "15"}, ["--config", "ENV", "--config", "config.json"], "15"),
    ],
    ids=["default", "file", "file alone", "file and ENV", "ENV and file"],
)
def test_variables_are_read_beside_a_file_if_they_are_named_and_win(  # noqa: PLR0913, PLR0917 - what varies
    in_file: dict[str, Any], in_env: dict[str, str], arguments: list[str], size: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", settings_for(sandbox, **in_file))
    run_tap(*arguments, folder=tmp_path, env=in_env).succeeded()
    assert page_sizes(sandbox) == {size}


def test_a_dotenv_file_is_found_above_the_working_directory_and_named(sandbox: Sandbox, tmp_path: Path) -> None:
    dotenv(tmp_path, sandbox.env | {"TAP_KISSMETRICS_PAGE_SIZE": "13"})
    (tmp_path / "below").mkdir()
    log = run_tap(folder=tmp_path / "below").succeeded().stderr
    assert page_sizes(sandbox) == {"13"}
    assert f"Settings from the environment and {tmp_path / '.env'}: api_token, api_url, page_size, query_url\n" in log


def test_the_environment_wins_over_a_dotenv_file(sandbox: Sandbox, tmp_path: Path) -> None:
    dotenv(tmp_path, sandbox.env | {"TAP_KISSMETRICS_API_TOKEN": "stale", "TAP_KISSMETRICS_PAGE_SIZE": "13"})
    run_tap(folder=tmp_path, env=sandbox.env | {"TAP_KISSMETRICS_PAGE_SIZE": "14"}).succeeded()
    assert page_sizes(sandbox) == {"14"}


def test_a_variable_may_have_a_value_of_every_type(sandbox: Sandbox, tmp_path: Path) -> None:
    first, second = sandbox.account.ids("products")[:2]
    env = {
        "TAP_KISSMETRICS_PAGE_SIZE": " 12 ",
        "TAP_KISSMETRICS_REQUEST_TIMEOUT": "7.5",
        "TAP_KISSMETRICS_PRODUCT_IDS": f"{first}, {second}",
        "TAP_KISSMETRICS_EMIT_ACTIVATE_VERSION_MESSAGES": " Yes ",
        "TAP_KISSMETRICS_START_DATE": "2001-01-01T00:00:00Z",
        "TAP_KISSMETRICS_LOGLEVEL": "",
        "LOGLEVEL": "",
    }
    run = run_tap(folder=tmp_path, env=sandbox.env | env).succeeded()
    assert page_sizes(sandbox) == {"12"}
    paths = {request.path for request in sandbox.requests if request.path.endswith("/events")}
    assert paths == {f"/core/products/{product}/events" for product in (first, second)}
    assert run.of_type("ACTIVATE_VERSION")
    assert "| INFO " in run.stderr


@pytest.mark.usefixtures("clock")
def test_a_variable_may_hold_json(tmp_path: Path) -> None:
    """Lists may be plain; ids may be text there."""
    dates = {"type": "preset", "preset": "last_month"}
    query = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
    with result_sandbox("query") as sandbox:
        first, second = metric_ids(sandbox)[:2]
        env = {
            "TAP_KISSMETRICS_REPORT_IDS": "*",
            "TAP_KISSMETRICS_METRIC_IDS": f"{first}, {second}",
            "TAP_KISSMETRICS_REPORT_DATE_RANGE": json.dumps(dates),
            "TAP_KISSMETRICS_QUERIES": json.dumps([query]),
            "TAP_KISSMETRICS_QUERY_TIMEOUT": "30.5",
            "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": str(settings_for(sandbox)["requests_per_minute"]),
        }
        run = run_tap(folder=tmp_path, env=sandbox.env | env).succeeded()
    bodies = [query.body for query in sandbox.queries if query.kind == "metric"]
    assert bodies == [{"metric_id": metric, "date_range": dates} for metric in (first, second)]
    (own,) = [query for query in sandbox.queries if query.kind == "query"]
    assert results(run, "people") == list(rows_of(own, product_id=11_001))
    assert {record["report_id"] for record in run.records("report_results")} == set(sandbox.account.ids("reports"))


@pytest.mark.parametrize("text", ["", " ", "null", " null "])
def test_a_variable_without_a_value_is_absent(text: str, sandbox: Sandbox, tmp_path: Path) -> None:
    env = {f"TAP_KISSMETRICS_{name.upper()}": text for name in OWN_SETTINGS if name not in {"username", "password"}}
    run_tap(folder=tmp_path, env=env | sandbox.env).succeeded()
    assert page_sizes(sandbox) == {"1000"}


def test_null_in_a_file_is_absent(sandbox: Sandbox, tmp_path: Path) -> None:
    nulls: dict[str, Any] = dict.fromkeys(OWN_SETTINGS)
    run_tap(folder=tmp_path, config=nulls | settings_for(sandbox)).succeeded()
    assert page_sizes(sandbox) == {"1000"}


@pytest.mark.parametrize("api", ["core", "query"])
def test_what_says_nothing_is_no_setting_of_the_other_api(api: ApiName, tmp_path: Path) -> None:
    """Meltano passes defaults on, and variables that are set to nothing."""
    nothing: dict[str, Any] = {"username": "", "password": "", "metric_ids": [], "queries": []}
    if api == "query":
        nothing = {"api_token": "", "query_url": "https://query.kissmetrics.com/v2"}
    with result_sandbox(api) as sandbox:
        sync(sandbox, tmp_path, **nothing).succeeded()
        empty = {f"TAP_KISSMETRICS_{name.upper()}": "" for name in nothing}
        run_tap(folder=tmp_path, env=empty | sandbox.env).succeeded()


@pytest.mark.usefixtures("clock")
def test_what_is_meant_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    """As text Meltano passes on a fraction that is in the environment."""
    settings: dict[str, Any] = {"api": " Core ", "report_ids": "*", "query_timeout": "60"}
    settings |= {"retry_timeout": "0.5", "backoff_factor": "1e-2", "request_timeout": " 30 "}
    run = sync(sandbox, tmp_path, **settings).succeeded()
    assert run.records("report_results")


def test_discovery_needs_no_credentials(tmp_path: Path) -> None:
    assert run_tap("--discover", folder=tmp_path, config={"api": "query"}).succeeded().stdout


@pytest.mark.parametrize(
    ("old", "new"), [("/core", "/core//"), ("/core", "/%63ore"), ("/core", "/./core"), ("127.0.0.1", "localhost")]
)
def test_an_address_is_asked_for_as_it_is_meant(old: str, new: str, sandbox: Sandbox, tmp_path: Path) -> None:
    assert old in sandbox.url
    sync(sandbox, tmp_path, api_url=sandbox.url.replace(old, new)).succeeded()
    assert {request.path for request in sandbox.requests} == {f"/core/{name}" for name in RESOURCES}


def test_the_schema_of_a_query_is_written_without_annotations(tmp_path: Path) -> None:
    """As a program makes it, with a title everywhere. A column may have the name of a keyword."""
    text = {"type": ["string", "null"]}
    column = {"title": "Tags", "type": ["array", "null"], "items": {"title": "Tag", **text}}
    schema: dict[str, Any] = {"$id": "urn:x", "$schema": "http://json-schema.org/draft-07/schema#", "title": "Row"}
    schema |= {"properties": {"title": {"title": "Title", **text}, "const": text, "$ref": text, "tags": column}}
    query = {"name": "q", "product_id": 11_001, "query_type": "sql", "query_params": {"statement": "x"}}
    with result_sandbox("query") as sandbox:
        run = sync(sandbox, tmp_path, queries=[{**query, "schema": schema}])
    schemas = {message["stream"]: message["schema"] for message in run.of_type("SCHEMA")}
    columns = {"title": text, "const": text, "$ref": text, "tags": {"type": ["array", "null"], "items": text}}
    assert schemas["q"] == {"type": "object", "properties": columns}
    assert not any(each.keys() & {"$schema", "title"} for each in schemas.values()), "some targets refuse them"
