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

NO_KEYS = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    """One server for all of these tests."""
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, with nothing that is left over from another test. A revision takes several requests."""
    monkeypatch.setattr(files, "BLOCK_SIZE", 4096)
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


def test_the_next_night_requests_only_what_is_new(s3: S3, export: Export, tmp_path: Path) -> None:
    """Also where the URL has a slash at its end. Nothing is written, nor deleted."""
    url = s3.upload(export.folder, "nights")
    s3.requests.clear()
    run = read(s3, tmp_path, url).succeeded()
    assert_complete(run, export, name=url)
    assert {method for method, _, _ in s3.requests} == {"GET"}
    export.grow(2, lines=1)
    s3.upload(export.folder, "nights")
    s3.requests.clear()
    again = read(s3, tmp_path, f"{url}/", state=run.state).succeeded()
    assert_complete(again, export, after=3, name=url)
    assert bookmarks(again.state) == {url: 5}
    assert sum(bool(requested) for _, _, requested in s3.requests) == 3, "the index and two revisions"


@pytest.mark.parametrize(
    ("pattern", "fault", "says"),
    [
        (r"revisions/2\.json", "cut", "retrying in"),
        (r"revisions/2\.json", "shifted", r"2\.json: S3 sent bytes 1-4096/\d+ instead of bytes 0-4095; retrying in"),
        (r"revisions/2\.json", "slow", "raw_events: waiting .* s, as the server requires: s3://.*/2.json: "),
        (r"revisions/2\.json", "trickle", "2.json: no result (in time|within 1.5 s); retrying in"),
        ("list-type=2.*prefix=passes", "error", "retrying in"),
        ("list-type=2.*prefix=passes", "trickle", "s3://.*/passes.*: no result (in time|within 1.5 s); retrying in"),
    ],
)
def test_what_passes_costs_one_request(  # noqa: PLR0913, PLR0917
    pattern: str, fault: str, says: str, s3: S3, export: Export, tmp_path: Path
) -> None:
    """A trickle, too, is given up, although the socket gets a byte in time, again and again."""
    url = s3.upload(export.folder, "passes")
    s3.requests.clear()
    s3.faults.append((pattern, fault))
    hasty: dict[str, Any] = {"request_timeout": 0.3, "retry_timeout": 10} if fault == "trickle" else {}
    run = read(s3, tmp_path, url, max_concurrency=1, **hasty).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    assert_says(run, says)
    assert len(s3.requests) == len(set(s3.requests)) + 1, "only what failed is asked for again"


def test_a_server_that_refuses_several_requests_at_once_is_waited_for_once(
    s3: S3, export: Export, tmp_path: Path
) -> None:
    """What was fetched ahead in the same burst is asked for again as well."""
    export.grow(1, lines=400)
    url = s3.upload(export.folder, "burst")
    s3.faults += [(r"revisions/4\.json", "slow")] * 8
    run = read(s3, tmp_path, url, max_concurrency=8).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    assert run.stderr.count("as the server requires") == 1


def test_each_page_of_a_listing_is_repeated_for_itself(s3: S3, export: Export, tmp_path: Path) -> None:
    url = s3.upload(export.folder, "pages")
    s3.requests.clear()
    pages = "list-type=2.*prefix=pages(%2F|/)revisions"
    s3.faults += [(pages, "short"), (pages, "error"), (pages, "short")]
    run = read(s3, tmp_path, url).succeeded()
    assert_complete(run, export, name=url)
    assert s3.faults == []
    assert sum("continuation-token" in path for _, path, _ in s3.requests) == 3


def test_what_never_works_fails_after_what_was_read_before(s3: S3, export: Export, tmp_path: Path) -> None:
    url = s3.upload(export.folder, "never")
    s3.faults += [(r"revisions/3\.json", "cut")] * 100
    run = read(s3, tmp_path, url, retry_timeout=0.2)
    assert run.failed == [STREAM]
    assert "revisions/3.json: " in run.errors[0]
    assert bookmarks(run.state) == {url: 2}
    s3.faults.clear()
    assert_complete(read(s3, tmp_path, url, state=run.state).succeeded(), export, after=2, name=url)


@pytest.mark.usefixtures("clock")
def test_throttling_may_last_longer_than_failures(s3: S3, export: Export, tmp_path: Path) -> None:
    """By the clock of the test."""
    url = s3.upload(export.folder, "throttled")
    s3.faults += [(r"revisions/3\.json", "slow")] * 3
    run = read(s3, tmp_path, url, retry_timeout=0, backoff_factor=1).succeeded()
    assert_complete(run, export, name=url)


def test_a_file_that_changes_while_it_is_read_fails(s3: S3, export: Export, tmp_path: Path) -> None:
    """S3 is asked for the file that was listed, and has another one."""
    url = s3.upload(export.folder, "changes")
    s3.faults.append((r"revisions/2\.json", "changed"))
    run = read(s3, tmp_path, url)
    assert f"{url}/revisions/2.json changed while it was read" in run.errors[0]
    assert bookmarks(run.state) == {url: 1}


@pytest.mark.parametrize(
    ("url", "env", "message"),
    [
        pytest.param("s3://no-bucket/x", {}, "s3://no-bucket/x does not exist; check export_urls", id="bucket"),
        pytest.param(f"s3://{BUCKET}/absent", {}, f"s3://{BUCKET}/absent does not exist", id="prefix"),
        pytest.param(f"s3://{BUCKET}/denied", {}, "check the credentials and their permissions", id="permission"),
        pytest.param(f"s3://{BUCKET}/x", NO_KEYS, "Unable to locate credentials", id="no credentials"),
        pytest.param(f"s3://{BUCKET}/x", {"AWS_PROFILE": "no"}, "profile (no) could not be found", id="profile"),
        pytest.param(f"s3://{BUCKET}/x", {"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint", id="endpoint"),
        pytest.param(f"s3://{BUCKET}/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0.1", id="no connection"),
    ],
)
def test_what_cannot_be_read_is_one_line(url: str, env: dict[str, str], message: str, s3: S3, tmp_path: Path) -> None:
    s3.faults.append(("denied", "denied"))
    run = read(s3, tmp_path, url, env=env, retry_timeout=0.2)
    assert run.failed == [STREAM]
    assert message in run.errors[0]


def test_credentials_of_a_profile_are_not_shown(s3: S3, export: Export, tmp_path: Path) -> None:
    """No variable holds them, but an answer may."""
    url = s3.upload(export.folder, "profile")
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n", encoding="utf-8"
    )
    s3.faults.append((r"revisions/2\.json", "indiscreet"))
    env = {**NO_KEYS, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    run = read(s3, tmp_path, url, env=env)
    assert "(hidden) and (hidden) are wrong" in run.errors[0]


def test_without_the_extra_the_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    line = read_exports(tmp_path, "s3://bucket/prefix").refused()
    assert line == "export_urls needs the extra s3: pip install 'tap-kissmetrics[s3]'"
