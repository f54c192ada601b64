"""The made-up records of both APIs.

Records of the Core API have the fields of its reference and those that real responses add: `tracking_key` and `hosts`
(products), `index` (events and properties), a `run` link (reports that can be run). Links name the vendor's hosts, not
the sandbox, and those of products name `apikissmetrics.com`, as the vendor prints them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sandbox.account import Account, Model, Record

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

# Values

NAMES = (
    "search engine hit",
    "signed up 🎉",
    "Añadido al carrito",
    'clicked "Buy now"',
    "visited site",
    "Überweisung bestätigt",
    "购买完成",
    "תשלום הושלם",
    "customer's first order",
    "تم التسجيل بنجاح",
    "購入ボタンを押した",
    "결제 완료",
    "upgraded: Free → Pro",
    "👩‍👩‍👧 family plan",
    "read <b>terms</b> & conditions",
    "exported a,b;c as CSV",
    "opened C:\\reports\\new",
    "Оплата прошла",
    "100% scrolled",
    "null",
    "cafe\u0301 visited",
    " padded on both sides ",
    "line\u2028separator",
    "1e5",
    "{{ template }} ${HOME}",
    "ad campaign hit",
    "invited 🧑🏽‍🚀 teammate",
    "tab\tin a name",
    "-- ; drop table events",
    "ท่องเว็บ",
)
"""Event and property names; longer lists repeat them with a number."""

DESCRIPTIONS = (
    None,
    "Sent by the web library after the thank-you page.",
    None,
    "Zwei Zeilen:\nnach dem „Danke“ gesendet.",
    None,
    'Old name: "purchased"\r\nSee also: refunds 💸',
    None,
    "",
)
"""Descriptions: most are absent, one is empty, some have line breaks."""

ACCOUNT_NAMES = (
    "My SaaS Account",
    "Café Zoë & Söhne GmbH 🚀",
    "株式会社サンプル",
    'The "Quoted" Company',
    "חברה לדוגמה",
)
PRODUCT_NAMES = (
    "My SaaS Product",
    "Tienda en línea 🛒",
    "iOS app (β)",
    "Backoffice 'internal'",
    "サンプル",
    "متجر",
)
REPORT_NAMES = (
    "My People Search",
    "Weekly funnel 📈",
    'Who said "no"?',
    "Cohort: août",
    "留存率",
    "Umsatz (täglich)",
)
METRIC_TITLES = (
    "Average Revenue Per Person",
    "Churn 😬",
    "Zeit bis zum Kauf",
    'Share of "Pro"',
    "月間売上",
    "Revenue",
)
CONTACTS = (
    {"name": None, "country": None, "phone": None},
    {"name": "Zoë Ünlü", "country": "Österreich", "phone": "+43 1 5550100"},
    {"name": None, "country": "JP", "phone": None},
)

_FIRST_DAY = dt.date(2010, 1, 1)
_DAYS = [(_FIRST_DAY + dt.timedelta(days=n)).isoformat() for n in range(2**12)]
_TIMES = [f"T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(0, 86_400, 21)]
EARLIER, LATER = _DAYS[: 2**11], _DAYS[2**11 :]
"""Two spans of days that do not overlap."""

_BIG_TOTALS = (2**31, 4_294_967_296, 9_007_199_254_740_993)


def uuid(rng: random.Random) -> str:
    """Make a UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def date(rng: random.Random, days: Sequence[str] = LATER, zone: str = "+00:00") -> str:
    """Make a date with its time of day."""
    return f"{days[rng.getrandbits(11)]}{_TIMES[rng.getrandbits(12) % len(_TIMES)]}{zone}"


def name_of(number: int, names: Sequence[str]) -> str:
    """Return the name of a record; in lists that are longer than `names` it ends with a number."""
    name = names[number % len(names)]
    return name if number < len(names) else f"{name} {number}"


def total_of(rng: random.Random, number: int) -> int:
    """Make the `total` of an event: some need more than 32 bits, or more than a float holds."""
    return _BIG_TOTALS[number // 50 % 3] + number // 50 if number % 50 == 17 else int(rng.random() * 200_000)


# The Core API

_CORE = Model()

RUNNABLE = "people_search_v2"
"""The only type of report that can be run."""

_API = "https://api.kissmetrics.com/core"
_PRODUCT_API = "https://apikissmetrics.com/core"
_QUERY = "https://api.kissmetrics.com/query"


def link(href: str, rel: str, name: str) -> Record:
    """Make a link that is not templated."""
    return {"templated": False, "href": href, "rel": rel, "name": name}


def _core_base(resource: str, rng: random.Random, parent: Record | None) -> Record:
    """Make what every record of a list of products has: `id`, `product_id` and two `links`."""
    own_id, product_id = uuid(rng), parent["id"] if parent else uuid(rng)
    return {
        "links": [
            link(f"{_API}/{resource}/{own_id}", "self", "Self"),
            link(f"{_API}/products/{product_id}", "product", "Product"),
        ],
        "id": own_id,
        "product_id": product_id,
    }


@_CORE.add("accounts", count=2)
def _account(rng: random.Random, number: int, _parent: Record | None) -> Record:
    own_id = uuid(rng)
    return {
        "links": [link(f"{_API}/accounts/{own_id}", "self", "Self"),
                  link(f"{_API}/accounts/{own_id}/products", "products", "Products")],
        "contact": dict(CONTACTS[number % len(CONTACTS)]),
        "updated_at": date(rng, zone="Z"),
        "created_at": date(rng, EARLIER, "Z"),
        "status": "canceled" if number % 5 == 4 else "active",
        "name": name_of(number, ACCOUNT_NAMES),
        "id": own_id,
    }  # fmt: skip


@_CORE.add("products", parent="accounts", count=4)
def _product(rng: random.Random, number: int, parent: Record | None) -> Record:
    own_id = uuid(rng)
    account_id = parent["id"] if parent else uuid(rng)
    own = f"{_PRODUCT_API}/products/{own_id}"
    return {
        "links": [
            link(own, "self", "Self"),
            link(f"{_PRODUCT_API}/accounts/{account_id}", "account", "Account"),
        ]
        + [link(f"{own}/{kind}", kind, f"Product {kind.title()}") for kind, of in PARENTS.items() if of == "products"],
        "id": own_id,
        "account_id": account_id,
        "name": name_of(number, PRODUCT_NAMES),
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


@_CORE.add("reports", parent="products", count=45)
def _report(rng: random.Random, number: int, parent: Record | None) -> Record:
    base = _core_base("reports", rng, parent)
    account_id = parent["account_id"] if parent else uuid(rng)
    kind = (RUNNABLE, "funnel", "cohort", "people_search", "revenue")[number % 5]
    base["links"].append(link(f"{_API}/accounts/{account_id}", "account", "Account"))
    if kind == RUNNABLE and number % 10 == 0:
        run = f"https://query.kissmetrics.com/v2/products/{base['product_id']}/reports/{base['id']}/run"
        base["links"].append(link(run, "run", "Run Report"))
    return {
        **base,
        "created_at": date(rng),
        "name": name_of(number, REPORT_NAMES),
        "report_type": kind,
        "account_id": account_id,
    }


@_CORE.add("events", parent="products", count=430)
def _event(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _library_entry("events", rng, number, parent)
    total = total_of(rng, number)
    return record | {"total": total if record["first_used_at"] else 0}


@_CORE.add("properties", parent="products", count=130)
def _property(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _library_entry("properties", rng, number, parent)
    return record | {"type": (None, "automatic", "text", "number")[number % 4]}


def _library_entry(resource: str, rng: random.Random, number: int, parent: Record | None) -> Record:
    base = _core_base(resource, rng, parent)
    name = name_of(number, NAMES)
    is_used, is_sent = number % 23 != 22, number % 11 != 10
    return {
        **base,
        "last_sent_at": date(rng) if is_used and is_sent else None,
        "first_sent_at": date(rng, EARLIER) if is_used and is_sent else None,
        "last_used_at": date(rng) if is_used else None,
        "name": name,
        "display_name": name[:1].upper() + name[1:],
        "description": DESCRIPTIONS[number % len(DESCRIPTIONS)],
        "is_visible": number % 7 != 0,
        "index": number + 2,
        "first_used_at": date(rng, EARLIER) if is_used else None,
    }


@_CORE.add("metrics", parent="products", count=26)
def _metric(rng: random.Random, number: int, parent: Record | None) -> Record:
    base = _core_base("metrics", rng, parent)
    query = f"{_QUERY}/metrics/{base['id']}"
    base["links"] += [
        link(f"{query}/over-time", "metric-over-time", "Metrics Over Time Query"),
        link(f"{query}/by-segment", "metric-by-segment", "Metrics By Segment Query"),
    ]
    return {
        **base,
        "config_last_changed_at": None if number % 9 == 8 else date(rng),
        "color": (None, "#ff8800", "teal")[number % 3],
        "title": name_of(number, METRIC_TITLES),
        "description": DESCRIPTIONS[number % len(DESCRIPTIONS)],
        "unit_type": ("numeric", "time", "percent")[number % 3],
        "status": ("pending", "active", True, "pending", False)[number % 5],
        "sort_index": number,
        "is_visible": number % 6 != 5,
    }


RESOURCES = tuple(_CORE.makers)
"""Every list of the Core API, parents before their children."""

PARENTS = _CORE.parents
"""The resource that scopes each other one: /accounts/{id}/products, /products/{id}/events and so on."""

COUNTS = _CORE.counts
"""The records of each resource, by default."""


def make_account(seed: int = 0, **counts: int) -> Account:
    """Make an account of the Core API with so many records of each resource, by default `COUNTS`.

    The same arguments give the same records. If there are three products or more, nothing belongs to the last one.
    Half a million events take a few seconds and a gigabyte.
    """
    return Account.filled(seed, _CORE, counts)


# The Query API v3

_QUERY_V3 = Model()

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

_QUERY_REPORT_TYPES = ("people_search", "funnel", "cohort", "ab_test", "activity")
_QUERY_ACCOUNT_ID = 4_017
_QUERY_FIRST_METRIC = 90_001
_QUERY_FIRST_PRODUCT = 11_001
_QUERY_STEP = 3  # between two ids: there are gaps, as after deletions


def _query_base(first_id: int, number: int, parent: Record | None) -> Record:
    """Make `id` and `product_id`; each list has another `first_id`, so that a test notices when lists are mixed up."""
    return {
        "id": first_id + _QUERY_STEP * number,
        "product_id": parent["id"] if parent else _QUERY_FIRST_PRODUCT,
    }


@_QUERY_V3.add("products", count=3)
def _query_product(rng: random.Random, number: int, _parent: Record | None) -> Record:
    return {
        "id": _QUERY_FIRST_PRODUCT + _QUERY_STEP * number,
        "account_id": _QUERY_ACCOUNT_ID,
        "name": name_of(number, PRODUCT_NAMES),
        "timezone": ("US/Pacific", "Europe/Berlin", None)[number % 3],
        "km_key": f"{rng.getrandbits(160):040x}",
    }


@_QUERY_V3.add("reports", parent="products", count=40)
def _query_report(_rng: random.Random, number: int, parent: Record | None) -> Record:
    return {
        **_query_base(2_000_001, number, parent),
        "name": name_of(number, REPORT_NAMES),
        "report_type": _QUERY_REPORT_TYPES[number % len(_QUERY_REPORT_TYPES)],
    }


@_QUERY_V3.add("events", parent="products", count=430)
def _query_event(rng: random.Random, number: int, parent: Record | None) -> Record:
    record = _query_library_entry(30_000_001, rng, number, parent)
    record["total"] = total_of(rng, number) if record["first_used_at"] else 0
    record["property_indices"] = sorted(rng.sample(range(2, 200), number % 6))
    return record


@_QUERY_V3.add("properties", parent="products", count=130)
def _query_property(rng: random.Random, number: int, parent: Record | None) -> Record:
    return _query_library_entry(50_000_001, rng, number, parent)


def _query_library_entry(first_id: int, rng: random.Random, number: int, parent: Record | None) -> Record:
    is_used, is_sent = number % 23 != 22, number % 11 != 10
    return {
        **_query_base(first_id, number, parent),
        "name": name_of(number, NAMES),
        "index": number + 2,
        "visible": number % 7 != 0,
        "first_used_at": date(rng, EARLIER) if is_used else None,
        "last_used_at": date(rng) if is_used else None,
        "first_sent_at": date(rng, EARLIER) if is_used and is_sent else None,
        "last_sent_at": date(rng) if is_used and is_sent else None,
    }


QUERY_RESOURCES = tuple(_QUERY_V3.makers)
"""Every list of v3, parents before their children."""

QUERY_COUNTS = {**_QUERY_V3.counts, "metrics": 12}
"""The records of each resource by default, and the metrics that can be queried."""


@dataclass
class QueryAccount(Account):
    """What one user of v3 can read, and the metrics that can be queried though no list names them."""

    metric_ids: list[int] = field(default_factory=list)


def make_query_account(seed: int = 0, *, metrics: int = QUERY_COUNTS["metrics"], **counts: int) -> QueryAccount:
    """Make an account of v3 with so many records of each resource, by default `QUERY_COUNTS`.

    The same arguments give the same records. If there are three products or more, nothing belongs to the last one.
    """
    account = QueryAccount.filled(seed, _QUERY_V3, counts)
    account.metric_ids = [_QUERY_FIRST_METRIC + _QUERY_STEP * number for number in range(metrics)]
    return account
