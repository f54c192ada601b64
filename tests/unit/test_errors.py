"""Which exception an HTTP status or a failed connection becomes, with which message."""

from __future__ import annotations

import re
import ssl
from typing import Any

import pytest
import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.apis import CORE, V3
from tap_kissmetrics.errors import (
    AuthenticationError,
    NotFoundError,
    RefusedRequestError,
    error_for_connection,
    error_for_response,
)
from tap_kissmetrics.sdk_extensions.logs import MAX_QUOTED_LENGTH
from tap_kissmetrics.sdk_extensions.retry import RateLimitError
from tests.unit.responses import make_response

ANSWER = {"meta": {"status": 400, "message": "No"}, "data": None}


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_success_is_no_error(status: int) -> None:
    assert error_for_response(status, make_response(status=status), api=CORE, setting="api_url") is None


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (300, FatalAPIError, "HTTP 300: the API redirects /core/events to no host that it names, and"),
        (399, FatalAPIError, "HTTP 399: the API redirects /core/events to no host that it names, and"),
        (400, RefusedRequestError, "HTTP 400: Bad Request for /core/events: API message: No"),
        (401, AuthenticationError, "HTTP 401: api_token is wrong or expired; make a new one in the account settings"),
        (403, FatalAPIError, "HTTP 403: api_token cannot read /core/events; deselect the stream or widen the access"),
        (404, NotFoundError, "HTTP 404: nothing at /core/events; check api_url and product_ids: API message: No"),
        (408, RetriableAPIError, "HTTP 408: Request Timeout for /core/events: API message: No"),
        (410, FatalAPIError, "HTTP 410: Gone for /core/events: API message: No"),
        (422, RefusedRequestError, "HTTP 422: Unprocessable "),
        (425, RetriableAPIError, "HTTP 425: Too Early for /core/events: API message: No"),
        (429, RateLimitError, "HTTP 429: Too Many Requests for /core/events: API message: No"),
        (499, FatalAPIError, "HTTP 499: API message: No"),
        (500, RetriableAPIError, "HTTP 500: Internal Server Error for /core/events: API message: No"),
        (503, RetriableAPIError, "HTTP 503: Service Unavailable for /core/events: API message: No"),
        (1000, RetriableAPIError, "HTTP 1000: API message: No"),
    ],
)
def test_a_status(status: int, kind: type[Exception], says: str) -> None:
    """The exception decides whether the request is retried, the message what the user can do."""
    error = error_for_response(status, make_response(ANSWER, status), api=CORE, setting="api_url")
    assert type(error) is kind
    assert str(error).startswith(says)


@pytest.mark.parametrize(
    ("status", "retry_after", "kind", "seconds"),
    [
        (429, None, RateLimitError, None),
        (429, "7", RateLimitError, 7.0),
        (503, "7", RateLimitError, 7.0),
        (503, "soon", RetriableAPIError, None),
        (408, "0", RateLimitError, 0.0),
        (404, "7", NotFoundError, None),
    ],
)
def test_a_retry_after_makes_a_rate_limit_of_a_request_that_may_be_retried(
    status: int, retry_after: str | None, kind: type[Exception], seconds: float | None
) -> None:
    response = make_response(status=status, headers={"Retry-After": retry_after} if retry_after else {})
    error = error_for_response(status, response, api=CORE, setting="api_url")
    assert type(error) is kind
    assert getattr(error, "retry_after", None) == seconds


@pytest.mark.parametrize(("api", "login"), [(CORE, "api_token"), (V3, "username")])
def test_the_settings_of_login_and_address_are_named(api: Any, login: str) -> None:
    forbidden, missing = (
        str(error_for_response(status, make_response(), api=api, setting="query_url")) for status in (403, 404)
    )
    assert f"{login} cannot read" in forbidden
    assert "check query_url and product_ids" in missing


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("//elsewhere.example.com/core", "elsewhere.example.com"),
        ("http://me:hidden@elsewhere.example.com/x", "elsewhere.example.com"),
        ("http://elsewhere:port/", "elsewhere:port"),
        ("/core/properties", "no host that it names"),
        ("http://[", "no host that it names"),
        ("", "no host that it names"),
    ],
)
def test_the_host_of_a_redirect_is_named_without_a_password(location: str, host: str) -> None:
    response = make_response(status=302, headers={"Location": location})
    line = str(error_for_response(302, response, api=CORE, setting="api_url"))
    assert f"the API redirects /core/events to {host}, and" in line
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<h1>No</h1>", ""),
        (b"[" * 100_000, ""),
        (None, ""),
        ({"data": "not a message"}, ""),
        ("No", ": API message: No"),
        ({"messages": ["No", "and no"]}, ": API message: No; and no"),
        ({"error": {"message": "No", "code": 5}}, ": API message: No"),
        ({"errors": [{"message": "No"}, 5, None]}, ": API message: No"),
        ({"reason": "No"}, ": API message: No"),
        ({"meta": {"status": 400, "message": "No", "errors": ["and no"]}}, ": API message: No; and no"),
        ({"meta": {"status": 400, "message": "No", "errors": ["bad_request"]}}, ": API message: No"),
        ({"errors": ["bad_request"]}, ": API message: bad_request"),
        ({"message": "No", "error": "Bad", "status": 400}, ": API message: No; Bad"),
        ({"message": "no\r\n\tmore\x00\x1b[31m"}, ": API message: no more[31m"),
        ({"message": "x" * 1000}, f": API message: {'x' * MAX_QUOTED_LENGTH}..."),
    ],
)
def test_the_message_of_a_body_is_one_printable_line_of_bounded_length(body: object, message: str) -> None:
    """A body without a message is not shown."""
    error = error_for_response(400, make_response(body, 400), api=CORE, setting="api_url")
    assert str(error) == f"HTTP 400: Bad Request for /core/events{message}"


@pytest.mark.parametrize(
    ("body", "content_type", "page"),
    [
        (b"<HTML>Blocked</HTML>", "", "an HTML page"),
        (b"<html>Blocked</html>", "application/json", "an HTML page"),
        (b"", "TEXT/HTML; charset=utf-8", "an HTML page"),
        (b"error code: 1020", "text/plain", "a text"),
    ],
)
def test_a_403_of_a_firewall_is_not_about_access(body: bytes, content_type: str, page: str) -> None:
    response = make_response(body, 403, headers={"Content-Type": content_type})
    line = str(error_for_response(403, response, api=CORE, setting="api_url"))
    says = f"/core/events is refused by {page}, which is not from the API: check firewalls and proxies"
    assert line == f"HTTP 403: {says}"


def test_a_403_of_the_api_is_about_access_whatever_type_it_is_declared_as() -> None:
    response = make_response(b'{"message": "No"}', 403, headers={"Content-Type": "text/html"})
    line = str(error_for_response(403, response, api=CORE, setting="api_url"))
    assert line.endswith("api_token cannot read /core/events; deselect the stream or widen the access: API message: No")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (requests.exceptions.ConnectionError("refused"), RetriableAPIError, "no complete response from .*: refused"),
        (requests.exceptions.ReadTimeout("timed out"), RetriableAPIError, "no complete response from .*: timed out"),
        (requests.exceptions.InvalidHeader("twice"), RetriableAPIError, "no complete response from .*: twice"),
        (requests.exceptions.InvalidURL("nonsense"), FatalAPIError, "cannot be reached: nonsense; check api_url, and"),
        (
            requests.exceptions.ProxyError("Tunnel connection failed: 408 A"),
            RetriableAPIError,
            "the proxy in.*: .* 408",
        ),
        (
            requests.exceptions.ProxyError("Tunnel connection failed: 429 B"),
            RetriableAPIError,
            "the proxy in.*: .* 429",
        ),
        (
            requests.exceptions.ProxyError("Tunnel connection failed: 502 C"),
            RetriableAPIError,
            "the proxy in.*: .* 502",
        ),
        (requests.exceptions.ProxyError("Tunnel connection failed: 407 D"), FatalAPIError, "407 D; .* the proxy in"),
    ],
)
def test_a_connection_that_breaks_is_retried_and_a_wrong_address_is_not(
    error: requests.RequestException, kind: type[Exception], says: str
) -> None:
    found = error_for_connection(error, "api_url")
    assert type(found) is kind
    assert re.search(says, str(found))


@pytest.mark.parametrize(
    ("kind", "reason", "expected", "says"),
    [
        (ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED", FatalAPIError, "certificate .* SSL_CERT_FILE"),
        (ssl.SSLError, "WRONG_VERSION_NUMBER", FatalAPIError, "does not speak TLS"),
        (ssl.SSLError, "HTTP_REQUEST", FatalAPIError, "does not speak TLS"),
        (ssl.SSLError, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC", RetriableAPIError, "no complete response"),
        (ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING", RetriableAPIError, "no complete response"),
        (ssl.SSLZeroReturnError, "", RetriableAPIError, "no complete response"),
    ],
)
def test_an_error_of_tls_is_told_by_its_cause(
    kind: type[ssl.SSLError], reason: str, expected: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a verification error is about the certificate; what may pass is tried again."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    error = requests.exceptions.SSLError(f"[SSL: {reason}] failed")
    error.__cause__ = kind(1, f"[SSL: {reason}] failed")
    found = error_for_connection(error, "api_url")
    assert type(found) is expected
    assert re.search(says, str(found))


@pytest.mark.parametrize("no_proxy", ["", "*"])
def test_a_proxy_is_named_in_any_error(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs up or is silent, too, which the library does not tell from a server that does."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    request = requests.Request("GET", "https://api.example.com/core").prepare()
    refusal = requests.exceptions.ConnectionError("failed", request=request)
    refusal.__cause__ = ConnectionRefusedError(111, "Connection refused")
    timeout = requests.exceptions.ConnectTimeout("timed out", request=request)
    refused, timed_out = (error_for_connection(error, "api_url") for error in (refusal, timeout))
    assert type(refused) is type(timed_out) is RetriableAPIError
    proxy = "the proxy in the environment"
    host, way, place = ("api.example.com", "", "api_url") if no_proxy else (proxy, f" through {proxy}", proxy)
    assert str(refused) == f"connection refused by {host}"
    hint = f"check the network, VPN and DNS, and {place}"
    assert str(timed_out) == f"no complete response from api.example.com{way}: timed out; {hint}"
