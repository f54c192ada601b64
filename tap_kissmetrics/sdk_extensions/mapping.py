"""Stream maps and flattening: what the SDK's mapper does not check or report."""

from __future__ import annotations

import fnmatch
import traceback
import typing as t

from singer_sdk.mapper import RemoveRecordTransform

from tap_kissmetrics.sdk_extensions.logs import first_cause, truncate

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from singer_sdk.mapper import StreamMap
    from singer_sdk.singerlib import RecordMessage

    from tap_kissmetrics.sdk_extensions.records import Record


def unmatched_maps(stream_maps: Mapping[str, t.Any], streams: Collection[str]) -> Iterator[str]:
    """Yield the names, patterns and sources in the setting `stream_maps` that match no stream."""
    for name, definition in stream_maps.items():
        source = definition.get("__source__", name) if isinstance(definition, dict) else name
        if name != "__else__" and not fnmatch.filter(streams, str(source)):
            yield str(source)


def shared_table(stream_maps: Mapping[str, Iterable[StreamMap]]) -> str | None:
    """Return the name of a table that several maps write to: each would delete what the others wrote."""
    tables: set[str] = set()
    for maps in stream_maps.values():
        for each in maps:
            if not isinstance(each, RemoveRecordTransform):
                table = each.stream_alias.lower()  # many databases ignore the case
                if table in tables:
                    return each.stream_alias
                tables.add(table)
    return None


def describe_map_error(error: Exception, record: Record, primary_keys: Iterable[str]) -> str:
    """Name the column, the expression, the record and the cause: the SDK names the expression, for some errors only."""
    expression, column = "", "__filter__"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        names = frame.f_locals
        if frame.f_code.co_name == "_eval" and "property_name" in names:
            expression, column = str(names.get("expr")), names["property_name"] or column
            break
    key = ", ".join(f"{name}={truncate(repr(record.get(name)))}" for name in primary_keys)
    cause = first_cause(error)
    return (
        f"stream_maps: {column}: {truncate(expression)} failed for the record with {key}: "
        f"{type(cause).__name__}: {truncate(str(cause))}"
    )


class FlattenedRecords:
    """Drops what the SCHEMA of a flattened table does not have, such as a null in the place of an object.

    `on_dropped` is called with the columns that had a value.
    """

    def __init__(self, stream_maps: Iterable[StreamMap], on_dropped: Callable[[list[str]], None]) -> None:
        maps = (each for each in stream_maps if each.flattening_enabled)
        self._columns = {each.stream_alias: each.transformed_schema["properties"].keys() for each in maps}
        self._on_dropped = on_dropped

    def conform(self, message: RecordMessage) -> RecordMessage:
        """Conform the record of a message in place, and return the message."""
        if columns := self._columns.get(message.stream):
            record = message.record
            unknown = {column: record.pop(column) for column in record.keys() - columns}
            self._on_dropped([column for column, value in unknown.items() if value is not None])
        return message
