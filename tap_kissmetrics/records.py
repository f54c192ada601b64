"""Making a record fit its schema without changing what it says."""

from __future__ import annotations

import decimal
import typing as t

from singer_sdk.singerlib.json import serialize_json

if t.TYPE_CHECKING:
    from tap_kissmetrics.logs import StreamLogger
    from tap_kissmetrics.page import Record

LONGEST_INTEGER: t.Final = 1000
"""Digits up to which a number such as 1e400 is written out."""

MOST_SHAPES: t.Final = 1000
"""Combinations of columns and types that are remembered as right."""

_TYPES: t.Final[dict[str, frozenset[type]]] = {
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, decimal.Decimal}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}


class RecordShaper:
    """Shapes records for one schema.

    A value of the column's own type passes as it is. One of another type is put into
    the column's where that says the same ("8" in an integer column); otherwise it
    passes as it is too, with one warning for each column. A column that the schema
    does not have is left out, with one warning.
    """

    def __init__(self, schema: dict[str, t.Any], logger: StreamLogger) -> None:
        """Prepare for a schema.

        Args:
            schema: JSON Schema of the stream.
            logger: Takes the warnings.
        """
        self._logger = logger
        self._known = frozenset(schema["properties"])
        self._warned: set[str] = set()
        self._right: set[tuple[object, ...]] = set()
        self._columns: list[tuple[str, str, frozenset[type]]] = []
        for column, definition in schema["properties"].items():
            kinds = definition.get("type", [])
            kinds = [kinds] if isinstance(kinds, str) else kinds
            if all(kind in _TYPES or kind == "null" for kind in kinds) and (known := [k for k in kinds if k in _TYPES]):
                types = frozenset({type(None)}).union(*(_TYPES[kind] for kind in known))
                self._columns.append((column, " or ".join(known), types))

    def shape(self, record: Record) -> Record:
        """Shape one record.

        Args:
            record: A record of the API. It is changed in place.

        Returns:
            The same record.
        """
        # The records of a list are nearly all alike.
        shape = (*record, *map(type, record.values()))
        if shape in self._right:
            return record
        right = self._known.issuperset(record)
        if not right:
            self._drop_unknown(record)
        for column, kind, types in self._columns:
            value = record.get(column)
            if type(value) not in types:
                right = False
                record[column] = self._convert(column, kind, value)
        if right and len(self._right) < MOST_SHAPES:
            self._right.add(shape)
        return record

    def _drop_unknown(self, record: Record) -> None:
        unknown = record.keys() - self._known
        for column in unknown:
            del record[column]
        if fresh := sorted(unknown - self._warned):
            self._warned |= unknown
            self._logger.warning(
                "fields that the schema does not have are left out: %s",
                ", ".join(map(repr, fresh)),
            )

    def _convert(self, column: str, kind: str, value: t.Any) -> t.Any:  # noqa: ANN401
        converter = _CONVERTERS.get(kind)
        if converter and (converted := converter(value)) is not None:
            return converted
        if column not in self._warned:
            self._warned.add(column)
            self._logger.warning(
                "column '%s' is of type %s, but the API sent %s; it is passed as it is",
                column,
                kind,
                type(value).__name__,
            )
        return value


def _to_boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    if isinstance(value, (int, decimal.Decimal)) and value in {0, 1}:
        return bool(value)
    return None


def _to_integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        if not digits.removeprefix("-").isdecimal() or not digits.isascii():
            return None
        value = decimal.Decimal(digits)
    if (
        isinstance(value, decimal.Decimal)
        and value.is_finite()
        and value.adjusted() < LONGEST_INTEGER
        and value == value.to_integral_value()
    ):
        return int(value)
    return None


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return serialize_json(value, ensure_ascii=False)
    return str(value)


_CONVERTERS: t.Final[dict[str, t.Callable[[t.Any], t.Any]]] = {
    "boolean": _to_boolean,
    "integer": _to_integer,
    "string": _to_text,
}
