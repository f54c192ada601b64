"""The settings of the tap; every document on them is made from here."""

from __future__ import annotations

import typing as t

from singer_sdk import typing as th

from tap_kissmetrics.apis import APIS, CORE, PRESETS, V3

ALL: t.Final = "*"
"""Stands for every report, in `report_ids`."""

# A description beside a pattern completes "must be ..." in a message. Python's `$` lets a line break pass.
_ID: t.Final = {
    "type": ["string", "integer"],
    "pattern": r"^[A-Za-z0-9_-]{1,100}(?!\n)$",
    "description": "an id, which is a number or a UUID and not a name",
}

_CHOICE: t.Final = th.CustomType(
    {
        **_ID,
        "type": ["string", "integer", "object"],
        "pattern": r"^(\*|[A-Za-z0-9_-]{1,100})(?!\n)$",
        "required": ["id"],
        "properties": {"id": _ID},
    }
)
"""An id of what to run, or an object with `id` and members of the body of its query."""


def _text(pattern: str, description: str, **keywords: str) -> th.CustomType:
    return th.CustomType({"type": ["string"], "allOf": [{"pattern": pattern, "description": description}], **keywords})


_URL: t.Final = _text(
    r"^(https://|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(?=[:/]|$))[^\x00-\x20\x7f@?#\\]+(?!\n)$",
    "an https:// URL without user, password and query (http:// is for this machine only)",
    format="uri",
)

_QUERY_NAME: t.Final = _text(r"^[A-Za-z][A-Za-z0-9_]*(?!\n)$", "letters, digits and _, beginning with a letter")

SETTINGS: t.Final[dict[str, t.Any]] = th.PropertiesList(
    th.Property(
        "api",
        th.StringType,
        allowed_values=list(APIS),
        title="API",
        description=(
            "`core` or `query`: needed only if both `api_token` and `username` are set. The Query API v3 is the "
            "current one; Kissmetrics calls the Core API deprecated. Default: that of the credentials."
        ),
    ),
    th.Property(
        "api_token",
        _text(r"^[\x21-\x7e]*(?!\n)$", 'the bare token, without spaces, line breaks and the word "Bearer"'),
        secret=True,
        title="API token",
        description="Core API: a Personal Token (Account settings, Manage API Tokens). Not needed for --discover.",
    ),
    th.Property(
        "username",
        _text(r"^[^:\x00-\x1f\x7f\ud800-\udfff]*(?!\n)$", "text without colons and line breaks"),
        secret=True,
        title="User",
        description="Query API: an API key, or the email address of a user. Not needed for --discover.",
    ),
    th.Property(
        "password",
        _text(r"^[^\x00-\x1f\x7f\ud800-\udfff]*(?!\n)$", "text without line breaks"),
        secret=True,
        title="Password",
        description="Query API: the user's password. Leave it out if `username` is an API key.",
    ),
    th.Property(
        "api_url",
        _URL,
        title="API URL",
        description=(
            "Base URL of the API. HTTPS, or HTTP on a loopback address. Credentials go to this host only, and with the "
            f"Core API to that of `query_url`. Default: {CORE.default_url}, or {V3.default_url} for `query`."
        ),
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=10000),
        title="Page size",
        description=(
            "Records per request, 1 to 10000. 1 becomes 2, because pages overlap by one record. "
            f"Default: {CORE.default_page_size}, or {V3.default_page_size} for `query`."
        ),
    ),
    th.Property(
        "product_ids",
        th.ArrayType(th.CustomType(_ID)),
        title="Product IDs",
        description=(
            "Products whose lists are read, such as `[11001]`. UUIDs for the Core API, numbers for the Query API, as "
            "in the stream `products`. Default: all."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "Date-time before which INCREMENTAL streams skip records, and `raw_events` skips whole files. FULL_TABLE "
            "streams ignore it."
        ),
    ),
    th.Property(
        "report_ids",
        th.ArrayType(_CHOICE),
        title="Report IDs",
        description=(
            'Reports whose results go to `report_results`: ids, or `["*"]` for all that can be run. In the Core API '
            "those are the reports of type people_search_v2. An item is an id, or an object with `id`, whose other "
            "members go into the body of the query (Query API: `query_type`, `sort`, `order`); `date_range` in it "
            "replaces `report_date_range`. Default: none."
        ),
    ),
    th.Property(
        "metric_ids",
        th.ArrayType(_CHOICE),
        title="Metric IDs",
        description=(
            "Metrics whose values go to `metric_results`. Items are as in `report_ids`. Core "
            'API: an id is queried over time, an object with `property_id` by segment, and `["*"]` stands for every '
            "metric, over time. Default: none."
        ),
    ),
    th.Property(
        "report_date_range",
        th.ObjectType(additional_properties=True),
        title="Date range",
        description=(
            "Date range of reports and metrics, such as "
            '`{"type": "preset", "preset": "last_month"}`. Query API: any object of the API, sent unchanged. '
            'Core API: `{"start_date": ..., "end_date": ...}`, each an ISO 8601 date or date-time, or '
            f'`{{"type": "preset", "preset": ...}}` with {", ".join(f"`{name}`" for name in PRESETS)}: whole days in '
            "the time zone of the product, today included. Default: this month to date."
        ),
    ),
    th.Property(
        "queries",
        th.ArrayType(
            th.ObjectType(
                th.Property("name", _QUERY_NAME, required=True),
                th.Property("product_id", th.IntegerType, required=True),
                th.Property("query_type", th.StringType, required=True),
                th.Property("query_params", th.ObjectType(additional_properties=True), required=True),
                th.Property("schema", th.ObjectType(additional_properties=True)),
                th.Property("primary_key", th.ArrayType(th.StringType)),
                additional_properties=False,
            )
        ),
        title="Queries",
        description=(
            "Query API: your own queries, such as SQL, one stream each. Each has the `name` of its stream, "
            "`product_id`, `query_type` and `query_params` as the API documents them. With a JSON Schema of the row in "
            "`schema`, its fields become columns and `primary_key` names their key; without one, the row is in the "
            "column `data`."
        ),
    ),
    th.Property(
        "query_timeout",
        th.NumberType(exclusive_minimum=0, maximum=86400),
        default=3600,
        title="Query timeout",
        description="Seconds to wait for a report, metric or query before giving up.",
    ),
    th.Property(
        "query_url",
        _URL,
        default="https://query.kissmetrics.com/v2",
        title="Query URL",
        description="Core API: base URL for running reports. The token is sent there too.",
    ),
    th.Property(
        "export_urls",
        th.ArrayType(th.URIReferenceType),
        title="Export URLs",
        description=(
            "Raw data exports, which go to `raw_events`: `s3://bucket/prefix`, `file:///folder` or a path. Each "
            "contains the folder `revisions`. Without credentials of Kissmetrics, the tap reads nothing else. "
            "Default: none."
        ),
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0, maximum=3600),
        default=60,
        title="Request timeout",
        description=(
            "Seconds to wait for data from the server. A whole response may take five times as long, or half of "
            "`retry_timeout` if that is shorter, but at least this long."
        ),
    ),
    th.Property(
        "retry_timeout",
        th.NumberType(minimum=0, maximum=86400),
        default=120,
        title="Retry timeout",
        description=(
            "Seconds to keep retrying a failing request before its stream fails. "
            "Waiting for a rate limit does not count."
        ),
    ),
    th.Property(
        "backoff_factor",
        th.NumberType(exclusive_minimum=0, maximum=60),
        default=1,
        title="Back-off factor",
        description=(
            "Seconds before the first retry; each further wait is twice as long, up to 60 times this. After a rate "
            "limit that does not state how long it lasts, the tap waits 60 times this."
        ),
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1, maximum=100000),
        title="Requests per minute",
        description=(
            "Maximum number of requests per minute. "
            f"Default: no limit, or {V3.default_requests_per_minute} for `query`, the limit of every plan."
        ),
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrent requests",
        description=(
            "Pages of a list, or pieces of an export, fetched at the same time, 1 to 32. For lists it is 1 "
            "where `requests_per_minute` applies, and after the first rate limit."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION messages",
        description=(
            "Whether the target removes rows that Kissmetrics no longer has. If true, the tap sends an "
            "ACTIVATE_VERSION message after each complete FULL_TABLE stream, but never after results of reports, "
            "metrics and queries."
        ),
    ),
).to_dict() | {"anyOf": [{"required": [name]} for name in (*(api.login for api in APIS.values()), "export_urls")]}
"""JSON Schema of the settings."""

SETTING_NAMES: t.Final = tuple(SETTINGS["properties"])
"""The tap's own settings: some versions of the SDK add theirs to the schema itself."""
