"""What is written of the streams: docs/streams.md, and each stream's catalog entry as it was last agreed on."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from tap_kissmetrics.apis import APIS
from tests.about import discover
from tests.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.about import Entry

SNAPSHOTS = "tests/snapshots"
"""The folder of the snapshots, one file for each stream."""

ENTRIES = {api: {entry["tap_stream_id"]: entry for entry in discover(api)} for api in APIS}
"""The catalog's entries by stream, for each API."""

_HEAD = """\
# Streams and columns

Generated from the catalog by `python -m tests.documents --write`. Types are JSON Schema types or formats. A column may
be null unless marked "never null". `contact.name` is a field of the object `contact`; `links[].href` is a field of each
object in the array `links`.
"""


def streams_page(_: str = "") -> str:
    """Make docs/streams.md."""
    return _HEAD + "".join(
        f"\n## {APIS[api].title} (`api: {api}`)\n" + "".join(map(_section, entries.values()))
        for api, entries in ENTRIES.items()
    )


def _section(entry: Entry) -> str:
    (root,) = [part["metadata"] for part in entry["metadata"] if not part["breadcrumb"]]
    replication = entry["replication_method"]
    if entry.get("replication_key"):
        replication += f" on `{entry['replication_key']}`"
    facts = [
        f"Primary key: {code(root['table-key-properties'])}",
        f"Replication: {replication}",
        f"Keys to choose for INCREMENTAL: {code(root.get('valid-replication-keys', [])) or 'none'}",
    ]
    rows = [(f"`{name}`", _kind(field), field.get("description", "")) for name, field in columns(entry["schema"])]
    listed = "".join(f"- {fact}\n" for fact in facts)
    return f"\n### {entry['tap_stream_id']}\n\n{listed}\n{table(('Column', 'Type', 'What it is'), rows)}"


def columns(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk over the columns of a schema, and over the fields in them.

    Args:
        schema: A JSON Schema of an object.
        path: What comes before each name.

    Yields:
        The path of each, and its schema.
    """
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from columns(field, f"{path}{name}.")
    if isinstance(items := schema.get("items"), dict):
        yield from columns(items, f"{path.removesuffix('.')}[].")


def _kind(field: dict[str, Any]) -> str:
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kind = field.get("format", " or ".join(name for name in types if name != "null"))
    return kind if "null" in types else f"{kind}, never null"


def snapshots() -> dict[str, Callable[[str], str]]:
    """Give, for the path of each snapshot, what makes it."""
    return {
        f"{SNAPSHOTS}/{api}/{name}.json": partial(_snapshot, entry)
        for api, entries in ENTRIES.items()
        for name, entry in entries.items()
    }


def _snapshot(entry: Entry, _: str) -> str:
    return json.dumps(entry, indent=2, ensure_ascii=False) + "\n"
