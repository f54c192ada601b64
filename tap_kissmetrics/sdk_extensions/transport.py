"""Connections that are bound to one root URL and have a deadline, and responses that are decoded exactly."""

from __future__ import annotations

import email.message
import http.client
import io
import os
import re
import socket
import ssl
import time
import typing as t
from http import HTTPStatus
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from tap_kissmetrics.sdk_extensions.decoding import decode_json
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.sdk_extensions.logs import describe_cause

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

MAX_BODY_SIZE: t.Final = 2**27
"""Bytes of an unpacked body; a page of 10,000 usual records has some 10 MiB."""

MAX_INTERIM_RESPONSES: t.Final = 10
"""Responses with a status of 1xx before the response itself."""

READ_SIZE: t.Final = 2**18
"""Bytes that are read from a socket at once. Threads that read 10 KiB at a time wait for each other."""

BUNDLE_VARIABLES: t.Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Where the environment names a file or folder of certificates; requests itself does not know the last one."""

is_not_trusted: t.Final = re.compile(r"\[\w+: CERTIFICATE_VERIFY_FAILED\]").search
"""Finds in an error of OpenSSL that it does not accept a certificate."""

speaks_no_tls: t.Final = re.compile(
    r"\[\w+: (WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE)\]"
).search
"""Finds in an error of OpenSSL that the server does not speak TLS."""


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
            if environment.trust_env:
                self._environment["verify"] = find_bundle(BUNDLE_VARIABLES) or True
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


def bundle_variable() -> str:
    """Return the variable that names certificates, or the one that could."""
    return next(filter(os.environ.get, BUNDLE_VARIABLES), BUNDLE_VARIABLES[0])


def find_bundle(variables: Iterable[str]) -> str | None:
    """Return the certificates that the first of these variables names; raise `InputError` if they cannot be read."""
    variable = next(filter(os.environ.get, variables), None)
    if variable is None:
        return None
    path = os.environ[variable]
    try:
        # A folder is read only as a certificate is looked for.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            **{"capath" if os.path.isdir(path) else "cafile": path}  # noqa: PTH112
        )
    except OSError as error:  # as part of a request it could not be told from other errors of TLS
        msg = f"{variable}: no certificates can be read from {path}: {describe_cause(error)}"
        raise InputError(msg) from None
    return path


def logins_in_environment() -> Iterator[str]:
    """Yield what is secret in the URLs of proxies and of a server of S3; a malformed one may be cut anywhere."""
    for url in (*getproxies().values(), *map(os.environ.get, ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))):
        if url and (match := re.search("(?:.*//)?(.*)@", url)):
            for login in (match[1], unquote(match[1])):
                yield from (login, login.partition(":")[2], *re.split("[:/?#]", login)[1:])


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
