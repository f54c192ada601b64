"""Faults: what a test can make the sandbox do wrong. Each function makes one.

All take the keywords of `When` besides their own: which resource, from which request on, how often.
Faults add up: each that matches changes what the one before left; of several with a way of sending, the last one sends.
"""

from tests.sandbox.answers import (
    MISSING,
    bad_gzip,
    body,
    data,
    echo_token,
    empty_body,
    header,
    html_page,
    meta_status,
    null_body,
    rate_limit,
    raw_rewrite,
    redirect,
    retry_after,
    rewrite,
    scalar_body,
    status,
    truncated_json,
)
from tests.sandbox.breaks import close, drip, endless, hang, reset, short_body
from tests.sandbox.fault import Fault, When
from tests.sandbox.pages import (
    empty_page,
    ignore_limit,
    ignore_offset,
    no_links,
    overlap,
    total,
    total_random,
)

__all__ = [
    "MISSING",
    "Fault",
    "When",
    "bad_gzip",
    "body",
    "close",
    "data",
    "drip",
    "echo_token",
    "empty_body",
    "empty_page",
    "endless",
    "hang",
    "header",
    "html_page",
    "ignore_limit",
    "ignore_offset",
    "meta_status",
    "no_links",
    "null_body",
    "overlap",
    "rate_limit",
    "raw_rewrite",
    "redirect",
    "reset",
    "retry_after",
    "rewrite",
    "scalar_body",
    "short_body",
    "status",
    "total",
    "total_random",
    "truncated_json",
]
