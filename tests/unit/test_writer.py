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


MESSAGES: dict[str, Callable[[], Any]] = {
    "SCHEMA": lambda: SchemaMessage("events", schema(**{"$schema": "x", "$id": "events", "title": "Events"}), ["id"]),
    "ACTIVATE_VERSION": lambda: ActivateVersionMessage("events", version=1),
    "RECORD": lambda: RecordMessage("events", {"id": "a"}),
    "BATCH": lambda: SDKBatchMessage("events", BaseBatchFileEncoding("jsonl", "gzip"), ["file:///1.json.gz"]),
    "STATE": lambda: StateMessage({}),
}


def write(writer: BufferedWriter, *kinds: str) -> None:
    """Write one message of each of these kinds; "LINE" is a record that is encoded already."""
    for kind in kinds:
        if kind == "LINE":
            writer.write_records(bytearray(LINE))
        else:
            writer.write_message(MESSAGES[kind]())


@pytest.fixture
def written(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[[], list[Any]]:
    """Give the messages that were written since the last call, each of which is a whole line."""
    return lambda: [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]


def types_of(messages: list[Any]) -> list[str]:
    """Return the types of messages."""
    return [message["type"] for message in messages]


@pytest.mark.parametrize(
    ("kinds", "ends", "wanted"),
    [
        (["SCHEMA"], "flush", []),
        (["SCHEMA", "STATE"], "flush", ["STATE"]),
        (["SCHEMA", "RECORD", "RECORD"], "flush", ["SCHEMA", "RECORD", "RECORD"]),
        (["SCHEMA", "LINE"], "flush", ["SCHEMA", "RECORD"]),
        (["SCHEMA", "BATCH"], "discard", ["SCHEMA", "BATCH"]),
        (["SCHEMA", "ACTIVATE_VERSION", "RECORD", "STATE"], "flush", ["SCHEMA", "RECORD", "STATE"]),
        (["SCHEMA", "ACTIVATE_VERSION", "RECORD"], "release", ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "release", ["SCHEMA", "ACTIVATE_VERSION"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "discard_activate_version", ["SCHEMA"]),
        (["SCHEMA", "ACTIVATE_VERSION"], "discard", []),
    ],
)
def test_schema_comes_before_the_first_record_and_activate_version_after_the_last(
    kinds: list[str], ends: str, wanted: list[str], writer: BufferedWriter, written: Callable[[], list[Any]]
) -> None:
    """Each once, whatever is called twice."""
    write(writer, *kinds)
    for _ in range(2):
        getattr(writer, ends)()
    assert types_of(written()) == wanted


def test_what_is_discarded_does_not_come_with_the_next_stream(
    writer: BufferedWriter, written: Callable[[], list[Any]]
) -> None:
    """Some targets would empty the file of the stream that failed."""
    write(writer, "SCHEMA", "ACTIVATE_VERSION")
    writer.discard()
    write(writer, "RECORD")
    writer.release()
    writer.flush()
    assert types_of(written()) == ["RECORD"]


def test_a_schema_is_written_without_what_some_targets_refuse(written: Callable[[], list[Any]]) -> None:
    """And at once, outside a sync."""
    write(BufferedWriter(), "SCHEMA")
    assert [message["schema"] for message in written()] == [schema()]


@pytest.mark.parametrize("kind", ["RECORD", "LINE"])
def test_records_are_written_in_blocks(kind: str, writer: BufferedWriter, written: Callable[[], list[Any]]) -> None:
    most = BUFFER_SIZE // len(LINE)
    write(writer, *[kind] * most)
    assert written() == []
    write(writer, kind)
    assert len(written()) == most + 1


def test_no_part_of_a_record_that_cannot_be_written_is(
    writer: BufferedWriter, written: Callable[[], list[Any]]
) -> None:
    """And the lines before it are, as is text that no encoding holds."""
    loop: list[Any] = []
    loop.append(loop)
    write(writer, "RECORD")
    with pytest.raises((RecursionError, ValueError)):
        writer.write_message(RecordMessage("events", {"id": "b", "loop": loop}))
    writer.write_message(RecordMessage("events", {"id": "\ud800"}))
    write(writer, "STATE")
    assert [message.get("record") for message in written()] == [{"id": "a"}, {"id": "\ud800"}, None]


def test_a_pipe_that_takes_a_part_gets_the_rest_and_nothing_twice(
    writer: BufferedWriter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    write(writer, "SCHEMA", "RECORD", "STATE")
    assert types_of([json.loads(line) for line in pipe.written.splitlines()]) == ["SCHEMA", "RECORD", "STATE"]
    assert len(clock.sleeps) == pipe.calls // 3
    assert max(clock.sleeps) < 0.1


def test_a_state_waits_in_no_buffer(writer: BufferedWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=io.BufferedWriter(output)))
    write(writer, "RECORD", "STATE")
    assert types_of([json.loads(line) for line in output.getvalue().splitlines()]) == ["RECORD", "STATE"]


def test_a_schema_waits_where_there_is_no_line(writer: BufferedWriter, written: Callable[[], list[Any]]) -> None:
    write(writer, "SCHEMA")
    writer.write_records(bytearray())
    writer.flush()
    assert written() == []


@pytest.mark.parametrize("kind", ["RECORD", "LINE"])
def test_a_signal_is_noticed_after_a_whole_record(
    kind: str, writer: BufferedWriter, written: Callable[[], list[Any]]
) -> None:
    writer.shutdown = Shutdown()
    writer.shutdown.request(15)
    with pytest.raises(ShutdownRequested):
        write(writer, kind)
    write(writer, "STATE")
    assert types_of(written()) == ["RECORD", "STATE"]
