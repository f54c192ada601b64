"""The order in which messages are written, and that only whole lines are."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.helpers._batch import BaseBatchFileEncoding, SDKBatchMessage
from singer_sdk.singerlib import ActivateVersionMessage, RecordMessage, SchemaMessage, StateMessage
from typing_extensions import override

from tap_kissmetrics.sdk_extensions.waiting import Shutdown, ShutdownRequested
from tap_kissmetrics.sdk_extensions.writer import BUFFER_SIZE, BufferedWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.clock import Clock


class Pipe(io.RawIOBase):
    """Takes three bytes at a time, and none every third time."""

    def __init__(self) -> None:
        self.written = b""
        self.calls = 0

    @override
    def write(self, data: Any, /) -> int | None:
        self.calls += 1
        if self.calls % 3 == 0:
            return None
        self.written += bytes(data[:3])
        return len(data[:3])


class Refusal:
    """A value that cannot be written."""

    @override
    def __str__(self) -> str:
        message = "no text"
        raise ValueError(message)


@pytest.fixture
def writer() -> BufferedWriter:
    """A writer as it is during a sync."""
    writer = BufferedWriter()
    writer.hold_schemas = True
    return writer


LINE = b'{"type":"RECORD","stream":"events","record":{"id":"a"}}\n'


def schema(**more: str) -> dict[str, Any]:
    """Make a schema of every depth with more keywords everywhere."""
    tags = {"type": "array", "items": {"type": "string", **more}, **more}
    column = {"type": "object", "properties": {"tags": tags}, **more}
    return {"properties": {"id": {"type": "string", **more}, "title": column}, **more}


SCHEMA = schema(**{"$schema": "https://json-schema.org", "$id": "events", "title": "Events"})


def messages(*kinds: str) -> list[Any]:
    """Make one message of each of these kinds."""
    made = {
        "SCHEMA": SchemaMessage("events", SCHEMA, key_properties=["id"]),
        "ACTIVATE_VERSION": ActivateVersionMessage("events", version=1),
        "RECORD": RecordMessage("events", {"id": "a"}),
        "BATCH": SDKBatchMessage("events", BaseBatchFileEncoding("jsonl", "gzip"), ["file:///1.json.gz"]),
        "STATE": StateMessage({}),
    }
    return [made[kind] for kind in kinds]


def write_encoded(writer: BufferedWriter) -> None:
    """Write the line of a record that is encoded already."""
    writer.write_records(bytearray(LINE))


def write_record(writer: BufferedWriter) -> None:
    """Write a record as the SDK does."""
    writer.write_message(*messages("RECORD"))


def written(capture: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    """Return the messages that were written, each of which is a whole line."""
    output = capture.readouterr().out
    assert output[-1:] in {b"", b"\n"}
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize(
    ("kinds", "ends", "expected"),
    [
        (["SCHEMA"], "", []),
        (["SCHEMA", "STATE"], "", ["STATE"]),
        (["SCHEMA", "RECORD", "RECORD"], "flush", ["SCHEMA", "RECORD", "RECORD"]),
        (["SCHEMA", "ACTIVATE_VERSION", "RECORD", "STATE"], "", ["SCHEMA", "RECORD", "STATE"]),
        (["SCHEMA", "ACTIVATE_VERSION", "RECORD"], "release", ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "release", ["SCHEMA", "ACTIVATE_VERSION"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "discard_activate_version", ["SCHEMA"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "discard", []),
        (["SCHEMA"], "release", ["SCHEMA"]),
        (["SCHEMA", "BATCH"], "discard", ["SCHEMA", "BATCH"]),
    ],
)
def test_the_order_of_messages(
    kinds: list[str], ends: str, expected: list[str], writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """SCHEMA before the first RECORD, ACTIVATE_VERSION after the last; each once, whatever is called twice."""
    for message in messages(*kinds):
        writer.write_message(message)
    for _ in range(2):
        if ends:
            getattr(writer, ends)()
    assert [message["type"] for message in written(capsysbinary)] == expected


def test_what_is_discarded_does_not_come_with_the_next_stream(
    writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Some targets would empty the file of the stream that failed."""
    for message in messages("SCHEMA", "ACTIVATE_VERSION"):
        writer.write_message(message)
    writer.discard()
    writer.write_message(*messages("RECORD"))
    writer.release()
    writer.flush()
    assert [message["type"] for message in written(capsysbinary)] == ["RECORD"]


def test_outside_a_sync_a_schema_is_written_at_once(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Without the keywords that some targets refuse."""
    BufferedWriter().write_message(*messages("SCHEMA"))
    assert [message["schema"] for message in written(capsysbinary)] == [schema()]


@pytest.mark.parametrize("write", [write_encoded, write_record])
def test_records_are_buffered(
    write: Callable[[BufferedWriter], None], writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """They are written once there are `BUFFER_SIZE` bytes, without a STATE."""
    for _ in range(BUFFER_SIZE // len(LINE)):
        write(writer)
    assert written(capsysbinary) == []
    write(writer)
    assert len(written(capsysbinary)) == BUFFER_SIZE // len(LINE) + 1


def test_a_record_that_cannot_be_written(writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """No part of its line is, and the lines before it are."""
    writer.write_message(*messages("RECORD"))
    with pytest.raises(ValueError, match="no text"):
        writer.write_message(RecordMessage("events", {"id": "b", "name": Refusal()}))
    writer.write_message(RecordMessage("events", {"id": "\ud800"}))
    writer.write_message(*messages("STATE"))
    assert [message.get("record") for message in written(capsysbinary)] == [{"id": "a"}, {"id": "\ud800"}, None]


def test_a_pipe_that_takes_a_part_of_what_is_written(
    writer: BufferedWriter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest follows, and nothing comes twice."""
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    for message in messages("SCHEMA", "RECORD", "STATE"):
        writer.write_message(message)
    assert [json.loads(line)["type"] for line in pipe.written.splitlines()] == ["SCHEMA", "RECORD", "STATE"]
    assert len(clock.sleeps) == pipe.calls // 3
    assert max(clock.sleeps) < 0.1


def test_a_state_is_written_at_once(writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits in no buffer of Python's own."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=io.BufferedWriter(output)))
    for message in messages("RECORD", "STATE"):
        writer.write_message(message)
    assert [json.loads(line)["type"] for line in output.getvalue().splitlines()] == ["RECORD", "STATE"]


def test_a_schema_comes_before_records_that_are_encoded(
    writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As before any other; it waits where there is none."""
    writer.write_message(*messages("SCHEMA"))
    writer.write_records(bytearray())
    assert written(capsysbinary) == []
    write_encoded(writer)
    writer.flush()
    assert [message["type"] for message in written(capsysbinary)] == ["SCHEMA", "RECORD"]


@pytest.mark.parametrize("write", [write_encoded, write_record])
def test_a_signal_is_noticed_after_a_record(
    write: Callable[[BufferedWriter], None], writer: BufferedWriter, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Its line is whole, and written with the STATE that follows."""
    writer.shutdown = Shutdown()
    writer.shutdown.request(15)
    with pytest.raises(ShutdownRequested):
        write(writer)
    writer.write_message(*messages("STATE"))
    assert [message["type"] for message in written(capsysbinary)] == ["RECORD", "STATE"]
