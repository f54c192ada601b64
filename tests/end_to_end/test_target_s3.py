"""sandbox → tap → target-s3 → Parquet files on a server of S3, twice: every value of the Core API's streams."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from scripts.target_world import World
from scripts.try_targets import TRIALS, load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.targets import Programs


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="this target is for Python 3.12 or earlier")
def test_every_value_arrives_in_parquet(tmp_path: Path, programs: Programs) -> None:
    """As `python -m scripts.try_targets` does it for this and other targets."""
    with ExitStack() as stack:
        world = World(tmp_path, programs, stack)
        changes, kinds = load("target-s3", TRIALS["target-s3"], world, "core")
    assert changes.keys() == {"a date is cut to seconds"}
    assert kinds["integer"] == {"`int64`"}
    assert kinds["date-time"] == {"`timestamp[ms, tz=utc]`"}
