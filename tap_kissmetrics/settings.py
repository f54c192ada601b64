"""The settings of the tap; every document on them is made from here."""

from __future__ import annotations

import typing as t

from singer_sdk import typing as th

from tap_kissmetrics.apis import APIS, CORE, QUERY

NUMBER_OR_TEXT: t.Final = th.CustomType({"type": ["string", "integer"]})
"""The ids of the Core API are text, those of the Query API are numbers."""

ALL: t.Final = "*"
"""Stands for every report, in `report_ids`."""

SETTINGS: t.Final[dict[str, t.Any]] = th.PropertiesList(
    th.Property(
        "api",
        th.StringType,
        allowed_values=list(APIS),
        default="core",
        title="API",
        description=(
            "The API to read: `core`, the Core API, or `query`, the Query API v3, "
            "which took its place and which an account of today has."
        ),
    ),
    th.Property(
        "api_token",
        th.StringType,
        secret=True,
        title="API token",
        description=(
            "Core API: Personal Token, made under Manage API Tokens in the account settings "
            "of Kissmetrics. Not needed for --discover."
        ),
    ),
    th.Property(
        "username",
        th.StringType,
        secret=True,
        title="User",
        description="Query API: an API key, or the email address of a user. Not needed for --discover.",
    ),
    th.Property(
        "password",
        th.StringType,
        secret=True,
        title="Password",
        description="Query API: the user's password. Left out where `username` is an API key.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        title="API URL",
        description=(
            "Root directory of the API, with or without a slash at its end. HTTPS, or HTTP to a loopback address; "
            "the token or password is sent to no other host, but `query_url`. "
            f"By default {CORE.url}, or {QUERY.url} where `api` is `query`."
        ),
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=10000),
        title="Page size",
        description=(
            "Records to ask for in one request, 1 to 10000. Pages overlap by one "
            "record, so 1 is sent as 2. A server that gives fewer is fine. "
            f"By default {CORE.page_size}, or {QUERY.page_size} where `api` is `query`."
        ),
    ),
    th.Property(
        "product_ids",
        th.ArrayType(NUMBER_OR_TEXT),
        title="Product IDs",
        description=(
            "Read reports, events, properties and metrics of these products only. "
            "Left out, those of all products are read."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "Date-time before which records of INCREMENTAL streams are left out. It never cuts a FULL_TABLE stream."
        ),
    ),
    th.Property(
        "report_ids",
        th.ArrayType(NUMBER_OR_TEXT),
        title="Report IDs",
        description=(
            'Run these reports and read their results into the stream `report_results`; `["*"]` runs every report '
            "that can be run (of the Core API those of type people_search_v2). Left out, none is run."
        ),
    ),
    th.Property(
        "metric_ids",
        th.ArrayType(NUMBER_OR_TEXT),
        title="Metric IDs",
        description="Query API: query these metrics and read their results into the stream `metric_results`.",
    ),
    th.Property(
        "report_date_range",
        th.ObjectType(additional_properties=True),
        title="Date range",
        description=(
            "The time that reports and metrics are run for. Query API: any date range object of the API, which is "
            'passed on as it is. Core API: `{"start_date": …, "end_date": …}`, each an ISO 8601 date or date-time. '
            "Left out, this month to date."
        ),
    ),
    th.Property(
        "queries",
        th.ArrayType(
            th.ObjectType(
                th.Property("name", th.StringType(pattern=r"^[A-Za-z][A-Za-z0-9_]*(?!\n)$"), required=True),
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
            "Query API: queries of your own, each a stream of its own: `name` of the stream, `product_id`, "
            "`query_type` (sql among others) and `query_params` as the API wants them. With a JSON Schema of the "
            "row in `schema` its fields are columns, with `primary_key` as their key; without one, each record "
            "has a column `row`."
        ),
    ),
    th.Property(
        "query_timeout",
        th.NumberType(exclusive_minimum=0, maximum=86400),
        default=3600,
        title="Query timeout",
        description="Seconds that a report, metric or query may run before it is given up.",
    ),
    th.Property(
        "query_url",
        th.StringType,
        default="https://query.kissmetrics.com/v2",
        title="Query URL",
        description="Core API: root directory of the endpoints that run reports. The token is sent there too.",
    ),
    th.Property(
        "request_timeout",
        th.NumberType(exclusive_minimum=0, maximum=3600),
        default=60,
        title="Request timeout",
        description=("Seconds to wait for the server to send something. A whole answer may take five times as long."),
    ),
    th.Property(
        "retry_timeout",
        th.NumberType(minimum=0, maximum=86400),
        default=120,
        title="Retry timeout",
        description=(
            "Seconds that one request may go on failing before the stream is given "
            "up. Waiting for a rate limit does not count."
        ),
    ),
    th.Property(
        "backoff_factor",
        th.NumberType(exclusive_minimum=0, maximum=60),
        default=1,
        title="Back-off factor",
        description=(
            "Seconds before the second try of a request; each further wait is twice "
            "as long, up to 60 times this. A rate limit that does not say how long "
            "it lasts is waited for 60 times this."
        ),
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1, maximum=100000),
        title="Requests per minute",
        description=(
            "Pace that is never exceeded, where the limit of the account is known. "
            "Left out, requests follow each other until the API asks for a pause; "
            f"where `api` is `query` it is {QUERY.requests_per_minute}, the limit of every plan."
        ),
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrent requests",
        description=(
            "Requests under way at once: the pages of a list are fetched ahead. One at a time "
            "where there is a pace, and once the API has asked for a pause."
        ),
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=False,
        title="Emit ACTIVATE_VERSION messages",
        description=(
            "Tell the target, at the end of each complete FULL_TABLE stream, to "
            "remove what Kissmetrics no longer has. Results of reports and queries are never removed."
        ),
    ),
).to_dict() | {"anyOf": [{"required": [CORE.required]}, {"required": ["api", QUERY.required]}]}
"""JSON Schema of the settings."""
