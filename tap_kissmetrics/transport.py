"""Connections that do not wait for ever."""

from __future__ import annotations

import http.client
import io
import time
import typing as t

from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if t.TYPE_CHECKING:
    import socket

    from typing_extensions import Buffer

PATIENCE: t.Final = 5
"""Read timeouts after which a response that still trickles in is given up."""


BUFFER: t.Final = 2**18
"""Bytes that are read from a socket at once."""


class _Bounded(io.RawIOBase):
    """The receiving end of a socket, with an end to patience.

    A socket's own timeout starts anew with each byte.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._timeout = sock.gettimeout() or 0.0
        self._deadline = time.monotonic() + PATIENCE * self._timeout

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = f"the answer took more than {PATIENCE * self._timeout:g} s"
            raise TimeoutError(msg)
        self._sock.settimeout(min(left, self._timeout))
        return t.cast("int | None", self._raw.readinto(buffer))

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """A response whose status line, headers and body are all bounded."""

    @override
    def __init__(self, sock: socket.socket, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach(), sock), BUFFER)


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS: t.Final = {"http": _Pool, "https": _SecurePool}
"""For each scheme, connections whose answers are bounded."""
