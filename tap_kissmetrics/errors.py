"""The exceptions that a user can meet, and how an HTTP response or a failed connection becomes one.

    SingerSDKError
      ConfigurationError
        InputError                a setting, a file or a variable is wrong; nothing was requested
      SyncError
        RetriableSyncError
          RetriableAPIError       retried for `retry_timeout` seconds
            RateLimitError        retried within a budget of its own
        FatalSyncError
          FatalAPIError           not retried
            NotFoundError         the API has nothing there, or no longer
            RefusedRequestError   the API does not understand the request
            NotThereError         a file of an export does not exist
            AbortRunError         no stream can be read: the run ends
              AuthenticationError
      StreamError                 one stream failed; the others are still synced
      StreamsFailedError          some streams failed; raised at the end of the run
      OutputError                 stdout, or a batch file, cannot be written: the run ends
    SystemExit
      ShutdownRequested           a signal ended the run

Each is logged as one line; `__main__` turns those that end a run into an exit code.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import typing as t
from http import HTTPStatus
from http.client import responses
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.apis import METRIC_PATH
from tap_kissmetrics.sdk_extensions.http import UnsendableRequestError, bundle_variable, is_not_trusted, speaks_no_tls
from tap_kissmetrics.sdk_extensions.logs import REDACTOR, describe_cause, first_cause, truncate
from tap_kissmetrics.sdk_extensions.retry import RateLimitError, parse_retry_after
from tap_kissmetrics.sdk_extensions.stream import AbortRunError

if t.TYPE_CHECKING:
    from tap_kissmetrics.apis import Api

_RETRIABLE_STATUSES: t.Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}

_NETWORK_ERRORS: t.Final = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}

_find_refusal: t.Final = re.compile(r"Tunnel connection failed: 4(?!08|29)").search
"""Finds in an error that a proxy does not let the tap through, and will not if asked again."""

_MESSAGE_KEYS: t.Final = ("message", "messages", "error", "errors", "reason", "meta")
"""Where the APIs put the message of an error."""

_is_code: t.Final = re.compile("[a-z_]+").fullmatch


class AuthenticationError(AbortRunError):
    """The API does not accept the credentials."""


class NotFoundError(FatalAPIError):
    """The API has nothing there, or no longer."""


class RefusedRequestError(FatalAPIError):
    """The API does not understand the request."""


_FATAL_ERRORS: t.Final[dict[int, type[FatalAPIError]]] = {
    HTTPStatus.BAD_REQUEST: RefusedRequestError,
    HTTPStatus.UNAUTHORIZED: AuthenticationError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.UNPROCESSABLE_ENTITY: RefusedRequestError,
}

FORBIDDEN: t.Final = "HTTP 403: Forbidden"
"""The kind of an error that says that the credentials may not read something."""


def error_for_response(
    status: int, response: requests.Response, *, api: Api, setting: str, body: object = None
) -> Exception | None:
    """Convert a status to the exception to raise, retriable where another attempt can help; None below 300.

    The status may be that of the response or one that its decoded body reports; `setting` is the one that holds the
    URL. The `kind` of the exception is what the same status says of other requests.
    """
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    message, kind = _describe(status, response, api, setting, body)
    retry_after = parse_retry_after(response)
    error: t.Any
    if status in _FATAL_ERRORS:
        error = _FATAL_ERRORS[status](message)
    elif status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIABLE_STATUSES:
        error = FatalAPIError(message)
    elif status == HTTPStatus.TOO_MANY_REQUESTS or retry_after is not None:
        error = RateLimitError(message, response)
        error.retry_after = retry_after
        error.is_too_many_requests = status == HTTPStatus.TOO_MANY_REQUESTS
    else:
        error = RetriableAPIError(message, response)
    error.kind = kind
    return t.cast("Exception", error)


def error_for_connection(error: requests.RequestException, setting: str) -> Exception:
    """Convert an error of the HTTP library; `setting` is the one that holds the URL."""
    url, cause, first = requested_url(error), describe_cause(error), first_cause(error)
    host = urlsplit(url).netloc
    is_proxied = url.startswith("https:") and select_proxy(url, get_environ_proxies(url))
    proxy = "the proxy in the environment" if is_proxied or isinstance(error, requests.exceptions.ProxyError) else ""
    if is_not_trusted(cause):
        return FatalAPIError(f"the certificate of {host} is not accepted: {cause}; check {bundle_variable()}")
    if speaks_no_tls(cause):
        return FatalAPIError(f"{host} does not speak TLS: {cause}; check {setting}, and the proxy in the environment")
    # The URL is malformed, or that of the proxy.
    is_malformed = isinstance(error, ValueError) and not isinstance(error, requests.exceptions.InvalidHeader)
    if is_malformed or isinstance(error, UnsendableRequestError) or _find_refusal(cause):
        return FatalAPIError(f"{host} cannot be reached: {cause}; check {setting}, and the proxy in the environment")
    if isinstance(first, ConnectionRefusedError):
        return RetriableAPIError(f"connection refused by {proxy or host}")
    is_offline = isinstance(first, socket.gaierror) or getattr(first, "errno", None) in _NETWORK_ERRORS
    is_offline = is_offline or isinstance(error, requests.exceptions.ConnectTimeout)
    hint = f"; check the network, VPN and DNS, and {proxy or setting}" if is_offline else ""
    return RetriableAPIError(f"no complete response from {host}{proxy and f' through {proxy}'}: {cause}{hint}")


def requested_url(error: requests.RequestException) -> str:
    """Return the URL of the request that failed; empty if the library does not tell."""
    return str(error.request.url) if error.request is not None else ""


def quote_message(body: object) -> str:
    """Return the message of an error that the API reports; empty if there is none."""
    return truncate("; ".join(_messages(body)))


def _describe(status: int, response: requests.Response, api: Api, setting: str, body: object) -> tuple[str, str]:
    """Describe a status: the message, and what of it holds for other requests too."""
    path = REDACTOR.redact(urlsplit(response.url).path, is_own=True)
    body = _decode(response) if body is None else body
    kind = ": ".join(filter(None, (f"HTTP {status}", responses.get(status))))
    if status < HTTPStatus.BAD_REQUEST:
        try:
            host = truncate(urlsplit(response.headers.get("Location", "")).netloc.rpartition("@")[2])
        except ValueError:
            host = ""
        problem = (
            f"HTTP {status}: the API redirects {path} to {host or 'no host that it names'}, and redirects are not "
            f"followed, because that would send the credentials there; set {setting} to the right address"
        )
    elif status == HTTPStatus.UNAUTHORIZED:
        problem = f"HTTP 401: {api.unauthorized_hint}"
    elif status == HTTPStatus.FORBIDDEN and body is None and (page := _describe_page(response)):
        kind = f"HTTP 403: {page} that is not from the API: check firewalls and proxies"
        problem = f"HTTP 403: {path} is refused by {page}, which is not from the API: check firewalls and proxies"
    elif status == HTTPStatus.FORBIDDEN:
        problem = f"HTTP 403: {api.login} cannot read {path}; deselect the stream or widen the access"
    elif status == HTTPStatus.NOT_FOUND:
        problem = f"HTTP 404: nothing at {path}; check {setting}{_what_else_to_check(path, api, setting)}"
    else:
        problem = f"{kind} for {path}" if status in responses else kind
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind += "; set requests_per_minute"
    if message := quote_message(body):
        problem += f": API message: {message}"
    return problem, kind


def _describe_page(response: requests.Response) -> str:
    """Say what a body is that is no JSON; empty where there is none."""
    if b"<" in response.content or "html" in response.headers.get("Content-Type", "").lower():
        return "an HTML page"
    return "a text" if response.content.strip() else ""


def _what_else_to_check(path: str, api: Api, setting: str) -> str:
    root = urlsplit(api.default_url).path
    if setting == "api_url" and not path.startswith((f"{root}/", f"{METRIC_PATH}/")):
        return f", which ends with {root} by default"
    return "" if path.endswith(("/accounts", "/products")) else " and product_ids"


def _decode(response: requests.Response) -> object:
    """Decode the body of an error; None for one that is no JSON, such as a proxy's HTML page, which is not shown."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _messages(body: object) -> t.Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for item in body:
            yield from _messages(item)
    elif isinstance(body, dict):
        for key in _MESSAGE_KEYS:
            for text in _messages(body.get(key)):
                # {"message": "not found", "errors": ["not_found"]} says it twice.
                if key != "errors" or "message" not in body or not _is_code(text):
                    yield text
