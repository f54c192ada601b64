"""Which exception an HTTP status becomes, with which message."""

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


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_is_no_error(status: int) -> None:
    """Whatever 2xx it is."""
    assert error_for_response(status, make_response(status=status), api=CORE, setting="api_url") is None


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (
            300,
            FatalAPIError,
            "HTTP 300: the API redirects /core/events to no host that it names, and",
        ),
        (
            302,
            FatalAPIError,
            "HTTP 302: the API redirects /core/events to no host that it names, and",
        ),
        (
            399,
            FatalAPIError,
            "HTTP 399: the API redirects /core/events to no host that it names, and",
        ),
        (400, RefusedRequestError, "HTTP 400: Bad Request for /core/events: API message: No"),
        (401, AuthenticationError, "HTTP 401: api_token is wrong or expired; make a new one in the account settings"),
        (402, FatalAPIError, "HTTP 402: Payment Required for /core/events: API message: No"),
        (403, FatalAPIError, "HTTP 403: api_token cannot read /core/events; deselect the stream or widen the access"),
        (404, NotFoundError, "HTTP 404: nothing at /core/events; check api_url and product_ids: API message: No"),
        (405, FatalAPIError, "HTTP 405: Method Not Allowed for /core/events: API message: No"),
        (408, RetriableAPIError, "HTTP 408: Request Timeout for /core/events: API message: No"),
        (410, FatalAPIError, "HTTP 410: Gone for /core/events: API message: No"),
        (418, FatalAPIError, "HTTP 418: I'm a Teapot for /core/events: API message: No"),
        (422, RefusedRequestError, "HTTP 422: Unprocessable "),
        (425, RetriableAPIError, "HTTP 425: Too Early for /core/events: API message: No"),
        (429, RateLimitError, "HTTP 429: Too Many Requests for /core/events: API message: No"),
        (451, FatalAPIError, "HTTP 451: Unavailable For Legal Reasons for /core/events: API message: No"),
        (499, FatalAPIError, "HTTP 499: API message: No"),
        (500, RetriableAPIError, "HTTP 500: Internal Server Error for /core/events: API message: No"),
        (501, RetriableAPIError, "HTTP 501: Not Implemented for /core/events: API message: No"),
        (503, RetriableAPIError, "HTTP 503: Service Unavailable for /core/events: API message: No"),
        (599, RetriableAPIError, "HTTP 599: API message: No"),
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
        (429, "soon", RateLimitError, None),
        (503, None, RetriableAPIError, None),
        (503, "7", RateLimitError, 7.0),
        (503, "soon", RetriableAPIError, None),
        (408, "0", RateLimitError, 0.0),
        (404, "7", NotFoundError, None),
    ],
)
def test_a_retry_after(status: int, retry_after: str | None, kind: type[Exception], seconds: float | None) -> None:
    """Of a request that may be retried it makes a rate limit."""
    response = make_response(status=status, headers={"Retry-After": retry_after} if retry_after else {})
    error = error_for_response(status, response, api=CORE, setting="api_url")
    assert type(error) is kind
    assert getattr(error, "retry_after", None) == seconds


@pytest.mark.parametrize(("api", "login"), [(CORE, "api_token"), (V3, "username")])
def test_the_words_of_each_api(api: Any, login: str) -> None:
    """The setting that logs in, and the one that the URL is from."""
    forbidden, missing = (
        str(error_for_response(status, make_response(), api=api, setting="query_url")) for status in (403, 404)
    )
    assert f"{login} cannot read" in forbidden
    assert "check query_url and product_ids" in missing


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("http://elsewhere.example.com/core", "elsewhere.example.com"),
        ("//elsewhere.example.com/core", "elsewhere.example.com"),
        ("http://me:hidden@elsewhere.example.com/x", "elsewhere.example.com"),
        ("http://elsewhere:port/", "elsewhere:port"),
        ("/core/properties", "no host that it names"),
        ("http://[", "no host that it names"),
        ("", "no host that it names"),
    ],
)
def test_a_redirect(location: str, host: str) -> None:
    """The host is named, and no password in its URL."""
    response = make_response(status=302, headers={"Location": location})
    line = str(error_for_response(302, response, api=CORE, setting="api_url"))
    assert f"the API redirects /core/events to {host}, and" in line
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<h1>No</h1>", ""),
        (b"", ""),
        (b"[" * 100_000, ""),
        (None, ""),
        (5, ""),
        ({"data": "not a message"}, ""),
        ("No", ": API message: No"),
        ({"message": "No"}, ": API message: No"),
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
def test_the_message_of_a_body(body: object, message: str) -> None:
    """On one line, printable, not too long; a body without a message is not shown."""
    error = error_for_response(400, make_response(body, 400), api=CORE, setting="api_url")
    assert str(error) == f"HTTP 400: Bad Request for /core/events{message}"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (requests.exceptions.SSLError("broken"), RetriableAPIError, "no complete response from .*: broken"),
        (
            requests.exceptions.ProxyError("down"),
            RetriableAPIError,
            "no complete response from .* through the proxy in",
        ),
        (requests.exceptions.ConnectionError("refused"), RetriableAPIError, "no complete response from .*: refused"),
        (requests.exceptions.ReadTimeout("timed out"), RetriableAPIError, "no complete response from .*: timed out"),
        (requests.exceptions.InvalidURL("nonsense"), FatalAPIError, "cannot be reached: nonsense; check api_url, and"),
        (requests.exceptions.InvalidHeader("twice"), RetriableAPIError, "no complete response from .*: twice"),
    ],
)
def test_an_exception(error: requests.RequestException, kind: type[Exception], says: str) -> None:
    """What breaks on the way may pass, a wrong address does not."""
    found = error_for_connection(error, "api_url")
    assert type(found) is kind
    assert re.search(says, str(found))


def ssl_error(kind: type[ssl.SSLError], reason: str, text: str) -> requests.exceptions.SSLError:
    """Make an error as the HTTP library wraps it."""
    cause = kind(1, text)
    cause.reason = reason
    error = requests.exceptions.SSLError(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("kind", "reason", "expected", "says"),
    [
        (ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED", FatalAPIError, "certificate .* SSL_CERT_FILE"),
        (ssl.SSLError, "WRONG_VERSION_NUMBER", FatalAPIError, "does not speak TLS"),
        (ssl.SSLError, "HTTP_REQUEST", FatalAPIError, "does not speak TLS"),
        (ssl.SSLError, "DECRYPTION_FAILED_OR_BAD_RECORD_MAC", RetriableAPIError, "no complete response"),
        (ssl.SSLError, "TLSV1_ALERT_INTERNAL_ERROR", RetriableAPIError, "no complete response"),
        (ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING", RetriableAPIError, "no complete response"),
        (ssl.SSLZeroReturnError, "", RetriableAPIError, "no complete response"),
    ],
)
def test_tls_errors_by_cause(
    kind: type[ssl.SSLError], reason: str, expected: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a verification error is about the certificate; what may pass is tried again."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    found = error_for_connection(ssl_error(kind, reason, f"[SSL: {reason}] failed"), "api_url")
    assert type(found) is expected
    assert re.search(says, str(found))


@pytest.mark.parametrize(
    ("body", "content_type", "page"),
    [
        (b"<html>Blocked</html>", "text/html; charset=utf-8", "an HTML page"),
        (b"<HTML>Blocked</HTML>", "TEXT/HTML", "an HTML page"),
        (b"<!doctype html>Blocked", "", "an HTML page"),
        (b"<html>Blocked</html>", "application/json", "an HTML page"),
        (b"", "text/html", "an HTML page"),
        (b"error code: 1020", "text/plain", "a text"),
    ],
)
def test_what_a_firewall_sends_is_not_about_access(body: bytes, content_type: str, page: str) -> None:
    """A 403 that is not from the API."""
    response = make_response(body, 403, headers={"Content-Type": content_type})
    line = str(error_for_response(403, response, api=CORE, setting="api_url"))
    assert (
        line == f"HTTP 403: /core/events is refused by {page}, which is not from the API: check firewalls and proxies"
    )


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_json_of_the_api_is_about_access(content_type: str) -> None:
    """Whatever type it is declared as; so is no body at all."""
    response = make_response(b'{"message": "No"}', 403, headers={"Content-Type": content_type})
    line = str(error_for_response(403, response, api=CORE, setting="api_url"))
    assert line.endswith("api_token cannot read /core/events; deselect the stream or widen the access: API message: No")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("407 Proxy Authentication Required", FatalAPIError), ("403 Forbidden", FatalAPIError),
     ("408 Request Timeout", RetriableAPIError), ("429 Too Many Requests", RetriableAPIError),
     ("502 Bad Gateway", RetriableAPIError)],
)  # fmt: skip
def test_a_proxy_that_makes_no_tunnel(answer: str, kind: type[Exception]) -> None:
    """What it refuses once, it refuses again."""
    found = error_for_connection(requests.exceptions.ProxyError(f"Tunnel connection failed: {answer}"), "api_url")
    assert type(found) is kind
    assert answer in str(found)
    assert "the proxy in the environment" in str(found)


@pytest.mark.parametrize(("no_proxy", "by"), [("*", "api.example.com:8443"), ("", "the proxy in the environment")])
def test_a_refused_connection(no_proxy: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who refuses it is named: the proxy, if there is one."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    error = requests.exceptions.ConnectionError("failed")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    error.request = requests.Request("GET", "https://api.example.com:8443/core").prepare()
    found = error_for_connection(error, "api_url")
    assert type(found) is RetriableAPIError
    assert str(found) == f"connection refused by {by}"


@pytest.mark.parametrize("no_proxy", ["", "*"])
def test_a_proxy_is_named_in_any_error(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That hangs up or is silent, too, which the library does not tell from a server that does."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    request = requests.Request("GET", "https://api.example.com/core").prepare()
    found = error_for_connection(requests.exceptions.ConnectTimeout("timed out", request=request), "api_url")
    way, place = (
        ("", "api_url") if no_proxy else (" through the proxy in the environment", "the proxy in the environment")
    )
    hint = f"check the network, VPN and DNS, and {place}"
    assert str(found) == f"no complete response from api.example.com{way}: timed out; {hint}"
