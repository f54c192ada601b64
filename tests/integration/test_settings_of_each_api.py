"""The settings of two APIs: each is refused where it belongs to the other one; queries are checked before any runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cases import BOTH
from tests.support.results import metric_ids, result_sandbox, results, rows_of
from tests.support.run import settings_for
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Sandbox
    from tests.support.run import Run

pytestmark = pytest.mark.usefixtures("clock")

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


def assert_refused(run: Run, sandbox: Sandbox, line: str) -> None:
    """Check the one line of a run that was refused before any request."""
    assert run.refused() == line
    assert SECRET not in run.stderr
    assert sandbox.requests == []


class TestOfTheOtherApi:
    """Settings that only one API has."""

    def test_all_at_once_on_the_command_line(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, query_url="https://query.example.com/v2")
        assert_refused(run, sandbox, "query_url: belongs to api: core; this is api: query")

    def test_what_says_nothing_is_no_setting(self, either: Sandbox, tmp_path: Path) -> None:
        """Meltano passes defaults on, and variables that are set to nothing."""
        nothing: dict[str, Any] = {"username": "", "password": "", "metric_ids": [], "queries": []}
        if either.api == "query":
            nothing = {"api_token": "", "query_url": QUERY_URL}
        sync(either, tmp_path, **nothing).succeeded()
        empty = {f"TAP_KISSMETRICS_{name.upper()}": "" for name in nothing}
        run_tap(folder=tmp_path, env=empty | either.env, config=None).succeeded()


class TestLogin:
    """`username` and `password`."""

    @pytest.mark.parametrize("config", [{}, {"username": None}])
    def test_sync_needs_a_user(self, config: dict[str, None], sandbox: Sandbox, tmp_path: Path) -> None:
        run = run_tap(folder=tmp_path, config={"api": "query", "api_url": sandbox.url, "password": SECRET, **config})
        line = "username is required: put it in the config file or in TAP_KISSMETRICS_USERNAME (the Query API)"
        assert_refused(run, sandbox, line)

    def test_no_password_has_a_line_break(self, sandbox: Sandbox, tmp_path: Path) -> None:
        run = sync(sandbox, tmp_path, password=f"{SECRET}\n")
        assert_refused(run, sandbox, "password: must be text without line breaks (its value is not shown)")

    @pytest.mark.parametrize("option", ["--discover", "--about", "--version", "--help"])
    def test_other_commands_need_none(self, option: str, tmp_path: Path) -> None:
        assert run_tap(option, folder=tmp_path, config={"api": "query"}).succeeded().stdout


def test_wrong_queries_on_the_command_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """From the file and from a variable, which is named."""
    line = "events is the name of another stream"
    wrong = [{**QUERY, "name": "events"}]
    assert_refused(sync(sandbox, tmp_path, queries=wrong), sandbox, f"queries: {line}")
    env = sandbox.env | {"TAP_KISSMETRICS_QUERIES": json.dumps(wrong)}
    assert_refused(run_tap(folder=tmp_path, env=env), sandbox, f"queries (from TAP_KISSMETRICS_QUERIES): {line}")


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
