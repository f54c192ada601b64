"""A run in this process leaves it as it was: the next run finds what a new process has."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

from tests.sandbox import Sandbox, faults
from tests.support.run import settings_for
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("tap_kissmetrics", "singer_sdk", "logging", "warnings", "requests", "urllib3", "click", "dotenv", "backoff")


def containers() -> dict[str, str]:
    """The content of every list, dictionary and set that a module of `PACKAGES`, or a class in it, holds."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            places = {name: module} | {f"{name}.{k}": v for k, v in vars(module).items() if isinstance(v, type)}
            for place, holder in places.items():
                members = {k: v for k, v in vars(holder).items() if not k.startswith("__")}
                members |= {
                    f"{k}.{part}": value
                    for k, v in members.items()
                    if hasattr(v, "__dict__") and not callable(v) and not isinstance(v, ModuleType)
                    for part, value in vars(v).items()
                }
                found |= {f"{place}.{k}": repr(v) for k, v in members.items() if isinstance(v, (dict, list, set))}
    return {place: text for place, text in found.items() if "weak" not in text and "_registry" not in place}


def process() -> dict[str, object]:
    """What a run could leave behind in its process."""
    root = logging.getLogger()
    return {
        "containers": containers(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 - the process's own word
        "argv": sys.argv,
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "gc": (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()),
        "streams": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "root": (root.level, list(root.handlers), list(root.filters), logging.getLogRecordFactory()),
        "filters": {name: list(logging.getLogger(name).filters) for name in list(logging.root.manager.loggerDict)},
    }


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """By a sync that succeeds, one that fails at DEBUG, a refusal, or another command."""
    before: dict[str, object] = {}
    for number in range(2):
        before = process()  # the first time for what Python imports and caches only once
        with Sandbox(token=f"the-token-of-run-{number}-and-no-other") as sandbox:
            sync(sandbox, tmp_path, emit_activate_version_messages=True).succeeded()
            (tmp_path / ".env").write_text("TAP_KISSMETRICS_PAGE_SIZE=5\n", encoding="utf-8")
            sandbox.faults.append(faults.status(503, resource="events"))
            env = {"LOGLEVEL": "DEBUG", **sandbox.env}
            assert run_tap(folder=tmp_path, env={**env, "TAP_KISSMETRICS_RETRY_TIMEOUT": "0"}).failed == ["events"]
            sandbox.faults.clear()
            for arguments in (["--test"], ["--discover"], ["--about"]):
                run_tap(*arguments, folder=tmp_path, config=settings_for(sandbox)).succeeded()
            assert run_tap("--no-such-option", folder=tmp_path).code == 2
            assert run_tap(folder=tmp_path, config={"api_token": ""}).code == 1
    after = process()
    for part, value in before.items():
        if isinstance(value, dict) and isinstance(after[part], dict):
            now = after[part]
            changed = {key: now.get(key) for key in value if now.get(key) != value[key]}  # type: ignore[attr-defined]
            assert changed == {}, part
        else:
            assert after[part] == value, part
