"""What the APIs of a sandbox have in common: where they are, and how a request becomes an answer or a refusal."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from tests.sandbox.lists import RefusalError, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox.account import Record
    from tests.sandbox.lists import Pager
    from tests.sandbox.messages import ErrorForm, Request, Response
    from tests.sandbox.queries import Queries
    from tests.sandbox.switches import Switches

NOT_FOUND = "There is nothing at this path"


class Api(abc.ABC):
    """An API without sockets.

    Attributes:
        base: The path that it begins with.
        error_form: How it writes errors.
        switches: What decides how it answers.
        queries: The queries that were started.
        url: Its root.
    """

    base: ClassVar[str]
    error_form: ClassVar[ErrorForm] = "envelope"

    def __init__(self, switches: Switches, queries: Queries, origin: str) -> None:
        """Serve below `origin`, a URL without a path."""
        self.switches = switches
        self.queries = queries
        self.url = origin + self.base
        self._rows = Rows()

    def parts(self, request: Request) -> list[str] | None:
        """Return the path below the base in parts, such as ["products", ID, "events"]; None: it is elsewhere."""
        below = request.path.removeprefix(self.base)
        if not request.path.startswith(self.base) or (below and not below.startswith("/")):
            return None
        return [unquote(part) for part in below.split("/")[1:]]

    def route(self, request: Request, parts: list[str]) -> None:
        """Note in `request` what it asks for, as far as there is such a thing."""
        request.error_form = self.error_form
        request.resource, request.is_list = self._asked(request, parts)

    def answer(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        """Answer a request; `pagers` may move the window of a list before it is read."""
        try:
            return self._answer(request, parts, pagers)
        except RefusalError as refusal:
            return refusal.response(request)

    def warm(self) -> None:
        """Serialise every record of the long lists, so that a benchmark does not pay for it."""
        for records in self.switches.account.records.values():
            self._rows.warm(records)

    @abc.abstractmethod
    def _asked(self, request: Request, parts: list[str]) -> tuple[str | None, bool]:
        """Tell which resource a request asks for, and whether for a list."""

    @abc.abstractmethod
    def _answer(self, request: Request, parts: list[str], pagers: Iterable[Pager]) -> Response:
        """Answer a request, or raise a `RefusalError`."""

    def _find(self, resource: str, record_id: object) -> Record:
        record = self.switches.account.find(resource, record_id)
        if record is None:
            raise RefusalError(404, f"There is no such record in {resource}")
        return record


def allow(request: Request, *methods: str) -> None:
    """Refuse a request that has none of these methods."""
    if request.method not in methods:
        raise RefusalError(405, f"{request.method} is not supported here", {"Allow": ", ".join(methods)})


def authorize(request: Request, header: str, realm: str, message: str) -> None:
    """Refuse a request that does not carry this `Authorization`."""
    if request.headers.get("authorization") != header:
        raise RefusalError(401, message, {"WWW-Authenticate": f'{header.split(maxsplit=1)[0]} realm="{realm}"'})
