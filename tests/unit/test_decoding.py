"""JSON that is odd: what can be read is read, and described once; what cannot says where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.sdk_extensions.values import decode_json
from tests.support.examples import examples


def read(document: bytes, charset: str | None = None) -> tuple[object, list[str]]:
    """Decode a document; return its value, and what was repaired."""
    repairs: list[str] = []
    return decode_json(document, charset=charset, on_repair=repairs.append), repairs


@pytest.mark.parametrize(
    ("document", "value", "repair"),
    [
        (b'{"a": "x", "name": "caf\xe9"}', {"a": "x", "name": "caf\ufffd"}, "byte 23, in field 'name', is not UTF-8"),
        (b'["\xc3"]', ["\ufffd"], "byte 2, in the document, is not UTF-8"),
        (rb'{"name": "R\&D"}', {"name": r"R\&D"}, r"""'\\&D"' in field 'name' is not a valid escape"""),
        (rb'{"name": "a\x41"}', {"name": r"a\x41"}, r"'\\x41' in field 'name' is not a valid escape"),
        (rb'{"name": "C:\temp\dir"}', {"name": "C:\temp\\dir"}, r"""'\\dir' in field 'name' is not a valid escape"""),
        (rb'{"name": "caf\303\251"}', {"name": "café"}, r"'\\303' in field 'name' is not a valid escape"),
        (rb'{"name": "\101\\101\351"}', {"name": "A\\101\ufffd"}, r"'\\101' in field 'name' is not a valid escape"),
        (b'{"name": "\xff\\&"}', {"name": "\ufffd\\&"}, "'\\\\&\"}' in field 'name' is not a valid escape"),
    ],
)
def test_a_defect_is_repaired_and_described_once(document: bytes, value: object, repair: str) -> None:
    """A whole list is not lost for one byte."""
    assert read(document) == (value, [repair])


@pytest.mark.parametrize(
    ("charset", "text"), [("iso-8859-1", "café"), ("windows-1252", "café €"), ("shift_jis", "ソ能"), ("gbk", "中文")]
)
def test_a_declared_charset_is_used_where_the_bytes_are_not_utf_8(charset: str, text: str) -> None:
    document = json.dumps({"name": text}, ensure_ascii=False).encode(charset)
    assert read(document, charset) == ({"name": text}, [])


def test_a_wrong_charset_is_not_used() -> None:
    """Many servers declare one by default, and send UTF-8."""
    assert read('{"name": "café"}'.encode(), "iso-8859-1") == ({"name": "café"}, [])


@pytest.mark.parametrize("charset", ["nonsense", "base64", "", "utf-16", "cp037", "punycode", "undefined", "utf-7"])
def test_a_charset_that_does_not_exist_or_has_no_ascii_counts_as_absent(charset: str) -> None:
    assert read(b'{"name": "\xff"}', charset) == ({"name": "\ufffd"}, ["byte 10, in field 'name', is not UTF-8"])


def test_a_byte_that_its_charset_does_not_have_is_replaced() -> None:
    repairs = ["byte 11, in field 'name', is not WINDOWS-1252"]
    assert read(b'{"name": "\xe9\x81"}', "windows-1252") == ({"name": "é\ufffd"}, repairs)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b'{"a": "' + b"x" * 3403 + b'" 1}', "byte 3,412: Expecting ',' delimiter"),
        (b'{"a": 1,}', "byte [78]: "),  # by the version of Python
        (b'{"a": 1} x', "byte 9: Extra data"),
        ('{"é": tru}'.encode(), "byte 7: Expecting value"),
        (b'{"a": "\\&" "b"}', "byte 7: Invalid"),
        (b"[" * 100_000 + b"]" * 100_000, "it is nested too deeply"),
        (b"\x28\xb5\x2f\xfd", "byte 0: Expecting value"),
    ],
)
def test_what_cannot_be_read_says_where(document: bytes, says: str) -> None:
    """And is not said to be repaired."""
    with pytest.raises(ValueError, match=rf"^{says}"):
        decode_json(document, on_repair=pytest.fail)


@examples(100)
@given(st.lists(st.binary(max_size=8), max_size=4), st.sampled_from([None, "utf-8", "latin-1", "cp1252", "shift_jis"]))
def test_any_bytes_in_a_text(pieces: list[bytes], charset: str | None) -> None:
    """No byte makes a document unreadable, but a quotation mark."""
    text = b"".join(pieces).replace(b'"', b"").replace(b"\x00", b"").rstrip(b"\\")
    value, _ = read(b'{"id": 1, "name": "' + text + b' "}', charset)
    assert isinstance(value, dict)
    assert value["id"] == 1
