"""A proxy of the kind that companies have: it knows nothing but CONNECT, and keeps what it was asked."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConnectProxy(socketserver.ThreadingTCPServer):
    """Makes tunnels; `asked` are the heads of the requests, and `refusal` is the answer instead of a tunnel, if any."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        """Bind a free port of 127.0.0.1."""
        self.asked: list[bytes] = []
        self.refusal = b""
        super().__init__(("127.0.0.1", 0), _Tunnel)

    @property
    def authority(self) -> str:
        """Host and port, as they stand in a URL."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Tunnel(socketserver.StreamRequestHandler):
    server: ConnectProxy

    @override
    def handle(self) -> None:
        head = b""
        while line := self.rfile.readline():
            head += line
            if line == b"\r\n":
                break
        else:
            return
        self.server.asked.append(head)
        if self.server.refusal:
            self.wfile.write(self.server.refusal)
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as there:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either end may go away whenever it likes
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def connect_proxy() -> Iterator[ConnectProxy]:
    """Serve."""
    with ConnectProxy() as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
