"""The tests of tap-kissmetrics, and the sandbox they run against.

What runs the tap, and when to use which:

- `support.tap.run_tap` and `sync`: the command line's `main()` in this process, to its end. The usual way.
- the same with `runner=run_started`, and `support.process.live_tap`: a process of its own, to its end or while it runs,
  for signals and for readers that go away.
- `support.cases.watched_sync`: a sync at DEBUG, whose output is searched for secrets and tracebacks too.
"""
