"""The streams, one class for each list of the Core API."""

from __future__ import annotations

from tap_kissmetrics.lists import ListStream, ProductStream


class AccountsStream(ListStream):
    """Accounts the token may see ("All Accounts" in the reference)."""

    name = "accounts"
    path = "/accounts"
    kept_columns = ("id", "name")
    names_login = True
    replication_key = "updated_at"
    valid_replication_keys = ("updated_at", "created_at")


class ProductsStream(ListStream):
    """Products of these accounts ("All Products")."""

    name = "products"
    path = "/products"
    valid_replication_keys = ("created_at",)


class ReportsStream(ProductStream):
    """Saved reports, without their results ("All Reports")."""

    name = "reports"
    path = "/reports"
    kept_columns = ("id", "product_id", "name", "report_type")
    valid_replication_keys = ("created_at",)


class EventsStream(ProductStream):
    """Event libraries ("All Events")."""

    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class PropertiesStream(ProductStream):
    """Property libraries ("All Properties")."""

    name = "properties"
    path = "/properties"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class MetricsStream(ProductStream):
    """Metrics ("All Metrics")."""

    name = "metrics"
    path = "/metrics"
    valid_replication_keys = ("config_last_changed_at",)


CORE_STREAMS: tuple[type[ListStream], ...] = (
    AccountsStream,
    ProductsStream,
    ReportsStream,
    EventsStream,
    PropertiesStream,
    MetricsStream,
)
