"""The made-up accounts: the fields that the APIs send, and the values that are hard on a tap."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import make_account, make_query_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox import Account

both = pytest.mark.parametrize("make", [make_account, make_query_account])


@both
def test_the_same_seed_and_counts_make_the_same_account(make: Callable[..., Account]) -> None:
    assert make(3, events=7).records == make(3, events=7).records != make(4, events=7).records
    assert make(events=7).counts["events"] == 7
    with pytest.raises(TypeError, match="no list of visits"):
        make(visits=3)


@both
def test_ids_are_unique_and_parents_exist(make: Callable[..., Account]) -> None:
    account = make()
    ids = [record["id"] for records in account.records.values() for record in records]
    assert len(set(ids)) == len(ids)
    assert all(type(each) is int if make is make_query_account else str(uuid.UUID(each)) == each for each in ids)
    for resource, parent in account.model.parents.items():
        assert {record[f"{parent[:-1]}_id"] for record in account.records[resource]} <= set(account.ids(parent))
    first, *_, last = account.ids("products")
    assert account.scoped("events", first) == account.scoped("events", str(first)) != []
    assert account.scoped("events", last) == []


@both
def test_dates_are_in_order_and_values_are_odd(make: Callable[..., Account]) -> None:
    records = make().records
    events = records["events"]
    for record in events + records["properties"]:
        for what in ("used", "sent"):
            first, last = record[f"first_{what}_at"], record[f"last_{what}_at"]
            assert (first is None) == (last is None)
            assert first is None or dt.datetime.fromisoformat(first) < dt.datetime.fromisoformat(last)
    assert max(event["total"] for event in events) > 2**53
    assert any(event["last_sent_at"] is None and event["last_used_at"] for event in events)
    names = "".join(event["name"] for event in events)
    assert all(sign in names for sign in "🎉ñ\u0301\"'ש购\t\\")


def test_core_has_both_types_of_status_both_forms_of_dates_and_links_to_a_stranger() -> None:
    records = make_account().records
    assert {type(metric["status"]) for metric in records["metrics"]} == {str, bool}
    assert {entry["type"] for entry in records["properties"]} == {None, "automatic", "text", "number"}
    assert {"", None} <= {event["description"] for event in records["events"]}
    assert {None} < {product["url"] for product in records["products"]}
    assert all(product["links"][0]["href"].startswith("https://apikissmetrics.com/") for product in records["products"])
    rels = {link["rel"] for report in records["reports"] for link in report["links"]}
    assert {"run", "run_v2"} <= rels
    assert [report["report_type"] for report in records["reports"]].count("people_search_v3") == 1
    assert all(account["updated_at"].endswith("Z") for account in records["accounts"])
    assert all(product["created_at"].endswith("+00:00") for product in records["products"])
    owners = {product["id"]: product["account_id"] for product in records["products"]}
    assert all(report["account_id"] == owners[report["product_id"]] for report in records["reports"])
