"""Make records conform to their schema without changing what they mean."""

from __future__ import annotations

import decimal
import re
import typing as t

import msgspec
from singer_sdk.singerlib.json import serialize_json

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_kissmetrics.sdk_extensions.logs import StreamLogger

Record: t.TypeAlias = dict[str, t.Any]

_is_uuid: t.Final = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch

MAX_INTEGER_DIGITS: t.Final = 1000
"""Digits up to which a number such as 1e400 is written out."""

_is_integer: t.Final = re.compile("-?(0|[1-9][0-9]*)").fullmatch
"""A text with leading zeros is a code, and no number."""

_leading_zeros: t.Final = re.compile("^0+(?=[0-9])")

_is_number: t.Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?").fullmatch

MAX_EXPONENT: t.Final = 307
"""The largest power of ten that a column of floating-point numbers holds."""

_encode: t.Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode

MAX_KNOWN_SHAPES: t.Final = 1000
"""Combinations of columns and types that are remembered as conforming."""

_TYPES: t.Final[dict[str, frozenset[type]]] = {
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, decimal.Decimal}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}


class RecordConformer:
    """Conforms the records of one stream to its JSON Schema.

    A value of the column's type passes unchanged. One of another type is converted where that loses nothing ("8" in
    an integer column); otherwise it passes unchanged too, with one warning for each column. A column that is not in
    the schema is dropped, with one warning.
    """

    def __init__(self, schema: dict[str, t.Any], logger: StreamLogger) -> None:
        self._logger = logger
        self._known_columns = frozenset(schema["properties"])
        self._warned: set[str] = set()
        self._conforming_shapes: set[tuple[object, ...]] = set()
        self._columns: list[tuple[str, str, frozenset[type]]] = []
        for column, definition in schema["properties"].items():
            names = definition.get("type", [])
            names = [names] if isinstance(names, str) else names
            if all(name in _TYPES or name == "null" for name in names) and (known := [n for n in names if n in _TYPES]):
                types = frozenset({type(None)}).union(*(_TYPES[name] for name in known))
                self._columns.append((column, " or ".join(known), types))

    def conform(self, record: Record) -> Record:
        """Conform a record in place, and return it."""
        # The records of a list nearly all have the same columns and types.
        shape = (*record, *map(type, record.values()))
        if shape in self._conforming_shapes:
            return record
        conforms = self._known_columns.issuperset(record)
        if not conforms:
            self._drop_unknown(record)
        for column, type_names, types in self._columns:
            value = record.get(column)
            if type(value) not in types:
                conforms = False
                record[column] = self._convert(column, type_names, value)
        if conforms and len(self._conforming_shapes) < MAX_KNOWN_SHAPES:
            self._conforming_shapes.add(shape)
        return record

    def _drop_unknown(self, record: Record) -> None:
        unknown = record.keys() - self._known_columns
        for column in unknown:
            del record[column]
        self.warn_dropped(unknown)

    def warn_dropped(self, columns: Iterable[str]) -> None:
        """Warn of columns that the schema does not have, once each."""
        if fresh := sorted(set(columns) - self._warned):
            self._warned.update(fresh)
            self._logger.warning("dropped fields that are not in the schema: %s", ", ".join(map(repr, fresh)))

    def _convert(self, column: str, type_names: str, value: t.Any) -> t.Any:
        converter = _CONVERTERS.get(type_names)
        if converter and (converted := converter(value)) is not None:
            return converted
        if column not in self._warned:
            self._warned.add(column)
            self._logger.warning(
                "column '%s' is of type %s, but the API sent %s; it is passed through unchanged",
                column,
                type_names,
                type(value).__name__,
            )
        return value


def identity(value: str | int, *, is_numeric: bool) -> str | int:
    """Return what a table compares of a key: 1, " 1 " and "01" are one number, a UUID is the same in any case."""
    text = str(value)
    number = to_integer(_leading_zeros.sub("", text.strip())) if is_numeric else None
    if number is not None:
        return number
    return text.lower() if _is_uuid(text) else text


def _to_boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    if isinstance(value, (int, decimal.Decimal)) and value in {0, 1}:
        return bool(value)
    return None


def to_integer(value: object) -> int | None:
    """Convert a value to an integer where that loses nothing; otherwise return None."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, str):
        digits = value.strip()
        if not _is_integer(digits):
            return None
        value = decimal.Decimal(digits)
    if (
        isinstance(value, decimal.Decimal)
        and value.is_finite()
        and value.adjusted() < MAX_INTEGER_DIGITS
        and value == value.to_integral_value()
    ):
        return int(value)
    return None


def to_number(value: object) -> int | decimal.Decimal | None:
    """Convert a value to a number with the same digits; None for what is no number, or beyond a float's range."""
    if isinstance(value, str) and _is_number(value.strip()):
        value = decimal.Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return None
    exponent = decimal.Decimal(value).adjusted() if value else 0
    return value if abs(exponent) <= MAX_EXPONENT else None


def to_text(value: object) -> str:
    """Convert a value to text: an object or an array to JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return to_json(value) if isinstance(value, (dict, list)) else str(value)


def to_json(value: object) -> str:
    """Encode a value as JSON with every digit, in text that every encoding can hold."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, which has to be escaped
        return serialize_json(value)


_CONVERTERS: t.Final[dict[str, t.Callable[[t.Any], t.Any]]] = {
    "boolean": _to_boolean,
    "integer": to_integer,
    "string": to_text,
}
