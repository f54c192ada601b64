"""What the usual account has: one of everything, or few; a first run on a server that nobody here has met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_every_record_once
from tests.support.cases import HASTY, watched_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Request

ONE: dict[str, Any] = dict.fromkeys(("products", "reports", "events", "properties", "metrics"), 1)


def account_with_one_of_everything(api: ApiName, **switches: Any) -> Sandbox:
    """Make a sandbox of it."""
    account = make_account(accounts=1, **ONE) if api == "core" else make_query_account(**ONE)
    return Sandbox(account, api=api, **switches)


def is_beyond_the_end(request: Request) -> bool:
    """Tell whether a list of one record is asked for more."""
    return int(request.query.get("offset", 0)) > 0


BEYOND = {
    "404": faults.status(404, where=is_beyond_the_end),
    "400": faults.status(400, where=is_beyond_the_end),
    "422": faults.status(422, where=is_beyond_the_end),
    "500": faults.status(500, where=is_beyond_the_end),
    "no data": faults.rewrite(lambda _: {"meta": {"status": 200}}, where=is_beyond_the_end),
    "the first page": faults.ignore_offset(where=is_beyond_the_end),
}


@pytest.mark.parametrize("api", ["core", "query"])
@pytest.mark.parametrize("beyond", BEYOND)
def test_a_list_of_one_record_is_never_asked_beyond_its_end(api: ApiName, beyond: str, tmp_path: Path) -> None:
    with account_with_one_of_everything(api, faults=[BEYOND[beyond]]) as sandbox:
        run = watched_sync(sandbox, tmp_path, page_size=100, **HASTY).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert not any(map(is_beyond_the_end, sandbox.requests))
    times = 1 if api == "core" else 2  # without a total, the one record is confirmed
    assert len([request for request in sandbox.requests if request.resource == "events"]) == times


@pytest.mark.parametrize(
    "fault", [faults.status(503, nth=2, resource="events"), faults.reset(nth=2, resource="events")]
)
def test_a_failure_while_one_record_is_confirmed_is_a_failure(fault: faults.Fault, tmp_path: Path) -> None:
    with account_with_one_of_everything("query", faults=[fault]) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert len(run.warnings) == 1


@pytest.mark.parametrize("length", [100, 50, 20])
def test_one_response_that_was_cut_to_its_overlap_does_not_end_a_list(length: int, tmp_path: Path) -> None:
    """Of 130 records in pages of 100, and of a server that cuts pages to its default."""

    def cut(body: Any) -> Any:
        return {key: value[:1] if isinstance(value, list) else value for key, value in body.items()}

    account = make_query_account(events=130, products=1)
    with Sandbox(account, api="query", cap=length, faults=[faults.rewrite(cut, resource="events", nth=2)]) as sandbox:
        run = watched_sync(sandbox, tmp_path, page_size=100).succeeded()
    assert_every_record_once(run, account)


def is_long(request: Request) -> bool:
    """Tell whether more records are asked for than the documented default."""
    return int(request.query.get("limit", 0)) > 50


@pytest.mark.parametrize("code", [400, 422])
@pytest.mark.parametrize(("api", "documented"), [("core", 20), ("query", 50)])
def test_a_refused_page_size_is_replaced_by_the_documented_one(
    code: int, api: ApiName, documented: int, tmp_path: Path
) -> None:
    refuse = faults.status(code, where=is_long)
    account = make_account(events=70, reports=1) if api == "core" else make_query_account(events=70, products=1)
    with Sandbox(account, api=api, faults=[refuse]) as sandbox:
        run = watched_sync(sandbox, tmp_path, page_size=None).succeeded()
    assert_every_record_once(run, account)
    assert run.stderr.count(f"asking for {documented} from now on") == 1
    assert len(list(filter(is_long, sandbox.requests))) == 1


def test_the_first_error_stands_if_the_documented_page_size_is_refused_too(tmp_path: Path) -> None:
    refuse = [
        faults.status(400, body='{"message": "too long"}', where=is_long),
        faults.status(503, resource="accounts"),
    ]
    with Sandbox(make_account(), faults=refuse[::-1]) as sandbox:
        run = watched_sync(sandbox, tmp_path, page_size=None, **HASTY)
    assert "HTTP 400: Bad Request for /core/accounts: API message: too long" in run.errors[0]


def test_a_page_size_that_was_set_and_is_refused_is_named(tmp_path: Path) -> None:
    with Sandbox(make_account(), faults=[faults.status(422, where=is_long)]) as sandbox:
        run = watched_sync(sandbox, tmp_path, page_size=500)
    assert all(error.endswith("; check page_size") for error in run.errors[:-1])
    assert "check page_size" in run.errors[-1]


def test_forbidden_products_are_named_once_with_what_to_do(tmp_path: Path) -> None:
    account = make_query_account(products=4, events=8)
    first, _, third, _ = account.records["products"]
    forbidden = faults.status(
        403, where=lambda r: r.path.endswith((f"/{first['id']}/events", f"/{third['id']}/events"))
    )
    with Sandbox(account, api="query", faults=[forbidden]) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    names = ", ".join(f"{product['id']} {product['name']!r}" for product in (first, third))
    remedy = "give the key access to them, or list the others in product_ids"
    assert run.errors[0] == f"events: 2 of 4 products are forbidden: {names}; {remedy}"


def test_a_rate_limit_for_all_lists_is_said_once_with_the_remedy(tmp_path: Path) -> None:
    with Sandbox(make_account(), faults=[faults.status(429)]) as sandbox:
        run = watched_sync(sandbox, tmp_path, backoff_factor=0.002)
    assert len(run.failed) == 6
    assert run.errors[-1].count("HTTP 429: Too Many Requests; set requests_per_minute; gave up after") == 1


def test_no_line_of_the_log_is_longer_than_600_characters(tmp_path: Path) -> None:
    refuse = faults.status(400, method="POST", body='{"messages": ["%s"]}' % ("too long " * 50))
    with Sandbox(make_query_account(), api="query", faults=[refuse]) as sandbox:
        run = watched_sync(sandbox, tmp_path, metric_ids=list(range(40)))
    assert run.failed == ["metric_results"]
    assert [line for line in run.stderr.splitlines() if len(line) > 600] == []


def test_a_refused_connection_is_called_one(tmp_path: Path) -> None:
    with Sandbox(make_account()) as sandbox:
        pass
    run = watched_sync(sandbox, tmp_path, retry_timeout=0)
    assert "connection refused by 127.0.0.1" in run.errors[-1]
    assert "no complete response" not in run.stderr
