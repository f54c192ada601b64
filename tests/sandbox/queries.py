"""Asynchronous queries, whichever API starts them: how they come along, and the rows that they give."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.sandbox.account import date, uuid
from tests.sandbox.lists import RefusalError

if TYPE_CHECKING:
    from tests.sandbox.switches import Switches

Row = dict[str, Any] | list[Any]

State = Literal["under way", "completed", "failed", "gone"]

Kind = Literal["report", "metric", "query", "run"]
"""POST /queries/report, /queries/metric and /queries of v3; the run of a report of Core."""

ERROR = "The query could not be completed"

_UNFINISHED = 0.25
_REPEATED_EVERY = 10
_CITIES = ("Zürich", None, "São Paulo", "京都市", "", 'The "Big" Apple')


@dataclass(eq=False)
class Query:
    """A query as it was asked for, and what has become of it.

    Attributes:
        id: A UUID.
        kind: What started it.
        body: The JSON object that was sent to start it.
        query_type: What is asked: "funnel", "sql", ...; of metrics "metric", of report runs "people_search_v2".
        at: When it was started: seconds of `time.monotonic`.
        polls: How many times its status was told, the first time that it is completed included and no later one.
        completed: Whether it was told that it is completed.
        cancelled: Whether it was cancelled by a DELETE.
        result: All its rows, once they were asked for. May be changed under the sandbox's lock.
    """

    id: str
    kind: Kind
    body: dict[str, Any]
    query_type: str
    at: float = field(default_factory=time.monotonic)
    polls: int = 0
    completed: bool = False
    cancelled: bool = False
    result: list[Row] | None = field(default=None, repr=False)

    def state(self, switches: Switches) -> State:
        """Tell what a client is to be told now."""
        if self.cancelled:
            return "gone"
        if self.completed:
            return "completed"
        is_due = self.polls >= switches.polls_until_complete
        match switches.query_outcome:
            case "complete" if is_due:
                return "completed"
            case "fail" | "fail_completed" if is_due:
                return "failed"
            case "cancelled" if is_due:
                return "gone"
        return "under way"

    def progress(self, switches: Switches) -> float:
        """Return which part of a query under way is done: more than 0, less than 1."""
        if switches.query_outcome == "never":
            return _UNFINISHED
        part = (self.polls + 1) / (switches.polls_until_complete + 1)
        return round(min(max(part, 0.01), 0.99), 2)

    def told(self, state: State) -> None:
        """Note that a client was told a state."""
        self.polls += not self.completed
        self.completed = state == "completed"

    def cancel(self) -> None:
        """Note that a client has cancelled it."""
        self.cancelled = True


class Queries:
    """The queries of a sandbox.

    Attributes:
        all: Every query, in the order of their start.
    """

    def __init__(self, switches: Switches) -> None:
        """Begin with none."""
        self.all: list[Query] = []
        self._switches = switches
        self._random = random.Random(0)  # noqa: S311 - no secret

    def new(self, kind: Kind, body: dict[str, Any], query_type: str) -> Query:
        """Make a query. It exists once it is among `all`."""
        return Query(uuid(self._random), kind, body, query_type)

    def known(self, query_id: str) -> Query | None:
        """Return the query with an id, None where there is none."""
        return next((query for query in self.all if query.id == query_id), None)

    def state(self, query_id: str) -> State:
        """Tell the state of the query with an id; one that does not exist is gone."""
        query = self.known(query_id)
        return query.state(self._switches) if query else "gone"

    def find(self, query_id: str) -> Query:
        """Return the query with an id.

        Raises:
            RefusalError: It does not exist, or not any more.
        """
        query = self.known(query_id)
        if query is None or query.state(self._switches) == "gone":
            raise RefusalError(404, "There is no such query")
        return query

    def rows(self, query: Query) -> list[Row]:
        """Return all rows of a query, always the same."""
        if query.result is None:
            wanted = self._switches.rows
            query.result = wanted(query) if callable(wanted) else self._make(query, wanted)
        return query.result

    def _make(self, query: Query, count: int) -> list[Row]:
        rng = random.Random(self.all.index(query))  # noqa: S311 - made-up data, no secret
        rows: list[Row] = []
        for number in range(count):
            if number % _REPEATED_EVERY == _REPEATED_EVERY - 1:
                rows.append(rows[-1].copy())
            elif query.kind == "run":
                rows.append([12_345 + number, f"bob{number}@example.com"])
            else:
                row = _row(rng, number)
                as_array = self._switches.row_form == "array" and query.query_type != "sql"
                rows.append(list(row.values()) if as_array else row)
        return rows


def _row(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "identity": f"bob{number}@example.com",
        "Visits": rng.randrange(200),
        'share of "Pro"': round(rng.random(), 3),
        "Last city": _CITIES[number % len(_CITIES)],
        "last_seen": date(rng) if number % 7 else None,
    }
