"""The quick start: load the sandbox's account into JSONL files through Meltano.

Run it with `python -m scripts.quickstart` where Meltano is installed. It starts the sandbox, lets Meltano install the
tap and target-jsonl, runs `meltano el` and compares the ids in the files with those of the account. With
TAP_KISSMETRICS_API=query in its environment the sandbox serves the Query API v3.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.sandbox import Account

PROJECT = Path(__file__).resolve().parent.parent
OUTPUT = Path("output", "quickstart")
PLUGINS = ("tap-kissmetrics", "target-jsonl")

Ids = dict[str, Counter[str]]
"""By stream, how often each id is there."""


def main() -> int:
    """Run the quick start; return the exit code: 0 if every record of the sandbox arrived exactly once, otherwise 1."""
    shutil.rmtree(PROJECT / OUTPUT, ignore_errors=True)  # the loader appends, and an earlier run must not count
    with Sandbox(api="query" if os.environ.get("TAP_KISSMETRICS_API") == "query" else "core") as sandbox:
        print(f"A simulated Kissmetrics API ({sandbox.api}) is listening at {sandbox.url}")
        env = meltano_env(sandbox)
        for command in ("install", "el"):
            meltano(command, *PLUGINS, env=env)
    wanted = ids_of(sandbox.account)
    arrived = {stream: ids_in(PROJECT / OUTPUT / f"{stream}.jsonl") for stream in wanted}
    print(f"\n{report(wanted, arrived)}")
    return int(arrived != wanted)


def meltano_env(sandbox: Sandbox) -> dict[str, str]:
    """Return this process's environment with the sandbox's variables, and without other settings of the plugins."""
    elsewhere = ("MELTANO_", "TAP_KISSMETRICS_", "TARGET_JSONL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(elsewhere)}
    return {
        **inherited,
        **sandbox.env,
        "NO_COLOR": "1",
        "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": "1000",  # the sandbox has no limit
        "TARGET_JSONL_DESTINATION_PATH": str(OUTPUT),
        "TARGET_JSONL_DO_TIMESTAMP_FILE": "false",
    }


def meltano(*arguments: str, env: Mapping[str, str]) -> None:
    """Run a Meltano command in the project; exit with its output if it fails."""
    program = shutil.which("meltano")
    if program is None:
        sys.exit("Meltano is not installed here. `tox -e demo` brings it along.")
    print(f"$ meltano {' '.join(arguments)}", end="", flush=True)
    start = time.monotonic()
    # No .env file: what a user keeps there is for the real account.
    command = (program, "--env-file", os.devnull, *arguments)
    done = subprocess.run(command, cwd=PROJECT, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    print(f"  ({time.monotonic() - start:.0f} s)")
    if done.returncode:
        printed = (done.stdout + done.stderr).decode(errors="replace")
        sys.exit(f"{printed}\nThis failed with exit code {done.returncode}; its output is above.")


def ids_of(account: Account) -> Ids:
    """Count the ids of an account's records."""
    return {stream: Counter(str(record["id"]) for record in records) for stream, records in account.records.items()}


def ids_in(path: Path) -> Counter[str]:
    """Count the ids of the records in a JSONL file; one that does not exist has none."""
    if not path.exists():
        return Counter()
    with path.open(encoding="utf-8") as lines:
        return Counter(str(json.loads(line)["id"]) for line in lines)


def report(wanted: Ids, arrived: Ids) -> str:
    """Make a table of the numbers of records in the sandbox and in the files, and say whether these are the same."""
    row = "{:<16}{:>9}{:>9}   {}".format
    lines = [
        row(stream, ids.total(), arrived[stream].total(), OUTPUT / f"{stream}.jsonl") for stream, ids in wanted.items()
    ]
    result = "Every record arrived exactly once." if arrived == wanted else "The files differ from the sandbox."
    return "\n".join([row("stream", "sandbox", "file", "path"), *lines, "", result])


if __name__ == "__main__":
    sys.exit(main())
