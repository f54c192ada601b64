"""What is the same to a table is the same to the tap: a primary key is written once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_account, make_query_account
from tests.support.cases import SMALL
from tests.support.results import BRIEFLY, is_start, result_sandbox
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path


def test_a_uuid_in_upper_and_lower_case_is_one_product(tmp_path: Path) -> None:
    """It is read once."""
    with Sandbox(make_account(**SMALL)) as sandbox:
        product = next(key for key in sandbox.account.ids("products") if sandbox.account.scoped("events", key))
        run = sync(sandbox, tmp_path, product_ids=[product, product.upper()]).succeeded()
        wanted = [event["id"] for event in sandbox.account.scoped("events", product)]
    assert [event["id"] for event in run.records("events")] == wanted


def test_a_number_in_several_forms_is_one_product(tmp_path: Path) -> None:
    """1, "1" and "01"."""
    with Sandbox(make_query_account(products=2), api="query") as sandbox:
        product = sandbox.account.ids("products")[0]
        run = sync(sandbox, tmp_path, product_ids=[product, str(product), f"0{product}"]).succeeded()
        wanted = [event["id"] for event in sandbox.account.scoped("events", product)]
    assert [event["id"] for event in run.records("events")] == wanted


def test_a_record_in_the_lists_of_two_products(tmp_path: Path) -> None:
    """Its primary key is the id alone."""
    with Sandbox(make_account(**SMALL)) as sandbox:
        first, second = sandbox.account.ids("products")[:2]
        shared = {**sandbox.account.records["events"][0], "product_id": second}
        sandbox.account.records["events"][0]["product_id"] = first
        sandbox.account.records["events"].append(shared)
        run = sync(sandbox, tmp_path, product_ids=[first, second]).succeeded()
    ids = [event["id"] for event in run.records("events")]
    assert ids.count(shared["id"]) == 1
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "forms", [(7, "7"), (7, "07"), ("7", "007"), (7, " 7 "), (7, "7\n"), (7.0, 7), (7, 7.0)], ids=str
)
def test_a_numeric_id_in_several_forms_is_one_record(forms: tuple[Any, Any], tmp_path: Path) -> None:
    """In the Query API, whose ids are numbers."""
    with Sandbox(make_query_account(products=1), api="query") as sandbox:
        events = sandbox.account.records["events"][:2]
        sandbox.account.records["events"] = [{**event, "id": form} for event, form in zip(events, forms, strict=True)]
        run = sync(sandbox, tmp_path).succeeded()
    (event,) = run.records("events")
    assert str(event["id"]).strip().lstrip("0") == "7"


def test_an_id_that_is_written_as_a_fraction_is_that_of_its_product(tmp_path: Path) -> None:
    """As the id of a record, and as its `product_id`, which is a part of the key."""

    def spoil(body: dict[str, Any]) -> None:
        for event in body["data"]:
            event["product_id"] = float(event["product_id"])

    with Sandbox(make_query_account(products=2), api="query", faults=[faults.rewrite(spoil, resource="events")]) as box:
        wanted = [event["product_id"] for event in box.account.records["events"]]
        run = sync(box, tmp_path).succeeded()
    assert sorted(event["product_id"] for event in run.records("events")) == sorted(wanted)


def test_an_id_with_more_digits_than_python_reads(tmp_path: Path) -> None:
    """It is text, and the same in quotation marks."""
    digits = b"9" * 5000

    def insert(body: bytes) -> bytes:
        return body.replace(b"777000", digits).replace(b"888000", b'"%b"' % digits)

    spoil = faults.raw_rewrite(insert, resource="events")
    with Sandbox(make_query_account(products=1), api="query", faults=[spoil]) as sandbox:
        events = sandbox.account.records["events"][:2]
        sandbox.account.records["events"] = [
            {**event, "id": key} for event, key in zip(events, (777000, 888000), strict=True)
        ]
        run = sync(sandbox, tmp_path).succeeded()
    assert [event["id"] for event in run.records("events")] == [digits.decode()]


def test_a_query_that_the_server_has_already(tmp_path: Path) -> None:
    """The rows of one would take the place of those of the other."""
    first: list[str] = []

    def same(body: dict[str, Any]) -> None:
        first.append(body["id"])
        body["id"] = first[0]

    with result_sandbox("query", reports=3) as sandbox:
        sandbox.faults.append(faults.rewrite(same, resource="queries", where=is_start))
        run = sync(sandbox, tmp_path, report_ids=["*"])
    keys = [(record["query_id"], record["position"]) for record in run.records("report_results")]
    assert keys == [(first[0], position) for position in range(BRIEFLY["rows"])]
    assert run.failed == ["report_results"]
    assert run.errors[0].count(f"query {first[0]}: the API gave it the id of a query that was read before") == 2


@pytest.mark.parametrize("names", [("signups", "Signups"), ("signups", "signups"), ("Events", "x"), ("x", "PRODUCTS")])
def test_names_of_tables_that_differ_by_case_only(names: tuple[str, str], tmp_path: Path) -> None:
    """Two queries, or a query and a list."""
    queries = [
        {"name": name, "product_id": 1, "query_type": "sql", "query_params": {"statement": "select 1"}}
        for name in names
    ]
    run = run_tap(folder=tmp_path, config={"api": "query", "username": "some-user", "queries": queries})
    assert "is the name of " in run.refused()


def test_reports_of_two_products_with_the_same_id_are_two(tmp_path: Path) -> None:
    """In the Query API: both are run for `["*"]`, and both are written."""
    account = make_query_account(products=2, reports=2)
    first, second = account.records["reports"]
    products = account.ids("products")
    first["product_id"], second["product_id"], second["id"] = products[0], products[1], first["id"]
    with Sandbox(account, api="query", rows=2, polls_until_complete=0) as sandbox:
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    assert {record["product_id"] for record in run.records("reports")} == set(products)
    assert {record["product_id"] for record in run.records("report_results")} == set(products)
