"""The made-up accounts: the fields that the APIs send, and the values that are hard on a tap."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.sandbox import PARENTS, QUERY_RESOURCES, RESOURCES, make_account, make_query_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox import Account

LISTS = {make_account: RESOURCES, make_query_account: QUERY_RESOURCES}


@pytest.mark.parametrize("make", LISTS)
class TestBothAPIs:
    """What holds for the account of either API."""

    def test_depends_on_the_seed_alone(self, make: Callable[..., Account]) -> None:
        assert make(3).records == make(3).records
        assert make(3).records != make(4).records

    def test_counts(self, make: Callable[..., Account]) -> None:
        counts = dict(zip(LISTS[make], itertools.cycle((3, 40, 43, 5)), strict=False))
        assert make(**counts).counts == counts
        assert set(make(**dict.fromkeys(counts, 0)).counts.values()) == {0}
        with pytest.raises(TypeError, match="no list of visits"):
            make(visits=3)

    def test_ids_are_unique_and_parents_exist(self, make: Callable[..., Account]) -> None:
        account = make()
        ids = [record["id"] for records in account.records.values() for record in records]
        assert len(set(ids)) == len(ids)
        assert all(type(each) is int if make is make_query_account else str(uuid.UUID(each)) == each for each in ids)
        for resource, parent in account.model.parents.items():
            assert {record[f"{parent[:-1]}_id"] for record in account.records[resource]} <= set(account.ids(parent))
        first, *_, last = account.ids("products")
        assert account.scoped("events", first) == account.scoped("events", str(first)) != []
        assert account.scoped("events", last) == []

    def test_inserts_and_deletes(self, make: Callable[..., Account]) -> None:
        account = make()
        before = list(account.records["events"])
        product_id = account.ids("products")[-1]
        new = account.insert("events", 4, parent_id=product_id)
        assert (new["product_id"], new.keys()) == (product_id, before[0].keys())
        assert account.records["events"] == [*before[:4], new, *before[4:]]
        assert account.delete("events", str(new["id"])) is new
        assert account.delete("events", 0) is before[0]
        assert account.records["events"] == before[1:]
        with pytest.raises(ValueError, match="no product nowhere"):
            account.fresh("events", parent_id="nowhere")

    def test_dates_are_in_order_and_in_the_past(self, make: Callable[..., Account]) -> None:
        records = make().records
        now = dt.datetime.now(dt.UTC)
        for record in records["events"] + records["properties"]:
            for what in ("used", "sent"):
                first, last = record[f"first_{what}_at"], record[f"last_{what}_at"]
                assert (first is None) == (last is None)
                assert first is None or dt.datetime.fromisoformat(first) < dt.datetime.fromisoformat(last) < now

    def test_events_have_odd_values(self, make: Callable[..., Account]) -> None:
        events = make().records["events"]
        assert max(event["total"] for event in events) > 2**53
        assert any(event["first_used_at"] is None for event in events)
        assert any(event["last_sent_at"] is None and event["last_used_at"] for event in events)
        names = "".join(event["name"] for event in events)
        assert all(sign in names for sign in "🎉ñ\u0301\"'ש购\t\\")


def test_values_of_core() -> None:
    """Both types of a metric's status, both forms of a date, nulls, and links to a stranger's host."""
    records = make_account().records
    assert {type(metric["status"]) for metric in records["metrics"]} == {str, bool}
    assert {entry["type"] for entry in records["properties"]} == {None, "automatic", "text", "number"}
    assert {"", None} <= {event["description"] for event in records["events"]}
    assert any(product["url"] is None for product in records["products"])
    assert any(product["environment"] == "" for product in records["products"])
    assert all(product["links"][0]["href"].startswith("https://apikissmetrics.com/") for product in records["products"])
    assert any(link["rel"] == "run" for report in records["reports"] for link in report["links"])
    assert all(account["updated_at"].endswith("Z") for account in records["accounts"])
    assert all(product["created_at"].endswith("+00:00") for product in records["products"])
    owners = {product["id"]: product["account_id"] for product in records["products"]}
    assert all(report["account_id"] == owners[report["product_id"]] for report in records["reports"])
    assert "accounts" not in PARENTS
    assert all(f"{parent[:-1]}_id" in records[resource][0] for resource, parent in PARENTS.items())
