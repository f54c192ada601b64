"""Read the files of a folder, local or in S3, in blocks that are fetched ahead."""

from __future__ import annotations

import errno
import functools
import logging
import os
import re
import threading
import typing as t
from collections import deque
from concurrent.futures import Future
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.asyn import sync
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.sdk_extensions.http import is_not_trusted, speaks_no_tls
from tap_kissmetrics.sdk_extensions.inputs import quote
from tap_kissmetrics.sdk_extensions.logs import REDACTOR, describe_cause
from tap_kissmetrics.sdk_extensions.retry import RateLimitError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_kissmetrics.sdk_extensions.waiting import Shutdown


S3: t.Final = "s3"


class FolderUrl(t.NamedTuple):
    """Where a folder is: the protocol of fsspec, and the path, the same for each spelling of one folder."""

    protocol: str
    path: str


def parse_folder_url(url: str) -> FolderUrl:
    """Parse `s3://bucket/prefix`, `file:///folder` or the path of a folder.

    Raises `ValueError`, whose message shows no URL that may hold a secret.
    """
    if not url.strip() or "\0" in url:
        msg = "must not be empty"
        raise ValueError(msg)
    scheme = found[1].lower() if (found := re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]+):", url)) else ""
    if not scheme or (scheme not in {"file", S3} and "://" not in url):
        return FolderUrl("file", _real_path(url))
    url = url.strip()
    rest = url.partition(":")[2].removeprefix("//")
    if set("@?#") & set(rest):
        msg = "must not hold a user, a password, a query or a fragment (it is not shown)"
        raise ValueError(msg)
    if scheme == "file":
        parts = urlsplit(url)
        if parts.netloc.lower() not in {"", "localhost"} or not parts.path.startswith("/"):
            msg = f"must be a folder of this machine such as file:///data/export, not {quote(url)}"
            raise ValueError(msg)
        return FolderUrl("file", _real_path(unquote(parts.path)))
    bucket = rest.partition("/")[0]
    if scheme != S3 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        shown = "the given value, which is not shown because it may hold a secret" if ":" in rest else quote(url)
        msg = f"must be s3://bucket/prefix, file:///folder or the path of a folder, not {shown}"
        raise ValueError(msg)
    return FolderUrl(S3, rest.rstrip("/"))


def _real_path(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - fsspec takes text


BLOCK_SIZE: t.Final = 2**20
"""Bytes that are read at once: one request in S3."""

CREDENTIAL_VARIABLES: t.Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Where the environment has credentials of S3. Others come from a profile or a role."""

S3_BUNDLE_VARIABLES: t.Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Where the environment names the certificates for S3."""

_S3_LOGGERS: t.Final = ("aiobotocore", "aiohttp", "asyncio", "botocore", "fsspec", "s3fs")
"""Loggers that write signed requests at the level DEBUG."""

_PERMANENT: t.Final = {
    *(errno.EACCES, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR),
    *(errno.EPERM, errno.ENOSYS, getattr(errno, "EREMCHG", errno.ENOENT)),
}
_TRANSIENT: t.Final = {
    *("ClientConnectionError", "ClientPayloadError", "ConnectionError", "HTTPClientError", "IncompleteReadError"),
    *("ResponseParserError", "ResponseStreamingError", "TimeoutError"),
}
"""Errors of the libraries below s3fs, by name: none of them need be installed."""

T = t.TypeVar("T")


class NotThereError(FatalAPIError):
    """A file, or a folder, is not there."""


class _FileChangedError(Exception):
    """A file is another one than its folder listed."""


class File(t.NamedTuple):
    """A file as its folder lists it."""

    path: str
    size: int
    version: tuple[t.Any, ...]
    """What is another once the file was written again."""


class _Block(t.NamedTuple):
    file: File
    start: int
    end: int


def _blocks(files: Iterable[File]) -> Iterator[_Block]:
    for file in files:
        for start in range(0, file.size or 1, BLOCK_SIZE):
            yield _Block(file, start, min(start + BLOCK_SIZE, file.size))


def _file_of(entry: dict[str, t.Any]) -> File:
    version = tuple(entry.get(key) for key in ("size", "ETag", "mtime", "ino"))
    return File(str(entry["name"]), int(entry["size"]) if entry["type"] == "file" else -1, version)


class Folder:
    """A folder whose files are read in order.

    Everything runs in threads of its own, so that a signal is noticed while a file hangs. `retry` decorates what may
    fail for a while: it repeats a function that raises `RetriableAPIError`.
    """

    def __init__(
        self,
        url: FolderUrl,
        *,
        shutdown: Shutdown,
        retry: Callable[[Callable[..., t.Any]], Callable[..., t.Any]],
        max_concurrency: int,
        timeout: float,
    ) -> None:
        self._url = url
        self._shutdown = shutdown
        self._retry = retry
        self._max_concurrency = max_concurrency
        self._timeout = timeout
        self._filesystem: t.Any = None

    def list(self, name: str = "") -> dict[str, File]:
        """List the files of the folder, or of a folder in it, by their names. What is no file has a size of -1.

        Raises `NotThereError`, `FatalAPIError` or `RetriableAPIError`.
        """

        def attempt() -> list[dict[str, t.Any]]:
            filesystem = self._connect()
            filesystem.invalidate_cache()
            return t.cast("list[dict[str, t.Any]]", filesystem.ls(self._path(name), detail=True))

        entries = self._retry(self._guarded)(attempt, self._path(name))
        return {str(entry["name"]).rstrip("/").rpartition("/")[2]: _file_of(entry) for entry in entries}

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes, bool]]:
        """Yield the blocks of files in order, each with its file and whether it is the last one of it.

        The next blocks, of the next files too, are fetched meanwhile, `max_concurrency` of them at once.
        """
        blocks = _blocks(files)
        queue: deque[tuple[_Block, Future[bytes]]] = deque()
        while True:
            while len(queue) < self._max_concurrency and (block := next(blocks, None)):
                queue.append((block, self._start(functools.partial(self._fetch, block))))
            if not queue:
                return
            block, future = queue.popleft()
            yield block.file, self._take(block, future), block.end == block.file.size

    def close(self) -> None:
        """Close the connections, which the file system does once nothing refers to it."""
        self._filesystem = None

    def _take(self, block: _Block, future: Future[bytes]) -> bytes:
        futures = [future]

        def attempt() -> bytes:
            # A block that was not fetched is asked for again from its start: all before it was used already.
            ahead = futures.pop() if futures else self._start(functools.partial(self._fetch, block))
            try:
                return self._shutdown.wait_for(ahead)
            except Exception as error:
                raise self._convert(error, block.file.path) from error

        return t.cast("bytes", self._retry(attempt)())

    def _fetch(self, block: _Block) -> bytes:
        file = block.file
        if block.start == block.end:
            return b""
        filesystem = self._connect()
        with filesystem.open(file.path, "rb", cache_type="none") as stream:
            stream.seek(block.start)
            data = t.cast("bytes", stream.read(block.end - block.start))
        # S3 itself compares: the request carries If-Match.
        is_same = self._url.protocol == S3 or _file_of(filesystem.info(file.path)).version == file.version
        if not is_same or len(data) != block.end - block.start:
            raise _FileChangedError
        return data

    def _guarded(self, function: Callable[[], T], path: str) -> T:
        try:
            return self._shutdown.wait_for(self._start(function))
        except Exception as error:
            raise self._convert(error, path) from error

    def _path(self, name: str) -> str:
        return f"{self._url.path}/{name}".rstrip("/") or "/"

    def _connect(self) -> t.Any:
        if self._filesystem is None:
            options: dict[str, t.Any] = {}
            if self._url.protocol == S3:
                options["config_kwargs"] = {
                    "connect_timeout": self._timeout,
                    "read_timeout": self._timeout,
                    "max_pool_connections": self._max_concurrency,
                    "retries": {"total_max_attempts": 1},  # `retry` has the budget
                }
            filesystem = fsspec.filesystem(self._url.protocol, skip_instance_cache=True, **options)
            if self._url.protocol == S3:
                for name in _S3_LOGGERS:
                    logger = logging.getLogger(name)
                    logger.setLevel(max(logger.level, logging.WARNING))
                filesystem.retries = 1
                filesystem.connect()
                self._redact_credentials(filesystem)
            self._filesystem = filesystem
        return self._filesystem

    def _redact_credentials(self, filesystem: t.Any) -> None:
        """Keep out of the log what a profile or a role gives, which no variable holds."""

        async def credentials() -> Iterable[str | None]:
            found = await filesystem.session.get_credentials()
            frozen = await found.get_frozen_credentials() if found else ()
            return t.cast("Iterable[str | None]", frozen)

        found = (*sync(filesystem.loop, credentials), filesystem.key, filesystem.secret, filesystem.token)
        REDACTOR.add(secret for secret in found if isinstance(secret, str) and secret)

    def _start(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 - raised in the thread that asks for the result
                future.set_exception(error)

        # Not a thread pool, which the interpreter waits for when it exits; a tap that is stopped exits at once.
        try:
            threading.Thread(target=run, name="read ahead", daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            run()
        return future

    def _convert(self, error: Exception, path: str) -> Exception:
        """Convert an error of the file system to `RetriableAPIError` or `FatalAPIError`."""
        if isinstance(error, (FatalAPIError, RetriableAPIError)):
            return error
        place = f"s3://{path}" if self._url.protocol == S3 else path
        names = {cls.__name__ for cls in type(error).__mro__}
        cause = describe_cause(error)
        number = error.errno if isinstance(error, OSError) else None
        if "FileExpired" in names or isinstance(error, _FileChangedError):
            converted: Exception = FatalAPIError(f"{place} changed while it was read")
        elif isinstance(error, FileNotFoundError):
            converted = NotThereError(f"{place} does not exist")
        elif number == errno.EBUSY:
            converted = RateLimitError(f"{place}: {cause}")
        elif isinstance(error, PermissionError):
            hint = "; check the credentials and their permissions" if self._url.protocol == S3 else ""
            converted = FatalAPIError(f"{place} cannot be read: {cause}{hint}")
        elif is_not_trusted(cause) or speaks_no_tls(cause):
            converted = FatalAPIError(f"{place} cannot be read: {cause}; check AWS_CA_BUNDLE and AWS_ENDPOINT_URL")
        elif names & _TRANSIENT or (isinstance(error, OSError) and number not in _PERMANENT):
            converted = RetriableAPIError(f"{place}: {cause}")
        else:
            converted = FatalAPIError(f"{place} cannot be read: {cause}")
        return converted
