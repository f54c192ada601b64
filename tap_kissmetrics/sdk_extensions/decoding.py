"""Decode JSON without losing or changing a value."""

from __future__ import annotations

import decimal
import json
import typing as t

import msgspec


def decode_json(text: bytes | str) -> t.Any:
    """Decode a JSON document in any of JSON's encodings; raise `ValueError` if it is none.

    Numbers with a fraction or an exponent become `Decimal`, with every digit. What JSON forbids but servers send is
    read as intended: raw control characters stay in their text; `NaN` and the infinities, which JSON cannot carry on,
    become text.
    """
    try:
        return _decode_strictly(text)
    except (msgspec.DecodeError, ValueError, RecursionError, decimal.InvalidOperation):
        return _decode_leniently(text)


_decode_strictly: t.Final = msgspec.json.Decoder(float_hook=decimal.Decimal).decode

_LENIENT: t.Final[dict[str, t.Any]] = {"parse_constant": str, "strict": False}


def _decode_leniently(text: bytes | str) -> t.Any:
    """Decode with the standard library, which is slower and accepts more."""
    try:
        return json.loads(text, parse_float=decimal.Decimal, **_LENIENT)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        msg = "nested too deeply"
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
