"""The tests of tap-kissmetrics, and the sandbox they run against.

What runs the tap, and when to use which:

- `support.tap.run_tap` and `sync`: the command line's `main()` in this process, to its end. The usual way.
- the same with `runner=run_forked`: in a process of its own, where one is the subject; with `runner=run_started` in an
  interpreter that starts for it, where that is.
- `support.process.live_tap`: a process while it runs, for signals and for readers that go away.
- `support.cases.watched_sync`: a sync at DEBUG, whose output is searched for secrets and tracebacks too.
"""
