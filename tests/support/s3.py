"""An S3 server on loopback, of moto, with faults on request."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from typing_extensions import override
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

KEY_ID = "AKIAEXAMPLEOFAKEY012"
SECRET = "a+secret/of+forty/characters+0123456789x"  # noqa: S105 - an example
SESSION_TOKEN = "an-example-of-a-session-token-0123456789"  # noqa: S105

BUCKET = "customer-bucket"


@dataclass
class S3:
    """A server that runs, with a bucket."""

    url: str
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, and range of each request."""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """What goes wrong with the next request whose path with query matches; each fault is used once."""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def env(self) -> dict[str, str]:
        """The variables with which the usual programs read it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SESSION_TOKEN,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def client(self) -> Any:
        """A client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy the files of a folder into the bucket, below a prefix; give the URL of the copy."""
        client = self.client
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        return f"s3://{BUCKET}/{prefix}"

    def application(self, app: Callable[..., Any]) -> Callable[..., Any]:
        """Put the faults before an application."""

        def with_faults(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            target = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
            self.requests.append((environ["REQUEST_METHOD"], target, environ.get("HTTP_RANGE", "")))
            for number, (pattern, fault) in enumerate(self.faults):
                if re.search(pattern, target):
                    del self.faults[number]
                    return self._fail(fault, app, environ, start)
            return app(environ, start)  # type: ignore[no-any-return]

        return with_faults

    def _trickle(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Send a byte ten times a second."""
        for byte in b"".join(body):
            if self.released.wait(0.1):
                return
            yield bytes([byte])

    def _fail(
        self, fault: str, app: Callable[..., Any], environ: dict[str, Any], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        if fault == "short":  # a page of a listing with one file
            environ = {**environ, "QUERY_STRING": f"{environ['QUERY_STRING']}&max-keys=1"}
        elif fault == "shifted":  # another range than the one that was asked for, of the same length
            first, last = map(int, environ["HTTP_RANGE"].removeprefix("bytes=").split("-"))
            environ = {**environ, "HTTP_RANGE": f"bytes={first + 1}-{last + 1}"}
        elif fault == "changed":  # since it was listed
            key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
            self.client.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
        elif fault == "hang":
            self.released.wait(60)
        elif fault in _ERRORS:
            status, code, message = _ERRORS[fault]
            start(f"{status} {code}", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()]
        body: Iterable[bytes] = app(environ, start)
        if fault == "cut":  # half of the body, although the header has its whole length
            whole = b"".join(body)
            return [whole[: len(whole) // 2]]
        return self._trickle(body) if fault == "trickle" else body


_ERRORS = {
    "slow": (503, "SlowDown", "Please reduce your request rate."),
    "error": (500, "InternalError", "Please try again."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "indiscreet": (400, "InvalidArgument", f"{KEY_ID} and {SECRET} are wrong"),
}


class _Quiet(WSGIRequestHandler):
    @override
    def log(self, *_: Any, **__: Any) -> None:
        """Log nothing."""


@contextmanager
def serve_s3() -> Iterator[S3]:
    """Run a server that has an empty bucket."""
    server = S3("")
    app = server.application(DomainDispatcherApplication(create_backend_app))
    http = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        server.client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.released.set()
        http.shutdown()
        thread.join()
        http.server_close()
