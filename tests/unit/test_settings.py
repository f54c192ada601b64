"""Which line a wrong setting is refused with; that it comes before any request is tested with the real `main()`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.about import OWN_SETTINGS
from tap_kissmetrics.apis import APIS, get_api
from tap_kissmetrics.sdk_extensions.inputs import InputError
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import validate_settings

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


SETTINGS = [
    pytest.param("page_size", True, "must be an integer from 1 to 10000, not true", id="page_size true"),
    *wrong("page_size", "must be an integer from 1 to 10000, not ", 0, -1, "abc", "10", "", 1.5, 10_001, 10**9, [], {}),
    *wrong("api_url", "must be a URL such as https://api.kissmetrics.com/core, not ", "", " ", "https://", "/core",
           "api.kissmetrics.com/core", "https:///core", "https://ho st/", "https://host\n/core"),
    *wrong("api_url", "must start with https:// (http:// is for this machine only), not ", "ftp://127.0.0.1/core",
           "//host/core", "file://localhost/core", "http://api.kissmetrics.com/core", "http://192.168.1.1/core",
           "http://127.0.0.1.example.com/core", "http://localhost.example.com/", "http://0.0.0.0/core"),
    *wrong("api_url", "is not a URL", "http://[", "https://[::1/core", "https://host:port/", "https://host:99999/"),
    *wrong("api_url", "must not hold a user, a password, a query or a fragment", "https://me:password@host/core",
           "http://user@127.0.0.1/core",
           "https://host/core?limit=1", "https://host/core#top"),
    *wrong("api_url", "is not a URL", "https://*.kissmetrics.com/core"),
    *wrong("api_url", "must be text, not 5", 5),
    *wrong("start_date", "must be a date-time such as 2024-01-31T00:00:00Z, not ", "yesterday", "", "2024-13-01",
           "2024-01-01T25:00:00Z", "31.01.2024"),
    *wrong("start_date", "must be text, not 20240101", 20240101),
    *wrong("product_ids", "must be a list of text or numbers, not ", "one", 5, {}, [1.5], [None], [["a"]]),
    *wrong("product_ids", "must be ids, not ", [""], ["a/b"], [".."], ["a?b"], ["ü"]),
    *wrong("request_timeout", "must be a number above 0, up to 3600, not ", 0, -1, "abc", 10**9, float("inf")),
    *wrong("retry_timeout", "must be a number from 0 to 86400, not ", -1, "abc"),
    *wrong("backoff_factor", "must be a number above 0, up to 60, not ", 0, "abc"),
    *wrong("requests_per_minute", "must be an integer from 1 to 100000, not ", 0, "many", 1.5),
    *wrong("emit_activate_version_messages", "must be true or false, not ", "perhaps", "yes"),
    *wrong("query_url", "must start with https:// (http:// is for this machine only), not ",
           "http://query.example.com/v2", "ftp://query.example.com/v2"),
    *wrong("max_concurrency", "must be an integer from 1 to 32, not ", 0, 33, "4"),
    *wrong("api", "must be core or query, not ", "v3", 3),
    *wrong("query_timeout", "must be a number above 0, up to 86400, not ", 0, "long"),
    *wrong("report_ids", "must be ", ["*", "x"], "x", [""]),
    *wrong("metric_ids", "must be ids, not ", ["*", "x"], [""], [{"id": ""}], [{"id": "*"}], [{"id": None}],
           [{"id": 1.5}], [{"id": ["a"]}]),
    *wrong("metric_ids", "an object must have an id, not ", [{}], [{"property_id": "x"}], ["a", {"Id": "x"}]),
    *wrong("metric_ids", "an object gives its id as id, not as metric_id", [{"id": "x", "metric_id": "y"}]),
    *wrong("metric_ids", "the date_range of x: must be ", [{"id": "x", "date_range": "today"}],
           [{"id": "x", "date_range": {}}], [{"id": "x", "date_range": {"start_date": "2024-01-01"}}]),
    *wrong("report_ids", "the date_range of x: its end_date is before its start_date, not ",
           [{"id": "x", "date_range": {"start_date": "2024-01-02", "end_date": "2024-01-01"}}]),
    *wrong("report_date_range", "must be an object, not ", "today"),
    *wrong("report_date_range", 'must be {"start_date": ..., "end_date": ...} where api is core', {"preset": "today"},
           {"type": "after", "date": "2018-01-06"}, {"start_date": "2024-02-30", "end_date": "2024-03-01"},
           {"start_date": 1, "end_date": 2}, {"type": "preset", "preset": "today", "start_date": "2024-01-01"}),
    *wrong("report_date_range", "its preset must be one of today, yesterday, last_7_days, last_30_days, ",
           {"type": "preset", "preset": "last_year"}, {"type": "preset", "preset": ["today"]}),
    *wrong("report_date_range", "its end_date is before its start_date, not ",
           {"start_date": "2024-01-02", "end_date": "2024-01-01"},
           {"start_date": "2024-01-01T00:00:00-08:00", "end_date": "2024-01-01T07:59:59Z"}),
    *wrong("export_urls", "must be a list of text, not ", "folder", 5, {}, [5], [None]),
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
        ({"batch_size": 0, "storage": {"root": "file:///tmp"}}, "batch_size must be an integer of 1 or more, not 0"),
        (
            {"batch_size": 10.0, "storage": {"root": "file:///tmp"}},
            "batch_size must be an integer of 1 or more, not 10.0",
        ),
        ({"encoding": {"format": "jsonl"}}, "must have a storage with a root"),
        ({"storage": {"root": "file:///tmp"}}, "must have an encoding with a format, jsonl or parquet"),
        ({"storage": {"root": "file:///tmp"}, "encoding": {}}, "must have an encoding with a format, jsonl or parquet"),
        ({**BATCHES, "encoding": {"format": "csv"}}, "must have an encoding with a format, jsonl or parquet"),
        ({**BATCHES, "encoding": {"format": "jsonl", "level": 9}}, "got an unexpected keyword argument 'level'"),
        ({**BATCHES, "rows": 5}, "got an unexpected keyword argument 'rows'"),
        ({**BATCHES, "storage": {"root": "data:,x"}}, ""),
        ({**BATCHES, "storage": {"root": "nowhere://batches"}}, "Unsupported filesystem: 'nowhere'"),
        ({**BATCHES, "storage": {"root": "file:///tmp", "params": 5}}, ""),
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
    ["", " ", "SECRET with-blanks", "SECRET-and\nline-break", "SECRET-and-newline\n", "\tSECRET", "SECRET-ünïcode",
     "SECRET\ud800", "SECRET\x00", 1234567890, ["SECRET"], {"SECRET": 1}, True],
    ids=json.dumps,
)  # fmt: skip
def test_a_token(token: object) -> None:
    """The line names `api_token`, and never shows its value."""
    line = refusal(api_token=token)
    assert line.startswith("api_token: must be ")
    assert line.endswith("(its value is not shown)")
    assert str(token) not in line or not str(token).strip()


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
        ({"api": "core", "api_token": "t", "username": "with:colon"}, "core"),
        ({"api": "query", "username": "u", "api_token": "two words"}, "query"),
    ],
    ids=str,
)
def test_the_credentials_choose_the_api(settings: dict[str, Any], chosen: str) -> None:
    """Those that are not used may be there, whatever they are."""
    schema = TapKissmetrics.settings_schema()
    given = {name: value for name, value in settings.items() if value is not None}
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
    schema = TapKissmetrics.settings_schema()
    validate_settings(settings, schema, is_complete=False, reserved_names=RESERVED)
    assert get_api(settings).name == "core"
    with pytest.raises(InputError) as caught:
        validate_settings(settings, schema, is_complete=True, reserved_names=RESERVED)
    assert str(caught.value) == (
        "api_token or username is required: put it in the config file or in TAP_KISSMETRICS_API_TOKEN (the Core API) "
        "or TAP_KISSMETRICS_USERNAME (the Query API)"
    )


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "and not empty"),
        (" \n", "and not empty"),
        ("Bearer SECRET", "without the word Bearer"),
        ("bearer\tSECRET", "without the word Bearer"),
        ("SECRET more", "without spaces, line breaks or control characters"),
        ("SECRET\n", "without spaces, line breaks or control characters"),
        ("SECRET\x7f", "without spaces, line breaks or control characters"),
        ("SECRET-ü", "without characters outside ASCII"),
        ("SECRET\u00a0", "without characters outside ASCII"),
    ],
)
def test_what_is_wrong_with_a_token(token: str, says: str) -> None:
    """One line for each fault."""
    assert refusal(api_token=token) == f"api_token: must be the bare token, {says} (its value is not shown)"


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


@pytest.mark.parametrize("username", ["", f"{SECRET}:x", f"{SECRET}\n", f"{SECRET}\0", "tab\there"])
def test_a_username(username: str) -> None:
    """HTTP Basic ends the name at the first colon."""
    says = "username: must not be empty, nor have a colon or a line break (its value is not shown)"
    assert refusal("query", username=username) == says


@pytest.mark.parametrize("name", ["username", "password"])
@pytest.mark.parametrize("value", [5, [SECRET], {SECRET: 1}, True])
def test_a_login_that_is_no_text(value: object, name: str) -> None:
    """Nor is it shown."""
    assert refusal("query", **{name: value}) == f"{name}: must be text (its value is not shown)"


def test_a_password() -> None:
    """It has no line break."""
    assert refusal("query", password=f"{SECRET}\n") == "password: must not have a line break (its value is not shown)"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("api", "v3", 'api: must be core or query, not "v3"'),
        ("product_ids", ["abc"], "product_ids: must be numbers where api is query, not 'abc'"),
        ("product_ids", [-1], "product_ids: must be numbers where api is query, not -1"),
        ("product_ids", ["²"], "product_ids: must be ids, not '²'"),
        ("product_ids", 5, "product_ids: must be a list of text or numbers, not 5"),
        ("report_ids", ["x"], "report_ids: must be numbers where api is query, not 'x'"),
        ("report_ids", ["*", 1], "report_ids: must be ids, not '*'"),
        ("report_ids", "*", 'report_ids: must be a list of text or numbers or objects, not "*"'),
        ("metric_ids", ["*"], "metric_ids: must be ids, not '*'"),
        ("metric_ids", ["*", 1], "metric_ids: must be ids, not '*'"),
        ("metric_ids", [{"id": "x"}], "metric_ids: must be numbers where api is query, not 'x'"),
        ("metric_ids", [1.5], "metric_ids: must be a list of text or numbers or objects, not [1.5]"),
        ("report_date_range", "today", 'report_date_range: must be an object, not "today"'),
        ("query_timeout", 0, "query_timeout: must be a number above 0, up to 86400, not 0"),
    ],
)
def test_a_setting_of_the_query_api(name: str, value: object, says: str) -> None:
    """Its ids are numbers."""
    assert refusal("query", **{name: value}).split("; ")[0] == says


NO_COLUMNS = "the schema of people must have properties, each an object"

WRONG_QUERIES: list[tuple[Any, str]] = [
    ({}, "must be a list of objects, not {}"),
    ([5], "[0]: 5 is not of type 'object'"),
    ([QUERY, QUERY], "people is the name of two queries"),
    *(([{**QUERY, "name": name}], f"{name} is the name of another stream")
      for name in ("events", "accounts", "report_results", "metric_results")),
    *(([QUERY, {**QUERY, "name": name}], "[1].name: ") for name in ("", "1st", "two words", "line\n", "a.b", 7)),
    ([{**QUERY, "product_id": "1"}], "[0].product_id: '1' is not of type 'integer'"),
    ([{**QUERY, "query_params": "SELECT 1"}], "[0].query_params: 'SELECT 1' is not of type 'object'"),
    ([{k: v for k, v in QUERY.items() if k != "query_type"}], "[0]: 'query_type' is a required property"),
    ([{**QUERY, "params": {}}], "[0]: Additional properties are not allowed ('params' was unexpected)"),
    ([{**QUERY, "schema": {"type": "people"}}], "the schema of people is not a JSON Schema: 'people' is not"),
    ([{**QUERY, "schema": {}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {}}}], NO_COLUMNS),
    ([{**QUERY, "schema": {"properties": {"a": True}}}], NO_COLUMNS),
    ([{**QUERY, "schema": []}], "[0].schema: [] is not of type 'object'"),
    ([{**QUERY, "primary_key": ["identity"]}], "people has a primary_key but no schema; give the schema of its rows"),
    ([{**QUERY, "schema": COLUMN, "primary_key": ["id"]}], "the primary_key of people names 'id', which its "),
    ([{**QUERY, "schema": COLUMN, "primary_key": "identity"}], "[0].primary_key: 'identity' is not of type 'array'"),
]  # fmt: skip


@pytest.mark.parametrize(("queries", "says"), WRONG_QUERIES)
def test_wrong_queries(queries: object, says: str) -> None:
    """The line names the query, or its place in the list, and what is wrong."""
    assert refusal("query", queries=queries).startswith(f"queries: {says}")
