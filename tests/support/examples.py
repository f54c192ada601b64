"""How many examples hypothesis tries."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("TIMES_EXAMPLES", "1"))


def examples(number: int) -> settings:
    """Make the decorator of a property-based test that tries so many examples, times the variable TIMES_EXAMPLES."""
    return settings(max_examples=number * _TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
