"""Decode JSON without losing or changing a value."""

from __future__ import annotations

import contextlib
import decimal
import json
import re
import typing as t

import msgspec

if t.TYPE_CHECKING:
    from collections.abc import Callable

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
