"""The account that the sandbox makes up: what there is in it, and how it changes."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

import pytest

from tests.sandbox import PARENTS, RESOURCES, Account, make_account


class TestAccount:
    """The made-up data."""

    def test_is_the_same_for_the_same_seed_only(self) -> None:
        assert make_account(3).records == make_account(3).records
        assert make_account(3).records != make_account(4).records

    def test_has_the_counts_it_is_asked_for(self) -> None:
        counts = dict(zip(RESOURCES, itertools.cycle((1, 2, 3, 40, 5, 0)), strict=False))
        assert make_account(**counts).counts == counts
        assert set(make_account(**dict.fromkeys(RESOURCES, 0)).counts.values()) == {0}

    def test_ids_are_unique_uuids_and_parents_exist(self) -> None:
        account = make_account()
        ids = [record["id"] for records in account.records.values() for record in records]
        assert [str(uuid.UUID(text)) for text in ids] == ids
        assert len(set(ids)) == len(ids)
        for resource, parent in PARENTS.items():
            assert {r[f"{parent[:-1]}_id"] for r in account.records[resource]} <= set(account.ids(parent))
        owners = {product["id"]: product["account_id"] for product in account.records["products"]}
        assert all(report["account_id"] == owners[report["product_id"]] for report in account.records["reports"])
        assert not account.scoped("events", account.ids("products")[-1])

    def test_holds_what_the_api_may_send(self) -> None:
        records = make_account().records
        events, metrics, products = records["events"], records["metrics"], records["products"]
        assert {type(metric["status"]) for metric in metrics} == {str, bool}
        assert {entry["type"] for entry in records["properties"]} == {
            None,
            "automatic",
            "text",
            "number",
        }
        assert max(event["total"] for event in events) > 2**53
        assert any(event["last_sent_at"] is None and event["last_used_at"] for event in events)
        assert any(event["first_used_at"] is None for event in events)
        assert {"", None} <= {event["description"] for event in events}
        assert any(product["url"] is None for product in products)
        assert any(product["environment"] == "" for product in products)
        assert all(product["links"][0]["href"].startswith("https://apikissmetrics.com/") for product in products)
        assert any(link["rel"] == "run" for report in records["reports"] for link in report["links"])
        names = "".join(event["name"] for event in events)
        assert all(sign in names for sign in "🎉ñ\u0301\"'ש购\t\\")

    def test_dates_are_in_order_and_in_the_past(self) -> None:
        records = make_account().records
        now = dt.datetime.now(dt.UTC)
        for event in records["events"] + records["properties"]:
            for what in ("used", "sent"):
                first, last = event[f"first_{what}_at"], event[f"last_{what}_at"]
                assert (first is None) == (last is None)
                if first is not None:
                    assert dt.datetime.fromisoformat(first) < dt.datetime.fromisoformat(last) < now
        assert all(account["updated_at"].endswith("Z") for account in records["accounts"])
        assert all(product["created_at"].endswith("+00:00") for product in records["products"])

    def test_inserts_and_deletes(self, account: Account) -> None:
        before = list(account.records["events"])
        product_id = account.ids("products")[1]
        new = account.insert("events", 4, parent_id=product_id)
        assert new["product_id"] == product_id
        assert new.keys() == before[0].keys()
        assert account.records["events"] == [*before[:4], new, *before[4:]]
        assert account.delete("events", new["id"]) is new
        assert account.delete("events", 0) is before[0]
        assert account.records["events"] == before[1:]
        with pytest.raises(ValueError, match="no product nowhere"):
            account.fresh("events", parent_id="nowhere")
