"""A line of the raw data export becomes a record: parsed, or taken to pieces, with the same result."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_kissmetrics import raw_lines
from tap_kissmetrics.raw_lines import LineEncoder, NotPlainError, RevisionReader, parse_line
from tap_kissmetrics.sdk_extensions.values import to_timestamp
from tests.support.examples import examples

T = 1349161501
AT = "2012-10-02T07:05:01+00:00"
NOTHING = dict.fromkeys(("person", "alias", "event", "timestamp", "properties", "raw"))


def read(line: bytes) -> dict[str, Any]:
    """Parse a line."""
    return parse_line(line, lambda _: None)


def reader() -> RevisionReader:
    """Make a reader of revision 7."""
    return RevisionReader("x", 7, LineEncoder("raw_events", "x"))


def in_pieces(lines: list[bytes]) -> list[dict[str, Any]]:
    """Read lines as messages, and give their records."""
    records: list[dict[str, Any]] = []
    for piece in reader().messages(lines):
        if isinstance(piece, dict):
            records.append(piece)
            continue
        messages, count = piece
        parsed = [json.loads(line, parse_float=decimal.Decimal) for line in messages.decode().split("\n")[:-1]]
        assert len(parsed) == count
        assert all(message["type"] == "RECORD" and message["stream"] == "raw_events" for message in parsed)
        records += [message["record"] for message in parsed]
    return records


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b'{"_p":"bob","_n":"Up","_t":1349161501,"a b":"c"}',
         {"person": "bob", "event": "Up", "timestamp": AT, "properties": {"a b": "c"}}),
        (b'{"_p":"a","_p2":"bob","_t":1349161501}',
         {"person": "a", "alias": "bob", "timestamp": AT, "properties": {}}),
        (b' {"_t" : 1349161501 , "seats":3} \r', {"timestamp": AT, "properties": {"seats": 3}}),
        (b'{"_p":null,"_n":null}', {"properties": {}}),
        (b'{"_x":1,"_T":2,"_":3,"":4}', {"properties": {"_x": 1, "_T": 2, "_": 3, "": 4}}),
        (b'{"a":1,"_p":"x","a":2,"_p":"y"}', {"person": "y", "properties": {"a": 2}}),
        # What is no time stays where it was.
        (b'{"_t":"1349161501"}', {"properties": {"_t": "1349161501"}}),
        (b'{"_t":null}', {"properties": {"_t": None}}),
        (b'{"_t":1349161501000}', {"properties": {"_t": 1349161501000}}),
        (b'{"_t":1.349161501e9}', {"timestamp": AT, "properties": {}}),
        (b'{"_t":1349161501.1234567}',
         {"timestamp": f"{AT[:-6]}.123456+00:00", "properties": {"_t": decimal.Decimal("1349161501.1234567")}}),
        # Octal escapes are bytes of UTF-8, and what is not UTF-8 is replaced.
        (b'{"a":"\\303\\251t\\303\\251"}', {"properties": {"a": "\u00e9t\u00e9"}}),
        (b'{"caf\xe9":"\\303\\251"}', {"properties": {"caf\ufffd": "\u00e9"}}),
        (b'{"a":"one\ttwo"}', {"properties": {"a": "one\ttwo"}}),
        (b'{"a":NaN,"b":-Infinity}', {"properties": {"a": "NaN", "b": "-Infinity"}}),
        # What is no object is text.
        (b'{"a":1', {"raw": '{"a":1'}),
        (b'{"a":1}{"b":2}', {"raw": '{"a":1}{"b":2}'}),
        (b"[1]", {"raw": "[1]"}),
        (b"<html>\r", {"raw": "<html>"}),
        (b"\xff\xfe\x00", {"raw": "\ufffd\ufffd\ufffd"}),
        (b"\x00" * 3, {"raw": "\ufffd" * 3}),
        (b"{\x00}\x00", {"raw": "{\ufffd}\ufffd"}),
        (b"[" * 100_000, {"raw": "[" * 100_000}),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_a_line_becomes_columns_in_both_ways_of_reading_it(line: bytes, columns: dict[str, Any]) -> None:
    assert read(line) == {**NOTHING, **columns}
    (record,) = in_pieces([line])
    assert record == {"export": "x", "revision": 7, "line": 1, **NOTHING, **columns}


def test_digits_are_those_of_the_line() -> None:
    """Also where the whole line is read again."""
    numbers = [b"12345678901234567890123", b"0.1000", b"-0.0", b"1E400", b"123456789.123456789123456789", b"-0"]
    for tail in (b"", b',"a":"\xff"'):
        line = b"{" + b",".join(b'"%d":%b' % pair for pair in enumerate(numbers)) + tail + b"}"
        (record,) = in_pieces([line])
        kept = [decimal.Decimal(record["properties"][str(number)]) for number in range(len(numbers))]
        assert list(map(str, kept)) == [str(decimal.Decimal(number.decode())) for number in numbers[:-1]] + ["0"]


def test_plain_values_are_copied_byte_for_byte() -> None:
    output = bytearray()
    encoder = LineEncoder("raw_events", 'C:\\"x"')
    encoder.begin(3, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    encoder.append(b'{"a":1.50e+1, "b" :{"c": [ ]},"_p":"\\u00e9\\/","_t":1349161501}', 9, output)
    assert output.decode() == (
        '{"type":"RECORD","stream":"raw_events","record":{"export":"C:\\\\\\"x\\"","revision":3,"line":9,'
        '"person":"\\u00e9\\/","alias":null,"event":null,"timestamp":"2012-10-02T07:05:01+00:00",'
        '"properties":{"a":1.50e+1,"b":{"c": [ ]}},"raw":null},"time_extracted":"2024-01-01T00:00:00Z"}\n'
    )


def test_any_number_of_times_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are remembered."""
    monkeypatch.setattr(raw_lines, "MAX_KNOWN_TIMES", 2)
    records = in_pieces([b'{"_t":0}', b'{"_t":60}', b"{}", b'{"_t":0}'])
    assert [record["timestamp"] and record["timestamp"][14:16] for record in records] == ["00", "01", None, "00"]


def test_integers_that_python_refuses_become_text() -> None:
    """A target in Python could not read them either; all digits are there."""
    digits = "9" * 5000
    (record,) = in_pieces([f'{{"a":{digits},"b":1}}'.encode()])
    assert record["properties"] == {"a": digits, "b": 1}


@pytest.mark.parametrize("line", [b'{"_p":12}', b'{"_n":{"a":1}}', b'{"_p2":false}', b"[]", b"", b'{"a":"\xff"}'])
def test_nothing_is_written_of_a_line_that_is_not_plain(line: bytes) -> None:
    output = bytearray(b"before")
    with pytest.raises(NotPlainError):
        LineEncoder("s", "e").append(line, 1, output)
    assert output == b"before"


def test_empty_lines_count_and_defects_are_described() -> None:
    lines = [b"\xef\xbb\xbf{}", b"", b"{}", b" \r", b"oops", b'{"a":"\\303"}', b"oops", b"{}"]
    for read_lines in ("records", "messages"):
        revision = reader()
        found = list(getattr(revision, read_lines)(lines))
        assert revision.empty == 2
        assert revision.describe_defects().startswith(
            "2 lines without a JSON object, kept as text in the column raw (the first is 5); "
        )
        assert "repaired (the first is 6: " in revision.describe_defects()
        assert [record["line"] for record in found if isinstance(record, dict)][-2:] in ([7, 8], [6, 7])
    assert [record["line"] for record in in_pieces(lines)] == [1, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-62135596800, ("0001-01-01T00:00:00+00:00", True)),
        (-62135596801, (None, False)),
        (253402300799, ("9999-12-31T23:59:59+00:00", True)),
        (253402300800, (None, False)),
        (decimal.Decimal("1E+99999"), (None, False)),
        (decimal.Decimal("253402300799.9999999"), ("9999-12-31T23:59:59.999999+00:00", False)),
        (decimal.Decimal("-0.5"), ("1969-12-31T23:59:59.500000+00:00", True)),
    ],
)
def test_seconds_become_a_date_time_and_say_whether_it_is_exact(
    value: object, expected: tuple[str | None, bool]
) -> None:
    assert to_timestamp(value) == expected


text = st.text(st.characters(exclude_categories=())) | st.sampled_from(["_p", "_p2", "_n", "_t", "a", "\ud800"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(text, values, max_size=6) | values
lines = (
    st.builds(lambda value, escaped: json.dumps(value, ensure_ascii=escaped), objects, st.booleans())
    .map(lambda line: line.encode("utf-8", "surrogatepass"))
    .filter(lambda line: b"\n" not in line)
)
broken = st.tuples(lines, st.integers(0, 200), st.binary(max_size=3)).map(
    lambda found: (found[0][: found[1]] + found[2] + found[0][found[1] :]).replace(b"\n", b"")
)


@pytest.mark.no_cover  # traced, it takes twice as long
@examples(80)
@given(st.lists(lines | broken, max_size=4))
@example([b'{"_t":-0.0}', b'{"_t":1e1}', b'{"_t":1349161501,"_p":"\\ud800"}'])
def test_pieces_say_the_same_as_parsing(found: list[bytes]) -> None:
    """For any lines, odd or not."""

    def exact(records: list[dict[str, Any]]) -> str:
        as_read = json.loads(json.dumps(records, default=lambda number: f"number {number}"))
        return json.dumps(as_read, sort_keys=True)

    wanted = list(reader().records(found))
    got = in_pieces(found)
    assert [record["line"] for record in got] == [record["line"] for record in wanted]
    for one, other in zip(got, wanted, strict=True):
        assert {k: v for k, v in one.items() if k != "properties"} == {
            k: v for k, v in other.items() if k != "properties"
        }
        assert exact([one["properties"]]) == exact([other["properties"]])
