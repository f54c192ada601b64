"""Every record of the account comes out exactly once and unchanged, however the API cuts its lists."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_kissmetrics.tap import TapKissmetrics
from tests.sandbox import PARENTS, RESOURCES, Account, Form, Sandbox, faults, make_account
from tests.support.assertions import assert_complete, assert_streams
from tests.support.examples import examples
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMS: tuple[Form, ...] = ("envelope", "bare")
CAPS = {None: (1, 3, 20, 101, 102, 10_000), 50: (20, 101), 2: (1, 10_000)}
"""The most records of a page that a server gives, and with which page sizes it is tried."""


@pytest.fixture(scope="module")
def big() -> Account:
    """An account with 101 events, and lists around the default limit of 20."""
    return make_account(reports=21, events=101, properties=20, metrics=19)


@pytest.fixture(scope="module")
def roomy() -> Iterator[Sandbox]:
    """A sandbox for many runs, each of which sets what is served, and how."""
    with Sandbox() as running:
        yield running


class TestLists:
    """Lists of any length, in pages of any size."""

    @pytest.mark.parametrize("form", FORMS)
    def test_command_line_brings_the_whole_account(self, form: Form, big: Account, tmp_path: Path) -> None:
        with Sandbox(big, form=form) as sandbox:
            assert_complete(sync(sandbox, tmp_path).succeeded(), big)

    @pytest.mark.no_cover  # traced, it takes twice as long
    @pytest.mark.parametrize(("cap", "page_size"), [(cap, size) for cap, sizes in CAPS.items() for size in sizes])
    @pytest.mark.parametrize("form", FORMS)
    def test_any_page_size_cap_and_form(self, form: Form, cap: int | None, page_size: int, big: Account) -> None:
        with Sandbox(big, form=form, cap=cap) as sandbox:
            assert_complete(sync_here(sandbox, page_size=page_size, max_concurrency=1), big)
        limit = max(page_size, 2)
        most = min(limit, cap or limit)
        for resource, count in big.counts.items():
            asked = [request for request in sandbox.requests if request.resource == resource]
            end = (
                1 if form == "envelope" else 2
            )  # without a total, a full last page is followed twice by its last record
            assert len(asked) <= math.ceil((count - 1) / (most - 1)) + end
            assert all(request.query.keys() == {"limit", "offset"} for request in asked)
            assert {request.query["limit"] for request in asked} == {str(limit)}
            offsets = [int(request.query["offset"]) for request in asked]
            assert offsets[0] == 0
            for offset, following in itertools.pairwise(offsets):
                received = min(most, count - offset)
                assert following == offset + received - 1, "not from the last record that was received"

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_lists_of_none_one_or_two(self, count: int, form: Form) -> None:
        with Sandbox(make_account(**dict.fromkeys(RESOURCES, count)), form=form) as sandbox:
            assert_complete(sync_here(sandbox), sandbox.account)

    def test_account_with_nothing_in_it(self, tmp_path: Path) -> None:
        with Sandbox(make_account(**dict.fromkeys(RESOURCES, 0))) as sandbox:
            run = sync(sandbox, tmp_path).succeeded()
        assert not run.of_type("RECORD")
        assert {message["stream"] for message in run.of_type("SCHEMA")} == set(RESOURCES)

    @pytest.mark.no_cover  # traced, it takes twice as long
    @given(
        counts=st.fixed_dictionaries({resource: st.integers(0, 40) for resource in RESOURCES}),
        page_size=st.integers(1, 45),
        cap=st.none() | st.integers(2, 45),
        form=st.sampled_from(FORMS),
    )
    @examples(3)
    def test_any_length_of_list(
        self, roomy: Sandbox, counts: dict[str, int], page_size: int, cap: int | None, form: Form
    ) -> None:
        roomy.account, roomy.cap, roomy.form = make_account(**counts), cap, form
        assert_complete(sync_here(roomy, page_size=page_size), roomy.account)


class TestProducts:
    """`product_ids`."""

    SCOPED = tuple(name for name, parent in PARENTS.items() if parent == "products")
    OTHERS = tuple(name for name in RESOURCES if PARENTS.get(name) != "products")

    def wanted(self, account: Account, *products: str) -> dict[str, Any]:
        """Return the records of these products, product after product, and those of the lists that have no product."""
        own = {name: [r for product in products for r in account.scoped(name, product)] for name in self.SCOPED}
        return {name: account.records[name] for name in self.OTHERS} | own

    @pytest.mark.parametrize(("form", "page_size"), [("envelope", 3), ("bare", 1000)])
    def test_only_theirs_are_read(self, form: Form, page_size: int, big: Account) -> None:
        first, second = big.ids("products")[:2]
        for chosen in ([first], [second, first]):
            with Sandbox(big, form=form) as sandbox:
                run = sync_here(sandbox, product_ids=chosen, page_size=page_size)
            assert_streams(run, self.wanted(big, *chosen))
            paths = {request.path for request in sandbox.requests}
            scoped = {f"/core/products/{product}/{name}" for product in chosen for name in self.SCOPED}
            assert paths == {f"/core/{name}" for name in self.OTHERS} | scoped

    def test_all_of_them_are_all_there_is(self, big: Account) -> None:
        with Sandbox(big) as sandbox:
            run = sync_here(sandbox, product_ids=big.ids("products"))
        for name in self.SCOPED:
            assert {record["id"] for record in run.records(name)} == set(big.ids(name))

    def test_one_named_twice_is_read_once(self, big: Account) -> None:
        first, second = big.ids("products")[:2]
        with Sandbox(big) as sandbox:
            run = sync_here(sandbox, product_ids=[first, second, first])
        assert_streams(run, self.wanted(big, first, second))

    def test_one_without_children_has_no_records(self, big: Account) -> None:
        with Sandbox(big) as sandbox:
            run = sync_here(sandbox, product_ids=[big.ids("products")[-1]])
        assert_streams(run, self.wanted(big, big.ids("products")[-1]))
        assert not run.records("events")

    @pytest.mark.parametrize("none", [[], None])
    def test_none_named_means_all(self, none: object, big: Account) -> None:
        with Sandbox(big) as sandbox:
            assert_complete(sync_here(sandbox, product_ids=none), big)

    def test_unknown_one_is_an_error_that_leads_to_the_setting(self, big: Account, tmp_path: Path) -> None:
        with Sandbox(big) as sandbox:
            run = sync(sandbox, tmp_path, product_ids=["no-such-product"])
        assert run.code == 1
        *streams, last = run.errors
        assert len(streams) == len(self.SCOPED)
        assert all("product_ids" in line and "/products/no-such-product/" in line for line in streams)
        assert all(name in last for name in self.SCOPED)
        assert_streams(run, self.wanted(big))


class TestRequests:
    """What each request says."""

    def test_headers_of_each_request(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sync(sandbox, tmp_path, page_size=5).succeeded()
        for request in sandbox.requests:
            assert request.method == "GET"
            assert request.headers["authorization"] == f"Bearer {sandbox.token}"
            assert request.headers["accept"] == "application/json"
            assert request.headers["user-agent"] == f"tap-kissmetrics/{TapKissmetrics.plugin_version}"
            assert sandbox.token not in f"{request.path}{request.query}"

    @pytest.mark.parametrize("rel", ["next", "self", "last"])
    def test_no_link_of_an_answer_is_followed(self, rel: str, sandbox: Sandbox) -> None:
        with Sandbox(make_account()) as stranger:

            def lead_astray(answer: dict[str, Any], path: str) -> None:
                link = {"templated": False, "href": f"{stranger.url}{path}", "rel": rel, "name": rel}
                answer["links"] = [link]
                for record in answer["data"]:
                    record["links"] = [link]

            for name, records in sandbox.account.records.items():
                for record in records:
                    lead_astray({"data": [record]}, f"/{name}")
            for name in RESOURCES:
                sandbox.faults.append(faults.rewrite(partial(lead_astray, path=f"/{name}"), resource=name))
            assert_complete(sync_here(sandbox, page_size=3), sandbox.account)
            assert not stranger.requests
