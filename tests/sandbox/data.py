"""The account that the sandbox serves: lists of records with the fields of the Core API reference's models.

Besides these, records have what real answers carry: `tracking_key` and `hosts` (products), `index` (events and
properties), a `run` link (reports that can be run). Links name the vendor's hosts, not the sandbox, and those of
products name `apikissmetrics.com`, as the vendor prints them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox import texts
from tests.sandbox.account import EARLIER, Account, Model, Record, date, name_of, total_of, uuid

if TYPE_CHECKING:
    import random

RESOURCES = ("accounts", "products", "reports", "events", "properties", "metrics")
"""Every list of the API, parents before their children."""

PARENTS = {
    "products": "accounts",
    "reports": "products",
    "events": "products",
    "properties": "products",
    "metrics": "products",
}
"""Which resource scopes which: /accounts/{id}/products, /products/{id}/events and so on."""

RUNNABLE = "people_search_v2"
"""The only type of report that can be run."""

API = "https://api.kissmetrics.com/core"
PRODUCT_API = "https://apikissmetrics.com/core"
QUERY = "https://api.kissmetrics.com/query"


def make_account(  # noqa: PLR0913 - one count for each resource
    seed: int = 0,
    *,
    accounts: int = 2,
    products: int = 4,
    reports: int = 45,
    events: int = 430,
    properties: int = 130,
    metrics: int = 26,
) -> Account:
    """Make an account with so many records of each resource. The same arguments give the same records.

    Where there are three products or more, nothing belongs to the last one.
    Half a million events take a few seconds and a gigabyte.
    """
    counts = zip(RESOURCES, (accounts, products, reports, events, properties, metrics), strict=True)
    return Account.filled(seed, _MODEL, dict(counts))


def link(href: str, rel: str, name: str) -> Record:
    """Write a link that is no template."""
    return {"templated": False, "href": href, "rel": rel, "name": name}


def _product_link(product_id: str) -> Record:
    return link(f"{API}/products/{product_id}", "product", "Product")


def _account(rng: random.Random, number: int, _parent: Record | None) -> Record:
    own_id = uuid(rng)
    return {
        "links": [link(f"{API}/accounts/{own_id}", "self", "Self"),
                  link(f"{API}/accounts/{own_id}/products", "products", "Products")],
        "contact": dict(texts.CONTACTS[number % len(texts.CONTACTS)]),
        "updated_at": date(rng, zone="Z"),
        "created_at": date(rng, EARLIER, "Z"),
        "status": "canceled" if number % 5 == 4 else "active",
        "name": name_of(number, texts.ACCOUNT_NAMES),
        "id": own_id,
    }  # fmt: skip


def _product(rng: random.Random, number: int, parent: Record | None) -> Record:
    own_id = uuid(rng)
    account_id = parent["id"] if parent else uuid(rng)
    own = f"{PRODUCT_API}/products/{own_id}"
    return {
        "links": [
            link(own, "self", "Self"),
            link(f"{PRODUCT_API}/accounts/{account_id}", "account", "Account"),
        ]
        + [link(f"{own}/{kind}", kind, f"Product {kind.title()}") for kind in RESOURCES[2:]],
        "id": own_id,
        "account_id": account_id,
        "name": name_of(number, texts.PRODUCT_NAMES),
        "url": (
            f"http://product{number}.example.com",
            None,
            f"https://bücher{number}.example/?q=a&b=ü",
        )[number % 3],
        "status": "canceled" if number % 4 == 3 else "active",
        "environment": ("", "production", "staging", "development")[number % 4],
        "timezone": ("US/Pacific", "Europe/Berlin", "Asia/Tokyo", None)[number % 4],
        "created_at": date(rng),
        "tracking_key": f"{rng.getrandbits(160):040x}",
        "hosts": [
            [f"www{number}.example.com", "localhost:3000"],
            [],
            [f"xn--bcher{number}-kva.example"],
        ][number % 3],
    }


def _report(rng: random.Random, number: int, parent: Record | None) -> Record:
    own_id, product_id = uuid(rng), parent["id"] if parent else uuid(rng)
    account_id = parent["account_id"] if parent else uuid(rng)
    kind = (RUNNABLE, "funnel", "cohort", "people_search", "revenue")[number % 5]
    links = [link(f"{API}/reports/{own_id}", "self", "Self"), _product_link(product_id),
             link(f"{API}/accounts/{account_id}", "account", "Account")]  # fmt: skip
    if kind == RUNNABLE and number % 10 == 0:
        run = f"https://query.kissmetrics.com/v2/products/{product_id}/reports/{own_id}/run"
        links.append(link(run, "run", "Run Report"))
    return {
        "links": links,
        "created_at": date(rng),
        "name": name_of(number, texts.REPORT_NAMES),
        "report_type": kind,
        "account_id": account_id,
        "product_id": product_id,
        "id": own_id,
    }


def _event(rng: random.Random, number: int, parent: Record | None) -> Record:
    return _library_entry(rng, number, parent, "events")


def _property(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _library_entry(rng, number, parent, "properties")
    return record | {"type": (None, "automatic", "text", "number")[number % 4]}


def _library_entry(rng: random.Random, number: int, parent: Record | None, kind: str) -> Record:
    own_id = uuid(rng)
    product_id = parent["id"] if parent else uuid(rng)
    name = name_of(number, texts.NAMES)
    is_used, is_sent = number % 23 != 22, number % 11 != 10
    record = {
        "links": [link(f"{API}/{kind}/{own_id}", "self", "Self"), _product_link(product_id)],
        "last_sent_at": date(rng) if is_used and is_sent else None,
        "first_sent_at": date(rng, EARLIER) if is_used and is_sent else None,
        "last_used_at": date(rng) if is_used else None,
        "id": own_id,
        "product_id": product_id,
        "name": name,
        "display_name": name[:1].upper() + name[1:],
        "description": texts.DESCRIPTIONS[number % len(texts.DESCRIPTIONS)],
        "is_visible": number % 7 != 0,
        "index": number + 2,
        "first_used_at": date(rng, EARLIER) if is_used else None,
    }
    if kind == "events":
        total = total_of(rng, number)
        record["total"] = total if is_used else 0
    return record


def _metric(rng: random.Random, number: int, parent: Record | None) -> Record:
    own_id, product_id = uuid(rng), parent["id"] if parent else uuid(rng)
    query = f"{QUERY}/metrics/{own_id}"
    return {
        "links": [link(f"{API}/metrics/{own_id}", "self", "Self"), _product_link(product_id),
                  link(f"{query}/over-time", "metric-over-time", "Metrics Over Time Query"),
                  link(f"{query}/by-segment", "metric-by-segment", "Metrics By Segment Query")],
        "config_last_changed_at": None if number % 9 == 8 else date(rng),
        "color": (None, "#ff8800", "teal")[number % 3],
        "id": own_id,
        "product_id": product_id,
        "title": name_of(number, texts.METRIC_TITLES),
        "description": texts.DESCRIPTIONS[number % len(texts.DESCRIPTIONS)],
        "unit_type": ("numeric", "time", "percent")[number % 3],
        "status": ("pending", "active", True, "pending", False)[number % 5],
        "sort_index": number,
        "is_visible": number % 6 != 5,
    }  # fmt: skip


_MODEL = Model(
    makers={
        "accounts": _account,
        "products": _product,
        "reports": _report,
        "events": _event,
        "properties": _property,
        "metrics": _metric,
    },
    parents=PARENTS,
)
