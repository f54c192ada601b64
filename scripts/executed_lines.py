"""Which test executes which line of the package, and how long each test takes.

As a program, this runs the tests once and records that into a folder; `python -m scripts.mutants` chooses tests by it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from coverage import Coverage, CoverageData

if TYPE_CHECKING:
    from collections.abc import Iterable

PROJECT = Path(__file__).resolve().parent.parent  # scripts.documents imports the tap, which has to be recorded first

PACKAGE = PROJECT / "tap_kissmetrics"

CACHE = PROJECT / ".pytest_cache" / "executed_lines"

RECORDED = ("tests/unit", "tests/integration", "tests/end_to_end/test_tls_and_proxies.py")
"""The tests that run the tap in their own process."""


class Recorder:
    """A plugin of pytest that records lines and times."""

    def __init__(self, data_file: Path) -> None:
        """Record lines into a file."""
        self._coverage = Coverage(data_file, config_file=False, source_pkgs=[PACKAGE.name])
        self.seconds: Counter[str] = Counter()

    def run(self) -> int:
        """Run the tests, and return pytest's exit code."""
        with self._coverage.collect():
            code = pytest.main(["-x", *RECORDED], plugins=[self])
        self._coverage.save()
        return code

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Take what is set up for a test as executed by each of its file, which may share it."""
        self._coverage.switch_context(_file_of(item.nodeid))

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Begin with a test itself."""
        self._coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the time of a phase of a test."""
        self.seconds[report.nodeid] += report.duration  # type: ignore[assignment]


class ExecutedLines:
    """The lines that tests execute."""

    def __init__(self) -> None:
        """Read what was recorded; record it first if the package or a test has changed."""
        files = sorted(path for folder in (PACKAGE, PROJECT / "tests") for path in folder.rglob("*.py"))
        folder = CACHE / hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
        if not (folder / "seconds.json").exists():
            print("recording which tests execute which lines", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, "-m", "scripts.executed_lines", folder], cwd=PROJECT, check=True)
        data = CoverageData(str(folder / "lines"))
        data.read()
        self._contexts = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
        self._seconds: dict[str, float] = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))

    def contexts_of(self, module: Path, lines: Iterable[int]) -> set[str]:
        """Return the tests and files of tests that execute one of some lines; "" if the import of the module does."""
        contexts = self._contexts.get(str(module), {})
        return {context for line in lines for context in contexts.get(line, ())}

    def tests_of(self, contexts: set[str], max_seconds: float) -> list[str]:
        """Return tests in an order in which one that fails comes soon: unit tests, then one of each function."""
        concerned = [test for test in self._seconds if test in contexts or _file_of(test) in contexts]
        concerned.sort(key=self._seconds.__getitem__)
        earlier: Counter[str] = Counter()
        rounds = []
        for test in concerned:
            function = test.partition("[")[0]
            rounds.append((-1 if test.startswith("tests/unit") else earlier[function], test))
            earlier[function] += 1
        tests = [test for _, test in sorted(rounds, key=lambda entry: entry[0])]
        ends = itertools.accumulate(self._seconds[test] for test in tests)
        return [test for test, end in zip(tests, ends, strict=True) if end <= max_seconds]


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def main(folder: Path) -> int:
    """Record into a folder."""
    recorder = Recorder(folder / "lines")
    if code := recorder.run():
        return code
    (folder / "seconds.json").write_text(json.dumps(recorder.seconds), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
