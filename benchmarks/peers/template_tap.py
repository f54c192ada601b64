"""A tap as the SDK's template leads to one: a RESTStream, a paginator, a schema, and nothing besides.

Usage: `template_tap.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from singer_sdk import RESTStream, Stream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseOffsetPaginator
from typing_extensions import override

if TYPE_CHECKING:
    import requests
    from singer_sdk.helpers.types import Context

PAGE_SIZE, STREAMS = int(sys.argv[1]), sys.argv[2:]

LINK = th.ObjectType(
    th.Property("templated", th.BooleanType),
    th.Property("href", th.StringType),
    th.Property("rel", th.StringType),
    th.Property("name", th.StringType),
)


class Paginator(BaseOffsetPaginator):
    """From offset to offset, up to the total."""

    @override
    def has_more(self, response: requests.Response) -> bool:
        return self.get_next(response) < int(response.json()["pagination"]["total"])

    @override
    def get_next(self, response: requests.Response) -> int:
        return int(self.current_value) + PAGE_SIZE


class LibraryStream(RESTStream[int]):
    """Events or properties."""

    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        th.Property("product_id", th.StringType),
        th.Property("name", th.StringType),
        th.Property("display_name", th.StringType),
        th.Property("description", th.StringType),
        th.Property("type", th.StringType),
        th.Property("index", th.IntegerType),
        th.Property("total", th.IntegerType),
        th.Property("is_visible", th.BooleanType),
        th.Property("first_sent_at", th.DateTimeType),
        th.Property("last_sent_at", th.DateTimeType),
        th.Property("first_used_at", th.DateTimeType),
        th.Property("last_used_at", th.DateTimeType),
        th.Property("links", th.ArrayType(LINK)),
    ).to_dict()

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=self.config["auth_token"])

    @override
    def get_new_paginator(self) -> Paginator:
        return Paginator(start_value=0, page_size=PAGE_SIZE)

    @override
    def get_url_params(self, context: Context | None, next_page_token: int | None) -> dict[str, Any]:
        return {"limit": PAGE_SIZE, "offset": next_page_token or 0}


class TemplateTap(Tap):
    """The tap."""

    name = "tap-template"
    config_jsonschema = th.PropertiesList(
        th.Property("auth_token", th.StringType, required=True, secret=True),
        th.Property("api_url", th.StringType, required=True),
    ).to_dict()

    @override
    def discover_streams(self) -> list[Stream]:
        return [LibraryStream(self, name=stream, path=f"/{stream}") for stream in STREAMS]


if __name__ == "__main__":
    address, token = os.environ["TAP_KISSMETRICS_API_URL"], os.environ["TAP_KISSMETRICS_API_TOKEN"]
    TemplateTap(config={"api_url": address, "auth_token": token}).sync_all()
