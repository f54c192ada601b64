"""The HTTP session: where requests may go, and how long an answer may take."""

from __future__ import annotations

import http.client
import io
import time
import typing as t
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if t.TYPE_CHECKING:
    import socket

    from pyrate_limiter import Limiter
    from typing_extensions import Buffer

PATIENCE: t.Final = 5
"""Read timeouts after which a response that still trickles in is given up."""

LARGEST_RESPONSE: t.Final = 2**28
"""Bytes on the wire; the largest page of 10,000 usual records has some 10 MiB."""


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
        self._room = LARGEST_RESPONSE

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
        count = self._raw.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            msg = f"the answer has more than {LARGEST_RESPONSE} bytes"
            raise OSError(msg)
        return t.cast("int | None", count)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """A response whose status line, headers and body are all bounded."""

    @override
    def __init__(self, sock: socket.socket, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: t.Final = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Sends at the pace that was set, over connections that are bounded."""

    def __init__(self, limiter: Limiter | None) -> None:
        super().__init__()
        self._limiter = limiter

    @override
    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    @override
    def proxy_manager_for(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    @override
    def send(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        if self._limiter:
            self._limiter.try_acquire()
        return super().send(*args, **kwargs)


class _Session(requests.Session):
    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Name no target: a redirect is never followed, so never looked at."""


def make_session(api_url: str, *, requests_per_minute: int | None) -> requests.Session:
    """Open the session that all streams share.

    Args:
        api_url: Root of the API. Proxies and certificates are taken from the
            environment for this URL; plain HTTP, which is for this machine only,
            never goes through a proxy.
        requests_per_minute: The pace not to exceed.

    Returns:
        The session.
    """
    session = _Session()
    if urlsplit(api_url).scheme == "http":
        session.trust_env = False
    found = session.merge_environment_settings(api_url, {}, None, None, None)
    session.proxies = found["proxies"]
    session.verify = found["verify"]
    # The only adapter: a request to any other place cannot even be sent.
    session.adapters.clear()
    session.mount(f"{api_url}/", _Adapter(_pace(requests_per_minute)))
    return session


def _pace(requests_per_minute: int | None) -> Limiter | None:
    if not requests_per_minute:
        return None
    # Here, for it costs as much to import as all the rest of the tap.
    from pyrate_limiter import Duration, Limiter, Rate  # noqa: PLC0415

    # A second more than a minute: the server counts when a request arrives.
    return Limiter(Rate(requests_per_minute, Duration.MINUTE + Duration.SECOND))
