"""One product that cannot be read does not stop the products after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.support.catalogs import QUERY_KEYS
from tests.support.results import only
from tests.support.run import settings_for
from tests.support.tap import catalog_of, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Fault

pytestmark = pytest.mark.usefixtures("clock")

ON: dict[str, Any] = {"emit_activate_version_messages": True, "retry_timeout": 0.2, "backoff_factor": 0.01}

KEY = QUERY_KEYS["events"][0]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve three products of the Query API."""
    with Sandbox(make_query_account(products=3), api="query") as running:
        yield running


def of_product(product_id: object, status: int, resource: str = "events", **when: Any) -> Fault:
    """Fail the list of one product."""
    path = f"/products/{product_id}/"
    return faults.status(status, resource=resource, where=lambda request: path in request.path, **when)


@pytest.mark.parametrize("status", [400, 403, 404, 410, 500])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_other_products_are_read(status: int, position: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """The stream fails, names the product, and activates no version."""
    products = sandbox.account.ids("products")
    sandbox.faults.append(of_product(products[position], status))
    run = sync(sandbox, tmp_path, **ON)
    assert run.failed == ["events"]
    assert re.search(rf"events: 1 of 3 products (failed|are forbidden): {products[position]} '", run.errors[0])
    others = [product for product in products if product != products[position]]
    wanted = [record["id"] for product in others for record in sandbox.account.scoped("events", product)]
    assert [record["id"] for record in run.records("events")] == wanted
    assert "events" not in {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}


@pytest.mark.parametrize("kind", ["html", "reset", "record without an id"])
@pytest.mark.parametrize("api", ["core", "query"])
def test_a_product_whose_error_does_not_name_it(kind: str, api: Any, tmp_path: Path) -> None:
    """The stream does."""
    make = make_account if api == "core" else make_query_account
    with Sandbox(make(products=3), api=api) as sandbox:
        products = sandbox.account.ids("products")
        path = f"/products/{products[1]}/events"
        where: Any = {"where": lambda request: path in request.path}
        fault = {
            "html": faults.html_page(**where),
            "reset": faults.reset(**where),
            "record without an id": faults.data([{"name": "x"}], **where),
        }[kind]
        sandbox.faults.append(fault)
        run = sync(sandbox, tmp_path, product_ids=products, **ON)
    assert run.failed == ["events"]
    assert run.errors[0].startswith(f"events: 1 of 3 products failed: {products[1]} '")


def test_each_product_that_failed_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """In one line."""
    first, second, third = sandbox.account.ids("products")
    sandbox.faults += [of_product(first, 403), of_product(third, 404)]
    run = sync(sandbox, tmp_path, **ON)
    assert f"1 of 3 products are forbidden: {first} '" in run.errors[0]
    assert f"; 1 of 3 products failed: {third} '" in run.errors[0]
    assert str(second) not in run.errors[0]


@pytest.mark.parametrize("api", ["core", "query"])
def test_an_id_of_product_ids_that_is_gone(api: Any, tmp_path: Path) -> None:
    """Each night the others are read all the same."""
    make = make_account if api == "core" else make_query_account
    with Sandbox(make(products=3), api=api) as sandbox:
        products = sandbox.account.ids("products")
        gone = "00000000-0000-4000-8000-000000000000" if api == "core" else 99
        run = sync(sandbox, tmp_path, product_ids=[products[0], gone, products[2]], **ON)
        wanted = [
            each["id"] for product in (products[0], products[2]) for each in sandbox.account.scoped("events", product)
        ]
    assert run.code == 1
    assert [record["id"] for record in run.records("events")] == wanted
    assert "events" in run.failed


@pytest.mark.parametrize("pages", [0, 1])
def test_bookmarks_of_those_that_failed_stay_and_the_others_move(pages: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """So that the next run brings what is missing, however many pages were read before the failure."""
    chosen = {"replication-method": "INCREMENTAL", "replication-key": KEY}
    catalog = catalog_of(tmp_path, settings_for(sandbox), events=chosen)
    first = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    products = sandbox.account.ids("products")
    for event in sandbox.account.records["events"]:
        event[KEY] = "2025-06-01T00:00:00Z"
    sandbox.faults.append(of_product(products[1], 403, skip=pages))
    failed = sync(sandbox, tmp_path, catalog=catalog, state=first.state, page_size=5, **ON)
    assert failed.failed == ["events"]
    read = {event["id"] for event in failed.records("events")}
    assert len([e for e in sandbox.account.scoped("events", products[1]) if e["id"] in read]) == 5 * pages
    before, after = (
        {
            each["context"]["product_id"]: each.get("replication_key_value")
            for each in run.state["bookmarks"]["events"]["partitions"]
        }
        for run in (first, failed)
    )
    assert after[products[1]] == before[products[1]]
    moved = [product for product in products if sandbox.account.scoped("events", product) and product != products[1]]
    assert moved
    assert {after[product] for product in moved} == {"2025-06-01T00:00:00Z"}
    sandbox.faults.clear()
    again = sync(sandbox, tmp_path, catalog=catalog, state=failed.state).succeeded()
    ids = {event["id"] for event in again.records("events")}
    assert {event["id"] for event in sandbox.account.scoped("events", products[1])} <= ids


def test_a_wrong_password_still_ends_the_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is wrong for every product."""
    sandbox.faults.append(of_product(sandbox.account.ids("products")[0], 401))
    run = sync(sandbox, tmp_path, **ON)
    assert run.code == 1
    assert "HTTP 401" in run.errors[-1]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_look_ups_that_results_need(status: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """Reports of the other products are run, and the product whose reports are missing is named."""
    products = sandbox.account.ids("products")
    sandbox.rows, sandbox.polls_until_complete = 2, 0
    sandbox.faults.append(of_product(products[0], status, "reports"))
    catalog = only(sandbox, "report_results", report_ids=["*"])
    run = sync(sandbox, tmp_path, catalog=catalog, report_ids=["*"], **ON)
    assert run.failed == ["report_results"]
    assert f"the reports of product {products[0]} cannot be read: HTTP {status}" in run.errors[0]
    wanted = {each["id"] for product in products[1:] for each in sandbox.account.scoped("reports", product)}
    assert {record["report_id"] for record in run.records("report_results")} == wanted
