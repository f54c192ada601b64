"""A run in this process leaves it as it was: the next run finds what a new process has."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

from tap_kissmetrics.sdk_extensions.logs import REDACTOR
from tests.sandbox import Sandbox, faults
from tests.support.run import settings_for
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path


def process() -> dict[str, object]:
    """What a run could leave behind in its process."""
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 - the process's own word
        "argv": sys.argv,
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "gc": (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()),
        "streams": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "root": (root.level, list(root.handlers), list(root.filters), logging.getLogRecordFactory()),
        "loggers": [
            (logger.level, list(logger.handlers), list(logger.filters))
            for name in ("tap-kissmetrics", "tap-kissmetrics.events", "singer_sdk.metrics")
            for logger in [logging.getLogger(name)]
        ],
        "secrets": repr(vars(REDACTOR)),
    }


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """By a sync that succeeds, one that fails at DEBUG, a refusal, or another command."""
    before: dict[str, object] = {}
    for number in range(2):
        before = process()  # the first time for what Python imports and caches only once
        with Sandbox(token=f"the-token-of-run-{number}-and-no-other") as sandbox:
            for arguments in ([], ["--test"], ["--discover"], ["--about"]):
                run_tap(*arguments, folder=tmp_path, config=settings_for(sandbox)).succeeded()
            sandbox.faults.append(faults.status(503, resource="events"))
            env = {"LOGLEVEL": "DEBUG", **sandbox.env, "TAP_KISSMETRICS_RETRY_TIMEOUT": "0"}
            assert run_tap(folder=tmp_path, env=env).failed == ["events"]
            assert run_tap("--no-such-option", folder=tmp_path).code == 2
            assert run_tap(folder=tmp_path, config={"api_token": ""}).code == 1
    assert process() == before
