"""What the tap costs against a bare loop, measured from outside, against the sandbox in another process.

`python -m benchmarks --help` tells how to run it, docs/performance.md what it says. The modules, in the order to read
them: `sections` (what is measured), `bench` (the sandbox and the commands that read it), `measure` (one run),
`records` (whether everything arrived), `report` (from runs to tables); `loops` and `peers` are the programs that the
tap is measured against.
"""
