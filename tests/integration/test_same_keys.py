"""What is the same to a table is the same to the tap: a primary key is written once a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, faults, make_query_account
from tests.support.assertions import assert_every_record_once
from tests.support.cases import small_sandbox
from tests.support.results import BRIEFLY, is_start, result_sandbox
from tests.support.tap import sync

if TYPE_CHECKING:
    from pathlib import Path


def test_a_record_in_the_lists_of_two_products_comes_once(tmp_path: Path) -> None:
    """Of the Core API: its primary key is the id alone, whatever its case."""
    with small_sandbox() as sandbox:
        events = sandbox.account.records["events"]
        first, second = sandbox.account.ids("products")[:2]
        events.append({**events[0], "id": events[0]["id"].upper(), "product_id": second})
        events[0]["product_id"] = first
        run = sync(sandbox, tmp_path, product_ids=[first, second]).succeeded()
    ids = [event["id"].lower() for event in run.records("events")]
    assert ids.count(events[0]["id"]) == 1
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("resource", ["events", "reports"])
def test_the_same_id_in_two_products_is_two_records(resource: str, tmp_path: Path) -> None:
    """Of the Query API: nothing says that an id is unique beyond its product. Both reports are run."""
    account = make_query_account(products=2, reports=2, events=9, properties=4)
    first, second = account.records[resource][:2]
    first["product_id"], second["product_id"] = account.ids("products")
    second["id"] = first["id"]
    with Sandbox(account, api="query", rows=2, polls_until_complete=0) as sandbox:
        run = sync(sandbox, tmp_path, report_ids=["*"]).succeeded()
    assert_every_record_once(run, account)
    assert len({(record["product_id"], record["report_id"]) for record in run.records("report_results")}) == 2


@pytest.mark.parametrize("forms", [(7, "07"), (7, " 7\n"), (7.0, 7)], ids=str)
def test_a_number_in_several_forms_is_one_record(forms: tuple[Any, Any], tmp_path: Path) -> None:
    """In the Query API, whose ids are numbers."""
    with Sandbox(make_query_account(products=1), api="query") as sandbox:
        events = sandbox.account.records["events"][:2]
        sandbox.account.records["events"] = [{**event, "id": form} for event, form in zip(events, forms, strict=True)]
        run = sync(sandbox, tmp_path).succeeded()
    (event,) = run.records("events")
    assert str(event["id"]).strip().lstrip("0") == "7"


def test_an_id_that_is_written_as_a_fraction_is_that_of_its_product(tmp_path: Path) -> None:
    """The `product_id` of a record is a part of its key."""

    def spoil(body: dict[str, Any]) -> None:
        for event in body["data"]:
            event["product_id"] = float(event["product_id"])

    with small_sandbox(faults.rewrite(spoil, resource="events"), api="query") as sandbox:
        run = sync(sandbox, tmp_path).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert {type(event["product_id"]) for event in run.records("events")} == {int}


def test_an_id_with_more_digits_than_python_reads_is_text(tmp_path: Path) -> None:
    """And the same in quotation marks."""
    digits = b"9" * 5000

    def insert(body: bytes) -> bytes:
        return body.replace(b"777000", digits).replace(b"888000", b'"%b"' % digits)

    with small_sandbox(faults.raw_rewrite(insert, resource="events"), api="query") as sandbox:
        events = sandbox.account.records["events"]
        events[:] = [{**event, "id": key} for event, key in zip(events, (777000, 888000), strict=False)]
        run = sync(sandbox, tmp_path).succeeded()
    assert [event["id"] for event in run.records("events")] == [digits.decode()]


def test_a_query_that_the_server_has_already_is_not_written(tmp_path: Path) -> None:
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
