"""The two APIs of Kissmetrics, and how they differ."""

from __future__ import annotations

import base64
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.auth import HTTPBasicAuth
from singer_sdk.authenticators import BearerTokenAuthenticator

from tap_kissmetrics.sdk_extensions.records import identity

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from requests.auth import AuthBase

    Settings: t.TypeAlias = Mapping[str, t.Any]


@dataclass(frozen=True, kw_only=True)
class Api:
    """One of the APIs: its defaults, its credentials, and the type of its ids."""

    name: str
    """The value of the setting `api`."""

    title: str
    default_url: str
    default_page_size: int
    default_requests_per_minute: int | None = None

    login: str
    """The setting without which no request can be sent. It chooses the API where the setting `api` does not."""

    credentials: tuple[str, ...]
    """All settings that hold credentials of this API."""

    settings: tuple[str, ...]
    """All settings that only this API has, besides its credentials."""

    unauthorized_hint: str
    """What a user can do about HTTP 401."""

    authenticator: t.Callable[[Settings], AuthBase]

    has_numeric_ids: bool
    """Whether ids are numbers; otherwise they are text."""

    def parse_id(self, value: str | int) -> str | int:
        """Convert an id from the settings to the type that the API uses; raise `ValueError` if it is no number."""
        return int(value) if self.has_numeric_ids else str(value)

    def url(self, settings: Settings) -> str:
        """Return the root URL, without a slash at its end."""
        return normalize_url(settings.get("api_url") or self.default_url)

    def page_size(self, settings: Settings) -> int:
        """Return the number of records to ask for in one request."""
        return int(settings.get("page_size") or self.default_page_size)

    def requests_per_minute(self, settings: Settings) -> int | None:
        """Return the rate limit to stay within, if there is one."""
        limit = settings.get("requests_per_minute") or self.default_requests_per_minute
        return int(limit) if limit else None

    def product_ids(self, settings: Settings) -> list[str | int]:
        """Return the products to read, each once; none stands for all."""
        return self.unique_ids(settings.get("product_ids") or ())

    def unique_ids(self, ids: Iterable[str | int]) -> list[str | int]:
        """Convert ids from the settings, and drop those that are the same to a table."""
        unique: dict[str | int, str | int] = {}
        for value in map(self.parse_id, ids):
            unique.setdefault(identity(value, is_numeric=self.has_numeric_ids), value)
        return list(unique.values())


def _basic(settings: Settings) -> AuthBase:
    return HTTPBasicAuth(settings["username"].encode(), settings.get("password", "").encode())


def _bearer(settings: Settings) -> AuthBase:
    return t.cast("AuthBase", BearerTokenAuthenticator(token=settings["api_token"]))


CORE: t.Final = Api(
    name="core",
    title="Core API",
    default_url="https://api.kissmetrics.com/core",
    default_page_size=1000,
    login="api_token",
    credentials=("api_token",),
    settings=("query_url",),
    unauthorized_hint="api_token is wrong or expired; make a new one in the account settings of Kissmetrics",
    authenticator=_bearer,
    has_numeric_ids=False,
)

QUERY: t.Final = Api(
    name="query",
    title="Query API",
    default_url="https://query.kissmetrics.io/v3",
    default_page_size=10_000,
    default_requests_per_minute=15,
    login="username",
    credentials=("username", "password"),
    settings=("queries",),
    unauthorized_hint="username or password is wrong; an API key is a username, and has no password",
    authenticator=_basic,
    has_numeric_ids=True,
)

METRIC_PATH: t.Final = "/query"
"""The root of the metric queries of the Core API, beside that of its lists."""

APIS: t.Final = {api.name: api for api in (CORE, QUERY)}


def get_api(settings: Settings) -> Api:
    """Return the API that the settings choose: by `api`, else by the credentials that there are, else the Core API."""
    if chosen := settings.get("api"):
        return APIS[chosen]
    given = [api for api in APIS.values() if settings.get(api.login)]
    return given[0] if given else CORE


def reads_api(settings: Settings) -> bool:
    """Return whether an API is read: not where there are exports, and neither credentials nor results to ask for."""
    needs_api = ("report_ids", "metric_ids", "queries", *(api.login for api in APIS.values()))
    return not settings.get("export_urls") or any(settings.get(name) for name in needs_api)


def query_url(settings: Settings) -> str:
    """Return the root URL of the endpoints that run reports of the Core API, without a slash at its end."""
    return normalize_url(settings["query_url"])


def metric_url(settings: Settings) -> str:
    """Return the root URL of the metric queries of the Core API, which are at the origin of `api_url`."""
    return urlsplit(CORE.url(settings))._replace(path=METRIC_PATH).geturl()


def setting_of_url(url: str, settings: Settings) -> str:
    """Return the name of the setting that a requested URL comes from."""
    api = get_api(settings)
    is_query = api is CORE and url.startswith(f"{query_url(settings)}/")
    return "query_url" if is_query and not api.url(settings).startswith(query_url(settings)) else "api_url"


def normalize_url(url: str) -> str:
    """Write a root URL as requests does in the URLs below it; raise `ValueError` if it is none."""
    request = PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url).rstrip("/?")


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the secrets in settings that need not be valid, in every form in which they are sent."""
    secrets = {name: settings.get(name) for name in ("api_token", "username", "password")}
    yield from (secret for secret in secrets.values() if isinstance(secret, str))
    if isinstance(user := secrets["username"], str):
        password = secrets["password"] if isinstance(secrets["password"], str) else ""
        yield base64.b64encode(f"{user}:{password}".encode(errors="surrogatepass")).decode()
