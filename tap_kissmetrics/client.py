"""How the APIs are requested: base classes of all streams, and of those that are lists."""

from __future__ import annotations

import json
import typing as t
from collections import deque
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import quote

from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_kissmetrics.apis import get_api, setting_of_url
from tap_kissmetrics.errors import (
    AuthenticationError,
    NotFoundError,
    error_for_exception,
    error_for_response,
    requested_url,
)
from tap_kissmetrics.responses import check_self_link, read_json, read_page, reported_status
from tap_kissmetrics.sdk_extensions.logs import truncate
from tap_kissmetrics.sdk_extensions.pagination import OverlapPaginator
from tap_kissmetrics.sdk_extensions.records import identity
from tap_kissmetrics.sdk_extensions.stream import AbortRunError, ExtendedStream

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import requests
    from requests.auth import AuthBase
    from singer_sdk.helpers.types import Context, Record

    from tap_kissmetrics.apis import Api
    from tap_kissmetrics.sdk_extensions.pagination import Page, ResultPage

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

    expected_redirect: int | None = None
    """The status of a redirect that is a response of its own; it is not followed either."""

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
        if response.status_code != self.expected_redirect:
            self._raise_for_status(response.status_code, response)
        super().validate_response(response)

    @override
    def error_for_exception(self, error: requests.RequestException) -> Exception:
        return error_for_exception(error, setting_of_url(requested_url(error), self.config))

    def read_json(self, response: requests.Response) -> t.Any:
        """Decode the body of a response; raise the error that it reports inside HTTP 200."""
        body = read_json(response, self._warn_repaired)
        self._raise_for_status(reported_status(body), response, body)
        self.requests_session.accept_credentials()
        return body

    def warn_unknown(self, page: ResultPage) -> None:
        """Warn of what stands beside an empty list and is not known, once; the stream does not count as complete."""
        if page.unknown and self.is_complete:
            self.is_complete = False
            self.stream_logger.warning("an empty list comes with unknown fields: %s", ", ".join(page.unknown))

    def _warn_repaired(self, description: str) -> None:
        if not self._is_repair_reported:
            self._is_repair_reported = True
            self.stream_logger.warning("the API sends malformed JSON, which the tap repairs: %s", description)

    def _raise_for_status(self, status: int, response: requests.Response, body: object = None) -> None:
        setting = setting_of_url(response.url, self.config)
        error = error_for_response(status, response, api=self.api, setting=setting, body=body)
        if isinstance(error, AuthenticationError) and self.requests_session.may_be_accepted_again():
            raise RetriableAPIError(str(error), response)
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

    @override
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._lookup_records: dict[t.Any, list[Record]] = {}
        self.lookup_failures: dict[t.Any, Exception] = {}
        # State between the SDK's hooks, which take neither a context nor a paginator. That is safe because the SDK
        # reads one page of one partition at a time: it requests it, parses it, and emits its records before the next.
        self._context: Context | None = None
        self._paginator = OverlapPaginator(0)
        self._page: Page | None = None
        self._product_of: dict[tuple[str | int, ...], str | int] = {}

    @override
    def get_url(self, context: Context | None) -> str:
        scope = f"/products/{quote(str(context['product_id']), safe='', errors='surrogatepass')}" if context else ""
        return f"{self.url_base}{scope}{self.path}"

    @override
    def get_new_paginator(self) -> OverlapPaginator:
        self._paginator = OverlapPaginator(self.api.page_size(self.config))
        return self._paginator

    @override
    def get_url_params(self, context: Context | None, next_page_token: int | None) -> dict[str, t.Any]:
        return {"limit": self._paginator.page_size, "offset": next_page_token}

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        self._context = context
        self.progress.part = self._describe_part(context)
        lookup: list[Record] = []
        for record in self._request_existing(context):
            if context and self._is_in_another_list(record, context["product_id"]):
                continue
            if self.lookup_columns:
                lookup.append({column: record.get(column) for column in self.lookup_columns})
            yield record
        self._lookup_records[context and context["product_id"]] = lookup

    def _request_existing(self, context: Context | None) -> Iterator[Record]:
        """Request the list; where there is nothing, name the products that exist if its product does not."""
        try:
            yield from super().request_records(context)
        except NotFoundError as error:
            if context and (ids := self._other_products(context["product_id"])):
                msg = f"{error}; the products that exist: {truncate(', '.join(ids))}"
                raise NotFoundError(msg) from error
            raise

    def _other_products(self, product_id: str | int) -> list[str]:
        """Return the ids of the products; none if this one is among them, or they cannot be read."""
        try:
            records = t.cast("ListStream", self._tap.streams["products"]).lookup_records()
        except (FatalAPIError, RetriableAPIError):
            return []
        ids = [identity(record["id"], is_numeric=self.api.has_numeric_ids) for record in records]
        known = identity(product_id, is_numeric=self.api.has_numeric_ids) in ids
        return [] if known else [str(each) for each in ids]

    def _is_in_another_list(self, record: Record, product_id: str | int) -> bool:
        """Return whether the list of another product has this record too: a primary key is written once."""
        key = tuple(identity(record[column], is_numeric=self.api.has_numeric_ids) for column in self.key_columns)
        return self._product_of.setdefault(key, product_id) != product_id

    @override
    def validate_response(self, response: requests.Response) -> None:
        # In here a page that is wrong is requested again.
        super().validate_response(response)
        if response.status_code != HTTPStatus.OK:
            msg = f"HTTP {response.status_code} is not a valid status for a list"
            raise RetriableAPIError(msg, response)
        paginator = self._paginator
        body = self.read_json(response)
        check_self_link(body, self.get_url(self._context).removeprefix(self.url_base))
        page = read_page(
            body,
            offset=paginator.current_value,
            limit=paginator.page_size,
            has_numeric_ids=self.api.has_numeric_ids,
        )
        paginator.validate(page)
        self.warn_unknown(page)
        self._page = page

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        # Do not keep the page: it would stay alive while the next one is loaded.
        page, self._page = t.cast("Page", self._page), None
        records = self._paginator.update(page)
        self.progress.update(len(records), None if self._context else page.total)
        self._prefetch()
        return records

    def _prefetch(self) -> None:
        session = self.requests_session
        # After a rate limit, pages that were prefetched before are still used if they come next.
        count = max(session.max_concurrency, session.prefetched)
        if (count == 1 and not session.prefetched) or self.ABORT_AT_RECORD_COUNT is not None:
            return
        upcoming = [self._prepare_page(offset) for offset in self._paginator.predict(count)]
        session.prefetch(upcoming, timeout=self.timeout, allow_redirects=self.allow_redirects)

    def _prepare_page(self, offset: int) -> requests.PreparedRequest:
        request = self.get_http_request(page=PageContext(stream_context=self._context, next_page_token=offset))
        return self.build_prepared_request(
            method=request.method, url=request.url, params=request.encode_params(), headers=request.headers
        )

    def _describe_part(self, context: Context | None) -> str:
        contexts = self.partitions or []
        return f"product {contexts.index(dict(context)) + 1} of {len(contexts)}" if context else ""

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


class QueryListStream(ListStream):
    """A list of the Query API v3."""

    schema = StreamSchema(SchemaDirectory(SCHEMAS / "query"))
