"""Read files of a folder, local or in S3, in blocks that are fetched ahead."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import typing as t
from collections import deque
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import fsspec
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.sdk_extensions.http import is_not_trusted, speaks_no_tls
from tap_kissmetrics.sdk_extensions.inputs import mask_url, quote
from tap_kissmetrics.sdk_extensions.logs import REDACTOR, describe_cause
from tap_kissmetrics.sdk_extensions.retry import RateLimitError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from tap_kissmetrics.sdk_extensions.waiting import Shutdown


S3: t.Final = "s3"


class FolderUrl(t.NamedTuple):
    """The protocol and the path of a folder. All spellings of one folder are equal."""

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
    if ":" in url.rpartition("@")[0]:
        msg = f"must not hold a user and a password: {mask_url(url)!r}"
        raise ValueError(msg)
    if not scheme or (scheme not in {"file", S3} and "://" not in url):
        return FolderUrl("file", _real_path(url))
    url = url.strip()
    rest = url.partition(":")[2].removeprefix("//")
    if set("?#") & set(rest):
        msg = f"must not hold a query or a fragment: {mask_url(url)!r}"
        raise ValueError(msg)
    if scheme == "file" and (found := re.fullmatch("(?i:localhost)?(/.*)", rest)):
        return FolderUrl("file", _real_path(unquote(found[1])))
    if scheme == S3 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", rest.partition("/")[0]):
        return FolderUrl(S3, rest.rstrip("/"))
    shown = "the given value, which is not shown because it may hold a secret" if ":" in rest else quote(url)
    msg = f"must be s3://bucket/prefix, file:///folder or the path of a folder, not {shown}"
    raise ValueError(msg)


def _real_path(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))  # noqa: PTH111 - fsspec takes text


BLOCK_SIZE: t.Final = 2**20
"""Bytes that are read at once: one request in S3."""

CREDENTIAL_VARIABLES: t.Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Where the environment has credentials of S3. Others come from a profile or a role."""

S3_BUNDLE_VARIABLES: t.Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Where the environment names the certificates for S3."""

_TRANSIENT: t.Final = {
    *("ClientPayloadError", "ConnectionError", "HTTPClientError", "IncompleteReadError", "ResponseParserError"),
}
"""Errors of connections, by name: the libraries below s3fs need not be installed."""

T = t.TypeVar("T")


class NotThereError(FatalAPIError):
    """A file, or a folder, is not there."""


class FileChangedError(Exception):
    """A file is no longer the one that its folder listed."""


class File(t.NamedTuple):
    """A file, or a folder, as the folder above it lists it."""

    path: str
    size: int
    """Bytes; -1 for anything but a file."""

    version: tuple[t.Any, ...]
    """Changes when the file is rewritten: size, mtime and inode, or in S3 the ETag."""


class Block(t.NamedTuple):
    """A part of a file, up to but not including the byte at `end`."""

    file: File
    start: int
    end: int


def _blocks_of(file: File) -> Iterator[Block]:
    for start in range(0, file.size or 1, BLOCK_SIZE):
        yield Block(file, start, min(start + BLOCK_SIZE, file.size))


class LocalStore:
    """Lists folders and reads files of this machine."""

    prefix = ""

    def __init__(self) -> None:
        self._filesystem = fsspec.filesystem("file")

    def list_page(self, path: str, token: str) -> tuple[list[File], str | None]:  # noqa: ARG002 - one page
        """Return all that is in a folder."""
        return [self._file_of(entry) for entry in self._filesystem.ls(path, detail=True)], None

    def fetch(self, block: Block) -> bytes:
        """Read a block; raise `FileChangedError` if its file was rewritten."""
        with Path(block.file.path).open("rb") as stream:
            stream.seek(block.start)
            data = stream.read(block.end - block.start)
        if self._file_of(self._filesystem.info(block.file.path)).version != block.file.version:
            raise FileChangedError
        return data

    def _file_of(self, entry: dict[str, t.Any]) -> File:
        size = entry["size"] if entry["type"] == "file" else -1
        return File(entry["name"], size, (entry["size"], entry["mtime"], entry["ino"]))


class S3Store:
    """Lists folders and reads files of S3. A request that takes more than `max_time` seconds is closed."""

    prefix = "s3://"

    def __init__(self, *, timeout: float, max_time: float, max_concurrency: int) -> None:
        self._max_time = max_time
        self._config = {
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "max_pool_connections": max_concurrency,
            "retries": {"total_max_attempts": 1},  # `Folder` repeats
        }
        self._connected: t.Any = None

    def list_page(self, path: str, token: str) -> tuple[list[File], str | None]:
        """Return a page of what is in a folder, and the token of the next page."""
        bucket, _, folder = path.partition("/")
        page = self._filesystem().call_s3(
            "list_objects_v2",
            Bucket=bucket,
            Prefix=folder and f"{folder}/",
            Delimiter="/",
            timeout=self._max_time,
            **({"ContinuationToken": token} if token else {}),
        )
        files = [File(f"{bucket}/{each['Prefix']}", -1, ()) for each in page.get("CommonPrefixes", ())]
        files += [
            File(f"{bucket}/{each['Key']}", int(each["Size"]), (each["ETag"],)) for each in page.get("Contents", ())
        ]
        if not files and not token and folder:
            raise FileNotFoundError
        return files, page.get("NextContinuationToken")

    def fetch(self, block: Block) -> bytes:
        """Read a block of the version that was listed."""
        filesystem = self._filesystem()
        bucket, _, key = block.file.path.partition("/")
        first, last = block.start, block.end - 1

        async def get() -> bytes:
            response = await filesystem._call_s3(  # noqa: SLF001 - fsspec names what is asynchronous so
                "get_object", Bucket=bucket, Key=key, Range=f"bytes={first}-{last}", IfMatch=block.file.version[0]
            )
            async with response["Body"]:
                data = t.cast("bytes", await response["Body"].read())
            wanted = f"bytes {first}-{last}/"
            if not (sent := response.get("ContentRange", wanted)).startswith(wanted):
                msg = f"S3 sent {sent} instead of bytes {first}-{last}"
                raise OSError(msg)
            return data

        return t.cast("bytes", sync(filesystem.loop, get, timeout=self._max_time))

    def _filesystem(self) -> t.Any:
        if self._connected is None:
            # At the level DEBUG they write signed requests.
            for name in ("aiobotocore", "aiohttp", "asyncio", "botocore", "fsspec", "s3fs"):
                logger = logging.getLogger(name)
                logger.setLevel(max(logger.level, logging.WARNING))
            filesystem = fsspec.filesystem(S3, skip_instance_cache=True, config_kwargs=self._config)
            filesystem.retries = 1
            filesystem.connect()

            async def credentials() -> Iterable[str | None]:
                found = await filesystem.session.get_credentials()
                return await found.get_frozen_credentials() if found else ()

            # No variable holds those of a profile or a role.
            secrets = (*sync(filesystem.loop, credentials), filesystem.key, filesystem.secret, filesystem.token)
            REDACTOR.add(filter(None, secrets))
            self._connected = filesystem
        return self._connected


class Folder:
    """A folder whose files are read in order.

    All work is done in threads, so that a signal is noticed while a file hangs. A page of a listing, or a block, that
    takes more than `max_time` seconds is given up. `retry` decorates a function to repeat it while it raises
    `RetriableAPIError`.
    """

    def __init__(  # noqa: PLR0913 - settings, by name
        self,
        url: FolderUrl,
        *,
        shutdown: Shutdown,
        retry: Callable[[Callable[..., t.Any]], Callable[..., t.Any]],
        max_concurrency: int,
        timeout: float,
        max_time: float,
    ) -> None:
        self._path = url.path
        self._shutdown = shutdown
        self._retry = retry
        self._max_concurrency = max_concurrency
        self._max_time = max_time
        self._running: list[Future[t.Any]] = []
        self._store = (
            S3Store(timeout=timeout, max_time=max_time, max_concurrency=max_concurrency)
            if url.protocol == S3
            else LocalStore()
        )

    def list(self, name: str = "") -> dict[str, File]:
        """List what is in the folder, or in a folder in it, by name.

        Raises `NotThereError`, `FatalAPIError` or `RetriableAPIError`.
        """
        path = f"{self._path}/{name}".rstrip("/") or "/"

        def page(token: str) -> tuple[list[File], str | None]:
            return self._wait_for(self._start(functools.partial(self._store.list_page, path, token)), path)

        files: dict[str, File] = {}
        token: str | None = ""
        while token is not None:
            found, token = self._retry(page)(token)
            files.update((file.path.rstrip("/").rpartition("/")[2], file) for file in found)
        return files

    def read(self, files: Sequence[File]) -> Iterator[tuple[File, Iterator[bytes]]]:
        """Yield each file with its blocks, which have to be read to their end before the next file.

        `max_concurrency` blocks are fetched at once, those of the next files too.
        """
        blocks = itertools.chain.from_iterable(map(_blocks_of, files))
        upcoming: deque[Block] = deque()
        ahead: dict[Block, Future[bytes]] = {}

        def fetch_next() -> bytes:
            upcoming.extend(itertools.islice(blocks, self._max_concurrency - len(upcoming)))
            if upcoming[0] not in ahead:
                # It failed, and so may others have: a server that refuses several at once is waited for once.
                for block in [block for block, future in ahead.items() if future.done() and future.exception()]:
                    del ahead[block]
            for block in upcoming:
                if block not in ahead and (future := self._start(functools.partial(self._fetch, block))):
                    ahead[block] = future
            data = self._wait_for(ahead.pop(upcoming[0], None), upcoming[0].file.path)
            upcoming.popleft()
            return data

        take = self._retry(fetch_next)
        for file in files:
            yield file, (take() for _ in _blocks_of(file))

    def close(self) -> None:
        """Close the connections, which fsspec does once nothing refers to them."""
        del self._store

    def _fetch(self, block: Block) -> bytes:
        size = block.end - block.start
        data = self._store.fetch(block) if size else b""
        if len(data) != size:
            msg = f"{len(data):,} bytes were read instead of {size:,}"
            raise OSError(msg)
        return data

    def _start(self, function: Callable[[], T]) -> Future[T] | None:
        """Start a function, unless as many as may run at once still do, given up or not."""
        self._running = [future for future in self._running if not future.done()]
        if len(self._running) >= self._max_concurrency:
            return None
        future = self._shutdown.start(function)
        self._running.append(future)
        return future

    def _wait_for(self, future: Future[T] | None, path: str) -> T:
        place = f"{self._store.prefix}{path}"
        if future is None:
            msg = f"{place}: earlier attempts still wait for an answer"
            raise RetriableAPIError(msg)
        try:
            return self._shutdown.wait_for(future, self._max_time)
        except Exception as error:
            raise _convert(error, place) from error


def _convert(error: Exception, place: str) -> Exception:
    """Convert an error of a store to `RetriableAPIError` or `FatalAPIError`."""
    cause = "no result in time" if isinstance(error, FSTimeoutError) else describe_cause(error)
    answer = getattr(error.__cause__, "response", None) or {}  # of S3
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if isinstance(error, FileChangedError) or status == HTTPStatus.PRECONDITION_FAILED:
        return FatalAPIError(f"{place} changed while it was read")
    if isinstance(error, FileNotFoundError):
        return NotThereError(f"{place} does not exist")
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return RateLimitError(f"{place}: {cause}")
    hint = "; check the credentials and their permissions" if status == HTTPStatus.FORBIDDEN else ""
    if type(error).__name__ == "NoCredentialsError":
        hint = f"; set {' and '.join(CREDENTIAL_VARIABLES[:2])}, or AWS_PROFILE"
    if is_not_trusted(cause) or speaks_no_tls(cause):
        hint = "; check AWS_CA_BUNDLE and AWS_ENDPOINT_URL"
    elif _is_transient(error, status):
        return RetriableAPIError(f"{place}: {cause}")
    return FatalAPIError(f"{place} cannot be read: {cause}{hint}")


def _is_transient(error: Exception, status: int) -> bool:
    if status:  # RequestTimeout has status 400
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, TimeoutError)
    if isinstance(error, OSError):
        return not isinstance(error, (IsADirectoryError, NotADirectoryError, PermissionError))
    return not _TRANSIENT.isdisjoint(cls.__name__ for cls in type(error).__mro__)
