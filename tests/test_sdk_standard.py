"""The standard tests of the Meltano Singer SDK, over every stream and column, against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner

from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import Sandbox
from tests.tap_in_process import signals_kept
from tests.tap_process import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERYTHING = SuiteConfig(max_records_limit=None)

with signals_kept():
    # Only names the tests: that takes no settings. What they look at comes from the fixture below.
    _Standard = get_tap_test_class(
        TapKissmetrics, suite_config=_EVERYTHING, validate_config=False, parse_env_config=False
    )


class TestTapKissmetrics(_Standard):  # type: ignore[misc, valid-type]
    """The SDK's tests; a warning of theirs is a failure here, such as a column that no record of the sandbox has."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """A runner that has read a sandbox, which lives as long as the runner does."""
        with Sandbox() as sandbox:
            runner = TapTestRunner(TapKissmetrics, config=settings_for(sandbox), suite_config=_EVERYTHING)
            runner.sync_all()
            assert {name: len(rows) for name, rows in runner.records.items()} == sandbox.account.counts
            yield runner
