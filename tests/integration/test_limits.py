"""What a response may take, and a system that allows no more threads."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_kissmetrics.sdk_extensions import http
from tap_kissmetrics.sdk_extensions.http import Limits, Session
from tap_kissmetrics.sdk_extensions.waiting import Shutdown
from tap_kissmetrics.tap import max_response_time
from tests.sandbox import Sandbox, faults
from tests.support.cases import small_sandbox, watched_sync

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("request_timeout", "retry_timeout", "seconds"),
    [(60, 120, 60), (10, 120, 50), (30, 120, 60), (300, 120, 300), (60, 0, 60), (1, 1000, 5)],
)
def test_a_response_that_trickles_leaves_time_for_another_attempt(
    request_timeout: float, retry_timeout: float, seconds: float
) -> None:
    """Within `retry_timeout`; but never less than one read may take."""
    settings = {"request_timeout": request_timeout, "retry_timeout": retry_timeout}
    assert max_response_time(settings) == seconds


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, "", "no certificates"], ids=["missing", "empty", "text"])
def test_certificates_that_cannot_be_read(variable: str, content: str | None, tmp_path: Path) -> None:
    """The variable is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with small_sandbox() as sandbox:
        url = sandbox.url.replace("http:", "https:")
        others = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
        run = watched_sync(sandbox, tmp_path, env={**others, variable: str(path)}, api_url=url, retry_timeout=0.1)
    assert run.code == 1
    assert variable in run.errors[0], run.errors[0]


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_response_that_stops_is_given_up_in_time(seconds: float) -> None:
    """At its own deadline, however long one read may take."""
    with Sandbox(faults=[faults.hang("in_body")]) as sandbox:
        limits = Limits(max_concurrency=1, requests_per_minute=None, max_response_time=seconds)
        session = Session([sandbox.url], limits, shutdown=Shutdown(), logger=logging.getLogger())
        session.headers["Authorization"] = f"Bearer {sandbox.token}"
        start = time.monotonic()
        with pytest.raises(requests.RequestException, match="took more than"):
            session.get(f"{sandbox.url}/accounts", timeout=20)
        assert time.monotonic() - start < 10


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a traceback, for which there may be no memory either."""

    def decode(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(http, "decode_json", decode)
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.code == 1
    assert run.errors == ["out of memory; lower page_size and max_concurrency"]
