"""Raw data exports in S3: its API on loopback, what goes wrong on the way, and credentials that nobody sees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_kissmetrics.sdk_extensions import files
from tests.sandbox.export import Export
from tests.support.assertions import assert_says
from tests.support.exports import STREAM, assert_complete, bookmarks, read_exports
from tests.support.s3 import BUCKET, KEY_ID, SECRET, SESSION_TOKEN, serve_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.run import Run
    from tests.support.s3 import S3


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """One server for all of these tests."""
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(server: S3) -> S3:
    """The server, with nothing that is left over from another test."""
    server.requests.clear()
    server.faults.clear()
    return server


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export of some revisions."""
    export = Export(tmp_path / "export")
    export.grow(3, lines=40)
    return export


def read(s3: S3, folder: Path, *urls: str, env: dict[str, str] | None = None, **settings: Any) -> Run:
    """Read exports, and check that no credentials are shown."""
    variables = {**s3.env, "LOGLEVEL": "DEBUG", "HOME": str(folder), **(env or {})}
    run = read_exports(folder, *urls, env=variables, **settings)
    for secret in (KEY_ID, SECRET, SESSION_TOKEN, "Signature"):
        assert secret not in run.stdout
        assert secret not in run.stderr
    assert "Traceback" not in run.stderr
    return run


def test_two_nights(s3: S3, export: Export, tmp_path: Path) -> None:
    """In a folder of the bucket, then with a slash at the end of its URL."""
    url = s3.upload(export.folder, "nights")
    run = read(s3, tmp_path, url).succeeded()
    assert_complete(run, export, name=url)
    assert {method for method, _, _ in s3.requests} <= {"GET", "HEAD", "PUT"}
    export.grow(2)
    s3.upload(export.folder, "nights")
    s3.requests.clear()
    again = read(s3, tmp_path, f"{url}/", state=run.state).succeeded()
    assert_complete(again, export, after=3, name=url)
    assert bookmarks(again.state) == {url: 5}
    assert sum(bool(requested) for _, _, requested in s3.requests) == 3, "the index and two revisions"


def test_a_connection_that_breaks(s3: S3, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a file, after what was written already; errors and throttling are waited for."""
    monkeypatch.setattr(files, "BLOCK_SIZE", 4096)
    url = s3.upload(export.folder, "breaks")
    s3.requests.clear()
    s3.faults += [(r"revisions/2\.json", "cut"), ("prefix=breaks", "error"), (r"revisions/1\.json", "slow")]
    run = read(s3, tmp_path, url, max_concurrency=1).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    ranges = [requested for _, path, requested in s3.requests if "revisions/2.json" in path]
    assert len(ranges) == len(set(ranges)) + 1, "only the range that broke is asked for again"
    assert sum("retrying in" in line for line in run.warnings) == 2
    assert_says(run, "raw_events: waiting .* s, as the server requires: s3://.*/revisions/1.json: ")


def test_a_server_that_refuses_several_pieces_at_once_is_waited_for_once(
    s3: S3, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched ahead in the same burst is asked for again as well."""
    monkeypatch.setattr(files, "BLOCK_SIZE", 4096)
    export.grow(1, lines=400)
    url = s3.upload(export.folder, "burst")
    s3.faults += [(r"revisions/4\.json", "slow")] * 8
    run = read(s3, tmp_path, url, max_concurrency=8).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    assert run.stderr.count("as the server requires") == 1


@pytest.mark.parametrize("pattern", [r"revisions/2\.json", r"prefix=trickles%2F&|prefix=trickles/&"])
def test_what_trickles_is_given_up(pattern: str, s3: S3, export: Export, tmp_path: Path) -> None:
    """Although the socket gets a byte in time, again and again."""
    url = s3.upload(export.folder, "trickles")
    s3.faults.append((pattern, "trickle"))
    run = read(s3, tmp_path, url, max_concurrency=1, request_timeout=0.3, retry_timeout=10).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    assert_says(run, "s3://.*/trickles.*: no result (in time|within 1.5 s); retrying in")


def test_a_listing_of_several_pages(s3: S3, export: Export, tmp_path: Path) -> None:
    """Each is repeated for itself."""
    url = s3.upload(export.folder, "pages")
    pages = "prefix=pages%2Frevisions|prefix=pages/revisions"
    s3.faults += [(pages, "short"), (pages, "error"), (pages, "short")]
    run = read(s3, tmp_path, url).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    listed = [path for _, path, _ in s3.requests if "prefix=pages" in path and "revisions" in path]
    assert len(listed) == 4
    assert sum("continuation-token" in path for path in listed) == 3


def test_another_range(s3: S3, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines would be written in the place of those that were asked for."""
    monkeypatch.setattr(files, "BLOCK_SIZE", 1000)
    url = s3.upload(export.folder, "shifted")
    s3.faults.append((r"revisions/2\.json", "shifted"))
    run = read(s3, tmp_path, url, max_concurrency=1).succeeded()
    assert_complete(run, export, name=url)
    assert_says(run, r"revisions/2\.json: S3 sent bytes 1-1000/\d+ instead of bytes 0-999; retrying in")


@pytest.mark.slow
def test_what_never_works(s3: S3, export: Export, tmp_path: Path) -> None:
    """Once the budget is used up, the bookmark is that of the last revision that was read whole."""
    url = s3.upload(export.folder, "never")
    s3.faults += [(r"revisions/3\.json", "cut")] * 100
    run = read(s3, tmp_path, url, retry_timeout=0.2)
    assert run.failed == [STREAM]
    assert "revisions/3.json: " in run.errors[0]
    assert bookmarks(run.state) == {url: 2}
    s3.faults.clear()
    assert_complete(read(s3, tmp_path, url, state=run.state).succeeded(), export, after=2, name=url)


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_throttling_waits_longer_than_failures_may_last(s3: S3, export: Export, tmp_path: Path) -> None:
    """By the clock of the test."""
    url = s3.upload(export.folder, "throttled")
    s3.faults += [(r"revisions/3\.json", "slow")] * 3
    run = read(s3, tmp_path, url, retry_timeout=0, backoff_factor=1).succeeded()
    assert_complete(run, export, name=url)


def test_a_file_that_changes(s3: S3, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 is asked for the file that was listed, and has another one."""
    url = s3.upload(export.folder, "changes")
    fetch = files.Folder._fetch  # noqa: SLF001

    def changing(folder: files.Folder, block: files.Block) -> bytes:
        if block.file.path.endswith("/2.json"):
            s3.client.put_object(Bucket=BUCKET, Key="changes/revisions/2.json", Body=b"x" * block.file.size)
        return fetch(folder, block)

    monkeypatch.setattr(files.Folder, "_fetch", changing)
    run = read(s3, tmp_path, url)
    assert f"{url}/revisions/2.json changed while it was read" in run.errors[0]
    assert bookmarks(run.state) == {url: 1}


@pytest.mark.parametrize(
    ("url", "fault", "env", "message"),
    [
        pytest.param("s3://no-bucket/x", "", {}, "s3://no-bucket/x does not exist; check export_urls", id="bucket"),
        pytest.param(
            f"s3://{BUCKET}/absent", "", {}, f"s3://{BUCKET}/absent does not exist", id="prefix", marks=pytest.mark.slow
        ),
        pytest.param(f"s3://{BUCKET}/x", "denied", {}, "check the credentials and their permissions", id="permission"),
        pytest.param(
            f"s3://{BUCKET}/x",
            "",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""},
            "Unable to locate credentials",
            id="no credentials",
        ),
        pytest.param(
            f"s3://{BUCKET}/x",
            "",
            {"AWS_PROFILE": "no"},
            "profile (no) could not be found",
            id="profile",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            f"s3://{BUCKET}/x",
            "",
            {"AWS_ENDPOINT_URL": "nonsense"},
            "Invalid endpoint",
            id="endpoint",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            f"s3://{BUCKET}/x",
            "",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "127.0.0.1",
            id="no connection",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_read(  # noqa: PLR0913, PLR0917
    url: str, fault: str, env: dict[str, str], message: str, s3: S3, tmp_path: Path
) -> None:
    """One line, and no credentials in it."""
    s3.faults += [("", fault)] * bool(fault)
    run = read(s3, tmp_path, url, env=env, retry_timeout=0.2)
    assert run.failed == [STREAM]
    assert message in run.errors[0]


def test_credentials_of_a_profile_are_not_shown(
    s3: S3, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable holds them."""
    url = s3.upload(export.folder, "profile")
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n", encoding="utf-8"
    )
    fetch = files.Folder._fetch  # noqa: SLF001

    def failing(folder: files.Folder, block: files.Block) -> bytes:
        if block.file.path.endswith("/2.json"):
            raise PermissionError(f"{KEY_ID} and {SECRET} are wrong")
        return fetch(folder, block)

    monkeypatch.setattr(files.Folder, "_fetch", failing)
    env = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")
    run = read(s3, tmp_path, url, env={**env, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")})
    assert "(hidden) and (hidden) are wrong" in run.errors[0]


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says how to install it."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    line = read_exports(tmp_path, "s3://bucket/prefix").refused()
    assert line == "export_urls: s3:// needs the extra s3: pip install 'tap-kissmetrics[s3]'"
