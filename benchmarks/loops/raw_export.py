"""The loop that anybody would write first for a raw data export: the json of the standard library, one line for each.

Usage: `raw_export.py FOLDER`.
"""

import json
import sys
from pathlib import Path

export = sys.argv[1]
for path in sorted(Path(export, "revisions").iterdir(), key=lambda path: int(path.stem)):
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            record = {"revision": int(path.stem), "line": number, "event": json.loads(line)}
            print(json.dumps({"type": "RECORD", "stream": "raw_events", "record": record}))
