"""Asynchronous queries: how each API starts one, reports its progress, returns its rows, and cancels it."""

from __future__ import annotations

import abc
import datetime as dt
import decimal
import typing as t
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urljoin, urlsplit

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.apis import quote_id, setting_of_url
from tap_kissmetrics.errors import NotFoundError
from tap_kissmetrics.responses import find_failure, is_id, read_core_result_page, read_result_page
from tap_kissmetrics.sdk_extensions.logs import describe_cause, truncate

if t.TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_kissmetrics.client import KissmetricsStream
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

CANCEL_TIMEOUT: t.Final = 5.0
"""Seconds to wait for the response to a cancellation; whoever stops the tap waits for it."""


@dataclass(eq=False)
class Query(abc.ABC):
    """A query, from its start to its last row. No method waits or repeats a request: the caller does."""

    stream: KissmetricsStream
    root: str
    """The URL that everything about the query is below, without a slash at its end."""
    path: str
    """Below `root`, where `body` is sent to start the query."""
    body: dict[str, t.Any]
    name: str
    """What messages call it; empty if the stream has no other query."""
    columns: Record
    """What all its records have in common."""

    id: str = field(default="", init=False)
    """Assigned by the API; empty before the query is started."""
    started_at: str = field(default="", init=False)
    is_completed: bool = field(default=False, init=False)
    is_closed: bool = field(default=False, init=False)
    """Whether it failed or is gone."""
    progress: float | None = field(default=None, init=False)
    """The part that is done, 0 to 1, if the API reports it."""
    reported_columns: list[t.Any] | None = field(default=None, init=False)
    """What the API reports about the columns of its rows, if anything."""

    @property
    def is_running(self) -> bool:
        """Whether the query was started, and has not ended."""
        return bool(self.id) and not self.is_completed and not self.is_closed

    def start(self) -> None:
        """Start the query; raise `FatalAPIError` if the API refuses it or does not say where it is."""
        self.started_at = dt.datetime.now(dt.UTC).isoformat()
        response, body = self.stream.request_json("POST", f"{self.root}{self.path}", json=self.body)
        self.id = self._find_id(response, body)

    @abc.abstractmethod
    def _find_id(self, response: requests.Response, body: object) -> str:
        """Return the id of the query that a response to its start names."""

    @abc.abstractmethod
    def request_page(self, *, offset: int, limit: int) -> ResultPage | None:
        """Request rows; return None while the query runs, and raise `FatalAPIError` if it failed.

        There is no other poll: the Query API answers one with the rows as soon as there are any.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """Cancel the query if the API can do that, and log the outcome."""

    def describe(self, event: object) -> str:
        """Name the query in front of what happened to it."""
        return ": ".join(filter(None, (self.name, self.id and f"query {self.id}", str(event))))

    def _update_status(self, body: object) -> bool:
        """Take in what a body reports about the query; return whether it is completed."""
        envelope = body if isinstance(body, dict) else {}
        if failure := find_failure(body):
            self.is_closed = True
            msg = f"the query failed: {failure.message}"
            raise FatalAPIError(msg)
        if envelope.get("completed") is None:
            msg = "the response does not report whether the query is completed"
            raise RetriableAPIError(msg)
        progress = envelope.get("progress")
        if isinstance(progress, (int, decimal.Decimal)) and 0 <= progress <= 1:
            self.progress = float(progress)
        self.is_completed = str(envelope["completed"]).lower() in {"true", "1"}
        return self.is_completed


class V3Query(Query):
    """A query of the Query API v3: one URL reports its progress and has its rows."""

    @property
    def _url(self) -> str:
        return f"{self.root}/queries/{quote_id(self.id)}"

    @override
    def _find_id(self, response: requests.Response, body: object) -> str:
        query_id = body.get("id") if isinstance(body, dict) else None
        if not is_id(query_id):
            msg = "the response does not name the query that was started"
            raise FatalAPIError(msg)
        return str(query_id)

    @override
    def request_page(self, *, offset: int, limit: int) -> ResultPage | None:
        params = {"offset": offset, "limit": limit}
        try:
            _, body = self.stream.request_json("GET", self._url, params=params)
        except NotFoundError as error:
            self.is_closed = True
            msg = f"the server has ended the query or dropped its result: {error}"
            raise FatalAPIError(msg) from error
        named = body.get("id") if isinstance(body, dict) else None
        if named and str(named).lower() != self.id.lower():
            msg = f"the response is for query {truncate(str(named))}"
            raise RetriableAPIError(msg)
        if not self._update_status(body):
            return None
        self.reported_columns = body.get("columns")
        return read_result_page(body, **params)

    @override
    def cancel(self) -> None:
        request = self.stream.prepare("DELETE", self._url)
        try:
            status = self.stream.requests_session.send_now(request, timeout=CANCEL_TIMEOUT).status_code
            defect = "" if status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_FOUND else f"HTTP {status}"
        except requests.RequestException as error:
            defect = describe_cause(error)
        if defect:
            self.stream.stream_logger.warning(
                "query %s is still running: it could not be cancelled (%s)", self.id, defect
            )
        else:
            self.stream.stream_logger.info("query %s was cancelled", self.id)


@dataclass(eq=False)
class CoreQuery(Query):
    """A query of the Core API: its status and its results have URLs of their own.

    No host that a link or a `Location` names is ever requested, only its path below `root`.
    """

    _status_url: str = field(default="", init=False)
    _results_url: str = field(default="", init=False)

    @override
    def _find_id(self, response: requests.Response, body: object) -> str:
        self._status_url = self._find_url(response, body, "query-status")
        return self._status_url.removeprefix(f"{self.root}/").removeprefix("queries/")

    @override
    def request_page(self, *, offset: int, limit: int) -> ResultPage | None:
        if not self._results_url and not self._poll():
            return None
        params = {"offset": offset, "limit": limit}
        _, body = self.stream.request_json("GET", self._results_url, params=params)
        self.reported_columns = body.get("columns") if isinstance(body, dict) else None
        return read_core_result_page(body, **params)

    def _poll(self) -> bool:
        """Request the status; once the query is completed, take in where its results are, and return True.

        A report is completed when its status says so. A metric reports its progress alone, until its status redirects.
        """
        response, body = self.stream.request_json("GET", self._status_url, expected_redirect=HTTPStatus.SEE_OTHER)
        envelope = body if isinstance(body, dict) else {}
        data = envelope.get("data")
        status = {**envelope, **data} if isinstance(data, dict) else {**envelope}
        is_redirect = response.status_code == HTTPStatus.SEE_OTHER
        if is_redirect or (status.get("completed") is None and "progress" in status):
            status["completed"] = is_redirect
        if self._update_status(status):
            self._results_url = self._find_url(response, body, "query-results")
        return self.is_completed

    @override
    def cancel(self) -> None:
        self.stream.stream_logger.info("query %s is still running: the Core API cannot cancel it", self.id)

    def _find_url(self, response: requests.Response, body: object, rel: str) -> str:
        """Find the URL that a response points to, and move it below the root."""
        links = body.get("links") if isinstance(body, dict) else None
        links = links if isinstance(links, list) else []
        hrefs = [link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == rel]
        root = urlsplit(self.root)
        for url in (response.headers.get("Location"), *hrefs):
            try:
                path = urlsplit(urljoin(response.url, url)).path if isinstance(url, str) and url else ""
            except ValueError:  # it is no URL
                continue
            if path.startswith(f"{root.path}/") and ".." not in unquote(path).split("/"):
                return root._replace(path=path).geturl()
        setting = setting_of_url(f"{self.root}/", self.stream.config)
        msg = f"the response names no {rel} below {self.root}; check {setting}"
        raise FatalAPIError(msg)
