"""The two APIs of Kissmetrics, how they differ, and the date ranges of the Core API."""

from __future__ import annotations

import base64
import datetime as dt
import typing as t
from dataclasses import dataclass
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from requests import PreparedRequest
from requests.auth import HTTPBasicAuth
from singer_sdk.authenticators import BearerTokenAuthenticator

from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.sdk_extensions.values import identity

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from requests.auth import AuthBase

    Settings: t.TypeAlias = Mapping[str, t.Any]


RESULT_PAGE_SIZE: t.Final = 50
"""Rows of a page of a result that was asked for without a limit."""

DOCUMENTED_PAGE_SIZES: t.Final = (20, RESULT_PAGE_SIZE)
"""Lengths of pages that were asked for without a limit: lists of the Core API, and everything else."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """One of the APIs: its defaults, its credentials, and the type of its ids."""

    name: str
    """The value of the setting `api`."""

    title: str
    default_url: str
    default_page_size: int
    documented_page_size: int
    """Records of a page that was asked for without a limit."""

    default_requests_per_minute: int | None = None

    login: str
    """The setting without which no request can be sent. It chooses the API where the setting `api` does not."""

    credentials: tuple[str, ...]
    """All settings that hold credentials of this API."""

    settings: tuple[str, ...]
    """All settings that only this API has, besides its credentials."""

    unauthorized_hint: str
    """What a user can do about HTTP 401."""

    authenticator: Callable[[Settings], AuthBase]

    has_numeric_ids: bool
    """Whether ids are numbers; otherwise they are text."""

    def parse_id(self, value: str | int) -> str | int:
        """Convert an id from the settings to the type that the API uses; raise `ValueError` if it cannot be one."""
        return int(value) if self.has_numeric_ids else str(value)

    def identity(self, value: str | int) -> str | int:
        """Return what a table compares of an id."""
        return identity(value, is_numeric=self.has_numeric_ids)

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
        unique: dict[str | int, str | int] = {}
        for value in map(self.parse_id, settings.get("product_ids") or ()):
            unique.setdefault(self.identity(value), value)
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
    documented_page_size=20,
    login="api_token",
    credentials=("api_token",),
    settings=("query_url",),
    unauthorized_hint="api_token is wrong or expired; make a new one in the account settings of Kissmetrics",
    authenticator=_bearer,
    has_numeric_ids=False,
)

V3: t.Final = Api(
    name="query",
    title="Query API",
    default_url="https://query.kissmetrics.io/v3",
    default_page_size=10_000,
    documented_page_size=50,
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

APIS: t.Final = {api.name: api for api in (CORE, V3)}


def quote_id(value: object) -> str:
    """Quote an id as a segment of a path."""
    return quote(str(value), safe="", errors="surrogatepass")


def get_api(settings: Settings) -> Api:
    """Return the API that the settings choose: by `api`, else by the credentials given, else the Core API."""
    if chosen := settings.get("api"):
        return APIS[chosen]
    given = [api for api in APIS.values() if settings.get(api.login)]
    return given[0] if given else CORE


def reads_api(settings: Settings) -> bool:
    """Return False if only exports are read: nothing is set that an API alone needs, not even an empty credential."""
    credentials = {name for api in APIS.values() for name in api.credentials}
    of_apis = ("api", "api_url", "product_ids", "report_ids", "metric_ids", "queries")
    is_given = any(settings.get(name) for name in of_apis) or not credentials.isdisjoint(settings)
    return is_given or not settings.get("export_urls")


def query_url(settings: Settings) -> str:
    """Return the root URL of the endpoints that run reports of the Core API, without a slash at its end."""
    return normalize_url(settings["query_url"])


def metric_url(settings: Settings) -> str:
    """Return the root URL of the metric queries of the Core API, which are at the origin of `api_url`."""
    return urlsplit(CORE.url(settings))._replace(path=METRIC_PATH).geturl()


def setting_of_url(url: str, settings: Settings) -> str:
    """Return the name of the setting that a requested URL comes from."""
    api = get_api(settings)
    if api is not CORE or api.url(settings).startswith(query_url(settings)):
        return "api_url"
    return "query_url" if url.startswith(f"{query_url(settings)}/") else "api_url"


def normalize_url(url: str) -> str:
    """Return a root URL as it stands in requested URLs, without a slash at its end; raise `ValueError` for none."""
    request = PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url).rstrip("/?")


def secrets_of(settings: Settings) -> Iterator[str]:
    """Yield the secrets in the settings, which may be invalid, in every form in which they are sent."""
    given = {name: settings.get(name) for name in ("api_token", "username", "password")}
    secrets = {name: value for name, value in given.items() if isinstance(value, str)}
    yield from secrets.values()
    if "username" in secrets:
        login = f"{secrets['username']}:{secrets.get('password', '')}"
        yield base64.b64encode(login.encode(errors="surrogatepass")).decode()


_DAY: t.Final = dt.timedelta(days=1)


def _last_month(today: dt.date) -> tuple[dt.date, dt.date]:
    last_day = today.replace(day=1) - _DAY
    return last_day.replace(day=1), last_day


PRESETS: t.Final[dict[str, Callable[[dt.date], tuple[dt.date, dt.date]]]] = {
    "today": lambda today: (today, today),
    "yesterday": lambda today: (today - _DAY, today - _DAY),
    "last_7_days": lambda today: (today - 6 * _DAY, today),
    "last_30_days": lambda today: (today - 29 * _DAY, today),
    "this_month_to_date": lambda today: (today.replace(day=1), today),
    "last_month": _last_month,
}
"""The first and the last day of each preset."""


def describe_core_range_error(value: Mapping[str, t.Any]) -> str | None:
    """Describe what is wrong with a date range for the Core API; None if nothing is."""
    names = ", ".join(PRESETS)
    if value.keys() == {"type", "preset"} and value["type"] == "preset":
        preset = value["preset"]
        return None if isinstance(preset, str) and preset in PRESETS else f"its preset must be one of {names}"
    start, end = (parse_instant(value.get(name)) for name in ("start_date", "end_date"))
    if value.keys() != {"start_date", "end_date"} or not start or not end:
        return (
            'must be {"start_date": ..., "end_date": ...} where api is core, each an ISO 8601 date or date-time, '
            f'or {{"type": "preset", "preset": ...}} with {names}'
        )
    is_same_day = len(value["end_date"]) == len("2024-01-31") and end.date() == start.date()
    return "its end_date is before its start_date" if end < start and not is_same_day else None


def find_zone(name: object) -> dt.tzinfo | None:
    """Return the time zone with a name such as "US/Pacific"; None if there is none."""
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return None


def resolve_preset(preset: str, now: dt.datetime, zone: dt.tzinfo) -> tuple[str, str]:
    """Return the first and the last second of a preset, which is of whole days in a time zone."""
    first, last = PRESETS[preset](now.astimezone(zone).date())
    start = dt.datetime.combine(first, dt.time.min, zone)
    # fold: where clocks go back at midnight, the last hour comes twice.
    end = dt.datetime.combine(last, dt.time(23, 59, 59, fold=1), zone)
    return start.isoformat(), end.isoformat()
