"""Turn lines of the raw data export into records or, faster, into RECORD messages."""

from __future__ import annotations

import datetime as dt
import re
import typing as t

import msgspec

from tap_kissmetrics.sdk_extensions.logs import plural
from tap_kissmetrics.sdk_extensions.values import decode_json, to_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from singer_sdk.helpers.types import Record

PERSON: t.Final = "_p"
ALIAS: t.Final = "_p2"
EVENT: t.Final = "_n"
TIMESTAMP: t.Final = "_t"

MAX_PLAIN_LENGTH: t.Final = 4300
"""Bytes of a line up to which it cannot hold an integer that Python refuses to parse."""

WRITE_SIZE: t.Final = 2**16
"""Bytes of messages that are written at once."""

MAX_KNOWN_TIMES: t.Final = 10_000
"""Timestamps that are cached: the events of a revision are close in time."""

_has_huge_integer: t.Final = re.compile(rb"[0-9]{%d}" % (MAX_PLAIN_LENGTH + 1)).search

_decode: t.Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: t.Final = msgspec.json.Encoder().encode
_encode_into: t.Final = msgspec.json.Encoder().encode_into

_NULL: t.Final = msgspec.Raw(b"null")
_NO_TIME: t.Final = {b"": b"null"}
_TEXT_OR_NULL: t.Final = b'"n'


class NotPlainError(ValueError):
    """A line has to be parsed: it may not be JSON, or a value has an unusual type."""


def parse_line(line: bytes, on_repair: Callable[[str], None]) -> Record:
    """Return the columns of any line. Without a JSON object all are null but `raw`, which has the line as text."""
    try:
        # A zero byte would let the decoder take the line for another encoding than UTF-8.
        fields = None if 0 in line[:2] else decode_json(line, charset="utf-8", on_repair=on_repair)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        # No database keeps U+0000 in a text.
        text = line.rstrip(b"\r").decode(errors="replace").replace("\0", "\ufffd")
        return {**dict.fromkeys(("person", "alias", "event", "timestamp", "properties")), "raw": text}
    timestamp, is_exact = to_timestamp(fields.get(TIMESTAMP))
    columns = {"person": fields.pop(PERSON, None), "alias": fields.pop(ALIAS, None), "event": fields.pop(EVENT, None)}
    if is_exact:
        del fields[TIMESTAMP]
    return {**columns, "timestamp": timestamp, "properties": fields, "raw": None}


class LineEncoder:
    """Encodes lines as RECORD messages; keys and values are copied byte for byte."""

    def __init__(self, stream: str, export: str) -> None:
        self._start = b'{"type":"RECORD","stream":%b,"record":{"export":%b,"revision":' % (
            _encode(stream),
            _encode(export),
        )
        self._head = self._tail = b""
        self._times = dict(_NO_TIME)

    def begin(self, revision: int, time_extracted: dt.datetime) -> None:
        """Start a revision: the lines that follow belong to it."""
        self._head = b'%b%d,"line":' % (self._start, revision)
        self._tail = b',"raw":null},"time_extracted":%b}\n' % _encode(time_extracted)

    def append(self, line: bytes, number: int, output: bytearray) -> None:
        """Append the message of a line to `output`; raise `NotPlainError` if it has to be parsed."""
        try:
            if not line.isascii():
                line.decode()  # what msgspec does not check in a value that it leaves as it is
            fields = _decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise NotPlainError from None
        person = bytes(fields.pop(PERSON, _NULL))
        alias = bytes(fields.pop(ALIAS, _NULL))
        event = bytes(fields.pop(EVENT, _NULL))
        if person[0] not in _TEXT_OR_NULL or alias[0] not in _TEXT_OR_NULL or event[0] not in _TEXT_OR_NULL:
            raise NotPlainError
        seconds = bytes(fields.pop(TIMESTAMP, b""))
        timestamp = self._times.get(seconds) or self._convert_time(seconds)
        if len(line) > MAX_PLAIN_LENGTH and _has_huge_integer(line):
            raise NotPlainError
        output += b'%b%d,"person":%b,"alias":%b,"event":%b,"timestamp":%b,"properties":' % (
            self._head,
            number,
            person,
            alias,
            event,
            timestamp,
        )
        _encode_into(fields, output, -1)
        output += self._tail

    def _convert_time(self, seconds: bytes) -> bytes:
        timestamp, is_exact = to_timestamp(decode_json(seconds))
        if not is_exact:
            raise NotPlainError
        if len(self._times) >= MAX_KNOWN_TIMES:
            self._times = dict(_NO_TIME)
        return self._times.setdefault(seconds, _encode(timestamp))


class RevisionReader:
    """Turns the lines of one revision into records or messages, and counts defects."""

    def __init__(self, export: str, revision: int, encoder: LineEncoder) -> None:
        self._export = export
        self._revision = revision
        self._encoder = encoder
        self._line = 0
        self.empty = 0
        """The number of empty lines, which become no record."""
        self._raw: list[int] = []
        self._repaired: list[tuple[int, str]] = []

    def records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """Yield the record of each line that is not empty."""
        for line in lines:
            self._line += 1
            if not self._is_empty(line):
                yield self._parse(line)

    def messages(self, lines: Iterable[bytes]) -> Iterator[tuple[bytearray, int] | Record]:
        """Yield chunks of RECORD messages, each with the number of them, and a record for each line that is parsed."""
        self._encoder.begin(self._revision, dt.datetime.now(dt.UTC))
        append, output, count = self._encoder.append, bytearray(), 0
        for line in lines:
            self._line += 1
            try:
                append(line, self._line, output)
                count += 1
            except NotPlainError:
                if not self._is_empty(line):
                    yield output, count
                    output, count = bytearray(), 0
                    yield self._parse(line)
            if len(output) >= WRITE_SIZE:
                yield output, count
                output, count = bytearray(), 0
        yield output, count

    def describe_defects(self) -> str:
        """Describe the lines that are not valid JSON objects; return an empty text if there are none."""
        parts = []
        if self._raw:
            parts.append(f"{plural(len(self._raw), 'line')} without a JSON object, kept as text in the column raw")
            parts[-1] += f" (the first is {self._raw[0]:,})"
        if self._repaired:
            number, defect = self._repaired[0]
            parts.append(
                f"{plural(len(self._repaired), 'line')} of malformed JSON repaired (the first is {number:,}: {defect})"
            )
        return "; ".join(parts)

    def _is_empty(self, line: bytes) -> bool:
        # A byte order mark may begin a file.
        is_empty = not line.removeprefix(b"\xef\xbb\xbf" if self._line == 1 else b"").strip()
        self.empty += is_empty
        return is_empty

    def _parse(self, line: bytes) -> Record:
        repaired: list[str] = []
        columns = parse_line(line, repaired.append)
        if columns["raw"] is not None:
            self._raw.append(self._line)
        elif repaired:
            self._repaired.append((self._line, repaired[0]))
        return {"export": self._export, "revision": self._revision, "line": self._line, **columns}
