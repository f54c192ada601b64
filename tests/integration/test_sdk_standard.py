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

EVERYTHING = SuiteConfig(max_records_limit=None)

QUERY = {"product_id": 11_001, "query_type": "sql", "query_params": {"statement": "SELECT 1"}}
COLUMNS = {"properties": {"identity": {"type": "string"}, "Visits": {"type": "integer"}}}
RESULTS: dict[str, Any] = {
    "report_ids": ["*"],
    "metric_ids": make_query_account().metric_ids[:1],
    "queries": [{**QUERY, "name": "rows"}, {**QUERY, "name": "columns", "schema": COLUMNS}],
}
"""Settings with which the Query API has each kind of stream that gives results."""


def standard(**config: object) -> Any:
    """Give the tests of all streams that there are with some settings; what they look at comes from a fixture."""
    with signals_kept():
        return get_tap_test_class(
            TapKissmetrics, config=config, suite_config=EVERYTHING, validate_config=False, parse_env_config=False
        )


def read(sandbox: Sandbox, counts: dict[str, int], **settings: object) -> TapTestRunner:
    """Read a sandbox, and check how many records each stream has."""
    runner = TapTestRunner(TapKissmetrics, config=settings_for(sandbox, **settings), suite_config=EVERYTHING)
    runner.sync_all()
    assert {name: len(rows) for name, rows in runner.records.items()} == sandbox.account.counts | counts
    return runner


class TestTapKissmetrics(standard()):  # type: ignore[misc]
    """The SDK's tests; a warning of theirs is a failure here, such as a column that no record of the sandbox has."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """A runner that has read a sandbox, which lives as long as the runner does."""
        with Sandbox() as sandbox:
            yield read(sandbox, {})


# The Query API says nothing of the columns of its results.
@pytest.mark.filterwarnings("ignore:No records were available to test:UserWarning")
class TestTapKissmetricsOfTheQueryApi(standard(api="query", **RESULTS)):  # type: ignore[misc]
    """The same over the lists of the Query API, and over what reports, metrics and queries give."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """A runner that has read a sandbox likewise."""
        with result_sandbox("query", reports=2) as sandbox:
            counts = {"report_results": 50, "metric_results": 25, "rows": 25, "columns": 25}
            yield read(sandbox, counts, **RESULTS)
