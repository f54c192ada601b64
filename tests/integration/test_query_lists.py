"""The lists of the Query API v3: every record once, whatever the server's habits, and no request too many."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import QUERY_RESOURCES, Sandbox, faults, make_query_account
from tests.support.assertions import assert_complete, assert_refused, assert_streams, in_order_of_sync
from tests.support.cases import small_sandbox
from tests.support.catalogs import QUERY_KEYS
from tests.support.results import result_sandbox
from tests.support.run import settings_for, write_json
from tests.support.tap import catalog_of, run_tap, sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ArrayKey, QueryAccount, Record


KEY = "last_sent_at"
OF_PRODUCT = QUERY_RESOURCES[1:]
ORDER = in_order_of_sync(QUERY_RESOURCES)


def by_product(account: QueryAccount | Any, resource: str) -> list[Record]:
    """Give the records of a list in the order in which they must come: product after product."""
    if resource == "products":
        return list(account.records[resource])
    return [record for product in account.ids("products") for record in account.scoped(resource, product)]


def in_order(account: QueryAccount | Any) -> dict[str, list[Record]]:
    """Give the records of each list likewise."""
    return {resource: by_product(account, resource) for resource in QUERY_RESOURCES}


def asked(sandbox: Sandbox, resource: str) -> list[dict[str, str]]:
    """Give the arguments of each request for a list."""
    return [request.query for request in sandbox.requests if request.resource == resource]


@pytest.mark.parametrize("array_key", ["data", "resource", "events"])
def test_wherever_the_rows_are(array_key: ArrayKey, tmp_path: Path) -> None:
    """Under "data", under the name of the list, or as the vendor's pages print it; one of three products is empty."""
    with Sandbox(make_query_account(), api="query", array_key=array_key) as sandbox:
        run = sync(sandbox, tmp_path).succeeded()
    assert_streams(run, in_order(sandbox.account))
    assert {type(record["id"]) for resource in QUERY_RESOURCES for record in run.records(resource)} == {int}
    assert run.of_type("RECORD")[0]["stream"] == "products"


@pytest.mark.parametrize(
    ("page_size", "cap"), [(1, 2), (2, 50), (9, 7), (9, 10_000), (50, 50), (None, 2), (None, 7), (None, 10_000)]
)
def test_any_cap_and_any_page_size(page_size: int | None, cap: int) -> None:
    """A server that gives fewer rows than were asked for does not say so, and nothing is lost."""
    account = make_query_account(products=4, reports=9, events=120, properties=51)
    with Sandbox(account, api="query", cap=cap) as sandbox:
        run = sync_here(sandbox, page_size=page_size)
    assert_streams(run, in_order(account))
    assert {request["limit"] for request in asked(sandbox, "events")} == {str(max(page_size or 10_000, 2))}


@pytest.mark.parametrize("count", [0, 1, 2, 10, 11, 20, 21])
def test_any_length(count: int) -> None:
    """Lists that end at, before and behind the end of a page; empty ones too."""
    account = make_query_account(products=2, reports=count, events=2 * count, properties=count)
    with Sandbox(account, api="query") as sandbox:
        assert_streams(sync_here(sandbox, page_size=11), in_order(account))


def test_no_products(tmp_path: Path) -> None:
    """Nothing to read is a success, with a schema of each stream; no list of no product is asked for."""
    account = make_query_account(products=0, reports=0, events=0, properties=0)
    with Sandbox(account, api="query") as sandbox:
        run = sync(sandbox, tmp_path).succeeded()
    assert not run.of_type("RECORD")
    assert {message["stream"] for message in run.of_type("SCHEMA")} == set(QUERY_RESOURCES)
    assert {request.path for request in sandbox.requests} == {"/v3/products"}


def test_a_usual_account_costs_two_requests_for_each_list(tmp_path: Path) -> None:
    """No answer says that it is the last page, so an empty or repeated one must."""
    with Sandbox(make_query_account(products=1), api="query") as sandbox:
        assert_complete(sync(sandbox, tmp_path).succeeded(), sandbox.account)
    assert [request.resource for request in sandbox.requests] == [name for name in ORDER for _ in range(2)]
    assert {request.query["limit"] for request in sandbox.requests} == {"10000"}


def test_products_are_read_once_for_all_that_need_them(tmp_path: Path) -> None:
    """Whether or not they are selected; and not at all where `product_ids` says which to read."""
    with Sandbox(make_query_account(), api="query") as sandbox:
        catalog = write_json(
            tmp_path / "catalog.json", catalog_of(tmp_path, settings_for(sandbox), events={}, properties={})
        )
        run = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        assert len(asked(sandbox, "products")) == 2
        assert_streams(run, {name: by_product(sandbox.account, name) for name in ("events", "properties")})

        sandbox.requests.clear()
        first = sandbox.account.ids("products")[0]
        run = sync(sandbox, tmp_path, "--catalog", catalog, product_ids=[first]).succeeded()
        assert asked(sandbox, "products") == []
        assert_streams(run, {name: sandbox.account.scoped(name, first) for name in ("events", "properties")})


@pytest.mark.parametrize("as_text", [False, True], ids=["numbers", "text"])
def test_product_ids(as_text: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Numbers, in JSON or as text, each read once; the list of products is whole."""
    with Sandbox(make_query_account(products=4), api="query") as sandbox:
        chosen = sandbox.account.ids("products")[2:0:-1]
        given: list[Any] = [*map(str, chosen), chosen[0]] if as_text else chosen
        run = sync(sandbox, tmp_path, product_ids=given).succeeded()
    wanted = {name: [r for p in chosen for r in sandbox.account.scoped(name, p)] for name in OF_PRODUCT}
    assert_streams(run, {"products": sandbox.account.records["products"], **wanted})


def test_a_product_that_does_not_exist(tmp_path: Path) -> None:
    """Each stream below the product says so."""
    with small_sandbox(api="query") as sandbox:
        run = sync(sandbox, tmp_path, product_ids=[99])
    assert run.code == 1
    *lines, _ = run.errors
    assert all("HTTP 404: nothing at /v3/products/99/" in line and "check api_url and product_ids" in line
               for line in lines)  # fmt: skip
    assert run.failed == ORDER[1:]


def test_reports_of_products_that_cannot_be_read(tmp_path: Path) -> None:
    """What needs the reports says so once too, and the sync comes to its end."""
    with small_sandbox(api="query") as sandbox:
        sandbox.faults.append(faults.status(403, resource="products"))
        run = sync(sandbox, tmp_path, report_ids=["*"])
    assert run.code == 1
    assert run.failed == in_order_of_sync([*QUERY_RESOURCES, "report_results"])
    assert len(sandbox.requests) == len(run.failed)


def test_reports_of_no_products(tmp_path: Path) -> None:
    """An account without products has no reports to run."""
    with small_sandbox(api="query") as sandbox:
        for records in sandbox.account.records.values():
            records.clear()
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    assert not run.of_type("RECORD")


def test_products_that_cannot_be_read(tmp_path: Path) -> None:
    """Each stream that needs them says so once; nothing is taken for an empty account."""
    with small_sandbox(api="query") as sandbox:
        sandbox.faults.append(faults.status(403, resource="products"))
        run = sync(sandbox, tmp_path, emit_activate_version_messages=True)
    assert run.code == 1
    assert [line.split(": ")[:2] for line in run.errors[:-1]] == [[name, "HTTP 403"] for name in ORDER]
    assert not run.of_type("RECORD")
    assert not run.of_type("ACTIVATE_VERSION")


def test_discovery_needs_no_request(tmp_path: Path) -> None:
    """The catalog of v3: its keys, and the columns that may be a replication key."""
    catalog = json.loads(run_tap("--discover", folder=tmp_path, config={"api": "query"}).succeeded().stdout)
    keys = {}
    for entry in catalog["streams"]:
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        keys[entry["tap_stream_id"]] = (tuple(root["table-key-properties"]), tuple(root["valid-replication-keys"]))
        assert entry["replication_method"] == "FULL_TABLE"
    assert keys == {
        name: (("product_id", "id") if name in OF_PRODUCT else ("id",), QUERY_KEYS.get(name, ()))
        for name in QUERY_RESOURCES
    }


@pytest.mark.parametrize("stream", sorted(set(QUERY_RESOURCES) - set(QUERY_KEYS)))
@pytest.mark.parametrize(
    "choice",
    [{"replication-method": "INCREMENTAL"}, {"replication-key": "created_at"}],
    ids=lambda choice: next(iter(choice)),
)
def test_what_has_no_date_of_change_is_full_table(choice: dict[str, str], stream: str, tmp_path: Path) -> None:
    """Another wish is refused before any request."""
    with small_sandbox(api="query") as sandbox:
        catalog = catalog_of(tmp_path, settings_for(sandbox), **{stream: choice})
        run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", catalog))
    says = f"catalog: there is no replication-key of stream {stream}, which can only be FULL_TABLE"
    assert_refused(run, sandbox, says)


def test_the_same_id_in_two_products(tmp_path: Path) -> None:
    """Nothing says that an id is unique beyond its product: both come."""
    with small_sandbox(api="query") as sandbox:
        other = sandbox.account.insert("products", 1)
        twin = {**sandbox.account.records["events"][5], "product_id": other["id"], "name": "its twin"}
        sandbox.account.insert("events", 0, twin)
        run = sync(sandbox, tmp_path).succeeded()
    assert_streams(run, in_order(sandbox.account))
    assert sum(record["id"] == twin["id"] for record in run.records("events")) == 2


def test_incremental_keeps_a_bookmark_of_each_product(tmp_path: Path) -> None:
    """The second night brings what is at or after the bookmark of its own product, and a new product whole."""
    account = make_query_account(products=2, events=60)
    with Sandbox(account, api="query") as sandbox:
        choice = {"replication-method": "INCREMENTAL", "replication-key": KEY}
        catalog = write_json(tmp_path / "catalog.json", catalog_of(tmp_path, settings_for(sandbox), events=choice))
        first = sync(sandbox, tmp_path, "--catalog", catalog).succeeded()
        assert_streams(first, {"events": by_product(account, "events")})
        latest = {p: max(r[KEY] for r in account.scoped("events", p) if r[KEY]) for p in account.ids("products")}
        assert bookmarks(first.state) == latest

        low, high = sorted(latest, key=lambda product: latest[product])
        new = [
            sandbox.account.insert("events", 7, {**account.fresh("events", parent_id=low), KEY: between(latest[low])}),
            sandbox.account.insert(
                "events", 9, {**account.fresh("events", parent_id=high), KEY: "2001-01-01T00:00:00+00:00"}
            ),
        ]
        third = sandbox.account.insert("products", 2)["id"]
        young = [sandbox.account.insert("events", 0, parent_id=third) for _ in range(3)]
        state = write_json(tmp_path / "state.json", first.state)
        second = sync(sandbox, tmp_path, "--catalog", catalog, "--state", state).succeeded()
    wanted = [
        record for record in by_product(account, "events")
        if record[KEY] is None or record[KEY] >= latest.get(record["product_id"], "")
    ]  # fmt: skip
    assert_streams(second, {"events": wanted})
    assert new[0]["id"] in {record["id"] for record in second.records("events")}
    assert new[1]["id"] not in {record["id"] for record in second.records("events")}
    assert {record["id"] for record in young} <= {record["id"] for record in second.records("events")}
    assert bookmarks(second.state)[low] == new[0][KEY]
    assert bookmarks(second.state)[high] == latest[high]


def between(bookmark: str) -> str:
    """Give a date-time that is later by a day than a bookmark of the sandbox's, and in the past."""
    return bookmark.replace(bookmark[:4], str(int(bookmark[:4]) + 1), 1)


def bookmarks(state: dict[str, Any]) -> dict[int, str]:
    """Give the bookmark of each product's events."""
    partitions = state["bookmarks"]["events"]["partitions"]
    return {each["context"]["product_id"]: each["replication_key_value"] for each in partitions}


def test_a_server_that_has_nothing_for_a_while(tmp_path: Path) -> None:
    """No total tells that there is more: an empty answer where something was read before is not believed at once."""
    nothing = faults.empty_page(resource="events", skip=2, times=5)
    with small_sandbox(nothing, api="query") as sandbox:
        run = sync(sandbox, tmp_path, page_size=10).succeeded()
    assert_streams(run, in_order(sandbox.account))


@pytest.mark.parametrize("value", [None, faults.MISSING], ids=["null", "absent"])
def test_a_product_that_is_not_named_is_the_one_that_was_asked(value: object, tmp_path: Path) -> None:
    """It is a part of the primary key, and of what the results of a report say."""

    def leave_out(body: Any) -> None:
        for record in body["data"]:
            del record["product_id"]
            if value is None:
                record["product_id"] = None

    with result_sandbox("query", reports=2) as sandbox:
        sandbox.faults += [faults.rewrite(leave_out, resource=resource) for resource in OF_PRODUCT]
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    assert {resource: run.records(resource) for resource in QUERY_RESOURCES} == in_order(sandbox.account)
    reports = {report["id"]: report["product_id"] for report in sandbox.account.records["reports"]}
    assert {row["report_id"]: row["product_id"] for row in run.records("report_results")} == reports


@pytest.mark.parametrize("value", [{"id": 1}, [1], True, 1.5], ids=json.dumps)
def test_a_product_that_is_no_id(value: object, tmp_path: Path) -> None:
    """A table cannot take it: the stream fails, the others are read."""
    with small_sandbox(api="query") as sandbox:
        sandbox.faults.append(faults.rewrite(lambda body: [record.update(product_id=value) for record in body["data"]]
                                             and None, resource="events"))  # fmt: skip
        run = sync(sandbox, tmp_path)
    assert run.failed == ["events"]
    assert ", part of its primary key, is not an id" in run.errors[0]


def test_an_id_that_no_url_can_hold(v3: Sandbox, tmp_path: Path) -> None:
    """The lists of that product fail in one line, without a traceback."""
    v3.faults.append(faults.body('{"data": [{"id": "a\\ud800"}]}', resource="products"))
    run = sync(v3, tmp_path)
    assert run.code == 1
    assert "Traceback" not in run.stderr
    assert run.failed == ORDER[1:]
