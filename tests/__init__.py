"""The tests of tap-kissmetrics, and the sandbox they run against."""
