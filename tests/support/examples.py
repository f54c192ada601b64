"""How many examples hypothesis tries."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("TIMES_EXAMPLES", "1"))


def examples(number: int) -> settings:
    """Make the decorator of a property-based test.

    Args:
        number: How many examples it tries. Each run tries others; the variable TIMES_EXAMPLES multiplies their number.
    """
    return settings(max_examples=number * _TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
