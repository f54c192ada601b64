"""The sockets: a port of 127.0.0.1, and a thread for each connection to it."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from tests.sandbox.messages import Request
from tests.sandbox.override import override
from tests.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    Secure = Callable[[socket.socket], socket.socket]

_PATIENCE = 3.0  # seconds to wait for the handlers' end when stopping


class Server(http.server.ThreadingHTTPServer):
    """Hands every request to `exchange`.

    Attributes:
        exchange: Called with each request and the connection to answer on.
        stopping: Set when nobody is to be kept waiting any more.
        tls: Called with each connection that is accepted; what it returns is answered on. It is not to shake hands yet,
            which would keep the others waiting.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, exchange: Callable[[Request, Wire], None], stopping: threading.Event, tls: Secure | None
    ) -> None:
        """Bind a port of 127.0.0.1 (0: any free one)."""
        self.exchange = exchange
        self.stopping = stopping
        self.tls = tls
        self.connections: set[socket.socket] = set()
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)

    @override
    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the resolver for the name of this host: that may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    @override
    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        return self.tls(connection) if self.tls else connection, address

    def close(self) -> None:
        """Close the port and every connection, and wait for the handlers."""
        self.server_close()
        with self.changed:
            for connection in self.connections:
                with contextlib.suppress(OSError):  # the other end was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self.changed.wait_for(lambda: not self.connections, _PATIENCE)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    @override
    def setup(self) -> None:
        super().setup()
        with self.server.changed:
            self.server.connections.add(self.connection)

    @override
    def finish(self) -> None:
        super().finish()
        with self.server.changed:
            self.server.connections.discard(self.connection)
            self.server.changed.notify_all()

    @override
    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True  # a client may go away whenever it likes

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        request = Request(
            number=0,
            method=self.command,
            path=url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            at=time.monotonic(),
            in_flight=0,
            body=self.rfile.read(int(length)) if length.isdecimal() else b"",
        )
        wire = Wire(self.connection, self.server.stopping)
        self.server.exchange(request, wire)
        if not wire.is_open:
            self.close_connection = True

    do_DELETE = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: `Sandbox.requests` has it all."""
