"""Queries that run on the server: how each API starts one, tells of it, gives its rows, and ends it."""

from __future__ import annotations

import abc
import decimal
import re
import typing as t
from urllib.parse import quote, urlsplit

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from typing_extensions import override

from tap_kissmetrics.errors import NotFoundError
from tap_kissmetrics.page import Window, read_window
from tap_kissmetrics.problems import words_of

if t.TYPE_CHECKING:
    from tap_kissmetrics.client import KissmetricsStream

CANCEL_TIMEOUT: t.Final = 5.0
"""Seconds to wait for the answer to a cancellation: whoever stops the tap waits for it."""


_is_name: t.Final = re.compile("[ -~]+").fullmatch


class Run(abc.ABC):
    """A query, from its start to its last row.

    Attributes:
        id: What the API calls it; empty before it is started.
        completed: Whether the API said that it is completed.
        progress: The part that is done, 0 to 1, where the API tells it.
        columns: What the API says of the columns of its rows; None where it says nothing.
        over: Whether it failed, is gone or was given up.
    """

    def __init__(self, stream: KissmetricsStream) -> None:
        """Prepare a query.

        Args:
            stream: Asks the API.
        """
        self.stream = stream
        self.id = ""
        self.completed = False
        self.progress: float | None = None
        self.columns: list[t.Any] | None = None
        self.over = False

    @abc.abstractmethod
    def start(self) -> None:
        """Start it.

        Raises:
            RetriableAPIError: If another try may start it.
            FatalAPIError: If the API refuses it.
        """

    @abc.abstractmethod
    def rows(self, *, offset: int, limit: int) -> Window | None:
        """Ask for rows, once.

        Args:
            offset: Position of the first row.
            limit: The most rows.

        Returns:
            The rows; None while the query is under way.

        Raises:
            RetriableAPIError: If another try may bring them.
            FatalAPIError: If the query failed.
        """

    def give_up(self) -> None:
        """End it on the server, where the API can do that and it did not end already; say so in the log."""
        if self.id and not self.completed and not self.over:
            self.over = True
            self.cancel()

    @abc.abstractmethod
    def cancel(self) -> None:
        """End it on the server, where the API can do that; say so in the log."""

    def _tell(self, told: object) -> bool:
        """Take in what the API says of it; return whether it is completed."""
        envelope = told if isinstance(told, dict) else {}
        if error := envelope.get("error"):
            self.over = True
            msg = f"the query failed: the API says: {words_of(error)}"
            raise FatalAPIError(msg)
        if envelope.get("completed") is None:
            msg = "the API's answer does not say whether the query is completed"
            raise RetriableAPIError(msg)
        progress = envelope.get("progress")
        if isinstance(progress, (int, decimal.Decimal)) and 0 <= progress <= 1:
            self.progress = float(progress)
        self.completed = envelope["completed"] is True
        return self.completed


class QueryRun(Run):
    """A query of the Query API v3."""

    def __init__(self, stream: KissmetricsStream, path: str, body: dict[str, t.Any]) -> None:
        """Prepare a query.

        Args:
            stream: Asks the API.
            path: Where it is posted to, below the root of the API.
            body: What is asked for.
        """
        super().__init__(stream)
        self._path = path
        self._body = body

    @property
    def _url(self) -> str:
        return f"{self.stream.url_base}/queries/{quote(self.id, safe='')}"

    @override
    def start(self) -> None:
        _, told = self.stream.ask("POST", f"{self.stream.url_base}{self._path}", json=self._body)
        query_id = told.get("id") if isinstance(told, dict) else None
        if isinstance(query_id, bool) or not isinstance(query_id, (str, int)) or not _is_name(str(query_id)):
            msg = "the API's answer does not name the query that it started"
            raise FatalAPIError(msg)
        self.id = str(query_id)

    @override
    def rows(self, *, offset: int, limit: int) -> Window | None:
        window = {"offset": offset, "limit": limit}
        try:
            _, told = self.stream.ask("GET", self._url, params=window)
        except NotFoundError as error:
            self.over = True
            msg = f"the server has ended the query, or forgotten what it gave: {error}"
            raise FatalAPIError(msg) from error
        if not self._tell(told):
            return None
        self.columns = told.get("columns")
        return read_window(told, **window)

    @override
    def cancel(self) -> None:
        request = self.stream.prepare("DELETE", self._url)
        try:
            answer = self.stream.requests_session.send(request, timeout=CANCEL_TIMEOUT, allow_redirects=False)
            answer.raise_for_status()
        except requests.RequestException as error:
            self.stream.lines.warning("query %s goes on: it could not be cancelled (%s)", self.id, error)
        else:
            self.stream.lines.info("query %s is cancelled", self.id)


class ReportRun(Run):
    """A run of a report of the Core API, over its endpoints of 2015: run, status, results."""

    def __init__(self, stream: KissmetricsStream, root: str, report: dict[str, t.Any], dates: dict[str, t.Any]) -> None:
        """Prepare a run.

        Args:
            stream: Asks the API.
            root: Root directory of these endpoints. No host that a link or a `Location`
                names is ever asked, but its path is asked for here.
            report: The report.
            dates: `start_date` and `end_date`.
        """
        super().__init__(stream)
        self._root = root
        self._report = report
        self._dates = dates
        self._status = ""
        self._results = ""

    @override
    def start(self) -> None:
        product, report = (quote(str(self._report[column]), safe="") for column in ("product_id", "id"))
        url = f"{self._root}/products/{product}/reports/{report}/run"
        answer, told = self.stream.ask("POST", url, json=self._dates)
        self._status = self._pointed_to(answer, told, "query-status")
        self.id = self._status.removeprefix(f"{self._root}/").removeprefix("queries/")

    @override
    def rows(self, *, offset: int, limit: int) -> Window | None:
        if not self._results:
            answer, told = self.stream.ask("GET", self._status)
            envelope = told if isinstance(told, dict) else {}
            if not self._tell({**envelope, **envelope["data"]} if isinstance(envelope.get("data"), dict) else envelope):
                return None
            self._results = self._pointed_to(answer, told, "query-results")
        window = {"offset": offset, "limit": limit}
        _, told = self.stream.ask("GET", self._results, params=window)
        self.columns = told.get("columns") if isinstance(told, dict) else None
        return read_window(told, **window)

    @override
    def cancel(self) -> None:
        self.stream.lines.info("query %s goes on: the Core API has nothing to end it", self.id)

    def _pointed_to(self, answer: requests.Response, told: object, rel: str) -> str:
        """Find the address that an answer points to, and make it one below the root."""
        links = told.get("links") if isinstance(told, dict) else None
        links = links if isinstance(links, list) else []
        found = [link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == rel]
        named = next((url for url in (answer.headers.get("Location"), *found) if isinstance(url, str) and url), "")
        try:
            path = urlsplit(named).path
        except ValueError:
            path = ""
        root = urlsplit(self._root)
        if not path.startswith(f"{root.path}/") or "/../" in f"{path}/":
            msg = f"the API's answer names no {rel} below {self._root}; check query_url"
            raise FatalAPIError(msg)
        return root._replace(path=path).geturl()
