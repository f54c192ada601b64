#!/usr/bin/env bash
# Load what is new into PostgreSQL, in the folder of config.json and target.json. A failure leaves state.json as it was.
set -euo pipefail
export PGTZ=UTC # target-postgres stores dates in the time zone of the session

[ -s state.json ] || echo '{}' > state.json
tap-kissmetrics --config config.json --state state.json |
    target-postgres --config target.json > states.jsonl
if [ -s states.jsonl ]; then
    tail -n 1 states.jsonl > state.next
    mv state.next state.json
fi
