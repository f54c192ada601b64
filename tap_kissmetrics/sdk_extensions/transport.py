"""Connections that are bound to one root URL and have a deadline, and responses that are decoded exactly."""

from __future__ import annotations

import email.message
import http.client
import io
import os
import re
import socket
import time
import typing as t
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from tap_kissmetrics.sdk_extensions.decoding import decode_json
from tap_kissmetrics.sdk_extensions.logs import REDACTOR

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

MAX_BODY_SIZE: t.Final = 2**27
"""Bytes of an unpacked body; a page of 10,000 usual records has some 10 MiB."""

MAX_INTERIM_RESPONSES: t.Final = 10
"""Responses with a status of 1xx before the response itself."""

READ_SIZE: t.Final = 2**18
"""Bytes that are read from a socket at once. Threads that read 10 KiB at a time wait for each other."""

_LOGIN: t.Final = re.compile("//(.*)@")
"""User and password in the URL of a proxy, which may be malformed."""


class Limits(t.NamedTuple):
    """What a session allows at most."""

    max_concurrency: int
    requests_per_minute: int | None
    max_response_time: float
    """Seconds that a whole response may take."""


class Response(requests.Response):
    """A response whose body is read in large pieces and decoded exactly."""

    @override
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[t.Any]:
        size = 0
        for chunk in super().iter_content(READ_SIZE, decode_unicode):
            size += len(chunk)
            if size > MAX_BODY_SIZE:
                msg = f"the body has more than {MAX_BODY_SIZE >> 20} MiB once it is unpacked; lower page_size"
                raise requests.exceptions.ContentDecodingError(msg)
            yield chunk

    @override
    def json(self, *, on_repair: t.Callable[[str], None] | None = None, **kwargs: t.Any) -> t.Any:
        """Decode the body, once: it is released, for body and records together would double the peak memory."""
        body, self._content = self.content, b""
        content_type = email.message.Message()
        content_type["Content-Type"] = self.headers.get("Content-Type", "")
        return decode_json(body, charset=content_type.get_content_charset(), on_repair=on_repair)


class RootAdapter(HTTPAdapter):
    """Sends over bounded connections, through the proxy that the environment names for one root."""

    def __init__(self, root: str, limits: Limits) -> None:
        self._pools = _pools(limits.max_response_time)
        with requests.Session() as environment:
            # Plain HTTP is for this machine only, and never goes through a proxy.
            environment.trust_env = urlsplit(root).scheme != "http"
            self._environment = environment.merge_environment_settings(root, {}, None, None, None)
        if self._environment["verify"] is True and (path := os.environ.get("SSL_CERT_FILE")):
            self._environment["verify"] = path  # which requests does not know
        proxies = self._environment["proxies"].values()
        logins = [match[1] for proxy in proxies if (match := _LOGIN.search(proxy))]
        logins += [decoded for login in logins if (decoded := unquote(login)) != login]
        # A URL that is malformed may be cut anywhere, as may be a message about it.
        REDACTOR.add(p for login in logins for p in (login, login.partition(":")[2], *re.split("[:/?#]", login)[1:]))
        super().__init__(pool_maxsize=limits.max_concurrency)

    @override
    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    @override
    def proxy_manager_for(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
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

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, max_time: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._timeout = sock.gettimeout() or 0.0
        self._max_time = max_time
        self._deadline = time.monotonic() + max_time
        self.is_finished = False
        """Whether to read nothing more from the socket."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        if self.is_finished:
            return 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = f"the response took more than {self._max_time:g} s"
            raise TimeoutError(msg)
        self._sock.settimeout(min(left, self._timeout))
        return t.cast("int | None", self._raw.readinto(buffer))

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _StrictResponse(http.client.HTTPResponse):
    """A response that arrives before a deadline, and after which its connection is used again only if nothing is odd.

    Otherwise each request could get the response to the one before: http.client takes any interim response but 100 for
    the response, and leaves what follows a response on the connection.
    """

    max_time: t.ClassVar[float]

    @override
    def __init__(self, sock: socket.socket, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _DeadlineReader(self.fp.detach(), sock, self.max_time)
        self._socket = sock
        self.fp = io.BufferedReader(self._reader, READ_SIZE)

    @override
    def begin(self) -> None:
        super().begin()
        interim = 0
        while HTTPStatus.CONTINUE < self.status < HTTPStatus.OK:
            interim += 1
            if interim > MAX_INTERIM_RESPONSES:
                msg = f"more than {MAX_INTERIM_RESPONSES} interim responses"
                raise http.client.HTTPException(msg)
            self.headers = self.msg = None  # type: ignore[assignment]  # so that the next one is read
            super().begin()
        if interim:
            self.will_close = True

    # Private, and the only place where a body is known to have ended.
    def _close_conn(self) -> None:
        self._reader.is_finished = True
        if not self.fp.closed and self.fp.peek(1):
            self._socket.shutdown(socket.SHUT_RDWR)  # urllib3 opens another connection then
        super()._close_conn()  # type: ignore[misc]


def _pools(max_time: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return the connection pools of a session whose responses arrive within some seconds."""

    class StrictResponse(_StrictResponse):
        pass

    StrictResponse.max_time = max_time

    class Connection(HTTPConnection):
        response_class = StrictResponse

    class SecureConnection(HTTPSConnection):
        response_class = StrictResponse

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}
