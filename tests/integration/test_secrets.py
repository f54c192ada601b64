"""What opens an account is shown nowhere and goes to nobody else; the tests of faults look for it too, at DEBUG."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import requests

from tap_kissmetrics.sdk_extensions.http import Limits, Session
from tap_kissmetrics.sdk_extensions.waiting import Shutdown
from tests.sandbox import faults
from tests.support.assertions import assert_discreet, secrets_of
from tests.support.cases import small_sandbox, watched_sync
from tests.support.run import settings_for
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName

pytestmark = pytest.mark.usefixtures("clock")


@pytest.mark.parametrize("api", ["core", "query"])
@pytest.mark.parametrize("arguments", [["--about", "--format", "json"], ["--discover"], ["--test"]], ids=" ".join)
def test_no_command_shows_it(arguments: list[str], api: ApiName, tmp_path: Path) -> None:
    """Neither from the config file nor from the environment, at DEBUG."""
    with small_sandbox(api=api) as sandbox:
        config = settings_for(sandbox)
        given = run_tap(*arguments, folder=tmp_path, config=config, env={"LOGLEVEL": "DEBUG"}).succeeded()
        found = run_tap(*arguments, folder=tmp_path, env={"LOGLEVEL": "DEBUG", **sandbox.env}).succeeded()
    assert_discreet(given, sandbox)
    assert_discreet(found, sandbox)


@pytest.mark.parametrize("token", ["short", "a/token+with=signs%20&of?every#kind", r"t\d+(regex)*[x]$"])
def test_a_token_that_the_api_echoes_is_hidden(token: str, tmp_path: Path) -> None:
    with small_sandbox(faults.echo_token(400, resource="events"), token=token) as sandbox:
        run = watched_sync(sandbox, tmp_path)
    assert run.errors[0].endswith("API message: Cannot do that with Bearer (hidden); check page_size")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("an-api-key-of-a-usual-length", ""),
        ("someone@example.com", "pässword mit=Zeichen%20&of?every#kind:"),
        ("someone@example.com", "someone@example.com-and-more"),
        ("another@example.com", "two  blanks in a row"),
        (r"k\d+(regex)*[x]$", "short"),
    ],
)
def test_a_login_that_the_api_echoes_is_hidden(username: str, password: str, tmp_path: Path) -> None:
    """As it is sent, which is Base64, and as it is."""
    with small_sandbox(
        faults.echo_token(400, resource="events"), api="query", username=username, password=password
    ) as sandbox:
        run = watched_sync(sandbox, tmp_path)
        assert run.errors[0].endswith("API message: Cannot do that with Basic (hidden); check page_size")
        sandbox.faults[:] = [faults.status(401, reason=f"{username} and {password or username}")]
        run = watched_sync(sandbox, tmp_path)
    assert run.errors[0].endswith("(hidden) and (hidden)")


@pytest.mark.parametrize("api", ["core", "query"])
def test_it_goes_in_one_header_of_each_request_and_nowhere_else(api: ApiName, tmp_path: Path) -> None:
    with small_sandbox(api=api, polls_until_complete=0) as sandbox:
        reports = sandbox.account.ids("reports")[:1]
        watched_sync(sandbox, tmp_path, report_ids=reports).succeeded()
    assert "POST" in {request.method for request in sandbox.requests}
    sent = secrets_of(sandbox)[-1]
    for request in sandbox.requests:
        assert [name for name, value in request.headers.items() if sent in value] == ["authorization"]


def test_a_wrong_login_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with small_sandbox(api="query") as sandbox:
        run = watched_sync(sandbox, tmp_path, username="another-user-altogether")
    (line,) = run.errors
    assert line.startswith("HTTP 401: username or password is wrong; an API key is a username, and has no password")
    assert "another-user" not in run.stderr
    assert len(sandbox.requests) == 1


def test_a_session_sends_to_its_roots_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks it to send elsewhere; and it takes no login from a `.netrc`."""
    with small_sandbox() as sandbox, small_sandbox() as other:
        limits = Limits(max_concurrency=1, requests_per_minute=None, max_response_time=30)
        session = Session([sandbox.url], limits, shutdown=Shutdown(), logger=logging.getLogger())
        for url in (other.url, f"{sandbox.url}x", sandbox.url.removesuffix("/core")):
            with pytest.raises(requests.exceptions.InvalidSchema):
                session.get(f"{url}/accounts", timeout=5)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else", encoding="utf-8")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert session.get(f"{sandbox.url}/accounts", timeout=5).status_code == 401
    assert [request.headers.get("authorization") for request in sandbox.requests] == [None]
    assert other.requests == []
