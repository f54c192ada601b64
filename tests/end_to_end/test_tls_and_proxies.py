"""Over TLS the account is read as over plain HTTP, from no server but the one that was meant, also through a proxy."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
import trustme

from tests.sandbox import RESOURCES, Sandbox, faults, make_account, make_query_account
from tests.support.assertions import assert_every_record_once, assert_says
from tests.support.cases import SMALL, SMALL_QUERY, small_sandbox, watched_sync
from tests.support.connect_proxy import connect_proxy
from tests.support.exports import read_exports

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.sandbox import ApiName
    from tests.support.clock import Clock

pytestmark = pytest.mark.usefixtures("clock")

PROXY_PASSWORD = "proxy-password-that-opens-nothing-else"  # noqa: S105 - there is nothing to open


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """Environment in which its certificates are accepted."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return {"REQUESTS_CA_BUNDLE": str(bundle)}


class Handshakes:
    """Makes TLS connections, and breaks the first ones off when they begin."""

    def __init__(self, authority: trustme.CA, host: str = "127.0.0.1", *, dropped: int = 0) -> None:
        """Show a certificate for a host, signed by an authority."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self._context)
        self.dropped = dropped

    def __call__(self, connection: socket.socket) -> socket.socket:
        """Prepare to shake hands, or hang up."""
        if self.dropped:
            self.dropped -= 1
            connection.recv(65_536)  # the client's hello
            connection.close()
            raise ConnectionAbortedError
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


def secure(handshakes: Handshakes, api: ApiName = "core", **switches: Any) -> Sandbox:
    """Make a small sandbox."""
    account = make_account(**SMALL) if api == "core" else make_query_account(**SMALL_QUERY)
    return Sandbox(account, api=api, tls=handshakes, **switches)


@pytest.mark.parametrize("api", ["core", "query"])
def test_every_record_comes(api: ApiName, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    """With the bundle of a company's own authority."""
    with secure(Handshakes(authority), api) as sandbox:
        assert sandbox.url.startswith("https:")
        run = watched_sync(sandbox, tmp_path, env=trusting).succeeded()
    assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize(
    ("host", "is_trusted"), [("127.0.0.1", False), ("127.0.0.2", True)], ids=["unknown authority", "another host"]
)
def test_another_certificate_is_refused(
    host: str, is_trusted: bool, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path  # noqa: FBT001
) -> None:  # fmt: skip
    """At once, and nothing is asked: the token does not leave."""
    with secure(Handshakes(authority, host)) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=trusting if is_trusted else None, retry_timeout=600)
    assert run.code == 1
    assert sandbox.requests == []
    assert set(run.failed) == set(RESOURCES)
    assert_says(run, r"ERROR.*the certificate of 127.0.0.1:\d+ is not accepted: .*certificate verify failed")
    assert "trying again" not in run.stderr


@pytest.mark.parametrize("is_tls", [True, False], ids=["unknown authority", "no TLS"])
def test_exports_behind_tls(is_tls: bool, authority: trustme.CA, clock: Clock, tmp_path: Path) -> None:  # noqa: FBT001
    """The same for S3: not asked again, and the line says what to check."""
    with secure(Handshakes(authority)) if is_tls else small_sandbox() as sandbox:
        endpoint = f"https://{urlsplit(sandbox.url).netloc}"
        env = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        env |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
        run = read_exports(tmp_path, "s3://bucket/x", env=env, retry_timeout=600)
    assert run.failed == ["raw_events"]
    assert "s3://bucket/x cannot be read: [SSL: " in run.errors[0]
    assert run.errors[0].endswith("; check AWS_CA_BUNDLE and AWS_ENDPOINT_URL")
    assert not clock.slept


def test_handshakes_that_are_dropped_are_tried_again(
    authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    """As any connection that breaks is."""
    handshakes = Handshakes(authority, dropped=2)
    with secure(handshakes) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=trusting, max_concurrency=1).succeeded()
    assert handshakes.dropped == 0
    assert run.stderr.count("; retrying in") == 2
    assert_every_record_once(run, sandbox.account)


def test_patience_ends_over_tls_too(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    """A body that trickles in is given up after five times `request_timeout`, and the page is read again."""
    slow = faults.drip(0.1, resource="events", nth=1)
    with secure(Handshakes(authority), faults=[slow]) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=trusting, request_timeout=0.3).succeeded()
    assert_says(run, r"events: no complete response from .*(took more than 1.5 s|timed out); retrying in")
    assert_every_record_once(run, sandbox.account)


def test_a_proxy_only_makes_tunnels(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    """It sees where to, and its own password; neither a path nor the token. None of it is logged."""
    with connect_proxy() as proxy, secure(Handshakes(authority)) as sandbox:
        through = f"http://somebody:{PROXY_PASSWORD}@{proxy.authority}"
        run = watched_sync(sandbox, tmp_path, env={**trusting, "NO_PROXY": "", "HTTPS_PROXY": through}).succeeded()
    assert_every_record_once(run, sandbox.account)
    server = sandbox.url.removeprefix("https://").removesuffix("/core")
    assert proxy.asked
    for head in proxy.asked:
        assert head.startswith(f"CONNECT {server} HTTP/1.".encode())
        assert b"\r\nProxy-Authorization: Basic " in head
        assert b"/core" not in head
        assert sandbox.token.encode() not in head
    assert PROXY_PASSWORD not in run.stdout + run.stderr
    assert not any("proxy-authorization" in request.headers for request in sandbox.requests)


def test_a_proxy_that_is_down(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    """It is tried again, then named as what may be wrong; its password is not shown."""
    with connect_proxy() as proxy:
        through = f"http://somebody:{PROXY_PASSWORD}@{proxy.authority}"
    with secure(Handshakes(authority)) as sandbox:
        env = {**trusting, "NO_PROXY": "", "HTTPS_PROXY": through}
        run = watched_sync(sandbox, tmp_path, env=env, retry_timeout=0.5)
    assert run.code == 1
    assert_says(run, "ERROR.*connection refused by the proxy in the environment$")
    assert PROXY_PASSWORD not in run.stdout + run.stderr
    assert sandbox.requests == []


USER, PASSWORD = "somebody@example.com", "p@ss wörd/with=signs"
LOGIN = f"{USER}:{PASSWORD}"

ECHOES: dict[str, str] = {
    "plain": LOGIN,
    "the password alone": PASSWORD,
    "as in a URL": f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}",
    "as in a URL, lower case": f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}".lower(),
    "Base64": base64.b64encode(LOGIN.encode()).decode(),
    "Base64 without its end": base64.b64encode(LOGIN.encode()).decode().rstrip("="),
    "Base64 for a URL": base64.urlsafe_b64encode(LOGIN.encode()).decode(),
    "the password in Base64": base64.b64encode(PASSWORD.encode()).decode(),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_a_proxy_that_echoes_its_login(echo: str, tmp_path: Path) -> None:
    """In the reason of its refusal: it is not shown, in whatever form."""
    shown = ECHOES[echo]
    with connect_proxy() as proxy, Sandbox(make_account(**SMALL)) as sandbox:
        proxy.refusal = f"HTTP/1.1 407 Wrong login {shown} was given\r\n\r\n".encode("latin-1")
        through = f"http://{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@{proxy.authority}"
        env = {"NO_PROXY": "", "HTTPS_PROXY": through}
        url = sandbox.url.replace("http:", "https:")
        run = watched_sync(sandbox, tmp_path, env=env, api_url=url, retry_timeout=0)
    assert set(run.failed) == set(RESOURCES)
    assert "Tunnel connection failed: 407 Wrong login" in run.errors[0]
    assert shown not in run.stderr
    assert PASSWORD not in run.stderr


@pytest.mark.parametrize("proxy", ["http://somebody:{}@127.0.0.1:99999", "http://somebody:{}/@127.0.0.1:1", "{}@[::1"])
def test_a_proxy_that_is_no_address(proxy: str, tmp_path: Path) -> None:
    """The line names what to check, and its password is not shown."""
    env = {"NO_PROXY": "", "HTTPS_PROXY": proxy.format(PROXY_PASSWORD)}
    with Sandbox(make_account(**SMALL)) as sandbox:
        url = sandbox.url.replace("http:", "https:")
        run = watched_sync(sandbox, tmp_path, env=env, api_url=url, retry_timeout=0)
    assert run.code == 1
    assert set(run.failed) == set(RESOURCES)
    assert_says(run, "ERROR.*proxy in the environment")
    assert PROXY_PASSWORD not in run.stdout + run.stderr


def test_a_host_that_no_proxy_is_for(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    """`NO_PROXY` names it: it is asked directly."""
    with connect_proxy() as proxy, secure(Handshakes(authority)) as sandbox:
        env = {**trusting, "NO_PROXY": "127.0.0.1", "HTTPS_PROXY": f"http://{proxy.authority}"}
        run = watched_sync(sandbox, tmp_path, env=env).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert proxy.asked == []


def test_plain_http_never_goes_through_a_proxy(tmp_path: Path) -> None:
    """It is for this machine alone, and would show the token to the proxy."""
    with connect_proxy() as proxy, Sandbox(make_account(**SMALL)) as sandbox:
        through = f"http://{proxy.authority}"
        env = {"NO_PROXY": "", "HTTP_PROXY": through, "http_proxy": through, "ALL_PROXY": through}
        run = watched_sync(sandbox, tmp_path, env=env).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert proxy.asked == []
