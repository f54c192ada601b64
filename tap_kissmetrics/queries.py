"""Asynchronous queries: how each API starts one, reports its progress, returns its rows, and cancels it."""

from __future__ import annotations

import abc
import decimal
import re
import typing as t
from http import HTTPStatus
from urllib.parse import quote, unquote, urljoin, urlsplit

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.apis import metric_url, query_url
from tap_kissmetrics.errors import NotFoundError, describe_error
from tap_kissmetrics.responses import is_id, read_core_result_page, read_result_page
from tap_kissmetrics.sdk_extensions.logs import describe_cause, truncate
from tap_kissmetrics.sdk_extensions.values import identity

if t.TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_kissmetrics.client import KissmetricsStream
    from tap_kissmetrics.sdk_extensions.pagination import ResultPage

CANCEL_TIMEOUT: t.Final = 5.0
"""Seconds to wait for the response to a cancellation; whoever stops the tap waits for it."""

_is_printable_ascii: t.Final = re.compile("[ -~]+").fullmatch


class AsyncQuery(abc.ABC):
    """A query, from its start to its last row."""

    def __init__(self, stream: KissmetricsStream) -> None:
        self.stream = stream
        self.id = ""
        """Assigned by the API; empty before the query is started."""
        self.is_completed = False
        self.is_closed = False
        """Whether it failed or is gone."""
        self.progress: float | None = None
        """The part that is done, 0 to 1, if the API reports it."""
        self.columns: list[t.Any] | None = None
        """What the API reports about the columns of its rows, if anything."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start the query; raise `FatalAPIError` if the API refuses it."""

    @abc.abstractmethod
    def request_page(self, *, offset: int, limit: int) -> ResultPage | None:
        """Request rows, once; None while the query runs. Raises `FatalAPIError` if it failed."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Cancel the query if the API can do that, and log the outcome."""

    def abandon(self) -> None:
        """Cancel the query unless it has ended already."""
        if self.id and not self.is_completed and not self.is_closed:
            self.cancel()

    def _update_status(self, body: object) -> bool:
        """Take in what a body reports about the query; return whether it is completed."""
        envelope = body if isinstance(body, dict) else {}
        if error := envelope.get("error"):
            self.is_closed = True
            msg = f"the query failed: API message: {describe_error(error)}"
            raise FatalAPIError(msg)
        if envelope.get("completed") is None:
            msg = "the response does not report whether the query is completed"
            raise RetriableAPIError(msg)
        progress = envelope.get("progress")
        if isinstance(progress, (int, decimal.Decimal)) and 0 <= progress <= 1:
            self.progress = float(progress)
        self.is_completed = str(envelope["completed"]).lower() in {"true", "1"}
        return self.is_completed


class V3Query(AsyncQuery):
    """A query of the Query API v3, posted to a path below the root of the API."""

    def __init__(self, stream: KissmetricsStream, path: str, body: dict[str, t.Any]) -> None:
        super().__init__(stream)
        self._path = path
        self._body = body

    @property
    def _url(self) -> str:
        return f"{self.stream.url_base}/queries/{quote(self.id, safe='')}"

    @override
    def start(self) -> None:
        _, body = self.stream.request_json("POST", f"{self.stream.url_base}{self._path}", json=self._body)
        query_id = body.get("id") if isinstance(body, dict) else None
        if not is_id(query_id) or not _is_printable_ascii(str(query_id)):
            msg = "the response does not name the query that was started"
            raise FatalAPIError(msg)
        self.id = str(query_id)

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
        if is_id(named) and identity(named, is_numeric=True) != identity(self.id, is_numeric=True):
            msg = f"the response is for query {truncate(str(named))}"
            raise RetriableAPIError(msg)
        if not self._update_status(body):
            return None
        self.columns = body.get("columns")
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


class CoreQuery(AsyncQuery):
    """A query of the Core API: a POST starts it, its status is polled, its results have a URL of their own.

    No host that a link or a `Location` names is ever requested, only its path below `root`.
    """

    url_setting: t.ClassVar[str]
    """The setting that the root follows from."""

    def __init__(self, stream: KissmetricsStream, root: str, path: str, body: dict[str, t.Any]) -> None:
        super().__init__(stream)
        self._root = root
        self._path = path
        self._body = body
        self._status_url = ""
        self._results_url = ""

    @override
    def start(self) -> None:
        response, body = self.stream.request_json("POST", f"{self._root}{self._path}", json=self._body)
        self._status_url = self._find_url(response, body, "query-status")
        self.id = self._status_url.removeprefix(f"{self._root}/").removeprefix("queries/")

    @override
    def request_page(self, *, offset: int, limit: int) -> ResultPage | None:
        if not self._results_url:
            response, body = self._request_status(self._status_url)
            if not self.is_completed:
                return None
            self._results_url = self._find_url(response, body, "query-results")
        params = {"offset": offset, "limit": limit}
        _, body = self.stream.request_json("GET", self._results_url, params=params)
        self.columns = body.get("columns") if isinstance(body, dict) else None
        return read_core_result_page(body, **params)

    def _request_status(self, url: str) -> tuple[requests.Response, t.Any]:
        response, body = self.stream.request_json("GET", url)
        self._update_status(_flatten(body))
        return response, body

    @override
    def cancel(self) -> None:
        self.stream.stream_logger.info("query %s is still running: the Core API cannot cancel it", self.id)

    def _find_url(self, response: requests.Response, body: object, rel: str) -> str:
        """Find the URL that a response points to, and move it below the root."""
        links = body.get("links") if isinstance(body, dict) else None
        links = links if isinstance(links, list) else []
        hrefs = [link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == rel]
        root = urlsplit(self._root)
        for url in (response.headers.get("Location"), *hrefs):
            path = _path_of(response.url, url)
            if path.startswith(f"{root.path}/") and ".." not in unquote(path).split("/"):
                return root._replace(path=path).geturl()
        msg = f"the response names no {rel} below {self._root}; check {self.url_setting}"
        raise FatalAPIError(msg)


class CoreReportQuery(CoreQuery):
    """A run of a report, by the endpoints of 2015."""

    url_setting = "query_url"

    def __init__(self, stream: KissmetricsStream, report: Record, body: dict[str, t.Any]) -> None:
        path = f"/products/{_quote(report['product_id'])}/reports/{_quote(report['id'])}/run"
        super().__init__(stream, query_url(stream.config), path, body)


class CoreMetricQuery(CoreQuery):
    """A query of a metric over time, or by the values of the property that `body` names."""

    url_setting = "api_url"

    def __init__(self, stream: KissmetricsStream, metric_id: object, body: dict[str, t.Any]) -> None:
        kind = "by-segment" if "property_id" in body else "over-time"
        super().__init__(stream, metric_url(stream.config), f"/metrics/{_quote(metric_id)}/{kind}", body)

    @override
    def _request_status(self, url: str) -> tuple[requests.Response, t.Any]:
        response, body = self.stream.request_json("GET", url, expected_redirect=HTTPStatus.SEE_OTHER)
        status = _flatten(body)
        is_redirect = response.status_code == HTTPStatus.SEE_OTHER
        if is_redirect or (status.get("completed") is None and "progress" in status):
            status["completed"] = is_redirect
        self._update_status(status)
        return response, body


def _flatten(body: object) -> dict[str, t.Any]:
    """Return the members of a body, and those of its `data` beside them."""
    envelope = body if isinstance(body, dict) else {}
    data = envelope.get("data")
    return {**envelope, **data} if isinstance(data, dict) else {**envelope}


def _path_of(base: str, url: object) -> str:
    """Return the path that a URL, which may be relative, points to; empty if it is none."""
    try:
        return urlsplit(urljoin(base, url)).path if isinstance(url, str) and url else ""
    except ValueError:
        return ""


def _quote(value: object) -> str:
    return quote(str(value), safe="", errors="surrogatepass")
