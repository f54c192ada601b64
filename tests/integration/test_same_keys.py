"""What is the same to a table is the same to the tap: a primary key is written once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, make_account, make_query_account
from tests.support.cases import SMALL
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


@pytest.mark.parametrize("forms", [(7, "7"), (7, "07"), ("7", "007")], ids=str)
def test_a_numeric_id_in_several_forms_is_one_record(forms: tuple[Any, Any], tmp_path: Path) -> None:
    """In the Query API, whose ids are numbers."""
    with Sandbox(make_query_account(products=1), api="query") as sandbox:
        events = sandbox.account.records["events"][:2]
        sandbox.account.records["events"] = [{**event, "id": form} for event, form in zip(events, forms, strict=True)]
        run = sync(sandbox, tmp_path).succeeded()
    assert len(run.records("events")) == 1


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
