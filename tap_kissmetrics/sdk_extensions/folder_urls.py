"""The URL or path of a folder, without credentials, and the same for each spelling."""

from __future__ import annotations

import os
import re
import typing as t
from urllib.parse import unquote, urlsplit

from tap_kissmetrics.sdk_extensions.inputs import quote

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
