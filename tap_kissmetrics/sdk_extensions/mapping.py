"""Stream maps and flattening: what the SDK's mapper does not check or report."""

from __future__ import annotations

import ast
import decimal
import fnmatch
import re
import traceback
import typing as t

import msgspec
from singer_sdk.mapper import NULL_STRING, CustomStreamMap, RemoveRecordTransform

from tap_kissmetrics.sdk_extensions.logs import first_cause, truncate

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from singer_sdk.mapper import StreamMap
    from singer_sdk.singerlib import RecordMessage

    from tap_kissmetrics.sdk_extensions.records import Record

_NO_EXPRESSIONS: t.Final = {"__alias__", "__source__", "__else__", "__key_properties__"}

_JSON_TYPES: t.Final = {bool, int, float, decimal.Decimal, str, list, dict, type(None)}


def unmatched_maps(stream_maps: Mapping[str, t.Any], streams: Collection[str]) -> Iterator[str]:
    """Yield the names, patterns and sources in the setting `stream_maps` that match no stream."""
    for name, definition in stream_maps.items():
        source = definition.get("__source__", name) if isinstance(definition, dict) else name
        if name != "__else__" and not fnmatch.filter(streams, str(source)):
            yield str(source)


def broken_expressions(stream_maps: Mapping[str, t.Any]) -> Iterator[str]:
    """Describe, as the SDK does, what is no expression: it takes `x = 1` for one, and ignores what follows a `;`."""
    for name, definition in stream_maps.items():
        for column, expression in definition.items() if isinstance(definition, dict) else ():
            if column in _NO_EXPRESSIONS or not isinstance(expression, str) or expression == NULL_STRING:
                continue
            try:
                ast.parse(expression.strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                yield f"Failed to parse expression {truncate(expression)}. ({name}: {column})"


def shared_table(stream_maps: Mapping[str, Iterable[StreamMap]]) -> str | None:
    """Return the name of a table that several maps write to: each would delete what the others wrote."""
    tables: set[str] = set()
    for maps in stream_maps.values():
        for each in maps:
            if not isinstance(each, RemoveRecordTransform):
                # Many databases ignore the case, and targets write these with an underscore.
                table = re.sub(r"[\s.-]", "_", each.stream_alias.lower())
                if table in tables:
                    return each.stream_alias
                tables.add(table)
    return None


def describe_map_error(error: Exception, record: Record, primary_keys: Iterable[str]) -> str:
    """Name the column, the expression, the record and the cause: the SDK names the expression, for some errors only."""
    place = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        names = frame.f_locals
        if frame.f_code.co_name == "_eval" and "property_name" in names:
            place = f"{names['property_name'] or '__filter__'}: {truncate(str(names.get('expr')))} "
            break
    key = ", ".join(f"{name}={truncate(repr(record.get(name)))}" for name in primary_keys)
    cause = first_cause(error)
    return f"stream_maps: {place}failed for the record with {key}: {type(cause).__name__}: {truncate(str(cause))}"


class MappedRecords:
    """Makes what stream maps and flattening give fit the SCHEMA of its table.

    Drops what is not in the SCHEMA, such as a null in the place of an object that is flattened, and calls `on_dropped`
    with the columns that had a value. Raises `TypeError` for a value that JSON does not have.
    """

    def __init__(self, stream_maps: Iterable[StreamMap], on_dropped: Callable[[list[str]], None]) -> None:
        maps = (each for each in stream_maps if each.flattening_enabled or isinstance(each, CustomStreamMap))
        self._columns = {each.stream_alias: each.transformed_schema["properties"].keys() for each in maps}
        self._on_dropped = on_dropped

    def conform(self, message: RecordMessage) -> RecordMessage:
        """Conform the record of a message in place, and return the message."""
        if columns := self._columns.get(message.stream):
            record = message.record
            unknown = {column: record.pop(column) for column in record.keys() - columns}
            self._on_dropped([column for column, value in unknown.items() if value is not None])
            for column, value in record.items():
                if type(value) not in _JSON_TYPES:
                    record[column] = _to_json_type(column, value)
        return message


def _to_json_type(column: str, value: object) -> t.Any:
    def refuse(odd: object) -> t.NoReturn:
        msg = f"{column} is a {type(odd).__name__}, which JSON does not have"
        raise TypeError(msg)

    return msgspec.to_builtins(value, enc_hook=refuse)
