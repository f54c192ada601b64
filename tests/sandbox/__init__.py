"""A sandbox of the Kissmetrics APIs: a real HTTP server on a free loopback port, with made-up data, faults on request.

    with Sandbox(faults=[faults.status(503, resource="events", times=2)]) as sandbox:
        run_the_tap(env=sandbox.env)
        assert len(sandbox.account.records["events"]) == ...

`Sandbox()` is the Core API with its report runs; `Sandbox(api="query")` the Query API v3. Queries and report runs are
kept in `sandbox.queries`, as requests are in `sandbox.requests`.

`python -m tests.sandbox --help` tells how to use it from a shell. The modules, in the order to read them: `account`
(what there is to read), `data` and `query_data` (Core's and v3's), `switches` (what can be set), `server` (the class
`Sandbox`), `base` and `lists` (what the APIs share), `api` (Core), `query_api` (v3), `runs` (Core's report runs),
`queries` (what becomes of a query), `bodies` (what starts one), `sockets` and `wire` (below the server), `fault` (what
a fault is), `faults` (which ones there are), `named` (their names in the shell).
"""

from tests.sandbox import faults
from tests.sandbox.account import Account, Record
from tests.sandbox.data import RESOURCES, make_account
from tests.sandbox.fault import Fault
from tests.sandbox.messages import Page, Request, Response
from tests.sandbox.queries import Query, Row
from tests.sandbox.query_data import QUERY_RESOURCES, QUERY_TYPES, QueryAccount, make_query_account
from tests.sandbox.server import Sandbox
from tests.sandbox.switches import PASSWORD, TOKEN, USERNAME, Form

__all__ = [
    "PASSWORD",
    "QUERY_RESOURCES",
    "QUERY_TYPES",
    "RESOURCES",
    "TOKEN",
    "USERNAME",
    "Account",
    "Fault",
    "Form",
    "Page",
    "Query",
    "QueryAccount",
    "Record",
    "Request",
    "Response",
    "Row",
    "Sandbox",
    "faults",
    "make_account",
    "make_query_account",
]
