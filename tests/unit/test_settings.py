"""Which line a wrong setting is refused with; that it comes before any request is tested with the real `main()`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.about import OWN_SETTINGS
from tap_kissmetrics.apis import APIS, get_api
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import normalize_settings, validate_settings

SECRET = "a-secret-that-must-never-be-shown"  # noqa: S105 - it opens nothing

VALID: dict[str, dict[str, Any]] = {
    "core": {"api": "core", "api_token": "t"},
    "query": {"api": "query", "username": "u"},
}

QUERY: dict[str, Any] = {"name": "people", "product_id": 11_001, "query_type": "people_search", "query_params": {}}
COLUMN = {"properties": {"identity": {"type": "string"}}}

RESERVED = {"events", "accounts", "report_results", "metric_results"}


def refusal(api: str = "core", /, **settings: object) -> str:
    """The line with which settings are refused, which must not show a secret."""
    with pytest.raises(InputError) as caught:
        validate_settings(
            {**VALID[api], **settings}, TapKissmetrics.settings_schema(), is_complete=True, reserved_names=RESERVED
        )
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert len(line) < 500
    assert "secret" not in line.lower().replace("may hold a secret", "")
    return line


@pytest.mark.parametrize("api", VALID)
def test_the_credentials_are_enough(api: str) -> None:
    """Everything else has a default."""
    validate_settings(VALID[api], TapKissmetrics.settings_schema(), is_complete=True, reserved_names=RESERVED)


@pytest.mark.parametrize("api", VALID)
def test_without_credentials(api: str) -> None:
    """Only discovery works."""
    schema = TapKissmetrics.settings_schema()
    validate_settings({"api": api}, schema, is_complete=False, reserved_names=RESERVED)
    with pytest.raises(InputError, match=r"^(api_token|username) is required: put it in the config file or in TAP_"):
        validate_settings({"api": api}, schema, is_complete=True, reserved_names=RESERVED)


def wrong(name: str, says: str, *values: object) -> list[Any]:
    """Make a row of each value."""
    return [pytest.param(name, value, says, id=f"{name} {json.dumps(value)}") for value in values]


NUMBER = "is not of type 'number', 'null'"
LIST = "is not of type 'array', 'null'"
ID = "must be an id, which is a number or a UUID and not a name, not "
URL = "must be an https:// URL without user, password and query (http:// is for this machine only) (its value is not "

SETTINGS = [
    pytest.param("page_size", True, "True is not of type 'integer', 'null'", id="page_size true"),
    *wrong("page_size", "is not of type 'integer', 'null'", "abc", "10", 1.5, []),
    *wrong("page_size", "is less than the minimum of 1", 0, -1),
    *wrong("page_size", "is greater than the maximum of 10000", 10_001),
    *wrong("api_url", URL, "", "https://", "/core", "api.kissmetrics.com/core", "https://ho st/", "https://host\n/core",
           "https://host\n", "ftp://127.0.0.1/core", "//host/core", "file://localhost/core", "http://[",
           "http://api.kissmetrics.com/core", "http://192.168.1.1/core", "http://127.0.0.1.example.com/core",
           "http://localhost.example.com/", "http://0.0.0.0/core", "http://127.0.0.1\\.example.com/core",
           "http://localhost@example.com/core", "https://me:password@host/core", "http://user@127.0.0.1/core",
           "https://host/core?limit=1", "https://host/core#top"),
    *wrong("api_url", "is not a URL (its value is not shown)", "https:///core", "https://[::1/core", "https://host:port/",
           "https://host:99999/", "https://*.kissmetrics.com/core"),
    *wrong("api_url", "its type must be ['string', 'null'] (its value is not shown)", 5, ["https://me:secret@host/core"]),
    *wrong("start_date", "must be a date-time such as 2024-01-31T00:00:00Z, not ", "yesterday", "", "2024-13-01",
           "2024-01-01T25:00:00Z", "31.01.2024"),
    *wrong("start_date", "20240101 is not of type 'string', 'null'", 20240101),
    *wrong("product_ids", LIST, "one", 5, {}),
    *wrong("product_ids", "[0]: 1.5 is not of type 'string', 'integer'", [1.5]),
    *wrong("product_ids", f"[0]: {ID}", [""], ["a/b"], [".."], ["a?b"], ["ü"], ["*"], ["a\n"]),
    *wrong("request_timeout", "is less than or equal to the minimum of 0", 0, -1),
    *wrong("request_timeout", "is greater than the maximum of 3600", 10**9, float("inf")),
    *wrong("request_timeout", NUMBER, "abc"),
    *wrong("retry_timeout", "-1 is less than the minimum of 0", -1),
    *wrong("backoff_factor", "0 is less than or equal to the minimum of 0", 0),
    *wrong("requests_per_minute", "0 is less than the minimum of 1", 0),
    *wrong("emit_activate_version_messages", "is not of type 'boolean', 'null'", "perhaps", "yes"),
    *wrong("query_url", URL, "http://query.example.com/v2"),
    *wrong("max_concurrency", "33 is greater than the maximum of 32", 33),
    *wrong("api", "'v3' is not one of ['core', 'query'", "v3"),
    *wrong("query_timeout", NUMBER, "long"),
    *wrong("report_ids", LIST, "x"),
    *wrong("report_ids", "must be ids, or '*' alone", ["*", "x"]),
    *wrong("report_ids", f"[0]: {ID}", [""], ["a\n"]),
    *wrong("metric_ids", f"[0].id: {ID}", [{"id": ""}], [{"id": "*"}]),
    *wrong("metric_ids", "[0].id: None is not of type 'string', 'integer'", [{"id": None}]),
    *wrong("metric_ids", "[1]: 'id' is a required property", ["a", {"Id": "x"}]),
    *wrong("metric_ids", "an object gives its id as id, not as metric_id", [{"id": "x", "metric_id": "y"}]),
    *wrong("metric_ids", "the date_range of x: must be ", [{"id": "x", "date_range": "today"}],
           [{"id": "x", "date_range": {}}], [{"id": "x", "date_range": {"start_date": "2024-01-01"}}]),
    *wrong("report_ids", "the date_range of x: its end_date is before its start_date, not ",
           [{"id": "x", "date_range": {"start_date": "2024-01-02", "end_date": "2024-01-01"}}]),
    *wrong("report_date_range", "'today' is not of type 'object', 'null'", "today"),
    *wrong("report_date_range", 'must be {"start_date": ..., "end_date": ...} where api is core', {"preset": "today"},
           {"type": "after", "date": "2018-01-06"}, {"start_date": "2024-02-30", "end_date": "2024-03-01"},
           {"start_date": 1, "end_date": 2}, {"type": "preset", "preset": "today", "start_date": "2024-01-01"}),
    *wrong("report_date_range", "its preset must be one of today, yesterday, last_7_days, last_30_days, ",
           {"type": "preset", "preset": "last_year"}, {"type": "preset", "preset": ["today"]}),
    *wrong("report_date_range", "its end_date is before its start_date, not ",
           {"start_date": "2024-01-02", "end_date": "2024-01-01"},
           {"start_date": "2024-01-01T00:00:00-08:00", "end_date": "2024-01-01T07:59:59Z"}),
    *wrong("export_urls", "its type must be ['array', 'null'] (its value is not shown)", "s3://key:secret@bucket/x"),
    *wrong("export_urls", "[0]: its type must be ['string'] (its value is not shown)", [5], [["s3://key:secret@b"]]),
    *wrong("export_urls", "must not be empty", [""], ["x", " "]),
    *wrong("export_urls", "must not hold a user, a password, a query or a fragment", ["s3://key:sec/ret@bucket/x"],
           ["s3://bucket/x?key=secret"], ["s3://bucket/x#secret"], ["file://me:secret@localhost/x"]),
    *wrong("export_urls", "not the given value, which is not shown because it may hold a secret", ["s3://key:secret/x"]),
    *wrong("export_urls", "must be s3://bucket/prefix, file:///folder or the path of a folder, not ", ["s3:///x"],
           ["s3://b"], ["https://bucket.s3.amazonaws.com/x"], ["gs://bucket/x"], ["s3://buck et/x"], ["file://host/x"],
           ["file:x"]),
]  # fmt: skip


def test_each_setting_has_a_row() -> None:
    """Credentials and `queries` are below."""
    named = {row.values[0] for row in SETTINGS}
    credentials = {name for api in APIS.values() for name in api.credentials}
    assert OWN_SETTINGS.keys() - named == {*credentials, "queries"}


@pytest.mark.parametrize(("name", "value", "says"), SETTINGS)
def test_a_setting(name: str, value: object, says: str) -> None:
    """The line names the setting and what it may be."""
    line = refusal(**{name: value})
    assert line.startswith(f"{name}: ")
    assert says in line


BATCHES: dict[str, Any] = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp"}}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({**BATCHES, "batch_size": 0}, "batch_size must be an integer of 1 or more, not 0"),
        ({**BATCHES, "batch_size": 10.5}, "batch_size"),
        ({"encoding": {"format": "jsonl"}}, "'storage'"),
        ({"storage": {"root": "file:///tmp"}}, "'encoding'"),
        ({"storage": {"root": "file:///tmp"}, "encoding": {}}, "'format'"),
        ({**BATCHES, "encoding": {"format": "csv"}}, "'csv' is not one of ['jsonl', 'parquet'"),
        ({**BATCHES, "rows": 5}, "got an unexpected keyword argument 'rows'"),
        ({**BATCHES, "storage": {"root": "nowhere://batches"}}, "Unsupported filesystem: 'nowhere'"),
    ],
    ids=json.dumps,
)
def test_a_batch_config(config: dict[str, Any], says: str) -> None:
    """What the SDK lets through, or finds only once a stream is synced."""
    line = refusal(batch_config=config)
    assert line.startswith("batch_config: ")
    assert says in line


@pytest.mark.parametrize(
    "url", ["https://joe:SECRET@host:99999999/", "https://host/core?token=SECRET ", "ftp://h/?SECRET"]
)
def test_a_secret_in_an_address(url: str) -> None:
    """It is not shown, wrong as the address may be otherwise."""
    assert refusal(api_url=url).startswith("api_url: ")


@pytest.mark.parametrize(
    "token",
    [" ", "Bearer SECRET", "SECRET with-blanks", "SECRET-and\nline-break", "SECRET-and-newline\n", "\tSECRET",
     "SECRET-ünïcode", "SECRET\u00a0", "SECRET\x7f", "SECRET\ud800", "SECRET\x00"],
    ids=json.dumps,
)  # fmt: skip
def test_a_token(token: str) -> None:
    """The line names `api_token`, and never shows its value."""
    assert refusal(api_token=token) == (
        'api_token: must be the bare token, without spaces, line breaks and the word "Bearer" (its value is not shown)'
    )


BOTH_LOGINS: dict[str, Any] = {"api_token": "SECRET-token", "username": "SECRET-user", "password": "SECRET"}


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"api_token": "t"}, "core"),
        ({"username": "u"}, "query"),
        ({"username": "u", "password": "p"}, "query"),
        ({"api_token": "", "username": "u"}, "query"),
        ({"api_token": "t", "username": "", "password": ""}, "core"),
        ({"api": None, "username": "u"}, "query"),
        ({"api": "core", **BOTH_LOGINS}, "core"),
        ({"api": "query", **BOTH_LOGINS}, "query"),
    ],
    ids=str,
)
def test_the_credentials_choose_the_api(settings: dict[str, Any], chosen: str) -> None:
    """Those that are not used may be there."""
    schema = TapKissmetrics.settings_schema()
    given = normalize_settings({name: value for name, value in settings.items() if value is not None})
    validate_settings(given, schema, is_complete=True, reserved_names=RESERVED)
    assert get_api(settings).name == chosen


@pytest.mark.parametrize("is_complete", [True, False])
def test_credentials_of_both(is_complete: bool) -> None:  # noqa: FBT001
    """Somebody has to choose, for discovery too."""
    with pytest.raises(InputError) as caught:
        validate_settings(
            BOTH_LOGINS, TapKissmetrics.settings_schema(), is_complete=is_complete, reserved_names=RESERVED
        )
    assert str(caught.value) == (
        "api_token and username are both set: set api to core (api_token: the Core API) "
        "or query (username: the Query API)"
    )


@pytest.mark.parametrize(
    "settings", [{}, {"password": "p"}, {"username": ""}, {"username": "", "password": ""}], ids=str
)
def test_credentials_of_neither(settings: dict[str, Any]) -> None:
    """The line names both, and their variables."""
    schema, settings = TapKissmetrics.settings_schema(), normalize_settings(settings)
    validate_settings(settings, schema, is_complete=False, reserved_names=RESERVED)
    assert get_api(settings).name == "core"
    with pytest.raises(InputError) as caught:
        validate_settings(settings, schema, is_complete=True, reserved_names=RESERVED)
    assert str(caught.value) == (
        "api_token or username is required: put it in the config file or in TAP_KISSMETRICS_API_TOKEN (the Core API) "
        "or TAP_KISSMETRICS_USERNAME (the Query API)"
    )


EXAMPLES = ["YOUR-API-TOKEN", "YOUR-TOKEN", "your-token-here", "Your API token", "your_api_key", "YOUR-API-KEY",
            "<token>", "$TOKEN", "${KISSMETRICS_TOKEN}", "{{ token }}"]  # fmt: skip


@pytest.mark.parametrize("value", EXAMPLES)
@pytest.mark.parametrize(("api", "name"), [("core", "api_token"), ("query", "username"), ("query", "password")])
def test_the_example_of_a_document_is_no_secret(value: str, api: str, name: str) -> None:
    """It is refused before a server does; `--discover` needs none."""
    if name == "api_token" and " " in value:
        return  # refused for the space
    line = refusal(api, **{name: value})
    assert line == f"{name}: must be your own, not the example (its value is not shown)"
    settings = {**VALID[api], name: value}
    validate_settings(settings, TapKissmetrics.settings_schema(), is_complete=False, reserved_names=RESERVED)


@pytest.mark.parametrize("token", ["yours", "a-token-of-your-own", "t$x", "a<b>", "MY-TOKEN-7fa9", "$a-b"])
def test_what_only_looks_like_an_example_is_accepted(token: str) -> None:
    """A token may have any character."""
    settings = {"api": "core", "api_token": token}
    validate_settings(settings, TapKissmetrics.settings_schema(), is_complete=True, reserved_names=RESERVED)


OF_OTHER: list[tuple[str, str, object]] = [
    ("core", "queries", [QUERY]),
    ("query", "query_url", "https://query.example.com/v2"),
]


@pytest.mark.parametrize(("api", "name", "value"), OF_OTHER)
def test_a_setting_of_the_other_api(api: str, name: str, value: object) -> None:
    """It would have no effect."""
    other = {"core": "query", "query": "core"}[api]
    assert refusal(api, **{name: value}) == f"{name}: belongs to api: {other}; this is api: {api}"


@pytest.mark.parametrize("username", [":", f"{SECRET}:x", f"{SECRET}\n", f"{SECRET}\0", "tab\there"])
def test_a_username(username: str) -> None:
    """HTTP Basic ends the name at the first colon."""
    says = "username: must be text without colons and line breaks (its value is not shown)"
    assert refusal("query", username=username) == says


@pytest.mark.parametrize(("api", "name"), [("core", "api_token"), ("query", "username"), ("query", "password")])
@pytest.mark.parametrize("value", [5, [SECRET], {SECRET: 1}, True])
def test_a_login_that_is_no_text(value: object, api: str, name: str) -> None:
    """Nor is it shown."""
    line = refusal(api, **{name: value})
    assert line == f"{name}: its type must be ['string', 'null'] (its value is not shown)"


def test_a_password() -> None:
    """It has no line break."""
    assert (
        refusal("query", password=f"{SECRET}\n")
        == "password: must be text without line breaks (its value is not shown)"
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("product_ids", ["abc"], "product_ids: must be numbers where api is query, not 'abc'"),
        ("product_ids", [-1], "product_ids: must be numbers where api is query, not -1"),
        ("product_ids", ["²"], f"product_ids: [0]: {ID}'²'"),
        ("report_ids", ["x"], "report_ids: must be numbers where api is query, not 'x'"),
        ("report_ids", ["*", 1], "report_ids: must be ids, or '*' alone"),
        ("metric_ids", ["*"], "metric_ids: must be ids, not '*'"),
        ("metric_ids", [{"id": "x"}], "metric_ids: must be numbers where api is query, not 'x'"),
    ],
)
def test_a_setting_of_the_query_api(name: str, value: object, says: str) -> None:
    """Its ids are numbers."""
    assert refusal("query", **{name: value}).split("; ")[0] == says


NO_COLUMNS = "the schema of people must have properties, each an object"

WRONG_QUERIES: list[tuple[Any, str]] = [
    ({}, f"{{}} {LIST}"),
    ([5], "[0]: 5 is not of type 'object'"),
    ([QUERY, QUERY], "people is the name of two queries"),
    *(([{**QUERY, "name": name}], f"{name} is the name of another stream")
      for name in ("events", "accounts", "report_results", "metric_results")),
    *(([QUERY, {**QUERY, "name": name}], "[1].name: ") for name in ("", "1st", "two words", "line\n", "a.b", 7)),
    ([{**QUERY, "product_id": "1"}], "[0].product_id: '1' is not of type 'integer'"),
    ([{**QUERY, "query_params": "SELECT 1"}], "[0].query_params: 'SELECT 1' is not of type 'object'"),
    ([{k: v for k, v in QUERY.items() if k != "query_type"}], "[0]: 'query_type' is a required property"),
    ([{**QUERY, "params": {}}], "[0]: Additional properties are not allowed ('params' was unexpected)"),
    ([{**QUERY, "schema": {"type": "people"}}], "the schema of people: cannot be used: 'people' is not"),
    ([{**QUERY, "schema": {}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {}}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {"a": True}}}], "the schema of people: cannot be used: "),
    ([{**QUERY, "schema": {"properties": {"id": {}, "ID": {}}}}], "the schema of people has two columns id, which "),
    ([{**QUERY, "schema": []}], "[0].schema: [] is not of type 'object'"),
    ([{**QUERY, "primary_key": ["identity"]}], "the primary_key of people names 'identity', which is "),
    ([{**QUERY, "schema": COLUMN, "primary_key": ["id"]}], "the primary_key of people names 'id', which is not "),
    ([{**QUERY, "schema": COLUMN, "primary_key": "identity"}], "[0].primary_key: 'identity' is not of type 'array'"),
]  # fmt: skip


@pytest.mark.parametrize(("queries", "says"), WRONG_QUERIES)
def test_wrong_queries(queries: object, says: str) -> None:
    """The line names the query, or its place in the list, and what is wrong."""
    assert refusal("query", queries=queries).startswith(f"queries: {says}")
