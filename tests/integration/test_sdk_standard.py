"""The standard tests of the Meltano Singer SDK, over every stream and column of each API, against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner

from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import Sandbox, make_query_account
from tests.support.in_process import signals_kept
from tests.support.results import result_sandbox
from tests.support.run import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERYTHING = SuiteConfig(max_records_limit=None)

_QUERY = {"product_id": 11_001, "query_type": "sql", "query_params": {"statement": "SELECT 1"}}
_COLUMNS = {"properties": {"identity": {"type": "string"}, "Visits": {"type": "integer"}}}
_RESULTS: dict[str, Any] = {
    "report_ids": ["*"],
    "metric_ids": make_query_account().metric_ids[:1],
    "queries": [{**_QUERY, "name": "rows"}, {**_QUERY, "name": "columns", "schema": _COLUMNS}],
}
"""Settings with which the Query API has each kind of stream that gives results."""


def _standard(**config: object) -> Any:
    """Give the tests of all streams that there are with some settings; what they look at comes from a fixture."""
    with signals_kept():
        return get_tap_test_class(
            TapKissmetrics, config=config, suite_config=_EVERYTHING, validate_config=False, parse_env_config=False
        )


def _read(sandbox: Sandbox, **settings: object) -> TapTestRunner:
    """Read a sandbox."""
    runner = TapTestRunner(TapKissmetrics, config=settings_for(sandbox, **settings), suite_config=_EVERYTHING)
    runner.sync_all()
    return runner


def _counts(runner: TapTestRunner) -> dict[str, int]:
    """Count the records of each stream."""
    return {name: len(rows) for name, rows in runner.records.items()}


class TestTapKissmetrics(_standard()):  # type: ignore[misc]
    """The SDK's tests; a warning of theirs is a failure here, such as a column that no record of the sandbox has."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """A runner that has read a sandbox, which lives as long as the runner does."""
        with Sandbox() as sandbox:
            runner = _read(sandbox)
            assert _counts(runner) == sandbox.account.counts
            yield runner


# The Query API says nothing of the columns of its results.
@pytest.mark.filterwarnings("ignore:No records were available to test:UserWarning")
class TestTapKissmetricsOfTheQueryApi(_standard(api="query", **_RESULTS)):  # type: ignore[misc]
    """The same over the lists of the Query API, and over what reports, metrics and queries give."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """A runner that has read a sandbox likewise."""
        with result_sandbox("query", reports=2) as sandbox:
            runner = _read(sandbox, **_RESULTS)
            results = {"report_results": 50, "metric_results": 25, "rows": 25, "columns": 25}
            assert _counts(runner) == sandbox.account.counts | results
            yield runner
