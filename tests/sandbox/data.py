"""The account that the sandbox serves: lists of records with the fields of the Core API reference's models.

Besides these, records have what real answers carry: `tracking_key` and `hosts` (products), `index` (events and
properties), a `run` link (reports that can be run). Links name the vendor's hosts, not the sandbox, and those of
products name `apikissmetrics.com`, as the vendor prints them.
"""

from __future__ import annotations

import datetime as dt
import gc
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.sandbox import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Record = dict[str, Any]

RESOURCES = ("accounts", "products", "reports", "events", "properties", "metrics")
"""Every list of the API, parents before their children."""

PARENTS = {"products": "accounts", "reports": "products", "events": "products", "properties": "products",
           "metrics": "products"}  # fmt: skip
"""Which resource scopes which: /accounts/{id}/products, /products/{id}/events and so on."""

API = "https://api.kissmetrics.com/core"
PRODUCT_API = "https://apikissmetrics.com/core"
QUERY = "https://api.kissmetrics.com/query"

_FIRST_DAY = dt.date(2010, 1, 1)
_DAYS = [(_FIRST_DAY + dt.timedelta(days=n)).isoformat() for n in range(2**12)]
_TIMES = [f"T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(0, 86_400, 21)]
_EARLIER, _LATER = _DAYS[: 2**11], _DAYS[2**11 :]
_CHILDLESS_FROM = 3  # an account of at least this many products keeps the last one empty
_BIG_TOTALS = (2**31, 4_294_967_296, 9_007_199_254_740_993)


@dataclass
class Account:
    """What one token may see.

    Attributes:
        records: The records of each resource, in the order of the list pages. Change the lists as you like, but while
            a sandbox is running only under its lock. In a list of more than a few thousand, replace a record instead
            of changing it (see `api.CACHE_FROM`).
    """

    random: random.Random
    records: dict[str, list[Record]] = field(default_factory=lambda: {name: [] for name in RESOURCES})
    _numbers: dict[str, itertools.count[int]] = field(
        default_factory=lambda: {name: itertools.count() for name in RESOURCES}, repr=False
    )

    @property
    def counts(self) -> dict[str, int]:
        """How many records each resource has."""
        return {name: len(records) for name, records in self.records.items()}

    def ids(self, resource: str) -> list[str]:
        """Return the ids of a resource's records, in order."""
        return [record["id"] for record in self.records[resource]]

    def scoped(self, resource: str, parent_id: str) -> list[Record]:
        """Return the records of `resource` that belong to one account (products) or one product (the others)."""
        key = f"{PARENTS[resource][:-1]}_id"
        return [record for record in self.records[resource] if record[key] == parent_id]

    def fresh(self, resource: str, *, parent_id: str | None = None) -> Record:
        """Make a new valid record that is in no list yet.

        Args:
            resource: What to make, for instance `events`.
            parent_id: The account (of a product) or product (of the others) that it belongs to; by default any.
        """
        if resource == "accounts":
            return self._make(resource, None)
        candidates = self.records[PARENTS[resource]]
        if parent_id is not None:
            candidates = [record for record in candidates if record["id"] == parent_id]
            if not candidates:
                message = f"no {PARENTS[resource][:-1]} {parent_id} in this account"
                raise ValueError(message)
        elif resource != "products" and len(candidates) >= _CHILDLESS_FROM:
            candidates = candidates[:-1]
        return self._make(resource, self.random.choice(candidates) if candidates else None)

    def insert(
        self,
        resource: str,
        position: int,
        record: Record | None = None,
        *,
        parent_id: str | None = None,
    ) -> Record:
        """Insert `record`, or a fresh one, so that it becomes number `position` of the list; return it."""
        record = self.fresh(resource, parent_id=parent_id) if record is None else record
        self.records[resource].insert(position, record)
        return record

    def delete(self, resource: str, which: int | str) -> Record:
        """Take the record at a position, or with an id, out of its list and return it."""
        position = self.ids(resource).index(which) if isinstance(which, str) else which
        return self.records[resource].pop(position)

    def _make(self, resource: str, parent: Record | None) -> Record:
        return _MAKERS[resource](self.random, next(self._numbers[resource]), parent)


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

    Where there are three products or more, the last one has no reports, events, properties or metrics.
    Half a million events take a few seconds and a gigabyte.
    """
    account = Account(random.Random(seed))  # noqa: S311 - made-up data, no secret
    wanted = zip(RESOURCES, (accounts, products, reports, events, properties, metrics), strict=True)
    was_enabled = gc.isenabled()
    gc.disable()  # millions of small objects, none of them garbage: collecting takes longer than making them
    try:
        for resource, count in wanted:
            parents: Sequence[Record | None] = account.records[PARENTS[resource]] if resource in PARENTS else []
            if resource not in {"accounts", "products"} and len(parents) >= _CHILDLESS_FROM:
                parents = parents[:-1]
            parents = parents or [None]
            make, rng, numbers = _MAKERS[resource], account.random, account._numbers[resource]  # noqa: SLF001
            account.records[resource] = [make(rng, next(numbers), parents[n % len(parents)]) for n in range(count)]
    finally:
        if was_enabled:
            gc.enable()
    return account


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _date(rng: random.Random, days: Sequence[str] = _LATER, zone: str = "+00:00") -> str:
    return f"{days[rng.getrandbits(11)]}{_TIMES[rng.getrandbits(12) % len(_TIMES)]}{zone}"


def _name(number: int, names: Sequence[str]) -> str:
    name = names[number % len(names)]
    return name if number < len(names) else f"{name} {number}"


def _link(href: str, rel: str, name: str) -> Record:
    return {"templated": False, "href": href, "rel": rel, "name": name}


def _product_link(product_id: str) -> Record:
    return _link(f"{API}/products/{product_id}", "product", "Product")


def _account(rng: random.Random, number: int, _parent: Record | None) -> Record:
    uuid = _uuid(rng)
    return {
        "links": [_link(f"{API}/accounts/{uuid}", "self", "Self"),
                  _link(f"{API}/accounts/{uuid}/products", "products", "Products")],
        "contact": dict(texts.CONTACTS[number % len(texts.CONTACTS)]),
        "updated_at": _date(rng, zone="Z"),
        "created_at": _date(rng, _EARLIER, "Z"),
        "status": "canceled" if number % 5 == 4 else "active",
        "name": _name(number, texts.ACCOUNT_NAMES),
        "id": uuid,
    }  # fmt: skip


def _product(rng: random.Random, number: int, parent: Record | None) -> Record:
    uuid = _uuid(rng)
    account_id = parent["id"] if parent else _uuid(rng)
    own = f"{PRODUCT_API}/products/{uuid}"
    return {
        "links": [
            _link(own, "self", "Self"),
            _link(f"{PRODUCT_API}/accounts/{account_id}", "account", "Account"),
        ]
        + [_link(f"{own}/{kind}", kind, f"Product {kind.title()}") for kind in RESOURCES[2:]],
        "id": uuid,
        "account_id": account_id,
        "name": _name(number, texts.PRODUCT_NAMES),
        "url": (
            f"http://product{number}.example.com",
            None,
            f"https://bücher{number}.example/?q=a&b=ü",
        )[number % 3],
        "status": "canceled" if number % 4 == 3 else "active",
        "environment": ("", "production", "staging", "development")[number % 4],
        "timezone": ("US/Pacific", "Europe/Berlin", "Asia/Tokyo", None)[number % 4],
        "created_at": _date(rng),
        "tracking_key": f"{rng.getrandbits(160):040x}",
        "hosts": [
            [f"www{number}.example.com", "localhost:3000"],
            [],
            [f"xn--bcher{number}-kva.example"],
        ][number % 3],
    }


def _report(rng: random.Random, number: int, parent: Record | None) -> Record:
    uuid, product_id = _uuid(rng), parent["id"] if parent else _uuid(rng)
    account_id = parent["account_id"] if parent else _uuid(rng)
    kind = ("people_search_v2", "funnel", "cohort", "people_search", "revenue")[number % 5]
    links = [_link(f"{API}/reports/{uuid}", "self", "Self"), _product_link(product_id),
             _link(f"{API}/accounts/{account_id}", "account", "Account")]  # fmt: skip
    if kind == "people_search_v2" and number % 10 == 0:
        run = f"https://query.kissmetrics.com/v2/products/{product_id}/reports/{uuid}/run"
        links.append(_link(run, "run", "Run Report"))
    return {
        "links": links,
        "created_at": _date(rng),
        "name": _name(number, texts.REPORT_NAMES),
        "report_type": kind,
        "account_id": account_id,
        "product_id": product_id,
        "id": uuid,
    }


def _event(rng: random.Random, number: int, parent: Record | None) -> Record:
    return _library_entry(rng, number, parent, "events")


def _property(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _library_entry(rng, number, parent, "properties")
    return record | {"type": (None, "automatic", "text", "number")[number % 4]}


def _library_entry(rng: random.Random, number: int, parent: Record | None, kind: str) -> Record:
    uuid = _uuid(rng)
    product_id = parent["id"] if parent else _uuid(rng)
    name = _name(number, texts.NAMES)
    is_used, is_sent = number % 23 != 22, number % 11 != 10
    record = {
        "links": [_link(f"{API}/{kind}/{uuid}", "self", "Self"), _product_link(product_id)],
        "last_sent_at": _date(rng) if is_used and is_sent else None,
        "first_sent_at": _date(rng, _EARLIER) if is_used and is_sent else None,
        "last_used_at": _date(rng) if is_used else None,
        "id": uuid,
        "product_id": product_id,
        "name": name,
        "display_name": name[:1].upper() + name[1:],
        "description": texts.DESCRIPTIONS[number % len(texts.DESCRIPTIONS)],
        "is_visible": number % 7 != 0,
        "index": number + 2,
        "first_used_at": _date(rng, _EARLIER) if is_used else None,
    }
    if kind == "events":
        total = _BIG_TOTALS[number // 50 % 3] + number // 50 if number % 50 == 17 else int(rng.random() * 200_000)
        record["total"] = total if is_used else 0
    return record


def _metric(rng: random.Random, number: int, parent: Record | None) -> Record:
    uuid, product_id = _uuid(rng), parent["id"] if parent else _uuid(rng)
    query = f"{QUERY}/metrics/{uuid}"
    return {
        "links": [_link(f"{API}/metrics/{uuid}", "self", "Self"), _product_link(product_id),
                  _link(f"{query}/over-time", "metric-over-time", "Metrics Over Time Query"),
                  _link(f"{query}/by-segment", "metric-by-segment", "Metrics By Segment Query")],
        "config_last_changed_at": None if number % 9 == 8 else _date(rng),
        "color": (None, "#ff8800", "teal")[number % 3],
        "id": uuid,
        "product_id": product_id,
        "title": _name(number, texts.METRIC_TITLES),
        "description": texts.DESCRIPTIONS[number % len(texts.DESCRIPTIONS)],
        "unit_type": ("numeric", "time", "percent")[number % 3],
        "status": ("pending", "active", True, "pending", False)[number % 5],
        "sort_index": number,
        "is_visible": number % 6 != 5,
    }  # fmt: skip


_MAKERS: dict[str, Callable[[random.Random, int, Record | None], Record]] = {
    "accounts": _account,
    "products": _product,
    "reports": _report,
    "events": _event,
    "properties": _property,
    "metrics": _metric,
}
