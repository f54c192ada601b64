"""A sandbox of the Kissmetrics APIs: a real HTTP server on a loopback port, with made-up data and faults on request.

    with Sandbox(faults=[faults.status(503, resource="events", times=2)]) as sandbox:
        run_the_tap(env=sandbox.env)
        assert len(sandbox.account.records["events"]) == ...

`Sandbox()` serves the Core API with its report runs, `Sandbox(api="query")` the Query API v3. `sandbox.requests` holds
the requests, `sandbox.queries` the queries and report runs. Its use in a shell: `python -m tests.sandbox --help`.

Records are made in `records` from the schemas of the tap (`data`: what a schema does not say) and kept in an `account`.
`apis` leads from a request to a response, `queries` has the asynchronous ones, `faults` what can go wrong, `server` the
HTTP server; `export` writes the files of a raw data export, which needs no server.
"""

from tests.sandbox import faults
from tests.sandbox.account import Account
from tests.sandbox.data import (
    PARENTS,
    QUERY_RESOURCES,
    QUERY_TYPES,
    RESOURCES,
    QueryAccount,
    make_account,
    make_query_account,
)
from tests.sandbox.faults import Fault
from tests.sandbox.messages import Page, Request, Response
from tests.sandbox.queries import Query, Row
from tests.sandbox.records import Record
from tests.sandbox.server import PASSWORD, TOKEN, USERNAME, ApiName, ArrayKey, Form, Sandbox, Wire

__all__ = [
    "PARENTS",
    "PASSWORD",
    "QUERY_RESOURCES",
    "QUERY_TYPES",
    "RESOURCES",
    "TOKEN",
    "USERNAME",
    "Account",
    "ApiName",
    "ArrayKey",
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
    "Wire",
    "faults",
    "make_account",
    "make_query_account",
]
