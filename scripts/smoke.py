"""A smoke test of the installed tap on this system: discovery, and a sync of the sandbox's account.

`python -m scripts.smoke` needs nothing but the tap, so that it runs where the test suite does not.
"""

from __future__ import annotations

import collections
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from tests.sandbox import Sandbox


def run_tap(*arguments: str) -> str:
    """Run the installed command, and return its output."""
    tap = shutil.which("tap-kissmetrics", path=sysconfig.get_path("scripts"))
    if tap is None:
        sys.exit("tap-kissmetrics is not installed in this environment")
    return subprocess.run([tap, *arguments], stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout


def main() -> None:
    """Compare what the tap discovers and emits with the sandbox's account; exit with 1 if they differ."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps({"api_url": sandbox.url, "api_token": sandbox.token}), encoding="utf-8")
        catalog = json.loads(run_tap("--config", str(config), "--discover"))
        messages = [json.loads(line) for line in run_tap("--config", str(config)).split("\n")[:-1]]
    counts = collections.Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    streams = {entry["tap_stream_id"] for entry in catalog["streams"]}
    if counts != sandbox.account.counts or streams != sandbox.account.counts.keys():
        sys.exit(f"emitted {dict(counts)}, discovered {sorted(streams)}; the account has {sandbox.account.counts}")
    print(f"{sys.platform}: discovered {len(streams)} streams, synced {counts.total()} records")


if __name__ == "__main__":
    main()
