"""The made-up records of both APIs.

Each list has the columns of its schema, with values by their types. Here is what a schema does not say and a test
relies on: hard names, nulls, types of reports, links. Links name the vendor's hosts, not the sandbox, and those of
products name `apikissmetrics.com`, as the vendor prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tests.sandbox.account import Account
from tests.sandbox.records import EARLIER, LATER, Model, dated, in_turn, link, named, uuid

if TYPE_CHECKING:
    import random

    from tests.sandbox.records import Make, Record

# Values of both

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
_BIG_TOTALS = (2**31, 4_294_967_296, 9_007_199_254_740_993)


def _total(rng: random.Random, number: int) -> int:
    """Make the `total` of an event: some need more than 32 bits, or more than a float holds."""
    return _BIG_TOTALS[number // 50 % 3] + number // 50 if number % 50 == 17 else int(rng.random() * 200_000)


_VALUES: dict[str, Make] = {
    "name": named(*NAMES),
    "display_name": named(*NAMES),
    "accounts.name": named(*ACCOUNT_NAMES),
    "products.name": named(*PRODUCT_NAMES),
    "reports.name": named(*REPORT_NAMES),
    "description": in_turn(*DESCRIPTIONS),
    "timezone": in_turn("US/Pacific", "Europe/Berlin", "Asia/Tokyo", None),
    "total": _total,
    "created_at": dated(),
    "first_used_at": dated(EARLIER),
    "last_used_at": dated(LATER),
    "first_sent_at": dated(EARLIER),
    "last_sent_at": dated(LATER),
}


_USES = ("total", "first_used_at", "last_used_at", "first_sent_at", "last_sent_at")


def _lose_dates(record: Record, number: int) -> None:
    """Let some events and properties never have been used, or never have been sent."""
    if number % 23 == 22:
        record |= {name: 0 if name == "total" else None for name in record if name in _USES}
    elif number % 11 == 10:
        record |= {"first_sent_at": None, "last_sent_at": None}


# The Core API

RUNNABLE, PEOPLE_SEARCH_V3 = "people_search_v2", "people_search_v3"
"""The type of report that can be run, as the reference has it, and another one that can."""


_REPORT_TYPES = (RUNNABLE, "funnel", "cohort", "people_search", "revenue")
_PEOPLE_SEARCH_V3_AT = 4  # the only report of this type


class _CoreModel(Model):
    api = "core"
    known: ClassVar = {"accounts": 2, "products": 4, "reports": 45, "events": 430, "properties": 130, "metrics": 26}
    urls: ClassVar = {"": "https://api.kissmetrics.com/core", "products": "https://apikissmetrics.com/core"}
    values: ClassVar = {
        **_VALUES,
        "contact.name": in_turn(None, "Zoë Ünlü", None),
        "contact.country": in_turn(None, "Österreich", "JP"),
        "contact.phone": in_turn(None, "+43 1 5550100", None),
        "accounts.created_at": dated(EARLIER, "Z"),
        "accounts.updated_at": dated(LATER, "Z"),
        "status": in_turn("active", "active", "active", "canceled"),
        "url": in_turn("http://product.example.com", None, "https://bücher.example/?q=a&b=ü"),
        "environment": in_turn("", "production", "staging", "development"),
        "report_type": lambda _rng, number: (
            PEOPLE_SEARCH_V3 if number == _PEOPLE_SEARCH_V3_AT else _REPORT_TYPES[number % 5]
        ),
        "type": in_turn(None, "automatic", "text", "number"),
        "title": named(*METRIC_TITLES),
        "unit_type": in_turn("numeric", "time", "percent"),
        "metrics.status": in_turn("pending", "active", True, "pending", False),  # noqa: FBT003 - values of the API
    }

    def new_id(self, rng: random.Random, resource: str, number: int) -> str:  # noqa: ARG002 - as the model has it
        return uuid(rng)

    def finish(self, resource: str, record: Record, number: int) -> None:
        match resource:
            case "events" | "properties":
                _lose_dates(record, number)
            case "reports" if number % 10 == 0 or number == _PEOPLE_SEARCH_V3_AT:
                # Some that can be run have the link, by its name of 2014 or of 2015.
                run = f"https://query.kissmetrics.com/v2/products/{record['product_id']}/reports/{record['id']}/run"
                record["links"].append(link(run, "run" if number % 20 == 0 else "run_v2", "Run Report"))
            case "metrics":
                query = f"https://api.kissmetrics.com/query/metrics/{record['id']}"
                record["links"] += [
                    link(f"{query}/over-time", "metric-over-time", "Metrics Over Time Query"),
                    link(f"{query}/by-segment", "metric-by-segment", "Metrics By Segment Query"),
                ]


_CORE = _CoreModel()

RESOURCES = tuple(_CORE.counts)
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

_FIRST_METRIC = 90_001
_FIRST_IDS = {"products": 11_001, "reports": 2_000_001, "events": 30_000_001, "properties": 50_000_001}
_STEP = 3  # between two ids: there are gaps, as after deletions


class _QueryModel(Model):
    api = "query"
    known: ClassVar = {"products": 3, "reports": 40, "events": 430, "properties": 130}
    values: ClassVar = {
        **_VALUES,
        "account_id": in_turn(4_017),
        "report_type": in_turn("people_search", "funnel", "cohort", "ab_test", "activity"),
    }

    def new_id(self, rng: random.Random, resource: str, number: int) -> int:  # noqa: ARG002 - as the model has it
        """Count from another first id in each list, so that a test notices when lists are mixed up."""
        first = _FIRST_IDS.get(resource) or 100_000_000 * list(self.counts).index(resource) + 1
        return first + _STEP * number

    def finish(self, resource: str, record: Record, number: int) -> None:
        if resource in {"events", "properties"}:
            _lose_dates(record, number)


_QUERY_V3 = _QueryModel()

QUERY_RESOURCES = tuple(_QUERY_V3.counts)
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
    account.metric_ids = [_FIRST_METRIC + _STEP * number for number in range(metrics)]
    return account
