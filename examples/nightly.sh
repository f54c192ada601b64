#!/usr/bin/env bash
# Load what is new into PostgreSQL, in the folder of config.json and target.json. The last line says why a run failed.
set -euo pipefail
export PGTZ=UTC # target-postgres stores dates in the time zone of the session

exec 9> job.lock
flock --nonblock 9 || { echo 'skipped: the run before this one has not ended' >&2; exit 75; }

[ -s state.json ] || echo '{}' > state.json
statuses=(0 0) # of the tap and of the target
{
    tap-kissmetrics --config config.json --state state.json 2>&1 >&3 | tee tap.log >&2
} 3>&1 | target-postgres --config target.json > states.jsonl || statuses=("${PIPESTATUS[@]}")

# The target prints a state once it has stored everything before it, so the last one holds even if the run failed. A full
# disk or a kill may leave a part of a line.
python3 - <<'PYTHON'
import json
import os

state = ""
with open("states.jsonl", encoding="utf-8", errors="replace") as lines:
    for line in lines:
        try:
            state = line if line.endswith("\n") and isinstance(json.loads(line), dict) else state
        except ValueError:
            continue
if state:
    with open("state.next", "w", encoding="utf-8") as file:
        file.write(state)
    os.replace("state.next", "state.json")
PYTHON

[ "${statuses[1]}" -eq 0 ] || echo "target-postgres failed with exit code ${statuses[1]}: its error is above" >&2
[ "${statuses[0]}" -eq 0 ] || tail -n 1 tap.log >&2
exit "$((statuses[1] ? statuses[1] : statuses[0]))"
