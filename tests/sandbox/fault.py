"""What a fault is: which requests it concerns, and what it does to their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.messages import Page, Request, Response
    from tests.sandbox.wire import Wire


class When(TypedDict, total=False):
    """Which requests a fault concerns: every fault takes these keywords.

    Attributes:
        resource: Only requests for this resource (lists, scoped lists and details); None for all requests.
        method: Only requests with this method, such as "POST".
        where: Only requests for which this is true, besides.
        skip: Let so many of these pass before it begins.
        times: Let it happen so often; None for always.
        nth: Let it happen to this one only, counted from 1: the same as `skip=nth - 1, times=1`.
    """

    resource: str | None
    method: str | None
    where: Callable[[Request], bool] | None
    skip: int
    times: int | None
    nth: int | None


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: For people.
        page: Moves the window of a list before it is read.
        answer: Makes another answer of an answer.
        send: Sends the answer in its own way, and is the last to touch the connection.
        seen: How many requests it was asked about that are of its resource, its method and its `where`.
    """

    name: str
    page: Callable[[Page], None] | None = None
    answer: Callable[[Request, Response], Response] | None = None
    send: Callable[[Wire, Response], None] | None = None
    resource: str | None = None
    method: str | None = None
    where: Callable[[Request], bool] | None = None
    skip: int = 0
    times: int | None = None
    nth: int | None = None
    seen: int = 0

    def matches(self, request: Request) -> bool:
        """Tell whether this request is hit. To be asked once per request: it counts."""
        if self.resource not in {None, request.resource} or self.method not in {None, request.method}:
            return False
        if self.where is not None and not self.where(request):
            return False
        self.seen += 1
        if self.nth is not None:
            return self.seen == self.nth
        return self.seen > self.skip and (self.times is None or self.seen <= self.skip + self.times)
