"""The plainest clients: for tests of the sandbox itself, and of what it was asked."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import requests

from tests.sandbox import TOKEN, Record, Sandbox

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def session_of(sandbox: Sandbox) -> requests.Session:
    """Open a session that is let in."""
    session = requests.Session()
    if sandbox.api == "query":
        session.auth = (sandbox.username, sandbox.password)
    else:
        session.headers["Authorization"] = f"Bearer {sandbox.token}"
    return session


def send(sandbox: Sandbox, method: str, url: str, body: object = None, **query: object) -> requests.Response:
    """Send one request, with a JSON body unless that is None, and let in by the sandbox."""
    params = {name: str(value) for name, value in query.items()}
    with session_of(sandbox) as session:
        return session.request(method, url, params=params, json=body, timeout=5, allow_redirects=False)


def get(sandbox: Sandbox, path: str, **query: object) -> requests.Response:
    """Get one page of the API, let in by the sandbox."""
    return send(sandbox, "GET", f"{sandbox.url}{path}", **query)


def raw(sandbox: Sandbox, path: str = "/events", seconds: float = 1.0) -> tuple[bytes, str]:
    """Send a request over a bare socket and read to the end; return what came, and how it ended."""
    address = urlsplit(sandbox.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        lines = [
            f"GET {address.path}{path} HTTP/1.1",
            "Host: sandbox",
            f"Authorization: Bearer {TOKEN}",
            "Connection: close",
        ]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
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
    """Read a list as a careful client does: on by what was received, until nothing is."""
    rows: list[Record] = []
    with session_of(sandbox) as session:
        while True:
            query = {"limit": str(limit), "offset": str(len(rows))}
            body = session.get(f"{sandbox.url}{path}", params=query, timeout=5).json()
            page = body["data"] if isinstance(body, dict) else body
            if not page:
                return rows
            rows += page
