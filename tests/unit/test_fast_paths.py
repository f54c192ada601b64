"""What is done fast says the same as what the standard library and the SDK do slowly."""

from __future__ import annotations

import copy
import decimal
import io
import json
import re
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from tap_kissmetrics.sdk_extensions.values import decode_json
from tap_kissmetrics.sdk_extensions.writer import BufferedWriter
from tap_kissmetrics.tap import TapKissmetrics
from tests.support.examples import examples
from tests.support.in_process import signals_kept

if TYPE_CHECKING:
    from collections.abc import Callable


text = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ud800", "a\u2028b", "\x00", "\x7f", ""])
numbers = st.integers(-(2**200), 2**200) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=20,
)


def exact(value: object) -> object:
    """Make values unequal that compare equal and are not the same: 1, 1.0 and true; 1.0 and 1.00; NaN equals itself."""
    if isinstance(value, dict):
        return [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [exact(item) for item in value]
    return type(value), str(value)


def slowly(document: bytes) -> Any:
    """Read JSON with the standard library."""
    return json.loads(document, parse_float=decimal.Decimal, parse_constant=str, strict=False)


def outcome(decode: Callable[[bytes], object], document: bytes) -> object:
    """Give what a decoder makes of a document, or that it refuses it."""
    try:
        return exact(decode(document))
    except ValueError:
        return ValueError


class TestReading:
    """Against the standard library's decoder."""

    @pytest.mark.no_cover  # traced, it takes twice as long
    @examples(80)
    @given(values, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    def test_any_value(self, value: object, escaped: bool, encoding: str) -> None:  # noqa: FBT001 - hypothesis
        document = json.dumps(value, ensure_ascii=escaped).encode(encoding, "surrogatepass")
        assert outcome(decode_json, document) == outcome(slowly, document)

    @pytest.mark.no_cover  # traced, it takes twice as long
    @examples(80)
    @given(st.text("0123456789eE+-.", min_size=1, max_size=12))
    @example("-0")
    @example("1e5")
    @example("-0.0")
    @example("01")
    def test_any_number(self, number: str) -> None:
        document = f'[{{"n":{number}}}]'.encode()
        assert outcome(decode_json, document) == outcome(slowly, document)

    @pytest.mark.no_cover  # traced, it takes twice as long
    @examples(30)
    @given(values, st.integers(0, 200))
    def test_a_document_that_was_cut(self, value: object, at: int) -> None:
        document = json.dumps([value]).encode()
        assert (outcome(decode_json, document[:at]) is ValueError) == (at < len(document))


class TestWriting:
    """Against the SDK's own writer."""

    @pytest.mark.no_cover  # traced, it takes twice as long
    @examples(30)
    @given(st.lists(st.dictionaries(text, values, max_size=4), max_size=6))
    def test_any_records(self, records: list[dict[str, Any]]) -> None:
        records = [slowly(json.dumps(record).encode()) for record in records]
        messages = [RecordMessage(stream="s", record=record) for record in records]
        with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as stdout:
            with redirect_stdout(stdout):
                writer = BufferedWriter()
                for message in messages:
                    writer.write_message(message)
                writer.flush()
            lines = stdout.buffer.getvalue().split(b"\n")
        assert lines.pop() == b""
        slow = SimpleSingerWriter()
        for line, message in zip(lines, messages, strict=True):
            assert exact(slowly(line)) == exact(slowly(slow.format_message(message).encode()))


dates = st.sampled_from(
    ["2024-01-01T00:00:00Z", "2024-05-05T05:05:05+02:00", "2023-12-31", "9999-12-31T00:00:00Z", "soon"]
)
columns = st.sampled_from(["name", "total", "is_visible", "description", "product_id", "last_sent_at", "odd", "data"])
totals = st.none() | st.just("8") | numbers
rows = st.fixed_dictionaries({"id": st.uuids().map(str)}, optional={"last_sent_at": dates | st.none(), "total": totals})
records = st.lists(st.builds(lambda row, more: {**more, **row}, rows, st.dictionaries(columns, values)), max_size=5)


def messages_and_state(
    name: str, given: list[dict[str, Any]], config: dict[str, Any], *, incremental: bool, fast: bool
) -> Any:
    """Sync a stream that is given records; return what it writes, but for the moments, and the state."""
    bookmark = {"replication_key": "last_sent_at", "replication_key_value": "2024-01-01T00:00:00Z"}
    with signals_kept(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as stdout, redirect_stdout(stdout):
        tap = TapKissmetrics(config={"api_token": "t", **config}, state={"bookmarks": {"events": bookmark}})
        stream: Any = tap.streams[name]
        stream.request_records = lambda _: iter(copy.deepcopy(given))
        if incremental:
            stream.replication_key = "last_sent_at"
        assert stream.is_plain
        stream.is_plain = fast
        tap.message_writer.hold_schemas = True
        stream.sync()
        tap.message_writer.release()
        tap.message_writer.flush()
        written = re.sub(rb'(?<="version":)[0-9]+|,"time_extracted":"[^"]*"', b"", stdout.buffer.getvalue())
    return written, tap.state, stream.progress.skipped


class TestPlainStreams:
    """Records that are written past the SDK, against its own steps."""

    @pytest.mark.no_cover  # traced, it takes twice as long
    @examples(30)
    @given(records, st.sampled_from(["events", "report_results"]), st.booleans(), st.booleans())
    def test_any_records(self, given: list[dict[str, Any]], name: str, versions: bool, incremental: bool) -> None:  # noqa: FBT001 - hypothesis
        given = slowly(json.dumps(given).encode())
        config = {"report_ids": ["*"], "emit_activate_version_messages": versions}
        incremental &= name == "events"
        fast = messages_and_state(name, given, config, incremental=incremental, fast=True)
        assert fast == messages_and_state(name, given, config, incremental=incremental, fast=False)
        assert fast[0].count(b'{"type":"RECORD"') == len(given) - fast[2]
