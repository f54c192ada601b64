"""The lists of the Query API v3, one class for each; all but the products are read product by product."""

from __future__ import annotations

import typing as t
from importlib.resources import files

from singer_sdk.exceptions import FatalAPIError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_kissmetrics.lists import ListStream, ProductStream

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.page import Page
    from tap_kissmetrics.pagination import SeamPaginator

_SCHEMAS: t.Final = SchemaDirectory(files(__package__) / "schemas" / "query")


class QueryProductsStream(ListStream):
    """Products that the user may see."""

    name = "products"
    path = "/products"
    kept_columns = ("id", "name")
    names_login = True
    schema = StreamSchema(_SCHEMAS)


class OfProductStream(ProductStream):
    """A list that each product has."""

    # Nothing says that an id is unique beyond its product.
    primary_keys: t.ClassVar[Sequence[str]] = ("product_id", "id")
    schema = StreamSchema(_SCHEMAS)

    @override
    def scopes(self) -> list[dict[str, t.Any]]:
        if (chosen := super().scopes()) is not None:
            return chosen
        products = t.cast("ListStream", self._tap.streams[QueryProductsStream.name])
        return [{"product_id": product["id"]} for product in products.known()]

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        # Without products, the SDK asks for the list of no product.
        return super().request_records(context) if context else ()

    @override
    def get_page(self, context: Context | None, pages: SeamPaginator) -> Page:
        page = super().get_page(context, pages)
        if context:
            for record in page.records:
                product_id = record.get("product_id")
                if product_id is None:  # a part of the primary key
                    record["product_id"] = context["product_id"]
                elif isinstance(product_id, bool) or not isinstance(product_id, (str, int)) or product_id == "":
                    msg = f"the record {record['id']!r} has a product_id that is no id: a table cannot take it"
                    raise FatalAPIError(msg)
        return page


class QueryReportsStream(OfProductStream):
    """Saved reports, without their results."""

    name = "reports"
    path = "/reports"
    kept_columns = ("id", "product_id", "name", "report_type")


class QueryEventsStream(OfProductStream):
    """Event libraries."""

    name = "events"
    path = "/events"
    valid_replication_keys = ("last_sent_at", "last_used_at")


class QueryPropertiesStream(OfProductStream):
    """Property libraries."""

    name = "properties"
    path = "/properties"
    valid_replication_keys = ("last_sent_at", "last_used_at")


QUERY_STREAMS: tuple[type[ListStream], ...] = (
    QueryProductsStream,
    QueryReportsStream,
    QueryEventsStream,
    QueryPropertiesStream,
)
