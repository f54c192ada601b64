"""A sandbox of the Kissmetrics APIs: a real HTTP server on a loopback port, with made-up data and faults on request.

    with Sandbox(faults=[faults.status(503, resource="events", times=2)]) as sandbox:
        run_the_tap(env=sandbox.env)
        assert len(sandbox.account.records["events"]) == ...

`Sandbox()` serves the Core API with its report runs, `Sandbox(api="query")` the Query API v3. `sandbox.requests` holds
the requests, `sandbox.queries` the queries and report runs. Its use in a shell: `python -m tests.sandbox --help`.

- `records`: how records are made, from the schemas of the tap.
- `account`: the class `Account`: lists of records, and how to change them.
- `data`: what else the records of both APIs have.
- `messages`: request, page, response.
- `apis`: from a request to a response, in each API.
- `queries`: asynchronous queries.
- `export`: the files of the raw data export, which needs no server.
- `faults`: what can go wrong.
- `server`: the HTTP server and the class `Sandbox`.
- `test_*`: its own tests, which hold it against the vendor's reference.
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
