"""What a sync of a sandbox's account must bring: every record once, and nothing in it changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.sandbox import Account, Record
    from tests.support.run import Run


def expected(stream: str, records: Iterable[Record]) -> list[Record]:
    """Give the records that a stream must emit.

    Args:
        stream: Name of the stream.
        records: The records of the API.

    Returns:
        The same; only a metric's status, text by its schema, is "true" or "false" where the API sends a boolean.
    """
    if stream != "metrics":
        return list(records)
    return [
        record | {"status": str(record["status"]).lower()} if isinstance(record.get("status"), bool) else record
        for record in records
    ]


def in_order_of_sync(streams: Iterable[str]) -> list[str]:
    """Give streams in the order in which a sync reads them: lists that others need come first, the rest by name.

    Args:
        streams: Names of lists.
    """
    first = ("accounts", "products", "reports")
    return sorted(streams, key=lambda name: (first.index(name) if name in first else len(first), name))


def assert_streams(run: Run, streams: Mapping[str, Iterable[Record]]) -> None:
    """Assert that each stream brought its records, and that there is no other.

    Args:
        run: A run of the tap.
        streams: The API's records of each stream.
    """
    for stream, records in streams.items():
        got, wanted = run.records(stream), expected(stream, records)
        assert [record["id"] for record in got] == [record["id"] for record in wanted], stream
        for record, original in zip(got, wanted, strict=True):
            assert exact(record) == exact(original)
    assert {message["stream"] for message in run.of_type("RECORD")} <= streams.keys()


def assert_complete(run: Run, account: Account) -> None:
    """Assert that each record of an account came exactly once, unchanged.

    Args:
        run: A run of the tap.
        account: The account that it read.
    """
    assert_streams(run, account.records)


def exact(record: Record) -> str:
    """Write a record so that 1, 1.0 and true differ, as they do in JSON.

    Args:
        record: Its values; those that JSON does not have are written as Python shows them.
    """
    return json.dumps(record, sort_keys=True, default=repr)
