"""Every record of a list comes out exactly once and unchanged, however the API cuts its lists and while they change.

The paginator by itself meets thousands of such lists in tests/unit/test_pagination.py.
"""

from __future__ import annotations

import collections
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import QUERY_RESOURCES, RESOURCES, Form, Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_complete, assert_every_record_once, assert_met, expected
from tests.support.cases import small_sandbox, watched_sync
from tests.support.examples import examples
from tests.support.tap import sync, sync_here
from tests.unit.test_pagination import changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox import ApiName, Record, Request
    from tests.support.list_server import Change

FORMS: tuple[Form, ...] = ("envelope", "bare")

MAKE: dict[ApiName, Any] = {"core": make_account, "query": make_query_account}

lists = pytest.mark.parametrize(("api", "form"), [("core", "envelope"), ("core", "bare"), ("query", "envelope")])
"""For tests of the lists of each API, which in the Query API have neither a total nor the limit of the server."""


@pytest.fixture(scope="module")
def roomy() -> Iterator[Sandbox]:
    """A sandbox for many runs, each of which sets what is served, and how."""
    with Sandbox() as running:
        yield running


@pytest.mark.no_cover  # traced, it takes twice as long
@lists
@pytest.mark.parametrize(
    ("cap", "page_size"), [(None, None), (None, 1), (None, 20), (None, 101), (50, 101), (7, None), (2, 10_000)]
)
def test_any_page_size_and_cap(api: ApiName, form: Form, cap: int | None, page_size: int | None) -> None:
    """One request more than the pages need is allowed, two where there is no total, and none beyond the end."""
    account = MAKE[api](products=1, reports=21, events=101, properties=20, metrics=19)
    with Sandbox(account, api=api, form=form, cap=cap) as sandbox:
        assert_complete(sync_here(sandbox, page_size=page_size, max_concurrency=1), account)
    limit = max(page_size or {"core": 1000, "query": 10_000}[api], 2)
    most = min(limit, cap or limit)
    for resource, count in account.counts.items():
        asked = [request.query for request in sandbox.requests if request.resource == resource]
        has_total = api == "core" and form == "envelope"
        assert len(asked) <= math.ceil((count - 1) / (most - 1)) + (1 if has_total else 2)
        assert all(query.keys() == {"limit", "offset"} and query["limit"] == str(limit) for query in asked)
        assert all(int(query["offset"]) < count for query in asked)


@lists
@pytest.mark.parametrize("count", [0, 1, 2, 11, 12, 21])
def test_any_length(count: int, api: ApiName, form: Form) -> None:
    """Lists that end at, before and behind the end of a page; empty ones too."""
    counts = dict.fromkeys(RESOURCES if api == "core" else QUERY_RESOURCES, count)
    account = MAKE[api](**{**counts, "products": min(count, 1)})
    with Sandbox(account, api=api, form=form) as sandbox:
        run = sync_here(sandbox, page_size=11)
    assert_complete(run, account)
    assert {message["stream"] for message in run.of_type("SCHEMA")} == account.records.keys()


@pytest.mark.no_cover  # traced, it takes twice as long
@given(
    counts=st.fixed_dictionaries({resource: st.integers(0, 40) for resource in RESOURCES}),
    page_size=st.integers(1, 45),
    cap=st.none() | st.integers(2, 45),
    form=st.sampled_from(FORMS),
)
@examples(3)
def test_any_length_of_list(
    roomy: Sandbox, counts: dict[str, int], page_size: int, cap: int | None, form: Form
) -> None:
    roomy.account, roomy.cap, roomy.form = make_account(**counts), cap, form
    assert_complete(sync_here(roomy, page_size=page_size), roomy.account)


@pytest.mark.parametrize(("total", "cap"), [(10, None), (1, 4), (faults.MISSING, 4)])
def test_a_wrong_total_and_a_silent_cap_do_not_end_a_list(total: object, cap: int | None, tmp_path: Path) -> None:
    wrong = [faults.total(total, resource="events"), faults.ignore_limit(cap or 10, resource="events")]
    with small_sandbox(*wrong) as sandbox:
        run = watched_sync(sandbox, tmp_path).succeeded()
        assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize(("api", "skip"), [("core", 0), ("core", 2), ("query", 2)])
@pytest.mark.usefixtures("clock")
def test_a_server_that_has_nothing_for_a_while_costs_no_record(api: ApiName, skip: int, tmp_path: Path) -> None:
    """An empty page is not believed where the total tells that there is more, or something was read before."""
    with small_sandbox(faults.empty_page(resource="events", skip=skip, times=5), api=api) as sandbox:
        run = watched_sync(sandbox, tmp_path, max_concurrency=1).succeeded()
        assert_met(sandbox)
    assert_complete(run, sandbox.account)


@examples(5)
@given(
    plans=st.fixed_dictionaries(dict.fromkeys(("events", "properties", "reports", "metrics"), changes)),
    page_size=st.integers(2, 25),
    max_concurrency=st.sampled_from([1, 8]),
    form=st.sampled_from(["envelope", "bare"]),
    cap=st.sampled_from([None, 5]),
    api=st.sampled_from(["core", "query"]),
)
def test_lists_that_change_while_they_are_read(  # noqa: PLR0913, PLR0917 - what varies
    plans: dict[str, list[list[Change]]],
    page_size: int,
    max_concurrency: int,
    form: Any,
    cap: int | None,
    api: Any,
) -> None:
    """What was there all the time comes exactly once, and nothing comes twice."""
    with small_sandbox(api=api, form=form, cap=cap) as sandbox, tempfile.TemporaryDirectory() as folder:
        asked: collections.Counter[str] = collections.Counter()
        stayed = {
            name: {record["id"]: record for record in records}
            for name, records in sandbox.account.records.items()
            if name in plans
        }

        @sandbox.on_request
        def happen(running: Sandbox, request: Request) -> None:
            name = request.resource or ""
            for kind, at in plans[name][asked[name] - 1] if 0 < asked[name] <= len(plans.get(name, ())) else ():
                length = len(running.account.records[name])
                if kind == "insert":
                    running.account.insert(name, at % (length + 1))
                elif length:
                    stayed[name].pop(running.account.delete(name, at % length)["id"], None)
            asked[name] += 1

        run = sync(sandbox, Path(folder), page_size=page_size, max_concurrency=max_concurrency).succeeded()
    for name, kept in stayed.items():
        emitted: dict[str, Record] = {record["id"]: record for record in run.records(name)}
        assert len(emitted) == len(run.records(name)), f"{name}: a record came twice"
        assert [emitted.get(key) for key in kept] == expected(name, kept.values()), name


def test_each_request_says_who_asks_for_what(sandbox: Sandbox, tmp_path: Path) -> None:
    sync(sandbox, tmp_path, page_size=5).succeeded()
    for request in sandbox.requests:
        assert request.method == "GET"
        assert request.headers["authorization"] == f"Bearer {sandbox.token}"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"] == f"tap-kissmetrics/{TapKissmetrics.plugin_version}"
        assert sandbox.token not in f"{request.path}{request.query}"


def test_no_link_is_followed(sandbox: Sandbox) -> None:
    """Neither one of a list nor one of a record."""
    with Sandbox(make_account()) as stranger:
        links = [{"rel": rel, "name": rel, "href": f"{stranger.url}/events"} for rel in ("self", "next", "last")]
        for record in sandbox.account.records["events"]:
            record["links"] = links
        sandbox.faults.append(faults.rewrite(lambda body: {**body, "links": links}, resource="events"))
        assert_complete(sync_here(sandbox, page_size=3), sandbox.account)
        assert not stranger.requests
