"""Catalogs that switch streams to INCREMENTAL, without a process for each."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from scripts.about import tap_of
from tap_kissmetrics.tap import TapKissmetrics
from tests.support.in_process import signals_kept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox import Record

KEYS, QUERY_KEYS = (
    {each.name: each.valid_replication_keys for each in tap_of(api).discover_streams() if each.valid_replication_keys}
    for api in ("core", "query")
)
"""The replication keys of those lists of each API that have any; the first one is the best."""


def choose(**streams: str | None) -> dict[str, Any]:
    """Return a catalog as a user would edit it: its metadata selects streams, each with its replication key, or None.

    None stands for FULL_TABLE.
    """
    with signals_kept():
        catalog: dict[str, Any] = TapKissmetrics(config={}, validate_config=False).catalog_dict
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        root["selected"] = name in streams
        if key := streams.get(name):
            root |= {"replication-method": "INCREMENTAL", "replication-key": key}
        elif name in streams:
            root["replication-method"] = "FULL_TABLE"
    return catalog


def instant(value: str) -> dt.datetime:
    """Read a date-time that the sandbox made."""
    return dt.datetime.fromisoformat(value)


def at_or_after(records: Iterable[Record], key: str, bookmark: str) -> list[str]:
    """Give the ids of the records that INCREMENTAL must emit: those without a date, and those that are not older."""
    return [r["id"] for r in records if r[key] is None or instant(r[key]) >= instant(bookmark)]


def ids(records: Iterable[Record]) -> list[str]:
    """Give the ids of records, in their order."""
    return [record["id"] for record in records]
