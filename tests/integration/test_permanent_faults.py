"""The fault matrix, second part: what does not pass. One clear line, an exit code, nothing is taken for complete."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import RESOURCES, Sandbox, faults
from tests.support.assertions import (
    assert_discreet,
    assert_every_record_once,
    assert_met,
    assert_only_the_events_failed,
)
from tests.support.cases import BOTH, EVENTS, HASTY, PAGE_SIZE, Case, in_each_api, row, small_sandbox, watched_sync
from tests.support.run import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Fault, Request

pytestmark = pytest.mark.usefixtures("clock")

LATER: faults.When = {"resource": "events", "skip": 2}
"""Every page of the events from the third on."""


def message(text: str) -> str:
    """Make the body of an error."""
    return json.dumps({"meta": {"status": 400, "message": text}, "data": None})


BROKEN = r"no complete response from 127\.0\.0\.1:\d+: "
IMPATIENT: dict[str, Any] = {"request_timeout": 0.25}

grow = itertools.count(1)

RESPONSES = [
    row("403", faults.status(403, **EVENTS), says="HTTP 403: api_token cannot read /core/events; deselect the stream",
        apis=BOTH),
    row("403 from the third page on", faults.status(403, **LATER), says="HTTP 403: api_token cannot read /core/even",
        ahead=True),
    row("404", faults.status(404, **EVENTS), says="HTTP 404: nothing at /core/events; check api_url and product_ids",
        apis=BOTH),
    row("400", faults.status(400, **EVENTS), says="HTTP 400: Bad Request for /core/events: API message: This is the ",
        apis=BOTH),
    row("a 4xx without a name", faults.status(499, **EVENTS), says="HTTP 499: API message: This is the answer"),
    row("503 from the third page on", faults.status(503, **LATER), says="HTTP 503: .* for /core/events", ahead=True,
        apis=BOTH),
    row("429 for good", faults.status(429, **EVENTS), says="HTTP 429", backoff_factor=0.002, ahead=True, apis=BOTH),
    row("503 with Retry-After for good", faults.retry_after(0.5, code=503, **EVENTS), says="HTTP 503",
        backoff_factor=0.002),
    row("meta.status 403 in 200", faults.meta_status(403, **EVENTS), says="HTTP 403: api_token cannot read",
        apis=BOTH),
    row("meta.status 500 in 200 for good", faults.meta_status(500, **EVENTS), says="HTTP 500.*API message: Somethi"),
    row("connection reset each time", faults.reset(**LATER), says=BROKEN, ahead=True, apis=BOTH),
    row("server that hangs each time", faults.hang(**LATER), says=f"{BROKEN}(the response took|.*timed out)",
        **IMPATIENT, ahead=True),
    row("server that drips each time", faults.drip(0.02, **LATER), says=f"{BROKEN}(the response took|timed out)",
        **IMPATIENT),
    row("page that never ends", faults.endless(**LATER), says=f"{BROKEN}the (response|body)", retry_timeout=0,
        **IMPATIENT),
    row("truncated JSON each time", faults.truncated_json(**LATER), says=r"is not JSON \(\d+ bytes, application/json",
        ahead=True, apis=BOTH),
    row("HTML each time", faults.html_page(**LATER), says=r"is not JSON \(\d+ bytes, text/html"),
    row("null each time", faults.null_body(**LATER), says="contains no list of records", ahead=True, apis=BOTH),
    row("an error beside an empty list", faults.rewrite(lambda _: {"data": [], "error": {"message": "no"}}, **EVENTS),
        says="API message: no", apis=BOTH),
    row("a status and a message beside an empty list",
        faults.rewrite(lambda _: {"data": [], "status": 500, "message": "down"}, **EVENTS),
        says="HTTP 500: .*API message: down", apis=BOTH),
]  # fmt: skip

LISTS = [
    row("server that ignores offset", faults.ignore_offset(**EVENTS), says="the server ignores offset", ahead=True,
        apis=BOTH),
    row("server that ignores offset and says so", faults.ignore_offset(admit=True, **EVENTS),
        says="the response is for offset 0, not for 9"),
    row("pages that overlap by 3 rows and say so", faults.overlap(3, admit=True, **EVENTS),
        says="the response is for offset 6, not for 9"),
    row("server that ignores offset and says no total", faults.ignore_offset(**EVENTS),
        faults.total(faults.MISSING, **EVENTS), says="the server ignores offset", ahead=True),
    row("bare form, server that ignores offset", faults.ignore_offset(**EVENTS), says="the server ignores offset",
        switches={"form": "bare"}),
    row("empty page each time", faults.empty_page(**LATER), says=r"no new records at offset \d+ of a list of 60",
        ahead=True),
    row("empty page at the start each time", faults.empty_page(**EVENTS),
        says="no new records at offset 0 of a list of 60", ahead=True),
    row("empty list whose total is another each time", faults.empty_page(**EVENTS), faults.total_random(**EVENTS),
        says="no new records at offset 0 of a list of "),
    row("one record a page", faults.ignore_limit(1, **EVENTS), says="no new records at offset 0 of a list of 60",
        ahead=True),
    row("total that grows with each request", faults.total(lambda true: true + next(grow), **EVENTS),
        says=r"no new records at offset 59 of a list of \d+", ahead=True),
    row("total that is too large", faults.total(lambda true: true + 10, **EVENTS),
        says="no new records at offset 59 of a list of 70", ahead=True),
]  # fmt: skip


@pytest.mark.parametrize(("api", "max_concurrency", "case"), in_each_api([*RESPONSES, *LISTS]))
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
    assert run.messages == []


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
    assert_only_the_events_failed(run, sandbox, "the list does not stop changing")


def test_an_account_that_changes_each_time(tmp_path: Path) -> None:
    """A row comes in at the front once in each pass over the list: ten of them are enough."""
    with small_sandbox() as sandbox:

        @sandbox.on_request
        def push(running: Sandbox, request: Request) -> None:
            if request.resource == "events" and request.query["offset"] == str(PAGE_SIZE - 1):
                running.account.insert("events", 0)

        run = watched_sync(sandbox, tmp_path, max_concurrency=1, **HASTY)
    assert_only_the_events_failed(run, sandbox, "the list changed each of the 10 times that it was read: raise page_s")


@pytest.mark.parametrize("code", [400, 403, 429, 503])
def test_an_echoed_token_is_hidden(code: int, tmp_path: Path) -> None:
    """A server that repeats the token in the body, a header and the reason does not get it into the log."""
    with small_sandbox(faults.echo_token(code, **EVENTS), token="sandbox/token+with%signs=&of{every}kind") as sandbox:  # noqa: S106
        run = watched_sync(sandbox, tmp_path, **{**HASTY, "backoff_factor": 0.002})
    assert_only_the_events_failed(
        run, sandbox, rf"HTTP {code}.*API message: Cannot do that with Bearer \(hidden\)(; .*)?$"
    )


@pytest.mark.parametrize("shown", [170, 190, 200])
def test_an_echoed_token_is_hidden_where_the_message_is_clipped(shown: int, tmp_path: Path) -> None:
    """A message is clipped after the token in it was hidden, not before."""
    with small_sandbox() as sandbox:
        sandbox.faults.append(faults.status(400, body=message("x" * shown + sandbox.token), **EVENTS))
        run = watched_sync(sandbox, tmp_path, **HASTY)
    assert_only_the_events_failed(run, sandbox, "HTTP 400: Bad Request for /core/events: API message: x")


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
    kept = failed.state["bookmarks"]["accounts"]
    assert kept["replication_key_value"] == bookmark["replication_key_value"]
    assert "progress_markers" not in kept
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
    assert re.match(r"accounts: connection refused by 127\.0\.0\.1:\d+$", run.errors[0])
    assert set(run.failed) == set(RESOURCES)


def test_https_where_there_is_none(tmp_path: Path) -> None:
    """The line names the host, and nothing is tried again."""
    with small_sandbox() as sandbox:
        run = watched_sync(sandbox, tmp_path, **{**HASTY, "api_url": sandbox.url.replace("http:", "https:")})
    assert run.code == 1
    assert re.match(r"accounts: 127\.0\.0\.1:\d+ does not speak TLS: .*; check api_url, and", run.errors[0])
    assert sandbox.requests == []
    assert_discreet(run, sandbox)


# Redirects are never followed, wherever they lead: the token would go along.


@pytest.mark.parametrize(
    ("location", "names"),
    [
        pytest.param("http://{elsewhere}/core/events", "{elsewhere}", id="to another host"),
        pytest.param("https://{elsewhere}/core/events", "{elsewhere}", id="to another host, to HTTPS"),
        pytest.param("//{elsewhere}/core/events", "{elsewhere}", id="to another host, without a scheme"),
        pytest.param("http://me:hidden@{elsewhere}/x", "{elsewhere}", id="to another host, with a password"),
        pytest.param("http://{here}/core/properties", "{here}", id="to the same host"),
        pytest.param("/core/properties", "no host that it names", id="to a path"),
        pytest.param("http://[", "no host that it names", id="to garbage"),
        pytest.param("http://elsewhere:port/", "elsewhere:port", id="to a port that is none"),
        pytest.param("", "no host that it names", id="to nowhere"),
    ],
)
def test_a_redirect(location: str, names: str, tmp_path: Path) -> None:
    """The line names the host and the setting to change; nobody else is asked, and no record comes from elsewhere."""
    with small_sandbox() as sandbox, small_sandbox() as elsewhere:
        hosts = {"here": sandbox.url.split("/")[2], "elsewhere": elsewhere.url.split("/")[2]}
        sandbox.faults.append(faults.redirect(location.format(**hosts), 302, **EVENTS))
        run = watched_sync(sandbox, tmp_path, **HASTY)
        assert elsewhere.requests == []
    says = f"HTTP 302: the API redirects /core/events to {re.escape(names.format(**hosts))}, and .*set api_url to"
    assert_only_the_events_failed(run, sandbox, says)
    assert "hidden@" not in run.stderr


def test_each_other_3xx(tmp_path: Path) -> None:
    """Another code does not make a redirect better; each stream gets another one."""
    codes = dict(zip(RESOURCES, itertools.cycle((300, 301, 303, 304, 307, 308)), strict=False))
    happening = [faults.redirect("http://elsewhere.invalid/", code, resource=name) for name, code in codes.items()]
    with small_sandbox(*happening) as sandbox:
        run = watched_sync(sandbox, tmp_path, **HASTY)
    *lines, _ = run.errors
    for line in lines:
        name = line.split(":")[0]
        assert f": HTTP {codes[name]}: the API redirects /core/{name} to elsewhere.invalid, " in line
    assert set(run.failed) == set(RESOURCES)
