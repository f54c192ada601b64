"""The quick start: load the sandbox's account into JSONL files through Meltano.

Run it with `python -m scripts.quickstart` where Meltano is installed. It starts the sandbox, lets Meltano install the
tap and target-jsonl, runs `meltano el` and compares the files with the sandbox's account, record by record. With
TAP_KISSMETRICS_API=query in its environment the sandbox serves the Query API v3, and two of its reports are run too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT = Path(__file__).resolve().parent.parent
OUTPUT = Path("output", "quickstart")
EXTRACTOR = "tap-kissmetrics"
LOADER = "target-jsonl"


class StepFailedError(Exception):
    """A step of the quick start failed; the message names it and what to look at."""


def main() -> int:
    """Run the quick start; return the exit code: 0 if every record of the sandbox arrived exactly once, otherwise 1."""
    shutil.rmtree(PROJECT / OUTPUT, ignore_errors=True)  # the loader appends, and an earlier run must not count
    try:
        with Sandbox(api="query" if os.environ.get("TAP_KISSMETRICS_API") == "query" else "core") as sandbox:
            name = {"core": "Core API", "query": "Query API v3"}[sandbox.api]
            print(f"A sandbox of the Kissmetrics {name} is listening at {sandbox.url}")
            env = meltano_env(sandbox.env | settings(sandbox))
            meltano("install", EXTRACTOR, LOADER, env=env)
            meltano("el", EXTRACTOR, LOADER, env=env)
            return report(keys_by_stream(sandbox), lambda stream: keys_in(PROJECT / OUTPUT / f"{stream}.jsonl"))
    except StepFailedError as error:
        print(error, file=sys.stderr)
        return 1


def settings(sandbox: Sandbox) -> dict[str, str]:
    """Return settings for v3 besides those of the sandbox: two reports to run, and a higher rate limit."""
    if sandbox.api == "core":
        return {}
    reports = [record["id"] for record in sandbox.account.records["reports"][:2]]
    return {"TAP_KISSMETRICS_REPORT_IDS": json.dumps(reports), "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": "1000"}


def keys_by_stream(sandbox: Sandbox) -> dict[str, Counter[str]]:
    """Count the keys of the sandbox's records, for each stream."""
    keys = {stream: Counter(map(key_of, rows)) for stream, rows in sandbox.account.records.items()}
    rows = (
        {"query_id": query.id, "position": at} for query in sandbox.queries for at in range(len(query.result or ()))
    )
    return keys | ({"report_results": Counter(map(key_of, rows))} if sandbox.queries else {})


def key_of(record: Mapping[str, object]) -> str:
    """Return the primary key of a record as text."""
    return f"{record['query_id']} {record['position']}" if "query_id" in record else str(record["id"])


def meltano_env(sandbox_env: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the sandbox's variables, and without other settings of the plugins."""
    elsewhere = ("MELTANO_", "TAP_KISSMETRICS_", "TARGET_JSONL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(elsewhere)}
    return {
        **inherited,
        **sandbox_env,
        "NO_COLOR": "1",
        "TARGET_JSONL_DESTINATION_PATH": str(OUTPUT),
        "TARGET_JSONL_DO_TIMESTAMP_FILE": "false",
    }


def meltano(*arguments: str, env: Mapping[str, str]) -> None:
    """Run a Meltano command in the project; raise `StepFailedError` with its output if it fails or is missing."""
    program = shutil.which("meltano", path=sysconfig.get_path("scripts")) or shutil.which("meltano")
    if program is None:
        msg = "Meltano is not installed here. `tox -e demo` brings it along."
        raise StepFailedError(msg)
    command = ("meltano", *arguments)
    print(f"$ {' '.join(command)}", end="", flush=True)
    start = time.monotonic()
    # No .env file: what a user keeps there is for the real account.
    done = subprocess.run(
        (program, "--env-file", os.devnull, *arguments),
        cwd=PROJECT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    print(f"  ({time.monotonic() - start:.0f} s)")
    if done.returncode:
        msg = f"{done.stdout}\n`{' '.join(command)}` failed with exit code {done.returncode}; its output is above."
        raise StepFailedError(msg)


def report(keys: Mapping[str, Counter[str]], keys_of: Callable[[str], Counter[str]]) -> int:
    """Print the numbers of records in the sandbox and in the files; return 0 if every record is there exactly once."""
    row = "{:<16}{:>9}{:>9}   {}"
    print("\n" + row.format("stream", "sandbox", "file", "path"))
    complete = True
    for stream, expected in keys.items():
        path = OUTPUT / f"{stream}.jsonl"
        arrived = keys_of(stream)
        print(row.format(stream, expected.total(), arrived.total(), path))
        for what, ids in (("missing", expected - arrived), ("too many", arrived - expected)):
            if ids:
                complete = False
                print(f"  {ids.total()} {what}, among them {', '.join(sorted(ids)[:3])}")
    print("\nEvery record arrived exactly once." if complete else "\nThe files differ from the sandbox: see above.")
    return 0 if complete else 1


def keys_in(path: Path) -> Counter[str]:
    """Count the keys of the records in a JSONL file; one that does not exist has none."""
    if not path.exists():
        return Counter()
    with path.open(encoding="utf-8") as lines:
        return Counter(key_of(json.loads(line)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
