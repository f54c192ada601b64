"""The lists of both APIs, one class each."""

from __future__ import annotations

import typing as t

from tap_kissmetrics.apis import CORE, V3
from tap_kissmetrics.client import ListStream, V3ListStream


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
    lookup_columns = ("id", "name", "timezone")
    valid_replication_keys = ("created_at",)


class ReportsStream(ListStream):
    """Saved reports, without their results (reference: "All Reports")."""

    of_products = True
    name = "reports"
    path = "/reports"
    lookup_columns = ("id", "product_id", "name", "report_type")
    valid_replication_keys = ("created_at",)


class EventsStream(ListStream):
    """Event libraries (reference: "All Events")."""

    of_products = True
    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class PropertiesStream(ListStream):
    """Property libraries (reference: "All Properties")."""

    of_products = True
    name = "properties"
    path = "/properties"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class MetricsStream(ListStream):
    """Metrics (reference: "All Metrics")."""

    of_products = True
    name = "metrics"
    path = "/metrics"
    lookup_columns = ("id", "product_id", "title")
    valid_replication_keys = ("config_last_changed_at",)


class V3ProductsStream(V3ListStream):
    """Products that the user can access."""

    name = "products"
    path = "/products"
    lookup_columns = ("id", "name")
    logs_account_names = True


class V3ReportsStream(V3ListStream):
    """Saved reports, without their results."""

    of_products = True
    primary_keys = key_columns = ("product_id", "id")  # an id is not documented to be unique beyond its product
    name = "reports"
    path = "/reports"
    lookup_columns = ("id", "product_id", "name", "report_type")


class V3EventsStream(V3ListStream):
    """Event libraries."""

    of_products = True
    primary_keys = key_columns = ("product_id", "id")  # an id is not documented to be unique beyond its product
    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class V3PropertiesStream(V3ListStream):
    """Property libraries."""

    of_products = True
    primary_keys = key_columns = ("product_id", "id")  # an id is not documented to be unique beyond its product
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
    V3.name: (
        V3ProductsStream,
        V3ReportsStream,
        V3EventsStream,
        V3PropertiesStream,
    ),
}
"""The lists of each API."""
