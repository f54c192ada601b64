"""Lists that are read product after product: those that `product_ids` names, or in the Query API all that there are.

One product that cannot be read stops none after it, and each keeps a bookmark of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import PARENTS, QUERY_RESOURCES, Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_complete, assert_streams, in_order_of_sync
from tests.support.cases import small_sandbox
from tests.support.results import only, result_sandbox
from tests.support.run import settings_for
from tests.support.tap import catalog_of, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Account, ApiName, ArrayKey, Fault, Record
    from tests.support.run import Run

pytestmark = pytest.mark.usefixtures("clock")

ON: dict[str, Any] = {"emit_activate_version_messages": True, "retry_timeout": 0.2, "backoff_factor": 0.01}

BELOW = [name for name, parent in PARENTS.items() if parent == "products"]
"""The lists of products."""

KEY = "last_sent_at"

INCREMENTAL = {"replication-method": "INCREMENTAL", "replication-key": KEY}

both = pytest.mark.parametrize("api", ["core", "query"])


def sandbox_of(api: ApiName, **switches: Any) -> Sandbox:
    """Serve four products, the last of which has nothing."""
    make = make_account if api == "core" else make_query_account
    return Sandbox(make(products=4, reports=7, events=25, properties=9), api=api, **switches)


def wanted(account: Account, products: list[Any]) -> dict[str, list[Record]]:
    """Give the records of these products in the order in which they must come, and those that have no product."""
    return {
        name: [r for product in products for r in account.scoped(name, product)] if name in BELOW else records
        for name, records in account.records.items()
    }


def below(product_id: object, resource: str = "events") -> faults.When:
    """Give the requests for a list of one product."""
    path = f"/products/{product_id}/"
    return {"resource": resource, "where": lambda request: path in request.path}


def named(product: Record) -> str:
    """Give what the log calls a product."""
    return f"{product['id']} {product['name']!r}"


def activated(run: Run) -> set[str]:
    """The streams whose new version was activated."""
    return {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}


@pytest.mark.parametrize("array_key", ["data", "resource", "events"])
def test_the_query_api_is_read_product_after_product(array_key: ArrayKey) -> None:
    """Wherever the rows are: under "data", under the name of the list, or as the vendor's pages print it."""
    with sandbox_of("query", array_key=array_key) as sandbox:
        run = sync_here(sandbox, page_size=4)
    assert_streams(run, wanted(sandbox.account, sandbox.account.ids("products")))
    assert {type(record["id"]) for resource in QUERY_RESOURCES for record in run.records(resource)} == {int}
    assert run.of_type("RECORD")[0]["stream"] == "products"


@both
def test_only_the_products_that_are_named_are_read(api: ApiName) -> None:
    """Each once, in whatever form its id is given: a UUID in upper case, a number as text, one without any record."""
    with sandbox_of(api) as sandbox:
        first, second, _, empty = sandbox.account.ids("products")
        again = [first.upper()] if api == "core" else [str(first), f"0{first}"]
        run = sync_here(sandbox, product_ids=[second, empty, first, *again], page_size=3)
    assert_streams(run, wanted(sandbox.account, [second, empty, first]))
    root = "/core" if api == "core" else "/v3"
    lists = sandbox.account.records.keys()
    scoped = {f"{root}/products/{product}/{name}" for product in (first, second, empty) for name in {*BELOW} & lists}
    assert {request.path for request in sandbox.requests} == {f"{root}/{name}" for name in lists - {*BELOW}} | scoped


@pytest.mark.parametrize("none", [[], None])
def test_no_product_that_is_named_means_all(none: object, sandbox: Sandbox) -> None:
    assert_complete(sync_here(sandbox, product_ids=none), sandbox.account)


@both
def test_a_product_that_is_gone_leads_to_the_setting(api: ApiName, tmp_path: Path) -> None:
    """Each night the others are read all the same."""
    gone = "00000000-0000-4000-8000-000000000000" if api == "core" else 99
    with sandbox_of(api) as sandbox:
        first, _, third, _ = sandbox.account.ids("products")
        run = sync(sandbox, tmp_path, product_ids=[first, gone, third])
    assert_streams(run, wanted(sandbox.account, [first, third]))
    assert run.failed == [name for name in in_order_of_sync(sandbox.account.records) if name in BELOW]
    for line in run.errors[:-1]:
        assert "HTTP 404: nothing at " in line
        assert f"/products/{gone}/" in line
        assert "check api_url and product_ids" in line


@pytest.mark.parametrize("is_chosen", [False, True])
def test_products_are_read_once_for_all_that_need_them(is_chosen: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Whether or not they are selected; and not at all where `product_ids` says which to read."""
    with sandbox_of("query") as sandbox:
        products = sandbox.account.ids("products")[: 1 if is_chosen else 4]
        catalog = catalog_of(tmp_path, settings_for(sandbox), events={}, properties={})
        run = sync(sandbox, tmp_path, catalog=catalog, product_ids=products if is_chosen else None).succeeded()
    assert_streams(run, {name: wanted(sandbox.account, products)[name] for name in ("events", "properties")})
    requests = [request for request in sandbox.requests if request.resource == "products"]
    assert len(requests) == (0 if is_chosen else 2)


def test_without_products_no_list_of_a_product_is_asked_for() -> None:
    """Nothing to read is a success; there are no reports to run either."""
    account = make_query_account(products=0, reports=0, events=0, properties=0)
    with Sandbox(account, api="query") as sandbox:
        run = sync_here(sandbox, report_ids=["*"])
    assert not run.of_type("RECORD")
    assert {message["stream"] for message in run.of_type("SCHEMA")} == {*QUERY_RESOURCES, "report_results"}
    assert {request.path for request in sandbox.requests} == {"/v3/products"}


def test_products_that_cannot_be_read_fail_each_stream_that_needs_them(tmp_path: Path) -> None:
    """Each says so once, after one request; nothing is taken for an empty account."""
    with small_sandbox(faults.status(403, resource="products"), api="query") as sandbox:
        run = sync(sandbox, tmp_path, report_ids=["*"], **ON)
    assert run.failed == in_order_of_sync([*QUERY_RESOURCES, "report_results"])
    assert all("HTTP 403" in line for line in run.errors)
    assert len(sandbox.requests) == len(run.failed)
    assert {message["type"] for message in run.messages} <= {"SCHEMA", "STATE"}


@pytest.mark.parametrize("statuses", [{0: 403, 2: 404}, {1: 400}, {1: 500}, {3: 410}], ids=str)
def test_the_products_beside_one_that_fails_are_read(statuses: dict[int, int], tmp_path: Path) -> None:
    """The stream fails, names each product that did and no other, and activates no version."""
    with sandbox_of("query") as sandbox:
        products = sandbox.account.records["products"]
        for position, status in statuses.items():
            sandbox.faults.append(faults.status(status, **below(products[position]["id"])))
        run = sync(sandbox, tmp_path, **ON)
    assert run.failed == ["events"]
    others = [product["id"] for position, product in enumerate(products) if position not in statuses]
    assert not any(str(product_id) in run.errors[0] for product_id in others)
    for position, status in statuses.items():
        how = "are forbidden" if status == 403 else "failed"
        assert f"1 of 4 products {how}: {named(products[position])}" in run.errors[0]
    assert run.records("events") == wanted(sandbox.account, others)["events"]
    assert activated(run) == sandbox.account.records.keys() - {"events"}


@pytest.mark.parametrize(
    ("api", "fault"),
    [("core", faults.html_page()), ("query", faults.reset()), ("core", faults.data([{"name": "x"}]))],
    ids=["HTML", "reset", "no id"],
)
def test_a_product_whose_error_does_not_name_it_is_named(api: ApiName, fault: Fault, tmp_path: Path) -> None:
    with sandbox_of(api) as sandbox:
        product = sandbox.account.records["products"][1]
        fault.where = below(product["id"])["where"]
        fault.resource = "events"
        sandbox.faults.append(fault)
        run = sync(sandbox, tmp_path, product_ids=sandbox.account.ids("products"), **ON)
    assert run.failed == ["events"]
    assert run.errors[0].startswith(f"events: 1 of 4 products failed: {named(product)}: ")


@pytest.mark.parametrize("resource", ["events", "reports"])
def test_a_wrong_password_ends_the_run_at_the_first_product(resource: str, tmp_path: Path) -> None:
    """It is wrong for every product, and for the results that need the reports of each."""
    with sandbox_of("query") as sandbox:
        sandbox.faults.append(faults.status(401, **below(sandbox.account.ids("products")[0], resource)))
        stream = "report_results" if resource == "reports" else resource
        catalog = only(sandbox, stream, report_ids=["*"])
        run = sync(sandbox, tmp_path, catalog=catalog, report_ids=["*"], **ON)
    assert run.code == 1
    (line,) = run.errors
    assert line.startswith("HTTP 401")
    assert sandbox.requests[-1].status == 401


def test_reports_of_the_products_beside_one_that_fails_are_run(tmp_path: Path) -> None:
    """And the product whose reports are missing is named."""
    with sandbox_of("query", rows=2, polls_until_complete=0) as sandbox:
        first, *others = sandbox.account.ids("products")
        sandbox.faults.append(faults.status(404, **below(first, "reports")))
        catalog = only(sandbox, "report_results", report_ids=["*"])
        run = sync(sandbox, tmp_path, catalog=catalog, report_ids=["*"], **ON)
    assert run.failed == ["report_results"]
    assert f"the reports of product {first} cannot be read: HTTP 404" in run.errors[0]
    read = {record["report_id"] for record in run.records("report_results")}
    assert read == {report["id"] for report in wanted(sandbox.account, others)["reports"]}


@pytest.mark.parametrize("value", [None, faults.MISSING], ids=["null", "absent"])
def test_a_product_that_is_not_named_is_the_one_that_was_asked(value: object, tmp_path: Path) -> None:
    """It is a part of the primary key, and of what the results of a report say."""

    def leave_out(body: Any) -> None:
        for record in body["data"]:
            del record["product_id"]
            if value is None:
                record["product_id"] = None

    with result_sandbox("query", reports=2) as sandbox:
        sandbox.faults += [faults.rewrite(leave_out, resource=resource) for resource in QUERY_RESOURCES[1:]]
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    for resource, records in wanted(sandbox.account, sandbox.account.ids("products")).items():
        assert run.records(resource) == records
    reports = {report["id"]: report["product_id"] for report in sandbox.account.records["reports"]}
    assert {row["report_id"]: row["product_id"] for row in run.records("report_results")} == reports


@pytest.mark.parametrize("value", [{"id": 1}, True], ids=["object", "true"])
def test_a_product_that_is_no_id_fails_the_stream(value: object, tmp_path: Path) -> None:
    """A table cannot take it."""

    def spoil(body: Any) -> None:
        for record in body["data"]:
            record["product_id"] = value

    with small_sandbox(faults.rewrite(spoil, resource="events"), api="query") as sandbox:
        run = sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    assert ", part of its primary key, is not an id" in run.errors[0]


def test_an_id_that_no_url_can_hold_is_one_line_for_each_stream(v3: Sandbox, tmp_path: Path) -> None:
    v3.faults.append(faults.body('{"data": [{"id": "a\\ud800"}]}', resource="products"))
    run = sync(v3, tmp_path)
    assert run.code == 1
    assert "Traceback" not in run.stderr
    assert run.failed == in_order_of_sync(QUERY_RESOURCES[1:])


def bookmarks(run: Run) -> dict[Any, str]:
    """Give the bookmark of each product that has any events."""
    name = "replication_key_value"
    partitions = run.state["bookmarks"]["events"]["partitions"]
    return {each["context"]["product_id"]: each[name] for each in partitions if name in each}


def test_each_product_has_a_bookmark(tmp_path: Path) -> None:
    """The second night brings what is at or after that of its own product, and a new product whole."""
    account = make_query_account(products=2, events=60)
    with Sandbox(account, api="query") as sandbox:
        catalog = catalog_of(tmp_path, settings_for(sandbox), events=INCREMENTAL)
        first = sync(sandbox, tmp_path, catalog=catalog).succeeded()
        latest = {p: max(r[KEY] for r in account.scoped("events", p) if r[KEY]) for p in account.ids("products")}
        assert bookmarks(first) == latest
        low, high = sorted(latest, key=lambda product: latest[product])
        later = latest[low].replace(latest[low][:4], str(int(latest[low][:4]) + 1), 1)
        for product, moment in ((low, later), (high, "2001-01-01T00:00:00+00:00")):
            account.insert("events", 7, {**account.fresh("events", parent_id=product), KEY: moment})
        third = account.insert("products", 2)["id"]
        account.insert("events", 0, {**account.fresh("events", parent_id=third), KEY: "2001-01-01T00:00:00+00:00"})
        second = sync(sandbox, tmp_path, catalog=catalog, state=first.state).succeeded()
    records = wanted(account, account.ids("products"))["events"]
    assert_streams(
        second, {"events": [r for r in records if r[KEY] is None or r[KEY] >= latest.get(r["product_id"], "")]}
    )
    assert bookmarks(second) == {low: later, high: latest[high], third: "2001-01-01T00:00:00+00:00"}


@pytest.mark.parametrize("pages", [0, 1])
def test_the_bookmark_of_a_product_that_fails_stays_and_the_others_move(pages: int, tmp_path: Path) -> None:
    """So that the next run brings what is missing, however many pages were read before the failure."""
    with sandbox_of("query") as sandbox:
        account = sandbox.account
        catalog = catalog_of(tmp_path, settings_for(sandbox), events=INCREMENTAL)
        before = sync(sandbox, tmp_path, catalog=catalog).succeeded()
        first, second, third, _ = account.ids("products")
        for event in account.records["events"]:
            event[KEY] = "2025-06-01T00:00:00Z"
        forbidden = faults.status(403, **below(second))
        forbidden.skip = pages
        sandbox.faults.append(forbidden)
        failed = sync(sandbox, tmp_path, catalog=catalog, state=before.state, page_size=5, **ON)
        sandbox.faults.clear()
        again = sync(sandbox, tmp_path, catalog=catalog, state=failed.state).succeeded()
    assert failed.failed == ["events"]
    assert len([event for event in failed.records("events") if event["product_id"] == second]) == 5 * pages
    moved = "2025-06-01T00:00:00Z"
    assert bookmarks(failed) == {first: moved, second: bookmarks(before)[second], third: moved}
    ids = {event["id"] for event in again.records("events")}
    assert {event["id"] for event in account.scoped("events", second)} <= ids
