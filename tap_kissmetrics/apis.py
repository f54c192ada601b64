"""The two APIs of Kissmetrics: in what they differ."""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass

from requests.auth import HTTPBasicAuth
from singer_sdk.authenticators import BearerTokenAuthenticator

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests.auth import AuthBase


@dataclass(frozen=True, kw_only=True)
class Api:
    """One of the APIs.

    Attributes:
        title: What people call it.
        url: Its root directory.
        page_size: Records to ask for in one request.
        requests_per_minute: The documented limit; None where there is none.
        required: The setting without which it cannot be asked.
        settings: All settings that only it has.
        unauthorized: What to do where it does not know the user.
        forbidden: Who may not read something.
        authenticator: Makes what signs a request of the settings.
        numeric_ids: Whether ids are numbers; otherwise they are text.
    """

    title: str
    url: str
    page_size: int
    requests_per_minute: int | None = None
    required: str
    settings: tuple[str, ...]
    unauthorized: str
    forbidden: str
    authenticator: t.Callable[[Mapping[str, t.Any]], AuthBase]
    numeric_ids: bool

    def as_id(self, value: str | int) -> str | int:
        """Make an id as the API has it of one that the user gave.

        Args:
            value: The id.

        Returns:
            The id, as a number or as text.

        Raises:
            ValueError: If it is no number where ids are numbers.
        """
        return int(value) if self.numeric_ids else str(value)


def _basic(settings: Mapping[str, t.Any]) -> AuthBase:
    return HTTPBasicAuth(settings["username"].encode(), settings.get("password", "").encode())


def _bearer(settings: Mapping[str, t.Any]) -> AuthBase:
    return t.cast("AuthBase", BearerTokenAuthenticator(token=settings["api_token"]))


CORE: t.Final = Api(
    title="Core API",
    url="https://api.kissmetrics.com/core",
    page_size=1000,
    required="api_token",
    settings=("api_token", "query_url"),
    unauthorized="api_token is wrong or expired; make a new one in the account settings of Kissmetrics",
    forbidden="api_token",
    authenticator=_bearer,
    numeric_ids=False,
)

QUERY: t.Final = Api(
    title="Query API",
    url="https://query.kissmetrics.io/v3",
    page_size=10_000,
    requests_per_minute=15,
    required="username",
    settings=("username", "password", "metric_ids", "queries"),
    unauthorized="username or password is wrong; an API key is a username, and has no password",
    forbidden="username",
    authenticator=_basic,
    numeric_ids=True,
)

APIS: t.Final = {"core": CORE, "query": QUERY}
"""Each API by the value of the setting `api`."""


def secrets_of(settings: Mapping[str, t.Any]) -> Iterator[str]:
    """Give the secrets in settings.

    Args:
        settings: The settings, not yet checked.

    Yields:
        Every form in which a secret is sent.
    """
    secrets = {name: settings.get(name) for name in ("api_token", "username", "password")}
    yield from (secret for secret in secrets.values() if isinstance(secret, str))
    if isinstance(user := secrets["username"], str):
        password = secrets["password"] if isinstance(secrets["password"], str) else ""
        yield base64.b64encode(f"{user}:{password}".encode(errors="surrogatepass")).decode()
