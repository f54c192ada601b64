"""The fault matrix, second part: what does not pass. One clear line, an exit code, nothing is taken for complete."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault_matrix import BOTH, Case, in_each_api, row
from tests.fault_runs import (
    EVENTS,
    HASTY,
    PAGE_SIZE,
    assert_discreet,
    assert_every_record_once,
    assert_met,
    assert_only_the_events_failed,
    small_sandbox,
    watched_sync,
)
from tests.sandbox import RESOURCES, Sandbox, faults
from tests.tap_process import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Fault, Request

pytestmark = pytest.mark.usefixtures("_untraced")


LATER: faults.When = {"resource": "events", "skip": 2}
"""Every page of the events from the third on."""


def message(text: str) -> str:
    """Make the body of an error."""
    return json.dumps({"meta": {"status": 400, "message": text}, "data": None})


WORDLESS: list[dict[str, Any]] = [{"error": True}, {"error": 500}, {"error": {"code": 5}}, {"errors": [{"code": 17}]}]
"""Errors that only say that there is one."""

STATUSES = [
    row("403", faults.status(403, **EVENTS), says="HTTP 403: api_token may not read /core/events; deselect the stream",
        apis=BOTH),
    row("403 from the third page on", faults.status(403, **LATER), says="HTTP 403: api_token may not read /core/even"),
    row("404", faults.status(404, **EVENTS), says="HTTP 404: nothing at /core/events; check api_url and product_ids",
        apis=BOTH),
    row("400", faults.status(400, **EVENTS), says="HTTP 400: Bad Request for /core/events: the API says: This is the ",
        apis=BOTH),
    *(row(str(code), faults.status(code, **EVENTS), says=f"HTTP {code}: .*the API says: This is the answer {code}$")
      for code in (402, 405, 406, 410, 418, 422, 451)),
    row("a 4xx that nobody knows", faults.status(499, **EVENTS), says="HTTP 499: the API says: This is the answer"),
    row("400 with a long message", faults.status(400, body=message("no " * 500), **EVENTS),
        says=r"HTTP 400.{30,60}the API says: (no )+n?o?\.\.\.$"),
    row("400 with a message of several lines", faults.status(400, body=message("no\r\n\tmore\x00\x1b[31m"), **EVENTS),
        says=r"HTTP 400.*the API says: no more\[31m$"),
    row("400 with HTML", faults.status(400, body="<h1>No</h1>", **EVENTS), says="HTTP 400: Bad Request for [^<]*$"),
    *(row(f"{code} for good", faults.status(code, **EVENTS), says=f"HTTP {code}: .* for /core/events")
      for code in (408, 425, 500, 503)),
    row("500 from the third page on", faults.status(500, **LATER), says="HTTP 500", apis=BOTH),
    row("429 for good", faults.status(429, **EVENTS), says="HTTP 429", backoff_factor=0.002, apis=BOTH),
    row("429 with Retry-After for good", faults.retry_after(0.5, **EVENTS), says="HTTP 429", backoff_factor=0.002),
    row("503 with Retry-After for good", faults.retry_after(0.5, code=503, **EVENTS), says="HTTP 503",
        backoff_factor=0.002),
    row("meta.status 403 in 200", faults.meta_status(403, **EVENTS), says="HTTP 403: api_token may not read",
        apis=BOTH),
    row("meta.status 404 in 200", faults.meta_status(404, **EVENTS), says="HTTP 404: nothing at /core/events"),
    row("meta.status 400 in 200", faults.meta_status(400, **EVENTS), says="HTTP 400.*the API says: Something went"),
    row("meta.status 500 in 200 for good", faults.meta_status(500, **EVENTS), says="HTTP 500.*the API says: Somethi"),
]  # fmt: skip

BROKEN = r"no complete answer from 127\.0\.0\.1:\d+: "
IMPATIENT: dict[str, Any] = {"request_timeout": 0.5}

ANSWERS = [
    row("connection reset each time", faults.reset(**LATER), says=BROKEN, apis=BOTH),
    row("body too short each time", faults.short_body(**LATER), says=BROKEN),
    row("server that hangs each time", faults.hang(**LATER), says=f"{BROKEN}.*timed out", **IMPATIENT),
    row("server that drips each time", faults.drip(0.02, **LATER), says=f"{BROKEN}(the answer took|timed out)",
        **IMPATIENT),
    row("gzip that is none each time", faults.bad_gzip(**LATER), says=BROKEN),
    row("truncated JSON each time", faults.truncated_json(**LATER), says=r"is not JSON \(\d+ bytes, application/json",
        apis=BOTH),
    row("HTML each time", faults.html_page(**LATER), says=r"is not JSON \(\d+ bytes, text/html"),
    row("empty body each time", faults.empty_body(**LATER), says=r"is not JSON \(0 bytes"),
    row("null each time", faults.null_body(**LATER), says="holds no list of records", apis=BOTH),
    row("data null each time", faults.data(None, **LATER), says="holds no list of records", apis=BOTH),
    row("no data each time", faults.data(faults.MISSING, **LATER), says="holds no list of records"),
    row("a number each time", faults.scalar_body(**LATER), says="holds no list of records"),
    row("empty page each time", faults.empty_page(**LATER), says=r"no new records at offset \d+ of a list of 60"),
    row("empty page at the start each time", faults.empty_page(**EVENTS),
        says="no new records at offset 0 of a list of 60"),
]  # fmt: skip

grow = itertools.count(1)

LISTS = [
    row("server that ignores offset", faults.ignore_offset(**EVENTS), says="the server ignores offset", apis=BOTH),
    row("server that ignores offset and says so", faults.ignore_offset(admit=True, **EVENTS),
        says="the server ignores offset"),
    row("server that ignores offset and says no total", faults.ignore_offset(**EVENTS),
        faults.total(faults.MISSING, **EVENTS), says="the server ignores offset"),
    row("bare form, server that ignores offset", faults.ignore_offset(**EVENTS), says="the server ignores offset",
        switches={"form": "bare"}),
    row("errors beside an empty list", faults.rewrite(lambda _: {"data": [], "errors": ["a shard is down"]}, **EVENTS),
        says="the API says: a shard is down"),
    row("an error beside an empty list", faults.rewrite(lambda _: {"data": [], "error": {"message": "no"}}, **EVENTS),
        says="the API says: no", apis=BOTH),
    *(row(f"an empty list beside {error}", faults.body(json.dumps({"data": [], **error}), **EVENTS),
          says="the API says: ", apis=BOTH) for error in WORDLESS),
    row("a status and a message beside an empty list",
        faults.rewrite(lambda _: {"data": [], "status": 500, "message": "down"}, **EVENTS),
        says="HTTP 500: .*the API says: down", apis=BOTH),
    row("empty list whose total is another each time", faults.empty_page(**EVENTS), faults.total_random(**EVENTS),
        says="no new records at offset 0 of a list of "),
    row("one record a page", faults.ignore_limit(1, **EVENTS), says="the server gives one record a page"),
    row("total that grows with each request", faults.total(lambda true: true + next(grow), **EVENTS),
        says=r"no new records at offset 59 of a list of \d+"),
    row("total that is too large", faults.total(lambda true: true + 10, **EVENTS),
        says="no new records at offset 59 of a list of 70"),
    row("page that never ends", faults.endless(**LATER), says=f"{BROKEN}the answer", retry_timeout=0, **IMPATIENT),
]  # fmt: skip


@pytest.mark.parametrize(("api", "max_concurrency", "case"), in_each_api([*STATUSES, *ANSWERS, *LISTS]))
def test_refuses_a_stream(api: ApiName, max_concurrency: int, case: Case, tmp_path: Path) -> None:
    """The line names the stream and the cause; the other streams are complete."""
    with small_sandbox(*case.faults, api=api, **case.switches) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=max_concurrency, **{**HASTY, **case.settings})
        assert_met(sandbox)
    assert_only_the_events_failed(run, sandbox, case.says)


@pytest.mark.parametrize("fault", [faults.status(401), faults.meta_status(401), faults.echo_token(401)],
                         ids=["401", "meta.status 401 in 200", "401 that repeats the token"])  # fmt: skip
def test_a_wrong_token_stops_everything_at_once(fault: Fault, tmp_path: Path) -> None:
    """One request, one line."""
    with small_sandbox(fault) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert run.code == 1
    (line,) = run.errors
    assert line.startswith("HTTP 401: api_token is wrong or expired; make a new one")
    assert len(sandbox.requests) == 1
    assert not run.of_type("RECORD")
    assert not run.of_type("ACTIVATE_VERSION")


def test_an_account_that_never_rests(tmp_path: Path) -> None:
    """A row comes in at the front before each request: that ends, and says what to do."""
    with small_sandbox() as sandbox:

        @sandbox.on_request
        def push(running: Sandbox, request: Request) -> None:
            if request.resource == "events":
                running.account.insert("events", 0)

        run = watched_sync(sandbox, tmp_path, **HASTY)
    asked = [request for request in sandbox.requests if request.resource == "events"]
    assert len(asked) < 200
    assert_only_the_events_failed(run, sandbox, "the list never rests")


def test_an_account_that_changes_each_time(tmp_path: Path) -> None:
    """A row comes in at the front once in each pass over the list: ten of them are enough."""
    with small_sandbox() as sandbox:

        @sandbox.on_request
        def push(running: Sandbox, request: Request) -> None:
            if request.resource == "events" and request.query["offset"] == str(PAGE_SIZE - 1):
                running.account.insert("events", 0)

        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert_only_the_events_failed(run, sandbox, "the list changed each of the 10 times that it was read: raise page_s")


@pytest.mark.parametrize("code", [400, 403, 404, 422, 429, 500, 503])
def test_an_echoed_token_is_hidden(code: int, tmp_path: Path) -> None:
    """A server that repeats the token in the body, a header and the reason does not get it into the log."""
    with small_sandbox(faults.echo_token(code, **EVENTS), token="sandbox/token+with%signs=&of{every}kind") as sandbox:  # noqa: S106
        run = watched_sync(sandbox, tmp_path, **{**HASTY, "backoff_factor": 0.002})
    assert_only_the_events_failed(run, sandbox, rf"HTTP {code}.*the API says: Cannot do that with Bearer \(hidden\)$")


@pytest.mark.parametrize("shown", range(150, 201, 10))
def test_an_echoed_token_is_hidden_where_the_message_is_clipped(shown: int, tmp_path: Path) -> None:
    """A message is clipped after the token in it was hidden, not before."""
    with small_sandbox() as sandbox:
        sandbox.faults.append(faults.status(400, body=message("x" * shown + sandbox.token), **EVENTS))
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert_only_the_events_failed(run, sandbox, "HTTP 400: Bad Request for /core/events: the API says: x")


def test_a_failed_stream_keeps_its_bookmark(tmp_path: Path) -> None:
    """What a stream emitted before it failed does not move its bookmark: the next sync has it all."""
    bookmark = {"replication_key": "updated_at", "replication_key_value": "2015-01-01T00:00:00Z"}
    state = write_json(tmp_path / "state.json", {"bookmarks": {"accounts": bookmark}})
    with small_sandbox(faults.status(500, resource="accounts", skip=1)) as sandbox:
        for _ in range(20):
            sandbox.account.insert("accounts", 0)
        failed = watched_sync(sandbox, tmp_path, "--state", state, **HASTY)
        sandbox.faults.clear()
        again = write_json(tmp_path / "again.json", failed.state)
        retried = watched_sync(sandbox, tmp_path, "--state", again, **HASTY).succeeded()
    assert failed.code == 1
    assert failed.failed == ["accounts"]
    assert failed.records("accounts")
    assert failed.state["bookmarks"]["accounts"]["replication_key_value"] == bookmark["replication_key_value"]
    assert_every_record_once(failed, sandbox.account, but=["accounts"])
    assert_every_record_once(retried, sandbox.account)


def test_each_failed_stream_is_named(tmp_path: Path) -> None:
    """Several may fail; the others do not suffer."""
    broken = ["reports", "events", "metrics"]
    with small_sandbox(*(faults.status(403, resource=name) for name in broken)) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert run.code == 1
    *lines, _ = run.errors
    assert [line.split(":")[0] for line in lines] == broken
    assert run.failed == ["reports", "events", "metrics"]
    assert_every_record_once(run, sandbox.account, but=broken)


def test_nobody_listens(tmp_path: Path) -> None:
    """Connection refused for good: the line names the host."""
    with small_sandbox() as sandbox:
        pass
    run = watched_sync(sandbox, tmp_path, **HASTY)
    assert run.code == 1
    assert re.match(r"accounts: no complete answer from 127\.0\.0\.1:\d+: .*refused", run.errors[0])
    assert set(run.failed) == set(RESOURCES)


def test_https_where_there_is_none(tmp_path: Path) -> None:
    """The line names the host, and nothing is tried again."""
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, **{**HASTY, "api_url": sandbox.url.replace("http:", "https:")})
    assert run.code == 1
    assert re.match(r"accounts: the certificate of 127\.0\.0\.1:\d+ is not accepted: ", run.errors[0])
    assert sandbox.requests == []
    assert_discreet(run, sandbox)
