"""What an answer that is no page means, or none at all, in words a user can act on."""

from __future__ import annotations

import json
import ssl
import typing as t
from http import HTTPStatus
from urllib.parse import urlsplit

import requests
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError

from tap_kissmetrics.errors import AuthenticationError, NotFoundError, RateLimitError
from tap_kissmetrics.logs import SECRETS
from tap_kissmetrics.retry import retry_after

if t.TYPE_CHECKING:
    from tap_kissmetrics.apis import Api

LONGEST_MESSAGE: t.Final = 200
"""Characters that are shown of what the API, or a library, says."""

_CAN_PASS: t.Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}

_ADVICE: t.Final = {
    HTTPStatus.UNAUTHORIZED: "{api.unauthorized}",
    HTTPStatus.FORBIDDEN: "{api.forbidden} may not read {path}; deselect the stream or widen the access",
    HTTPStatus.NOT_FOUND: "nothing at {path}; check {setting} and product_ids",
}


def problem(status: int | None, response: requests.Response, api: Api, setting: str) -> Exception | None:
    """Tell what went wrong.

    Args:
        status: The HTTP status, or that of an envelope's `meta`, if it has one.
        response: The API's answer.
        api: The API.
        setting: Name of the setting that the address comes from.

    Returns:
        The exception to raise: retriable where another try can help, fatal otherwise.
        None if nothing went wrong.
    """
    if status is None or status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    message = _describe(status, response, api, setting)
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthenticationError(message)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(message)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _CAN_PASS:
        return FatalAPIError(message)
    pause = retry_after(response)
    if status == HTTPStatus.TOO_MANY_REQUESTS or pause is not None:
        error = RateLimitError(message, response)
        error.pause = pause
        return error
    return RetriableAPIError(message, response)


def no_answer(error: Exception, url: str, setting: str) -> Exception:
    """Tell why no answer came.

    Args:
        error: What was raised as a request was sent: by requests, or of a file that the
            environment names, such as that in REQUESTS_CA_BUNDLE.
        url: The address that was asked.
        setting: Name of the setting that it comes from.

    Returns:
        The exception to raise: retriable where another try can help, fatal otherwise.
    """
    host, why = urlsplit(url).netloc, root_cause(error)
    if isinstance(error, ValueError) and not isinstance(error, requests.exceptions.InvalidHeader):
        # Of an address that is none.
        return FatalAPIError(f"{host} cannot be asked: {why}; check {setting}, and the proxy in the environment")
    if not isinstance(error, requests.RequestException):
        return FatalAPIError(f"{host} cannot be asked: {why}")
    dropped = isinstance(_first_cause(error), (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if isinstance(error, requests.exceptions.SSLError) and not dropped:
        return FatalAPIError(f"the certificate of {host} is not accepted: {why}")
    way = " through the proxy in the environment" if isinstance(error, requests.exceptions.ProxyError) else ""
    return RetriableAPIError(f"no complete answer from {host}{way}: {why}")


def _describe(status: int, response: requests.Response, api: Api, setting: str) -> str:
    path = urlsplit(response.url).path
    words = [f"HTTP {status}"]
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        host = _host(response.headers.get("Location", "")) or "no host that it names"
        words.append(
            f"the API redirects {path} to {host}, and a redirect is not followed, for "
            f"it would take the token along; set {setting} to the right address"
        )
    elif advice := _ADVICE.get(HTTPStatus(status)) if _is_known(status) else None:
        words.append(advice.format(path=path, api=api, setting=setting))
    elif _is_known(status):
        words.append(f"{HTTPStatus(status).phrase} for {path}")
    if said := api_message(response):
        words.append(f"the API says: {said}")
    return SECRETS.clean(": ".join(words))


def _is_known(status: int) -> bool:
    return status in HTTPStatus._value2member_map_


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or None
    except ValueError:
        return None


def _first_cause(error: BaseException) -> BaseException:
    while deeper := error.__cause__ or error.__context__:
        error = deeper
    return error


def root_cause(error: BaseException) -> str:
    """Say what a chain of exceptions began with.

    Args:
        error: The last exception, as HTTP libraries wrap it.

    Returns:
        The words of the first one, on one line.
    """
    first = _first_cause(error)
    return clipped(str(first)) or type(first).__name__


def clipped(text: str) -> str:
    """Make a text of somebody else fit for a message.

    Args:
        text: The text.

    Returns:
        Its beginning, on one line, without what cannot be printed and without secrets.
    """
    # Cleaned before its blanks are folded as well: a secret may have two in a row.
    text = SECRETS.clean(" ".join(SECRETS.clean(text).split()))
    text = SECRETS.clean("".join(c for c in text if c.isprintable()))
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."


def api_message(response: requests.Response) -> str:
    """Find the API's own words in an error's body.

    No error body is documented; the usual places are looked at, and a body that is
    no JSON, such as a proxy's HTML page, is not shown.

    Args:
        response: The API's answer.

    Returns:
        The message, on one line and clipped; empty if there is none.
    """
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    return message_of(body)


def words_of(error: object) -> str:
    """Say what the API tells of an error.

    Args:
        error: Decoded JSON.

    Returns:
        Its words, or what it is where it has none; on one line and clipped.
    """
    return message_of(error) or clipped(str(error))


def message_of(body: object) -> str:
    """Find the words in what the API says of an error.

    Args:
        body: Decoded JSON.

    Returns:
        The message, on one line and clipped; empty if there is none.
    """
    return clipped("; ".join(_messages(body)))


def _messages(body: object) -> t.Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for item in body:
            yield from _messages(item)
    elif isinstance(body, dict):
        for key in ("message", "messages", "error", "errors", "detail", "meta"):
            yield from _messages(body.get(key))
