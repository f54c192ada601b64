"""Connections that are bound to one root URL and have a deadline, and responses that are decoded exactly."""

from __future__ import annotations

import http.client
import io
import re
import time
import typing as t
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from tap_kissmetrics.sdk_extensions.decoding import decode_json
from tap_kissmetrics.sdk_extensions.logs import REDACTOR

if t.TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from typing_extensions import Buffer

MAX_RESPONSE_TIMEOUTS: t.Final = 5
"""Read timeouts after which a response that still trickles in is abandoned."""

READ_SIZE: t.Final = 2**18
"""Bytes that are read from a socket at once. Threads that read 10 KiB at a time wait for each other."""

_LOGIN: t.Final = re.compile("//(.*)@")
"""User and password in the URL of a proxy, which may be malformed."""


class Response(requests.Response):
    """A response whose body is read in large pieces and decoded exactly."""

    @override
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[t.Any]:
        return super().iter_content(READ_SIZE, decode_unicode)

    @override
    def json(self, **kwargs: t.Any) -> t.Any:
        """Decode the body, once: it is released, for body and records together would double the peak memory."""
        body, self._content = self.content, b""
        return decode_json(body)


class RootAdapter(HTTPAdapter):
    """Sends over bounded connections, through the proxy that the environment names for one root."""

    def __init__(self, root: str, max_concurrency: int) -> None:
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._environment = environment.merge_environment_settings(root, {}, None, None, None)
        proxies = self._environment["proxies"].values()
        logins = [match[1] for proxy in proxies if (match := _LOGIN.search(proxy))]
        REDACTOR.add(part for login in logins for part in (login, *re.split("[:/?#]", login)[1:]))
        super().__init__(pool_maxsize=max_concurrency)

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
    def build_response(self, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        response = super().build_response(*args, **kwargs)
        response.__class__ = Response
        return response

    @override
    def send(self, request: requests.PreparedRequest, *args: t.Any, **kwargs: t.Any) -> requests.Response:
        kwargs |= {name: self._environment[name] for name in ("cert", "proxies", "verify")}
        return super().send(request, *args, **kwargs)


class _DeadlineReader(io.RawIOBase):
    """Raw socket reader with one deadline for the whole response. A socket's own timeout starts anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._timeout = sock.gettimeout() or 0.0
        self._deadline = time.monotonic() + MAX_RESPONSE_TIMEOUTS * self._timeout

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = f"the response took more than {MAX_RESPONSE_TIMEOUTS * self._timeout:g} s"
            raise TimeoutError(msg)
        self._sock.settimeout(min(left, self._timeout))
        return t.cast("int | None", self._raw.readinto(buffer))

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """A response whose status line, headers and body arrive before the deadline."""

    @override
    def __init__(self, sock: socket.socket, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock), READ_SIZE)


class _Connection(HTTPConnection):
    response_class = _DeadlineResponse


class _SecureConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: t.Final = {"http": _Pool, "https": _SecurePool}
