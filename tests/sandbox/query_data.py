"""The account that the Query API v3 serves: its lists, with integer ids and the fields that are known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sandbox import texts
from tests.sandbox.account import EARLIER, Account, Model, Record, date, name_of, total_of

if TYPE_CHECKING:
    import random

QUERY_RESOURCES = ("products", "reports", "events", "properties")
"""Every list of v3, parents before their children."""

QUERY_TYPES = (
    "people_search",
    "cohort",
    "ab_test",
    "funnel",
    "metric",
    "metric_over_time",
    "people_count",
    "activity",
    "sql",
)

REPORT_TYPES = ("people_search", "funnel", "cohort", "ab_test", "activity")

_ACCOUNT_ID = 4_017
_FIRST_METRIC = 90_001
# Where ids begin: they differ from list to list, so that one is not taken for the other unnoticed.
_FIRST_IDS = {
    "products": 11_001,
    "reports": 2_000_001,
    "events": 30_000_001,
    "properties": 50_000_001,
}
_STEP = 3  # between two ids: there are gaps, as there are where records were deleted
_PARENTS = dict.fromkeys(QUERY_RESOURCES[1:], "products")


@dataclass
class QueryAccount(Account):
    """What one user of v3 may see.

    Attributes:
        metric_ids: The metrics that can be queried. No list names them.
    """

    metric_ids: list[int] = field(default_factory=list)


def make_query_account(  # noqa: PLR0913 - one count for each resource
    seed: int = 0,
    *,
    products: int = 3,
    reports: int = 40,
    events: int = 430,
    properties: int = 130,
    metrics: int = 12,
) -> QueryAccount:
    """Make an account with so many records of each resource. The same arguments give the same records.

    Where there are three products or more, nothing belongs to the last one.
    """
    counts = zip(QUERY_RESOURCES, (products, reports, events, properties), strict=True)
    account = QueryAccount.filled(seed, _MODEL, dict(counts))
    account.metric_ids = [_FIRST_METRIC + _STEP * number for number in range(metrics)]
    return account


def _base(resource: str, number: int, parent: Record | None) -> Record:
    return {
        "id": _FIRST_IDS[resource] + _STEP * number,
        "product_id": parent["id"] if parent else _FIRST_IDS["products"],
    }


def _product(rng: random.Random, number: int, _parent: Record | None) -> Record:
    return {
        "id": _FIRST_IDS["products"] + _STEP * number,
        "account_id": _ACCOUNT_ID,
        "name": name_of(number, texts.PRODUCT_NAMES),
        "timezone": ("US/Pacific", "Europe/Berlin", None)[number % 3],
        "km_key": f"{rng.getrandbits(160):040x}",
    }


def _report(_rng: random.Random, number: int, parent: Record | None) -> Record:
    return {
        **_base("reports", number, parent),
        "name": name_of(number, texts.REPORT_NAMES),
        "report_type": REPORT_TYPES[number % len(REPORT_TYPES)],
    }


def _event(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _property(rng, number, parent, "events")
    record["total"] = total_of(rng, number) if record["first_used_at"] else 0
    record["property_indices"] = sorted(rng.sample(range(2, 200), number % 6))
    return record


def _property(rng: random.Random, number: int, parent: Record | None, resource: str = "properties") -> Record:
    is_used, is_sent = number % 23 != 22, number % 11 != 10
    return {
        **_base(resource, number, parent),
        "name": name_of(number, texts.NAMES),
        "index": number + 2,
        "visible": number % 7 != 0,
        "first_used_at": date(rng, EARLIER) if is_used else None,
        "last_used_at": date(rng) if is_used else None,
        "first_sent_at": date(rng, EARLIER) if is_used and is_sent else None,
        "last_sent_at": date(rng) if is_used and is_sent else None,
    }


_MODEL = Model(
    makers={
        "products": _product,
        "reports": _report,
        "events": _event,
        "properties": _property,
    },
    parents=_PARENTS,
)
