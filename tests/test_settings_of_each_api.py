"""The settings of two APIs: each is refused where it belongs to the other one; queries are checked before any runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_kissmetrics.sdk_extensions.inputs import InputError
from tests.fault_matrix import BOTH
from tests.result_runs import metric_ids, result_sandbox, results, rows_of
from tests.tap_in_process import sync_here
from tests.tap_process import run_tap, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import ApiName, Sandbox
    from tests.tap_process import Run

SECRET = "a-secret-that-must-never-be-shown"  # noqa: S105 - it opens nothing

QUERY: dict[str, Any] = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
COLUMN = {"properties": {"identity": {"type": "string"}}}

QUERY_URL = "https://query.kissmetrics.com/v2"


@pytest.fixture(params=BOTH)
def either(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of each API."""
    with result_sandbox(request.param) as running:
        yield running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of the Query API."""
    with result_sandbox("query") as running:
        yield running


def refusal(sandbox: Sandbox, **settings: object) -> str:
    """Give the line with which settings are refused, before any request and without a secret."""
    with pytest.raises(InputError) as caught:
        sync_here(sandbox, **settings)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert SECRET not in line
    assert sandbox.requests == []
    return line


def assert_refused(run: Run, sandbox: Sandbox, line: str) -> None:
    """Check the one line of a run that was refused before any request."""
    assert run.refused() == line
    assert SECRET not in run.stderr
    assert sandbox.requests == []


OF_OTHER: list[tuple[ApiName, str, object]] = [
    ("core", "username", SECRET),
    ("core", "password", SECRET),
    ("core", "metric_ids", [1]),
    ("core", "queries", [QUERY]),
    ("query", "api_token", SECRET),
    ("query", "query_url", "https://query.example.com/v2"),
]


class TestOfTheOtherApi:
    """Settings that only one API has."""

    @pytest.mark.parametrize(("api", "name", "value"), OF_OTHER)
    def test_is_refused(self, api: ApiName, name: str, value: object) -> None:
        other = {"core": "query", "query": "core"}[api]
        with result_sandbox(api) as sandbox:
            assert refusal(sandbox, **{name: value}) == f"{name}: belongs to api: {other}; this is api: {api}"

    def test_all_at_once_on_the_command_line(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, api_token=SECRET, query_url="https://query.example.com/v2")
        said = "belongs to api: core; this is api: query"
        assert_refused(run, sandbox, f"api_token: {said}; query_url: {said}")

    def test_what_says_nothing_is_no_setting(self, either: Sandbox, tmp_path: Path) -> None:
        """Meltano passes defaults on, and variables that are set to nothing."""
        nothing: dict[str, Any] = {"username": "", "password": "", "metric_ids": [], "queries": []}
        if either.api == "query":
            nothing = {"api_token": "", "query_url": QUERY_URL}
        sync(either, tmp_path, **nothing).succeeded()
        empty = {f"TAP_KISSMETRICS_{name.upper()}": "" for name in nothing}
        run_tap(folder=tmp_path, env=empty | either.env, config=None, timeout=100).succeeded()


class TestLogin:
    """`username` and `password`."""

    @pytest.mark.parametrize("config", [{}, {"username": None}])
    def test_sync_needs_a_user(self, config: dict[str, None], sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, config={"api": "query", "api_url": sandbox.url, "password": SECRET, **config})
        line = "username is required: put it in the config file or in TAP_KISSMETRICS_USERNAME"
        assert_refused(run, sandbox, line)

    @pytest.mark.parametrize("username", ["", f"{SECRET}:x", f"{SECRET}\n", f"{SECRET}\0", "tab\there"])
    def test_no_user_has_such_a_name(self, username: str, sandbox: Sandbox) -> None:
        """HTTP Basic ends the name at the first colon."""
        says = "username: must not be empty, nor have a colon or a line break (its value is not shown)"
        assert refusal(sandbox, username=username) == says

    @pytest.mark.parametrize("name", ["username", "password"])
    @pytest.mark.parametrize("value", [5, [SECRET], {SECRET: 1}, True])
    def test_must_be_text(self, value: object, name: str, sandbox: Sandbox) -> None:
        assert refusal(sandbox, **{name: value}) == f"{name}: must be text (its value is not shown)"

    def test_no_password_has_a_line_break(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, password=f"{SECRET}\n")
        assert_refused(run, sandbox, "password: must not have a line break (its value is not shown)")

    @pytest.mark.parametrize("option", ["--discover", "--about", "--version", "--help"])
    def test_other_commands_need_none(self, option: str, tmp_path: Path) -> None:
        assert run_tap(option, folder=tmp_path, config={"api": "query"}).succeeded().stdout


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("api", "v3", 'api: must be core or query, not "v3"'),
        ("product_ids", ["abc"], "product_ids: must be numbers where api is query, not 'abc'"),
        ("product_ids", [-1], "product_ids: must be numbers where api is query, not -1"),
        ("product_ids", ["²"], "product_ids: must be ids, not '²'"),
        ("product_ids", 5, "product_ids: must be a list of text or numbers, not 5"),
        ("report_ids", ["x"], "report_ids: must be numbers where api is query, not 'x'"),
        ("report_ids", ["*", 1], "report_ids: must be ids, not '*'"),
        ("report_ids", "*", 'report_ids: must be a list of text or numbers, not "*"'),
        ("metric_ids", ["*"], "metric_ids: must be ids, not '*'"),
        ("metric_ids", [1.5], "metric_ids: must be a list of text or numbers, not [1.5]"),
        ("report_date_range", "today", 'report_date_range: must be an object, not "today"'),
        ("query_timeout", 0, "query_timeout: must be a number above 0, up to 86400, not 0"),
    ],
)
def test_a_wrong_setting(name: str, value: object, says: str, sandbox: Sandbox) -> None:
    """The line names it and what it may be."""
    assert refusal(sandbox, **{name: value}).split("; ")[0] == says


NO_COLUMNS = "the schema of people must have properties, each an object"

WRONG_QUERIES: list[tuple[Any, str]] = [
    ({}, "must be a list of objects, not {}"),
    ([5], "[0]: 5 is not of type 'object'"),
    ([QUERY, QUERY], "people is the name of two queries"),
    *(([{**QUERY, "name": name}], f"{name} is the name of another stream")
      for name in ("events", "accounts", "report_results", "metric_results")),
    *(([QUERY, {**QUERY, "name": name}], "[1].name: ") for name in ("", "1st", "two words", "line\n", "a.b", 7)),
    ([{**QUERY, "product_id": "1"}], "[0].product_id: '1' is not of type 'integer'"),
    ([{**QUERY, "query_params": "SELECT 1"}], "[0].query_params: 'SELECT 1' is not of type 'object'"),
    ([{k: v for k, v in QUERY.items() if k != "query_type"}], "[0]: 'query_type' is a required property"),
    ([{**QUERY, "params": {}}], "[0]: Additional properties are not allowed ('params' was unexpected)"),
    ([{**QUERY, "schema": {"type": "people"}}], "the schema of people is no JSON Schema: 'people' is not"),
    ([{**QUERY, "schema": {}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {}}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {"a": True}}}], NO_COLUMNS),
    ([{**QUERY, "schema": []}], "[0].schema: [] is not of type 'object'"),
    ([{**QUERY, "primary_key": ["identity"]}], "people has a primary_key and no schema; give the schema of its rows"),
    ([{**QUERY, "schema": COLUMN, "primary_key": ["id"]}], "the primary_key of people names 'id', which its "),
    ([{**QUERY, "schema": COLUMN, "primary_key": "identity"}], "[0].primary_key: 'identity' is not of type 'array'"),
]  # fmt: skip


@pytest.mark.parametrize(("queries", "says"), WRONG_QUERIES)
def test_wrong_queries(queries: object, says: str, sandbox: Sandbox) -> None:
    """The line names the query, or its place in the list, and what is wrong."""
    assert refusal(sandbox, queries=queries).startswith(f"queries: {says}")


def test_wrong_queries_on_the_command_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """From the file and from a variable alike."""
    line = "queries: events is the name of another stream"
    wrong = [{**QUERY, "name": "events"}]
    assert_refused(sync(sandbox, tmp_path, queries=wrong), sandbox, line)
    env = sandbox.env | {"TAP_KISSMETRICS_QUERIES": json.dumps(wrong)}
    assert_refused(run_tap(folder=tmp_path, env=env), sandbox, line)


def test_everything_from_the_environment(sandbox: Sandbox, tmp_path: Path) -> None:
    """Lists in JSON or plain, objects in JSON; ids may be text there."""
    first, second = metric_ids(sandbox)[:2]
    dates = {"type": "preset", "preset": "last_month"}
    env = {
        "TAP_KISSMETRICS_REPORT_IDS": "*",
        "TAP_KISSMETRICS_METRIC_IDS": f"{first}, {second}",
        "TAP_KISSMETRICS_REPORT_DATE_RANGE": json.dumps(dates),
        "TAP_KISSMETRICS_QUERIES": json.dumps([QUERY]),
        "TAP_KISSMETRICS_QUERY_TIMEOUT": "30.5",
        "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": str(settings_for(sandbox)["requests_per_minute"]),
    }
    run = run_tap(folder=tmp_path, env=sandbox.env | env).succeeded()
    of_metrics = [query for query in sandbox.queries if query.kind == "metric"]
    assert [query.body for query in of_metrics] == [{"metric_id": n, "date_range": dates} for n in (first, second)]
    assert results(run, "people") == [
        row for query in sandbox.queries if query.kind == "query" for row in rows_of(query, product_id=11_001)
    ]
    assert len(results(run)) == 3 * 25
