"""How the APIs are requested: base classes of all streams, and of those that are lists."""

from __future__ import annotations

import itertools
import json
import typing as t
from collections import deque
from contextlib import suppress
from functools import cached_property, partial
from http import HTTPStatus
from importlib.resources import files

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from typing_extensions import override

from tap_kissmetrics.apis import DOCUMENTED_PAGE_SIZES, get_api, quote_id, setting_of_url
from tap_kissmetrics.errors import (
    FORBIDDEN,
    RefusedRequestError,
    error_for_connection,
    error_for_response,
    requested_url,
)
from tap_kissmetrics.responses import check_self_link, decode_body, find_failure, read_id, read_page
from tap_kissmetrics.sdk_extensions.pagination import OverlapPaginator
from tap_kissmetrics.sdk_extensions.stream import AbortRunError, ExtendedStream

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import requests
    from requests.auth import AuthBase
    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.apis import Api
    from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage, RowPaginator
    from tap_kissmetrics.sdk_extensions.stream import Group

    T = t.TypeVar("T")
    PageT = t.TypeVar("PageT", bound=ResultPage)

SCHEMAS: t.Final = files(__package__) / "schemas"


def columns_of(api: Api, stream: str) -> set[str]:
    """Return the columns of a list; none where the API has no such list."""
    path = SCHEMAS / api.name / f"{stream}.json"
    return set(json.loads(path.read_text(encoding="utf-8"))["properties"]) if path.is_file() else set()


MAX_LOGGED_NAMES: t.Final = 10
"""Names of accounts or products that are logged."""


class KissmetricsStream(ExtendedStream):
    """A stream of either API."""

    _is_repair_reported = False

    @property
    def api(self) -> Api:
        """The API that is read."""
        return get_api(self.config)

    @property
    @override
    def url_base(self) -> str:
        return self.api.url(self.config)

    @cached_property
    @override
    def authenticator(self) -> AuthBase:
        return self.api.authenticator(self.config)

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    @override
    def validate_response(self, response: requests.Response) -> None:
        self._raise_for_status(response.status_code, response)
        super().validate_response(response)

    @override
    def error_for_exception(self, error: requests.RequestException) -> Exception:
        return error_for_connection(error, setting_of_url(requested_url(error), self.config))

    def read_json(self, response: requests.Response) -> t.Any:
        """Decode the body of a response; raise the HTTP error that it reports inside HTTP 200."""
        body = decode_body(response, self._warn_repaired)
        if failure := find_failure(body):
            self._raise_for_status(failure.status, response, body)
        return body

    def prepare(self, method: str, url: str, **kwargs: t.Any) -> requests.PreparedRequest:
        """Prepare a request, with the credentials."""
        return self.build_prepared_request(method, url, headers=self.http_headers, **kwargs)

    def request_json(
        self, method: str, url: str, *, status: int | None = None, expected_redirect: int | None = None, **kwargs: t.Any
    ) -> tuple[requests.Response, t.Any]:
        """Send one request, without a retry; return the response and its decoded body.

        `kwargs` are the `params` of the URL, or an object that is sent as `json`. Another status than `status` is
        retriable. A redirect of the expected status is a response like any other; its body need not be JSON.
        """
        request = self.prepare(method, url, **kwargs)
        response = self.requests_session.send(request, timeout=self.timeout, allow_redirects=False)
        if response.status_code == expected_redirect:
            super().validate_response(response)
            with suppress(RetriableAPIError):
                return response, self.read_json(response)
            return response, None
        self.validate_response(response)
        if status and response.status_code != status:
            msg = f"HTTP {response.status_code} is not a valid status for a list"
            raise RetriableAPIError(msg, response)
        return response, self.read_json(response)

    def check_page(self, page: PageT, validate: Callable[[PageT], None]) -> PageT:
        """Validate a page, and return it; unknown fields beside an empty list mean that records may be missing."""
        validate(page)
        if page.unknown and self.is_complete:
            self.is_complete = False
            self.stream_logger.warning("an empty list comes with unknown fields: %s", ", ".join(page.unknown))
        return page

    @property
    def page_size(self) -> int:
        """The number of records to ask for in one request."""
        return self.services.page_size or self.api.page_size(self.config)

    def request_accepted_size(
        self, request: Callable[[], T], paginator: OverlapPaginator | RowPaginator, documented: int
    ) -> T:
        """Request a page; where the API refuses the tap's own `page_size`, use the documented one from now on."""
        try:
            return request()
        except RefusedRequestError as error:
            if paginator.offset:
                raise
            if self.config.get("page_size"):
                msg = f"{error}; check page_size"
                raise RefusedRequestError(msg) from None
            own = paginator.page_size
            if own <= documented:
                raise
            paginator.page_size = documented
            try:
                page = request()
            except (FatalAPIError, RetriableAPIError):
                paginator.page_size = own
                raise error from None
        self.services.page_size = documented
        self.stream_logger.info("the API refuses pages of %d: asking for %d from now on", own, documented)
        return page

    def _warn_repaired(self, description: str) -> None:
        if not self._is_repair_reported:
            self._is_repair_reported = True
            self.stream_logger.warning("the API sends malformed JSON, which the tap repairs: %s", description)

    def _raise_for_status(self, status: int, response: requests.Response, body: object = None) -> None:
        setting = setting_of_url(response.url, self.config)
        error = error_for_response(status, response, api=self.api, setting=setting, body=body)
        if error:
            raise error


class ListStream(KissmetricsStream):
    """A list that is read in full."""

    primary_keys: t.ClassVar[Sequence[str]] = ("id",)

    schema = StreamSchema(SchemaDirectory(SCHEMAS / "core"))

    key_columns: t.ClassVar[tuple[str, ...]] = ("id",)
    """The columns that identify a record, whatever key a catalog chooses."""

    lookup_columns: t.ClassVar[tuple[str, ...]] = ()
    """Columns kept in memory for streams that look this one up."""

    logs_account_names: t.ClassVar[bool] = False
    """Whether to log the names of its records, which show whose credentials these are."""

    of_products: t.ClassVar[bool] = False
    """Whether the list can be read for each product: for each of `product_ids`, else for all at once."""

    @override
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._lookup_records: dict[t.Any, list[Record]] = {}
        self.lookup_failures: dict[t.Any, Exception] = {}
        self._product_of: dict[tuple[str | int, ...], str | int] = {}

    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]] | None:
        product_ids = self.api.product_ids(self.config) if self.of_products else ()
        return [{"product_id": each} for each in product_ids] or None

    @override
    def get_url(self, context: Context | None) -> str:
        scope = f"/products/{quote_id(context['product_id'])}" if context else ""
        return f"{self.url_base}{scope}{self.path}"

    @override
    def get_new_paginator(self) -> OverlapPaginator:  # type: ignore[override]  # the SDK's loop is not used
        return OverlapPaginator(self.page_size, DOCUMENTED_PAGE_SIZES)

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        url = self.get_url(context)
        product_id = context["product_id"] if context else None
        parts = self.partitions or []
        self.progress.part = f"product {parts.index(dict(context)) + 1} of {len(parts)}" if context else ""
        lookup: list[Record] = []
        paginator = self.get_new_paginator()
        request = partial(self._request_page, url, paginator)
        # A page that does not fit is requested again.
        request_page = self.request_decorator(
            partial(self.request_accepted_size, request, paginator, self.api.documented_page_size)
        )
        with self.get_http_request_counter() as counter:
            counter.with_context(context)
            while not paginator.finished:
                page = request_page()
                records, total = paginator.update(page), page.total
                del page  # it would stay alive while the next page is loaded, as would the records
                counter.increment()
                self.progress.update(len(records), None if context else total)
                self._prefetch(url, paginator)
                for record in self.identify(records, product_id):
                    if self.lookup_columns:
                        lookup.append({column: record.get(column) for column in self.lookup_columns})
                    yield record
                del records
        self._lookup_records[product_id] = lookup

    def _request_page(self, url: str, paginator: OverlapPaginator) -> Page:
        params = {"offset": paginator.offset, "limit": paginator.page_size}
        _, body = self.request_json("GET", url, status=HTTPStatus.OK, params=params)
        check_self_link(body, url.removeprefix(self.url_base))
        return self.check_page(read_page(body, **params, identity=self.api.identity), paginator.validate)

    def _prefetch(self, url: str, paginator: OverlapPaginator) -> None:
        session = self.requests_session
        # After a rate limit, pages that were prefetched before are still used if they come next.
        count = max(session.max_concurrency, session.prefetched)
        if (count == 1 and not session.prefetched) or self.ABORT_AT_RECORD_COUNT is not None:
            return
        params = [{"offset": offset, "limit": paginator.page_size} for offset in paginator.predict(count)]
        upcoming = [self.prepare("GET", url, params=each) for each in params]
        session.prefetch(upcoming, timeout=self.timeout, allow_redirects=False)

    def identify(self, records: list[Record], product_id: str | int | None) -> Iterator[Record]:
        """Yield the records, but those that the list of another product has too: a primary key is written once."""
        for record in records:
            if product_id is not None:
                key = tuple(self.api.identity(record[column]) for column in self.key_columns)
                if self._product_of.setdefault(key, product_id) != product_id:
                    continue
            yield record

    @override
    def name_partition(self, context: Context) -> str:
        """Return the id of a product, with its name if the products were read."""
        product_id = context["product_id"]
        products = t.cast("ListStream", self.services.streams["products"])
        for product in products.known_records:
            if self.api.identity(product["id"]) == self.api.identity(product_id):
                return f"{product_id} {product['name']!r}"
        return str(product_id)

    @override
    def describe_failures(self, share: str, group: Group) -> str:
        names = ", ".join(group.names)
        if group.kind == FORBIDDEN:
            remedy = "give the key access to them, or list the others in product_ids"
            return f"{share} products are forbidden: {names}; {remedy}"
        return f"{share} products failed: {names}: {group.cause}"

    @property
    def known_records(self) -> Iterable[Record]:
        """The `lookup_columns` of the records that were read."""
        return itertools.chain.from_iterable(self._lookup_records.values())

    def lookup_records(self) -> list[Record]:
        """Return the `lookup_columns` of each record, in the order of the list, which is read if it was not read yet.

        Raises `FatalAPIError` or `RetriableAPIError` if it cannot be read. Where the list of one product fails, the
        others are returned, and the error is in `lookup_failures`.
        """
        records = []
        contexts = self.partitions
        for context in [None] if contexts is None else contexts:
            key = context and context["product_id"]
            if key not in self._lookup_records:
                try:
                    deque(self.request_records(context), maxlen=0)
                except AbortRunError:
                    raise
                except (FatalAPIError, RetriableAPIError) as error:
                    if context is None:
                        raise
                    self.lookup_failures[key] = error
                    continue
            records += self._lookup_records[key]
        return records

    @override
    def on_stream_complete(self) -> None:
        if self.logs_account_names:
            names = [repr(record["name"]) for record in self.lookup_records()]
            more = f" and {len(names) - MAX_LOGGED_NAMES} more" if len(names) > MAX_LOGGED_NAMES else ""
            self.stream_logger.info(
                "these credentials can access %s%s", ", ".join(names[:MAX_LOGGED_NAMES]) or "none", more
            )
        super().on_stream_complete()


class V3ListStream(ListStream):
    """A list of the Query API v3. Those of products exist for each product, and only there."""

    schema = StreamSchema(SchemaDirectory(SCHEMAS / "query"))

    # Not a child stream of the products: the SDK would write SCHEMA and ACTIVATE_VERSION once for each of them, and a
    # list that fails would end that of the products.
    @property
    @override
    def partitions(self) -> list[dict[str, t.Any]] | None:
        chosen = super().partitions
        if chosen or not self.of_products:
            return chosen
        products = t.cast("ListStream", self.services.streams["products"]).lookup_records()
        return [{"product_id": product["id"]} for product in products]

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        # Without products, the SDK asks for the list without a context.
        return super().request_records(context) if context or not self.of_products else iter(())

    @override
    def identify(self, records: list[Record], product_id: str | int | None) -> Iterator[Record]:
        """Yield the records, each with the id of its product, which is a part of the primary key."""
        for record in records if product_id is not None else ():
            if record.get("product_id") is None:
                record["product_id"] = product_id
            elif read_id(record, "product_id") is None:
                msg = f"the product_id of the record {record['id']!r}, part of its primary key, is not an id"
                raise FatalAPIError(msg)
        return super().identify(records, product_id)
