"""The generated parts of README.md: settings by what they are for, rows of a stream, and the output of the demo."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

from scripts.about import OWN_SETTINGS
from scripts.markdown import between, code, plain, table
from scripts.quickstart import keys_by_stream, report
from tests.sandbox import Sandbox

NAME = "README.md"

GROUPS = {
    "log in": ("username", "password", "api_token", "api"),
    "choose what to read": ("product_ids", "start_date"),
    "get results": (*("report_ids", "metric_ids", "queries", "report_date_range", "query_timeout"),),
    "get raw events": ("export_urls",),
    "remove rows": ("emit_activate_version_messages",),
    "tune": (
        *("page_size", "max_concurrency", "requests_per_minute", "request_timeout", "retry_timeout", "backoff_factor"),
        *("api_url", "query_url"),
    ),
}
"""The settings in the order in which a user meets them."""

COLUMNS = ("name", "total", "first_sent_at", "last_sent_at")
"""Columns of `events` that show what a row is."""


def settings_table() -> str:
    """Make a table of the settings by group, with the first sentence of each description."""
    missing = OWN_SETTINGS.keys() ^ {name for names in GROUPS.values() for name in names}
    if missing:
        message = f"settings without a group, or groups without a setting: {', '.join(sorted(missing))}"
        raise ValueError(message)
    rows = [("" if at else group, *_row(name)) for group, names in GROUPS.items() for at, name in enumerate(names)]
    return table(("To", "Setting", "Default", "What it is"), rows)


def _row(name: str) -> tuple[str, ...]:
    setting = OWN_SETTINGS[name]
    about, _, default = setting["description"].partition(" Default: ")
    if "default" in setting:
        default = f"`{plain(setting['default'])}`"
    return f"`{name}`", default.removesuffix("."), f"{about.split('. ')[0].removesuffix('.')}."


def events_table(sandbox: Sandbox) -> str:
    """Make a table of three rows of `events`, some of whose columns are shown."""
    rows = [record for record in sandbox.account.records["events"] if record["name"].isascii()][:3]
    return table(
        list(map(code, ([column] for column in COLUMNS))), [[str(row[name]) for name in COLUMNS] for row in rows]
    )


def demo_output(sandbox: Sandbox) -> str:
    """Make what the demo prints in the end, if every record arrives."""
    keys = keys_by_stream(sandbox)
    printed = io.StringIO()
    with redirect_stdout(printed):
        report(keys, lambda stream: keys[stream])
    return f"```text\n{printed.getvalue().strip()}\n```\n"


def readme(text: str) -> str:
    """Replace the generated parts."""
    with Sandbox() as sandbox:
        parts = {
            "events": events_table(sandbox),
            "demo": demo_output(sandbox),
            "settings": settings_table(),
        }
    for marker, generated in parts.items():
        text = between(NAME, text, marker, generated)
    return text
