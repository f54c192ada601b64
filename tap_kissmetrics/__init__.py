"""Singer tap for Kissmetrics."""
