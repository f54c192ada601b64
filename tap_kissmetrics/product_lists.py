"""Base classes of the lists that exist for each product."""

from __future__ import annotations

import typing as t

from singer_sdk.exceptions import FatalAPIError
from typing_extensions import override

from tap_kissmetrics.client import ListStream, QueryListStream
from tap_kissmetrics.responses import read_id

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import requests
    from singer_sdk.helpers.types import Context, Record


class ProductListStream(ListStream):
    """A list that can be read for all products at once, or for each of `product_ids`."""

    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]] | None:
        return [{"product_id": product_id} for product_id in self.api.product_ids(self.config)] or None


class QueryProductListStream(QueryListStream):
    """A list of the Query API v3 that exists for each product, and only there."""

    # It is not documented that an id is unique beyond its product.
    primary_keys: t.ClassVar[Sequence[str]] = ("product_id", "id")
    key_columns = ("product_id", "id")

    # Not a child stream of the products: the SDK would write SCHEMA and ACTIVATE_VERSION once for each of them, and a
    # list that fails would end that of the products.
    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]]:
        product_ids: Iterable[t.Any] = self.api.product_ids(self.config)
        if not product_ids:
            products = t.cast("ListStream", self._tap.streams["products"])
            product_ids = [product["id"] for product in products.lookup_records()]
        return [{"product_id": product_id} for product_id in product_ids]

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        # Without products, the SDK asks for the list without a context.
        return super().request_records(context) if context else ()

    @override
    def parse_response(self, response: requests.Response) -> Iterator[Record]:
        for record in super().parse_response(response):
            if record.get("product_id") is None and self._context:  # a part of the primary key
                record["product_id"] = self._context["product_id"]
            elif read_id(record, "product_id") is None:
                msg = f"the product_id of the record {record['id']!r}, part of its primary key, is not an id"
                raise FatalAPIError(msg)
            yield record
