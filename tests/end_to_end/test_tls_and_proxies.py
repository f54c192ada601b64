"""Over TLS the account is read as over plain HTTP, from no server but the one that was meant, also through a proxy."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING
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


def secure(handshakes: Handshakes, *happens: faults.Fault) -> Sandbox:
    """Make a small sandbox of the Core API."""
    return Sandbox(make_account(**SMALL), tls=handshakes, faults=list(happens))


@pytest.mark.parametrize("api", ["core", "query"])
def test_every_record_comes_by_a_companys_own_authority(
    api: ApiName, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    account = make_account(**SMALL) if api == "core" else make_query_account(**SMALL_QUERY)
    with Sandbox(account, api=api, tls=Handshakes(authority)) as sandbox:
        assert sandbox.url.startswith("https:")
        run = watched_sync(sandbox, tmp_path, env=trusting).succeeded()
    assert_every_record_once(run, sandbox.account)


@pytest.mark.parametrize(
    ("host", "trusted"), [("127.0.0.1", ""), ("127.0.0.2", "REQUESTS_CA_BUNDLE")], ids=["authority", "host"]
)
def test_another_certificate_is_refused_before_the_token_leaves(
    host: str, trusted: str, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    env = {name: path for name, path in trusting.items() if name == trusted}
    with secure(Handshakes(authority, host)) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=env, retry_timeout=600)
    assert run.code == 1
    assert sandbox.requests == []
    assert set(run.failed) == set(RESOURCES)
    assert_says(run, r"ERROR.*the certificate of 127.0.0.1:\d+ is not accepted: .*certificate verify failed")
    assert "trying again" not in run.stderr


def test_another_certificate_of_s3_is_refused_in_a_line_that_says_what_to_check(
    authority: trustme.CA, clock: Clock, tmp_path: Path
) -> None:
    with secure(Handshakes(authority)) as sandbox:
        env = {"AWS_ENDPOINT_URL": f"https://{urlsplit(sandbox.url).netloc}", "AWS_EC2_METADATA_DISABLED": "true"}
        env |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        run = read_exports(tmp_path, "s3://bucket/x", env=env | {"HOME": str(tmp_path)}, retry_timeout=600)
    assert run.failed == ["raw_events"]
    assert "s3://bucket/x cannot be read: [SSL: " in run.errors[0]
    assert run.errors[0].endswith("; check AWS_CA_BUNDLE and AWS_ENDPOINT_URL")
    assert not clock.slept


def test_handshakes_that_are_dropped_are_tried_again(
    authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    handshakes = Handshakes(authority, dropped=2)
    with secure(handshakes) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=trusting, max_concurrency=1).succeeded()
    assert handshakes.dropped == 0
    assert run.stderr.count("; retrying in") == 2
    assert_every_record_once(run, sandbox.account)


def test_a_body_that_trickles_in_is_given_up_over_tls_too(
    authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    with secure(Handshakes(authority), faults.drip(0.1, resource="events", nth=1)) as sandbox:
        run = watched_sync(sandbox, tmp_path, env=trusting, request_timeout=0.3).succeeded()
    assert_says(run, r"events: no complete response from .*(took more than 1.5 s|timed out); retrying in")
    assert_every_record_once(run, sandbox.account)


def test_a_proxy_sees_where_to_and_its_own_password_alone(
    authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    """Neither a path nor the token; and none of it is logged."""
    with connect_proxy() as proxy, secure(Handshakes(authority)) as sandbox:
        through = f"http://somebody:{PROXY_PASSWORD}@{proxy.authority}"
        run = watched_sync(sandbox, tmp_path, env={**trusting, "NO_PROXY": "", "HTTPS_PROXY": through}).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert proxy.asked
    for head in proxy.asked:
        assert head.startswith(f"CONNECT {urlsplit(sandbox.url).netloc} HTTP/1.".encode())
        assert b"\r\nProxy-Authorization: Basic " in head
        assert b"/core" not in head
        assert sandbox.token.encode() not in head
    assert PROXY_PASSWORD not in run.stdout + run.stderr
    assert not any("proxy-authorization" in request.headers for request in sandbox.requests)


def test_a_proxy_that_is_down_is_named(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    with connect_proxy() as proxy:
        through = f"http://somebody:{PROXY_PASSWORD}@{proxy.authority}"
    with secure(Handshakes(authority)) as sandbox:
        env = {**trusting, "NO_PROXY": "", "HTTPS_PROXY": through}
        run = watched_sync(sandbox, tmp_path, env=env, retry_timeout=0.5)
    assert run.code == 1
    assert_says(run, "ERROR.*connection refused by the proxy in the environment$")
    assert PROXY_PASSWORD not in run.stdout + run.stderr
    assert sandbox.requests == []


def test_a_login_that_a_proxy_echoes_is_not_shown(tmp_path: Path) -> None:
    """Neither as it is nor in any form in which a program writes it."""
    user, password = "somebody@example.com", "p@ss wörd/with=signs"
    login = f"{user}:{password}"
    in_url = f"{quote(user, safe='')}:{quote(password, safe='')}"
    encoded = base64.b64encode(login.encode()).decode()
    forms = [login, password, in_url, in_url.lower(), encoded, encoded.rstrip("=")]
    forms += [base64.urlsafe_b64encode(login.encode()).decode(), base64.b64encode(password.encode()).decode()]
    with connect_proxy() as proxy, small_sandbox() as sandbox:
        proxy.refusal = f"HTTP/1.1 407 Wrong login {' or '.join(forms)} was given\r\n\r\n".encode("latin-1")
        env = {"NO_PROXY": "", "HTTPS_PROXY": f"http://{in_url}@{proxy.authority}"}
        url = sandbox.url.replace("http:", "https:")
        run = watched_sync(sandbox, tmp_path, env=env, api_url=url, retry_timeout=0)
    assert set(run.failed) == set(RESOURCES)
    assert "Tunnel connection failed: 407 Wrong login (hidden) or (hidden) or " in run.errors[0]
    assert [form for form in forms if form in run.stderr] == []


@pytest.mark.parametrize("proxy", ["http://somebody:{}@127.0.0.1:99999", "http://somebody:{}/@127.0.0.1:1", "{}@[::1"])
def test_a_proxy_that_is_no_address_is_named_without_its_password(proxy: str, tmp_path: Path) -> None:
    env = {"NO_PROXY": "", "HTTPS_PROXY": proxy.format(PROXY_PASSWORD)}
    with small_sandbox() as sandbox:
        url = sandbox.url.replace("http:", "https:")
        run = watched_sync(sandbox, tmp_path, env=env, api_url=url, retry_timeout=0)
    assert run.code == 1
    assert set(run.failed) == set(RESOURCES)
    assert_says(run, "ERROR.*proxy in the environment")
    assert PROXY_PASSWORD not in run.stdout + run.stderr


def test_a_host_in_no_proxy_is_asked_directly(authority: trustme.CA, trusting: dict[str, str], tmp_path: Path) -> None:
    with connect_proxy() as proxy, secure(Handshakes(authority)) as sandbox:
        env = {**trusting, "NO_PROXY": "127.0.0.1", "HTTPS_PROXY": f"http://{proxy.authority}"}
        run = watched_sync(sandbox, tmp_path, env=env).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert proxy.asked == []


def test_plain_http_never_goes_through_a_proxy(tmp_path: Path) -> None:
    """It is for this machine alone, and would show the token to the proxy."""
    with connect_proxy() as proxy, small_sandbox() as sandbox:
        through = f"http://{proxy.authority}"
        env = {"NO_PROXY": "", "HTTP_PROXY": through, "http_proxy": through, "ALL_PROXY": through}
        run = watched_sync(sandbox, tmp_path, env=env).succeeded()
    assert_every_record_once(run, sandbox.account)
    assert proxy.asked == []
