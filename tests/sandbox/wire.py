"""One connection: what is written to it byte by byte, how it is broken off, and how one waits on it."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

_LOOK = 0.05  # seconds between two looks at whether the client or the sandbox has gone


class GoneError(ConnectionError):
    """The client has hung up, or the sandbox is stopping: nobody waits for the rest of the answer."""


class Wire:
    """The server's end of a connection.

    Attributes:
        is_open: False once this end was closed or reset.
    """

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        """Write to `connection`; every wait ends when `stopping` is set."""
        self.is_open = True
        self._socket = connection
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            ConnectionError: The client is gone.
        """
        self._socket.sendall(data)

    def wait(self, seconds: float | None) -> None:
        """Wait for so many seconds, or (None) for as long as there is somebody to keep waiting.

        Raises:
            GoneError: The client is gone, or the sandbox stops.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            rest = _LOOK if end is None else min(_LOOK, max(end - time.monotonic(), 0))
            if self._stopping.wait(rest):
                message = "the sandbox stops"
                raise GoneError(message)
            readable, _, _ = select.select([self._socket], [], [], 0)
            # Of the socket itself: one with TLS cannot peek.
            if readable and not socket.socket.recv(self._socket, 1, socket.MSG_PEEK):
                message = "the client has hung up"
                raise GoneError(message)

    def close(self) -> None:
        """End the connection in good order (FIN)."""
        self.is_open = False
        with contextlib.suppress(OSError):  # the other end was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break the connection off (RST)."""
        self.is_open = False
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # detach: the handler's file objects would keep the descriptor open, and its shutdown would send FIN first.
        socket.close(self._socket.detach())
