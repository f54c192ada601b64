"""What a response may take: bytes, seconds and memory."""

from __future__ import annotations

import gzip
import logging
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_kissmetrics.sdk_extensions import http
from tap_kissmetrics.sdk_extensions.http import Limits, Session
from tap_kissmetrics.sdk_extensions.waiting import Shutdown
from tests.sandbox import Fault, Sandbox, faults
from tests.support.assertions import assert_every_record_once
from tests.support.cases import small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Response, Wire

LIMIT = 2**20
"""Bytes of a body in these tests."""


def packed_twice(body: bytes) -> Fault:
    """Answer with this body, packed twice."""
    body = gzip.compress(gzip.compress(body))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(body)}\r\n\r\n"

    def send(wire: Wire, _: Response) -> None:
        wire.send(head.encode() + body)

    return Fault("packed twice", send=send, resource="events")


def test_a_body_is_unpacked_up_to_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In pieces: memory does not grow with what a body would unpack to."""
    monkeypatch.setattr(http, "MAX_BODY_SIZE", LIMIT)
    bomb = packed_twice(b" " * (200 * LIMIT))
    tracemalloc.start()
    try:
        with small_sandbox(bomb) as sandbox:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            run = watched_sync(sandbox, tmp_path, max_concurrency=1, retry_timeout=0)
            _, peak = tracemalloc.get_traced_memory()
            assert_every_record_once(run, sandbox.account, but=["events"])
    finally:
        tracemalloc.stop()
    assert run.failed == ["events"]
    assert "the body has more than 1 MiB once it is unpacked" in run.errors[0]
    assert peak - before < 50 * LIMIT


def test_a_body_of_just_the_limit_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http, "MAX_BODY_SIZE", LIMIT)
    with small_sandbox(packed_twice(b"[]" + b" " * (LIMIT - 2))) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
    assert run.records("events") == []


def session_of(sandbox: Sandbox, max_response_time: float) -> Session:
    """Make a session with a sandbox."""
    limits = Limits(max_concurrency=2, requests_per_minute=None, max_response_time=max_response_time)
    session = Session([sandbox.url], limits, shutdown=Shutdown(), logger=logging.getLogger())
    session.headers["Authorization"] = f"Bearer {sandbox.token}"
    return session


def assert_nothing_runs(session: Session) -> None:
    """Wait until no request of a session runs any more."""
    end = time.monotonic() + 10
    while session._count_running():  # noqa: SLF001 - what is public does not tell
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_response_that_stops_is_given_up_in_time(seconds: float) -> None:
    """At its own deadline, however long one read may take; one whose head has arrived does not go on."""
    with Sandbox(faults=[faults.hang("in_body")]) as sandbox:
        session = session_of(sandbox, seconds)
        start = time.monotonic()
        with pytest.raises(requests.RequestException, match="took more than"):
            session.get(f"{sandbox.url}/accounts", timeout=20)
        assert time.monotonic() - start < 10
        if seconds:
            assert_nothing_runs(session)


def test_a_response_that_nobody_expects_any_more_is_given_up() -> None:
    with Sandbox(faults=[faults.hang("in_body")]) as sandbox:
        session = session_of(sandbox, 60)
        session.prefetch([session.prepare_request(requests.Request("GET", f"{sandbox.url}/accounts"))], timeout=20)
        time.sleep(0.3)
        session.prefetch([])
        assert_nothing_runs(session)


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a traceback, for which there may be no memory either."""

    def decode(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(http, "decode_json", decode)
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.code == 1
    assert run.errors == ["out of memory; lower page_size and max_concurrency"]
