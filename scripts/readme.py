"""The generated parts of README.md: the streams, the output of the demo, settings by what they are for."""

from __future__ import annotations

from scripts.about import ENTRIES, OWN_SETTINGS
from scripts.markdown import between, plain, table
from scripts.quickstart import ids_of, report
from tests.sandbox import QUERY_RESOURCES, RESOURCES, make_account

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

ROWS = {
    "accounts": "an account that the login can access",
    "products": "a product (a tracked site or app)",
    "reports": "a saved report",
    "events": "the **definition** of an event: its name, how often and when it was last sent",
    "properties": "the definition of a property",
    "metrics": "the definition of a metric",
    "report_results": "a row of the result of a saved report ([`report_ids`](docs/results.md))",
    "metric_results": "a point of a metric over time, or one of its segments ([`metric_ids`](docs/results.md))",
}
"""What a row of a stream is; of a stream that is not here, the title of its schema says it."""

OTHERS = """\
| a stream of your own | a row of a query of yours, such as SQL ([`queries`](docs/results.md)) | | ✓ |
| `raw_events` | **one event of one person**, from the raw data export in your S3 bucket \
([`export_urls`](docs/raw-events.md)) | with either, or alone | |
"""
"""The rows of streams that neither API lists."""


def streams_table() -> str:
    """Make a table of the streams, and of the APIs that have them."""
    core, query = ENTRIES["core"], ENTRIES["query"]
    rows = []
    for name in dict.fromkeys((*RESOURCES, *QUERY_RESOURCES, *ROWS)):
        title = (query | core)[name]["schema"].get("title", name).lower()
        about = ROWS.get(name, f"{'an' if title[0] in 'aeiou' else 'a'} {title}")
        rows.append((f"`{name}`", about, *("✓" if name in entries else "" for entries in (core, query))))
    return table(("Stream", "One row is", "Core API", "Query API"), rows) + OTHERS


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


def demo_output() -> str:
    """Make what the demo prints in the end, if every record arrives."""
    ids = ids_of(make_account())
    return f"```text\n{report(ids, ids)}\n```\n"


def readme(text: str) -> str:
    """Replace the generated parts."""
    parts = {"streams": streams_table(), "demo": demo_output(), "settings": settings_table()}
    for marker, generated in parts.items():
        text = between("README.md", text, marker, generated)
    return text
