"""A body that unpacks to gigabytes is given up, however it is packed."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tap_kissmetrics.sdk_extensions import http
from tests.sandbox import Fault
from tests.support.assertions import assert_every_record_once
from tests.support.cases import small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.messages import Response
    from tests.sandbox.server import Wire

LIMIT = 2**20
"""Bytes of a body in these tests."""


def packed(body: bytes, times: int) -> Fault:
    """Answer with this body, packed so many times."""
    for _ in range(times):
        body = gzip.compress(body)
    encoding = ", ".join(["gzip"] * times)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"

    def send(wire: Wire, _: Response) -> None:
        wire.send(head.encode() + body)

    return Fault("packed", send=send, resource="events")


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_unpacked_is_bounded(times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In pieces: memory does not grow with what a body would unpack to."""
    monkeypatch.setattr(http, "MAX_BODY_SIZE", LIMIT)
    bomb = packed(b" " * (200 * LIMIT), times)
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


@pytest.mark.parametrize("times", [1, 2])
def test_a_body_below_the_limit_is_read(times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Packed twice as well."""
    monkeypatch.setattr(http, "MAX_BODY_SIZE", LIMIT)
    with small_sandbox(packed(b"[]" + b" " * (LIMIT - 2), times)) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
    assert run.records("events") == []
