"""HTTP clients for the sandbox's own tests."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import requests

from tests.sandbox import TOKEN, Record, Sandbox

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def session_of(sandbox: Sandbox) -> requests.Session:
    """Open a session with the credentials of the sandbox's API."""
    session = requests.Session()
    if sandbox.api == "query":
        session.auth = (sandbox.username, sandbox.password)
    else:
        session.headers["Authorization"] = f"Bearer {sandbox.token}"
    return session


def send(sandbox: Sandbox, method: str, url: str, body: object = None, **query: object) -> requests.Response:
    """Send one request with credentials, and with a JSON body unless that is None."""
    params = {name: str(value) for name, value in query.items()}
    with session_of(sandbox) as session:
        return session.request(method, url, params=params, json=body, timeout=5, allow_redirects=False)


def get(sandbox: Sandbox, path: str, **query: object) -> requests.Response:
    """Get a path below the root of the API."""
    return send(sandbox, "GET", f"{sandbox.url}{path}", **query)


def raw(sandbox: Sandbox, path: str = "/events", seconds: float = 1.0) -> tuple[bytes, str]:
    """Send a request on a plain socket; return what was received, and how it ended: "closed", "reset" or "open"."""
    address = urlsplit(sandbox.url)
    head = f"GET {address.path}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        connection.sendall(head.encode())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                part = connection.recv(65_536)
            except ConnectionResetError:
                return received, "reset"
            except TimeoutError:
                break
            if not part:
                return received, "closed"
            received += part
    return received, "open"


def walk(sandbox: Sandbox, path: str, limit: int) -> list[Record]:
    """Read a list up to its first empty page; each offset is the number of rows received before."""
    rows: list[Record] = []
    with session_of(sandbox) as session:
        while True:
            query = {"limit": str(limit), "offset": str(len(rows))}
            body = session.get(f"{sandbox.url}{path}", params=query, timeout=5).json()
            page = body["data"] if isinstance(body, dict) else body
            if not page:
                return rows
            rows += page
