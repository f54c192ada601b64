"""Reading JSON without losing or changing a value."""

from __future__ import annotations

import decimal
import json
import typing as t

import msgspec


def decode_json(text: bytes | str) -> t.Any:  # noqa: ANN401
    """Decode JSON, exactly.

    Numbers keep every digit. What JSON does not allow but servers send is read as a
    person would want: raw control characters stay in their text, and `NaN` and the
    infinities, which no JSON can carry on, become text.

    Args:
        text: A JSON document, in any of the encodings of JSON.

    Returns:
        The decoded value; numbers with a fraction or an exponent as Decimal.

    Raises:
        ValueError: If the document is no JSON.
    """
    try:
        return _decode_strictly(text)
    except (msgspec.DecodeError, ValueError, RecursionError, decimal.InvalidOperation):
        return _decode_leniently(text)


_decode_strictly: t.Final = msgspec.json.Decoder(float_hook=decimal.Decimal).decode

_LENIENT: t.Final[dict[str, t.Any]] = {"parse_constant": str, "strict": False}


def _decode_leniently(text: bytes | str) -> t.Any:  # noqa: ANN401
    """Decode with the slow decoder, which refuses less."""
    try:
        return json.loads(text, parse_float=decimal.Decimal, **_LENIENT)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None
    except (ValueError, decimal.InvalidOperation):
        # More than 4300 digits, or an exponent of more than 18.
        return json.loads(text, parse_float=_number, parse_int=_number, **_LENIENT)


def _number(text: str) -> int | decimal.Decimal | str:
    # An integer that Python refuses to read no target in Python could read either: it becomes text.
    kind = int if text.lstrip("-").isdecimal() else decimal.Decimal
    try:
        return kind(text)
    except (ValueError, decimal.InvalidOperation):
        return text
