"""What the tests share: a sandbox to read, and a process that is left as it was found."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from scripts.documents import DOCUMENTS, PROJECT
from tests.sandbox import Account, Sandbox, make_account, make_query_account
from tests.support.clock import Clock
from tests.support.in_process import SIGNALS, signals_kept
from tests.support.postgres import Postgres, serve
from tests.support.targets import Programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that have a longer time limit of their own, which else are waited for in the end."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, for the tests wait as well as compute."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture
def account() -> Account:
    """An account with a few records of each resource."""
    return make_account(reports=7, events=25, properties=9, metrics=5)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    """A sandbox without faults, for one test."""
    with Sandbox(account) as running:
        yield running


@pytest.fixture
def v3() -> Iterator[Sandbox]:
    """A sandbox of the Query API v3 with a few records of each resource, without faults, for one test."""
    with Sandbox(make_query_account(reports=11, events=60, properties=17, metrics=3), api="query") as running:
        yield running


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A folder with copies of the documents that are made from the code."""
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Programs:
    """Real targets, which are installed when they are first asked for and kept for the next run."""
    cache: pytest.Cache = pytestconfig.cache
    return Programs(cache.mkdir("programs"))


@pytest.fixture(scope="session")
def postgres(programs: Programs) -> Iterator[Postgres]:
    """A PostgreSQL server: this machine's programs, or those of a wheel."""
    with serve(programs) as server:
        yield server


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> None:
    """Take the settings of a real account, if there are any, out of reach of the tests."""
    for name in [name for name in os.environ if name.startswith("TAP_KISSMETRICS_")]:
        del os.environ[name]


@pytest.fixture(autouse=True, scope="session")
def _no_signal_is_ignored() -> None:
    """Let processes of the tests have the usual handlers, even where a shell started pytest in the background."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignore)  # other than SIG_IGN, a function is not inherited


def _ignore(_signum: int, _frame: object) -> None:
    """Do nothing."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock by which runs in this process wait without taking time."""
    clock = Clock()
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def frozen_clock(clock: Clock) -> Clock:
    """A clock that shows nothing but waits: for exact seconds, and servers that do not hang."""
    clock.freeze()
    return clock


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Leave Ctrl-C to pytest after a test that makes a tap in this process."""
    with signals_kept():
        yield
