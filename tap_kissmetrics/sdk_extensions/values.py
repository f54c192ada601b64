"""Decode JSON and make records conform to their schema without losing or changing a value."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
import re
import typing as t

import msgspec
from singer_sdk.singerlib.json import serialize_json

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_kissmetrics.sdk_extensions.logs import StreamLogger


FIELD_DISTANCE: t.Final = 10_000
"""Characters before a defect in which the name of its field is looked for."""


def decode_json(data: bytes, *, charset: str | None = None, on_repair: Callable[[str], None] | None = None) -> t.Any:
    """Decode a JSON document; raise `ValueError`, with the position, if it is none.

    Numbers with a fraction or an exponent become `Decimal`, with every digit. What JSON forbids but servers send is
    read as intended: raw control characters stay in their text; `NaN` and the infinities, which JSON cannot carry on,
    become text; bytes that are not UTF-8 are read in the declared charset or replaced by U+FFFD; invalid escapes are
    taken for text, and octal ones for bytes. `on_repair` is called with a description of such a defect.
    """
    try:
        return _decode_strictly(data)
    except (msgspec.DecodeError, ValueError, RecursionError, decimal.InvalidOperation):
        text, defect = _to_text(data, charset)
    try:
        value = _decode_leniently(text)
    except json.JSONDecodeError as error:
        if "escape" not in error.msg:
            raise _with_position(error) from None
        defect = f"{text[error.pos : error.pos + 4]!r} in {_field_before(text, error.pos)} is not a valid escape"
        try:
            value = _decode_leniently(_ESCAPE.sub(_repair_escape, text))
        except json.JSONDecodeError:
            raise _with_position(error) from None
    if defect and on_repair:
        on_repair(defect)
    return value


_decode_strictly: t.Final = msgspec.json.Decoder(float_hook=decimal.Decimal).decode

_ASCII: t.Final = bytes(range(32, 127)) + rb"\n"

_LENIENT: t.Final[dict[str, t.Any]] = {"parse_constant": str, "strict": False}

_ESCAPE: t.Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})|(?:\\[0-3][0-7]{2})+|\\')
"""A valid escape, octal bytes, or a backslash that begins neither."""


def _to_text(data: bytes, charset: str | None) -> tuple[str, str]:
    """Return the text, and what had to be replaced in it."""
    encoding: str = json.detect_encoding(data)
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode(encoding, "surrogatepass"), ""
    if charset and _extends_ascii(charset):
        encoding = charset
    text = data.decode(encoding, "replace")
    if (index := text.find("\ufffd")) < 0:
        return text, ""
    position = len(text[:index].encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace"))
    return text, f"byte {position:,}, in {_field_before(text, index)}, is not {encoding.upper()}"


def _extends_ascii(charset: str) -> bool:
    """Return whether a charset exists, and has ASCII in it: another one cannot be that of a document in UTF-8."""
    try:
        return _ASCII.decode(charset, "replace") == _ASCII.decode()
    except (LookupError, ValueError):
        return False


def _decode_leniently(text: str) -> t.Any:
    """Decode with the standard library, which is slower and accepts more."""
    try:
        return json.loads(text, parse_float=decimal.Decimal, **_LENIENT)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    except (ValueError, decimal.InvalidOperation):
        # More than 4,300 digits, or an exponent of more than 18.
        return json.loads(text, parse_float=_parse_number, parse_int=_parse_number, **_LENIENT)


def _parse_number(text: str) -> int | decimal.Decimal | str:
    # An integer that Python refuses to parse cannot be parsed by a target in Python either: it becomes text.
    number_type = int if text.lstrip("-").isdecimal() else decimal.Decimal
    try:
        return number_type(text)
    except (ValueError, decimal.InvalidOperation):
        return text


def _repair_escape(match: re.Match[str]) -> str:
    escape = match[0]
    if escape == "\\":
        return r"\\"
    if not escape[1].isdecimal():
        return escape
    octets = bytes(int(octal, 8) for octal in escape.split("\\")[1:])
    return json.dumps(octets.decode(errors="replace"))[1:-1]


def _with_position(error: json.JSONDecodeError) -> ValueError:
    position = len(error.doc[: error.pos].encode(errors="surrogatepass"))
    return ValueError(f"byte {position:,}: {error.msg}")


def _field_before(text: str, position: int) -> str:
    names = re.findall(r'"((?:[^"\\]|\\.)*)"\s*:', text[max(position - FIELD_DISTANCE, 0) : position])
    return f"field {names[-1]!r}" if names else "the document"


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

_EPOCH: t.Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_SECOND: t.Final = -62_135_596_800
_AFTER_LAST_SECOND: t.Final = 253_402_300_800
"""Unix times of the years 1 and 10000, between which a date-time can be."""

_MICROSECONDS: t.Final = decimal.Context(prec=40, rounding=decimal.ROUND_FLOOR)

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


def to_timestamp(value: object) -> tuple[str | None, bool]:
    """Convert Unix seconds to a date-time, rounded down to microseconds, and return whether it is the same moment.

    The date-time is None for what is no number, and outside the years 1 to 9999.
    """
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return None, False
    if not _FIRST_SECOND <= value < _AFTER_LAST_SECOND:
        return None, False
    seconds = _MICROSECONDS.quantize(decimal.Decimal(value), decimal.Decimal("1e-6"))
    moment = _EPOCH + dt.timedelta(microseconds=int(seconds.scaleb(6, _MICROSECONDS)))
    return moment.isoformat(), seconds == value


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
