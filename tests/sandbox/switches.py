"""How a sandbox behaves: what a test may set when it makes one, and change while it runs."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.sandbox.account import Account, Model
from tests.sandbox.data import make_account
from tests.sandbox.query_data import make_query_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.fault import Fault
    from tests.sandbox.queries import Query, Row
    from tests.sandbox.sockets import Secure

ApiName = Literal["core", "query"]
"""The Core API with its report runs, or the Query API v3."""

Form = Literal["envelope", "bare"]
"""{meta, data, pagination, links}, as real answers are, or the bare arrays and objects that the reference prints."""

ArrayKey = Literal["data", "resource", "events"]
"""Where a list of v3 has its rows: under "data"; under the name of the resource; or as the vendor's pages print it,
which is "data" for products, "events" for properties, and for the others their name."""

Outcome = Literal["complete", "fail", "fail_completed", "never", "cancelled"]
"""What becomes of queries, after `polls_until_complete`: they complete; they tell of an `error`
with `completed` false, or true; they go on for ever; they are gone (404), as if somebody had cancelled them."""

TOKEN = "sandbox-token-that-opens-nothing-else"  # noqa: S105 - it opens this sandbox only
USERNAME = "sandbox-key-that-opens-nothing-else"
PASSWORD = "sandbox-password-that-opens-nothing-else"  # noqa: S105 - it opens this sandbox only

API_S_OWN = Account(random.Random(0), Model({}, {}))  # noqa: S311 - it stays empty
"""Stands for the account that is made where none is given."""


@dataclass(kw_only=True, eq=False, repr=False)
class Switches:
    """What decides how a sandbox answers.

    Attributes:
        account: What it serves. Change it under the sandbox's `lock`. By default what `make_account()` makes, or for
            v3 `make_query_account()`.
        api: Which API it is.
        form: The form of Core's answers.
        cap: The largest `limit` that is honoured; None honours every limit in Core, and 10,000 in v3.
        latency: Seconds to wait before each answer.
        token: The only token that Core lets in.
        username: The only user that v3 lets in, by HTTP Basic.
        password: That user's password; may be empty.
        array_key: Where a list of v3 has its rows.
        rate_limit: How many requests pass in any 60 seconds; the others get a 429. None: all.
        gzip: Whether bodies over 1 KiB are compressed for a client that accepts it.
        faults: What goes wrong; more may be appended while it runs. See `tests.sandbox.faults`.
        port: The port of 127.0.0.1; 0 for any free one. Not to be changed.
        tls: Makes a TLS connection of each that is accepted; None for plain HTTP. Not to be changed.
        polls_until_complete: How many times the status of a query is "not yet" before it is anything else.
        rows: How many rows a query gives, or a function that makes them, called once for each query.
        row_form: Whether a made-up row of v3 is an object or an array. Those of SQL are objects, those of Core arrays.
        query_outcome: What becomes of queries.
        columns: Whether the results of Core's report runs say which columns they have.
        stray_links: Another origin, such as `http://127.0.0.2:8080`, that Core's report runs name in `Location` and
            links instead of their own.
    """

    account: Account = field(default_factory=lambda: API_S_OWN, kw_only=False)
    api: ApiName = "core"
    form: Form = "envelope"
    cap: int | None = None
    latency: float = 0.0
    token: str = TOKEN
    username: str = USERNAME
    password: str = PASSWORD
    array_key: ArrayKey = "data"
    rate_limit: int | None = None
    gzip: bool = True
    faults: list[Fault] = field(default_factory=list)
    port: int = 0
    tls: Secure | None = None
    polls_until_complete: int = 2
    rows: int | Callable[[Query], list[Row]] = 120
    row_form: Literal["object", "array"] = "object"
    query_outcome: Outcome = "complete"
    columns: bool = False
    stray_links: str | None = None

    def __post_init__(self) -> None:
        """Make the account where none is given."""
        if self.account is API_S_OWN:
            self.account = make_account() if self.api == "core" else make_query_account()
        self.faults = list(self.faults)  # what a test appends is not to reach another sandbox
