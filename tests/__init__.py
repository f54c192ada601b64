"""The tests of tap-kissmetrics, and the sandbox they run against.

What runs the tap, and when to use which:

- `tap_process.run_tap` and `sync`: the command line to its end, in a process of its own. The usual way.
- `tap_process.run_tap(..., afresh=True)`: the same in a Python that starts for it, where that is the subject.
- `live_tap.live_tap`: the command line while it runs, for signals and for readers that go away.
- `fault_runs.watched_sync`: a sync whose output is searched for secrets and tracebacks too.
- `tap_in_process.sync_here`: without a process, for hundreds of runs.
"""
