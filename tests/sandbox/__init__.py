"""A Kissmetrics Core API sandbox: a real HTTP server on a free loopback port, with made-up data and faults on request.

    with Sandbox(faults=[faults.status(503, resource="events", times=2)]) as sandbox:
        run_the_tap(env=sandbox.env)
        assert len(sandbox.account.records["events"]) == ...

`python -m tests.sandbox --help` tells how to use it from a shell. The modules, in the order to read them:
`data` (what is in the account), `api` (from a request to an answer), `server` (the class `Sandbox`), `sockets` and
`wire` (below it), `fault` (what a fault is), `faults` (which ones there are), `named` (their names in the shell).
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
