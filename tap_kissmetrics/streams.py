"""The lists of both APIs, one class each."""

from __future__ import annotations

import typing as t

from tap_kissmetrics.apis import CORE, QUERY
from tap_kissmetrics.client import ListStream, QueryListStream
from tap_kissmetrics.product_lists import ProductListStream, QueryProductListStream


class AccountsStream(ListStream):
    """Accounts that the token can access (reference: "All Accounts")."""

    name = "accounts"
    path = "/accounts"
    lookup_columns = ("id", "name")
    logs_account_names = True
    valid_replication_keys = ("updated_at", "created_at")


class ProductsStream(ListStream):
    """Products of these accounts (reference: "All Products")."""

    name = "products"
    path = "/products"
    lookup_columns = ("id", "timezone")
    valid_replication_keys = ("created_at",)


class ReportsStream(ProductListStream):
    """Saved reports, without their results (reference: "All Reports")."""

    name = "reports"
    path = "/reports"
    lookup_columns = ("id", "product_id", "name", "report_type")
    valid_replication_keys = ("created_at",)


class EventsStream(ProductListStream):
    """Event libraries (reference: "All Events")."""

    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class PropertiesStream(ProductListStream):
    """Property libraries (reference: "All Properties")."""

    name = "properties"
    path = "/properties"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class MetricsStream(ProductListStream):
    """Metrics (reference: "All Metrics")."""

    name = "metrics"
    path = "/metrics"
    lookup_columns = ("id", "product_id", "title")
    valid_replication_keys = ("config_last_changed_at",)


class QueryProductsStream(QueryListStream):
    """Products that the user can access."""

    name = "products"
    path = "/products"
    lookup_columns = ("id", "name")
    logs_account_names = True


class QueryReportsStream(QueryProductListStream):
    """Saved reports, without their results."""

    name = "reports"
    path = "/reports"
    lookup_columns = ("id", "product_id", "name", "report_type")


class QueryEventsStream(QueryProductListStream):
    """Event libraries."""

    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class QueryPropertiesStream(QueryProductListStream):
    """Property libraries."""

    name = "properties"
    path = "/properties"
    valid_replication_keys = ("last_sent_at", "last_used_at")


LISTS: t.Final[dict[str, tuple[type[ListStream], ...]]] = {
    CORE.name: (
        AccountsStream,
        ProductsStream,
        ReportsStream,
        EventsStream,
        PropertiesStream,
        MetricsStream,
    ),
    QUERY.name: (
        QueryProductsStream,
        QueryReportsStream,
        QueryEventsStream,
        QueryPropertiesStream,
    ),
}
"""The lists of each API."""
