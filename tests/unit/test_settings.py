"""Which line a wrong setting is refused with; that it comes before any request is tested with the real `main()`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.about import OWN_SETTINGS
from tap_kissmetrics.apis import get_api
from tap_kissmetrics.sdk_extensions.inputs import InputError, read_numbers
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import normalize_settings, validate_settings

SECRET = "a-secret-that-must-never-be-shown"  # noqa: S105 - it opens nothing

CORE: dict[str, Any] = {"api": "core", "api_token": "t"}
QUERY: dict[str, Any] = {"api": "query", "username": "u"}

SQL: dict[str, Any] = {"name": "people", "product_id": 11_001, "query_type": "sql", "query_params": {}}
COLUMN = {"properties": {"identity": {"type": "string"}}}

CREDENTIALS = [("api_token", CORE), ("username", QUERY), ("password", QUERY)]


def validate(settings: dict[str, Any], *, is_complete: bool = True) -> dict[str, Any]:
    """Take the steps of the tap: give the settings in canonical form, or raise the error."""
    schema = TapKissmetrics.settings_schema()
    normal = normalize_settings(read_numbers(settings, schema))
    reserved = {"events", "accounts", "report_results", "metric_results"}
    validate_settings(normal, schema, is_complete=is_complete, reserved_names=reserved)
    return normal


def refusal(settings: dict[str, Any], *, is_complete: bool = True) -> str:
    """Give the line with which settings are refused, which must be short and not show a secret."""
    with pytest.raises(InputError) as caught:
        validate(settings, is_complete=is_complete)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert len(line) < 500
    assert "secret" not in line.lower().replace("may hold a secret", "")
    return line


INTEGER = "is not of type 'integer', 'null'"
NUMBER = "is not of type 'number', 'null'"
LIST = "is not of type 'array', 'null'"
ID = "must be an id, which is a number or a UUID and not a name, not "
DATE = "must be a date-time such as 2024-01-31T00:00:00Z, not "
HIDDEN = " (its value is not shown)"
URL = "must be an https:// URL without user, password and query (http:// is for this machine only), not "
RANGE = 'must be {"start_date": ..., "end_date": ...} where api is core, each an ISO 8601 date or date-time, or '
FOLDER = "must be s3://bucket/prefix, file:///folder or the path of a folder, not "
LOGIN = "must not hold a user and a password: "
FRAGMENT = "must not hold a query or a fragment: "

JANUARY = {"start_date": "2024-01-01", "end_date": "2024-01-31"}
BACKWARDS = {"start_date": "2024-01-01T00:00:00-08:00", "end_date": "2024-01-01T07:59:59Z"}

SETTINGS: list[tuple[str, Any, str]] = [
    ("api", "v3", "'v3' is not one of ['core', 'query'"),
    ("page_size", True, f"True {INTEGER}"),
    ("page_size", "10", f"'10' {INTEGER}"),
    ("page_size", 0, "0 is less than the minimum of 1"),
    ("page_size", 10_001, "10001 is greater than the maximum of 10000"),
    ("api_url", 5, "its type must be ['string', 'null'] (its value is not shown)"),
    ("query_url", "http://query.example.com/v2", f"{URL}'http://query.example.com/v2'"),
    ("start_date", "yesterday", DATE),
    ("start_date", "2024-13-01", DATE),
    ("start_date", "1711110512345", DATE),
    ("start_date", 20240101, "20240101 is not of type 'string', 'null'"),
    ("product_ids", 1, f"1 {LIST}"),
    ("product_ids", [1.5], "[0]: 1.5 is not of type 'string', 'integer'"),
    ("product_ids", ["a", ""], f"[1]: {ID}''"),
    ("product_ids", ["a/b"], f"[0]: {ID}'a/b'"),
    ("product_ids", ["*"], f"[0]: {ID}'*'"),
    ("product_ids", ["a\n"], f"[0]: {ID}'a\\n'"),
    ("request_timeout", 0, "0 is less than or equal to the minimum of 0"),
    ("request_timeout", float("inf"), "inf is greater than the maximum of 3600"),
    ("retry_timeout", -1, "-1 is less than the minimum of 0"),
    ("backoff_factor", 0, "0 is less than or equal to the minimum of 0"),
    ("requests_per_minute", 0, "0 is less than the minimum of 1"),
    ("max_concurrency", 33, "33 is greater than the maximum of 32"),
    ("emit_activate_version_messages", "yes", "'yes' is not of type 'boolean', 'null'"),
    ("query_timeout", "long", f"'long' {NUMBER}"),
    ("report_ids", ["*", "x"], "must be ids, or '*' alone"),
    ("report_ids", ["a\n"], f"[0]: {ID}'a\\n'"),
    ("report_ids", [{"id": "x", "date_range": BACKWARDS}], "the date_range of x: its end_date is before its "),
    ("metric_ids", [{"id": "*"}], f"[0].id: {ID}'*'"),
    ("metric_ids", [{"id": None}], "[0].id: None is not of type 'string', 'integer'"),
    ("metric_ids", ["a", {"Id": "x"}], "[1]: 'id' is a required property"),
    ("metric_ids", [{"id": "x", "metric_id": "y"}], "an object gives its id as id, not as metric_id"),
    ("metric_ids", [{"id": "x", "date_range": "today"}], "the date_range of x: must be an object, not 'today'"),
    ("metric_ids", [{"id": "x", "date_range": {}}], f"the date_range of x: {RANGE}"),
    ("report_date_range", "today", "'today' is not of type 'object', 'null'"),
    ("report_date_range", {"preset": "today"}, RANGE),
    ("report_date_range", JANUARY | {"end_date": None}, RANGE),
    ("report_date_range", JANUARY | {"zone": "UTC"}, RANGE),
    ("report_date_range", {"type": "preset", "preset": "today", "zone": "UTC"}, RANGE),
    ("report_date_range", {"type": "preset", "preset": "last_year"}, "its preset must be one of today, "),
    ("report_date_range", {"type": "preset", "preset": ["today"]}, "its preset must be one of today, "),
    ("report_date_range", BACKWARDS, "its end_date is before its start_date, not "),
    ("export_urls", f"s3://key:{SECRET}@b/x", f"{LOGIN}'...@b/x'"),
    ("export_urls", [[f"s3://key:{SECRET}@b/x"]], "[0]: its type must be ['string'] (its value is not shown)"),
    ("export_urls", ["x", " "], "must not be empty"),
    ("export_urls", ["s3://key:sec/ret@bucket/x"], f"{LOGIN}'...@bucket/x'"),
    ("export_urls", [f"s3://bucket/x?key={SECRET}"], f"{FRAGMENT}'s3://bucket/x?...'"),
    ("export_urls", ["s3://bucket/x#top"], f"{FRAGMENT}'s3://bucket/x#"),
    ("export_urls", [f"file://me:{SECRET}@localhost/x"], LOGIN),
    ("export_urls", [f"s3://key:{SECRET}/x"], FOLDER + "the given value, which is not shown because it"),
    ("export_urls", ["s3:/bucket/x"], FOLDER + "'s3:/bucket/x'"),
    ("export_urls", ["s3://b"], FOLDER + "'s3://b'"),
    ("export_urls", ["https://bucket.s3.amazonaws.com/x"], FOLDER + "'https://"),
    ("export_urls", ["file://host/x"], FOLDER + "'file://host/x'"),
    ("stream_maps", {"accounts": 1}, "accounts: 1 is not valid under any of the given schemas"),
]  # fmt: skip


def test_each_setting_has_a_row() -> None:
    """Credentials and `queries` are below."""
    assert OWN_SETTINGS.keys() - {name for name, _, _ in SETTINGS} == {*dict(CREDENTIALS), "queries"}


@pytest.mark.parametrize(("name", "value", "says"), SETTINGS, ids=lambda value: str(value)[:60])
def test_the_line_names_the_setting_and_what_it_may_be(name: str, value: object, says: str) -> None:
    assert refusal(CORE | {name: value}).startswith(f"{name}: {says}")


@pytest.mark.parametrize(
    "url",
    ["", "https://", "api.kissmetrics.com/core", "ftp://127.0.0.1/core", "//host/core", "https://ho st/", "https://host\n",
     "http://api.kissmetrics.com/core", "http://127.0.0.1.example.com/core", "http://localhost.example.com/",
     "http://127.0.0.1\\.example.com/core", "http://localhost@example.com/core", "https://me:password@host/core",
     "https://host:99999999/?token=SECRET", "https://host/core#top"],
)  # fmt: skip
def test_an_address_is_https_and_holds_no_secret(url: str) -> None:
    assert refusal(CORE | {"api_url": url}).startswith(f"api_url: {URL}")


@pytest.mark.parametrize("url", ["https:///core", "https://[::1/core", "https://host:99999/", "https://*.example.com/"])
def test_an_address_has_a_host_and_a_port(url: str) -> None:
    assert refusal(CORE | {"api_url": url}) == "api_url: is not a URL (its value is not shown)"


@pytest.mark.parametrize("value", ["", "soon", "null", "NaN", "[1]", "1_0"])
def test_text_that_is_no_number_is_refused(value: str) -> None:
    assert refusal(CORE | {"retry_timeout": value}) == f"retry_timeout: {value!r} {NUMBER}"


def test_one_line_names_all_that_is_wrong() -> None:
    says = f"page_size: 0 is less than the minimum of 1; query_timeout: 'long' {NUMBER}"
    assert refusal(CORE | {"page_size": 0, "query_timeout": "long", "start_date": "yesterday"}) == says
    line = refusal(CORE | {"start_date": "yesterday", "report_date_range": {"preset": "today"}})
    assert line.startswith("report_date_range: must be ")
    assert line.endswith("; start_date: must be a date-time such as 2024-01-31T00:00:00Z, not 'yesterday'")


BATCHES: dict[str, Any] = {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///tmp"}}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (BATCHES | {"batch_size": 0}, "batch_size must be an integer of 1 or more, not 0"),
        (BATCHES | {"batch_size": 10.5}, "batch_size"),
        ({"encoding": {"format": "jsonl"}}, "'storage'"),
        ({"storage": {"root": "file:///tmp"}}, "'encoding'"),
        (BATCHES | {"encoding": {}}, "'format'"),
        (BATCHES | {"encoding": {"format": "csv"}}, "'csv' is not one of ['jsonl', 'parquet'"),
        (BATCHES | {"rows": 5}, "got an unexpected keyword argument 'rows'"),
        (BATCHES | {"storage": {"root": "nowhere://batches"}}, "Unsupported filesystem: 'nowhere'"),
    ],
    ids=json.dumps,
)
def test_a_batch_config_is_refused_before_a_stream_is_read(config: dict[str, Any], says: str) -> None:
    """The SDK lets it through, or finds it only then; a size of 0 would write nothing at all, and end well."""
    line = refusal(CORE | {"batch_config": config})
    assert line.startswith("batch_config: ")
    assert says in line


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"api_token": "t"}, "core"),
        ({"username": "u", "password": "p"}, "query"),
        ({"api_token": "", "username": "u"}, "query"),
        ({"api_token": "t", "username": "", "password": ""}, "core"),
        ({"api": "", "username": "u"}, "query"),
        ({"api": "core", "api_token": "t", "username": "u"}, "core"),
        ({"api": " Query ", "api_token": "t", "username": "u"}, "query"),
    ],
    ids=str,
)
def test_the_credentials_choose_the_api(settings: dict[str, Any], chosen: str) -> None:
    assert get_api(validate(settings)).name == chosen


@pytest.mark.parametrize("is_complete", [True, False])
def test_credentials_of_both_apis_need_a_choice(is_complete: bool) -> None:  # noqa: FBT001
    """For discovery too."""
    settings = {"api_token": SECRET, "username": SECRET, "password": SECRET}
    assert refusal(settings, is_complete=is_complete) == (
        "api_token and username are both set: set api to core (api_token: the Core API) "
        "or query (username: the Query API)"
    )


@pytest.mark.parametrize(
    ("settings", "names", "variables"),
    [
        ({"api": "core"}, "api_token", "TAP_KISSMETRICS_API_TOKEN (the Core API)"),
        ({"api": "query", "password": "p"}, "username", "TAP_KISSMETRICS_USERNAME (the Query API)"),
        (
            {"api_token": "", "username": "", "password": ""},
            "api_token or username",
            "TAP_KISSMETRICS_API_TOKEN (the Core API) or TAP_KISSMETRICS_USERNAME (the Query API)",
        ),
    ],
    ids=str,
)
def test_a_sync_needs_credentials_and_discovery_does_not(settings: dict[str, Any], names: str, variables: str) -> None:
    assert get_api(validate(settings, is_complete=False)).name == settings.get("api", "core")
    assert refusal(settings) == f"{names} is required: put it in the config file or in {variables}"


EXAMPLES = ["YOUR-API-TOKEN", "your_api_key", "Your API token", "<token>", "$TOKEN", "${TOKEN}", "{{ token }}"]

WRONG_CREDENTIALS: list[tuple[str, dict[str, Any], Any, str]] = [
    *(("api_token", CORE, token, 'must be the bare token, without spaces, line breaks and the word "Bearer"')
      for token in (" ", f"Bearer {SECRET}", f"{SECRET}\n", f"{SECRET}\0", f"{SECRET}ü")),
    *(("username", QUERY, user, "must be text without colons and line breaks")
      for user in (":", f"{SECRET}:x", f"{SECRET}\n", f"{SECRET}\0", f"{SECRET}\ud800")),
    ("password", QUERY, f"{SECRET}\n", "must be text without line breaks"),
    *((name, valid, [SECRET], "its type must be ['string', 'null']") for name, valid in CREDENTIALS),
    *((name, valid, "<yours>", "must be your own, not the example") for name, valid in CREDENTIALS),
    *(("password", QUERY, value, "must be your own, not the example") for value in EXAMPLES),
]  # fmt: skip


@pytest.mark.parametrize(("name", "valid", "value", "says"), WRONG_CREDENTIALS, ids=repr)
def test_a_wrong_credential_is_not_shown(name: str, valid: dict[str, Any], value: object, says: str) -> None:
    assert refusal(valid | {name: value}) == f"{name}: {says}{HIDDEN}"


def test_discovery_minds_no_example() -> None:
    validate(QUERY | {"password": EXAMPLES[0]}, is_complete=False)


@pytest.mark.parametrize("token", ["yours", "a-token-of-your-own", "t$x", "a<b>", "MY-TOKEN-7fa9", "$a-b"])
def test_what_only_looks_like_an_example_is_accepted(token: str) -> None:
    validate(CORE | {"api_token": token})


OF_ONE_API: list[tuple[dict[str, Any], str]] = [
    (CORE | {"queries": [SQL]}, "queries: belongs to api: query; this is api: core"),
    (QUERY | {"query_url": "https://example.com/v2"}, "query_url: belongs to api: core; this is api: query"),
    (QUERY | {"product_ids": ["abc"]}, "product_ids: must be numbers where api is query, not 'abc'"),
    (QUERY | {"product_ids": [-1]}, "product_ids: must be numbers where api is query, not -1"),
    (QUERY | {"report_ids": ["*", 1]}, "report_ids: must be ids, or '*' alone"),
    (QUERY | {"metric_ids": ["*"]}, "metric_ids: must be ids, not '*'; the Query API has no list of metrics"),
    (QUERY | {"metric_ids": [{"id": "x"}]}, "metric_ids: must be numbers where api is query, not 'x'"),
]


@pytest.mark.parametrize(("settings", "says"), OF_ONE_API, ids=str)
def test_a_setting_belongs_to_one_api(settings: dict[str, Any], says: str) -> None:
    assert refusal(settings) == says


QUERIES: list[tuple[Any, str]] = [
    ({}, f"{{}} {LIST}"),
    ([5], "[0]: 5 is not of type 'object'"),
    ([SQL, SQL | {"name": "PEOPLE"}], "people is the name of two queries"),
    ([SQL | {"name": "Report_Results"}], "Report_Results is the name of another stream"),
    *(([SQL, SQL | {"name": name}], "[1].name: must be letters, digits and _, beginning with a letter, not ")
      for name in ("", "1st", "two words", "line\n", "é")),
    ([SQL | {"product_id": "1"}], "[0].product_id: '1' is not of type 'integer'"),
    ([SQL | {"query_params": "SELECT 1"}], "[0].query_params: 'SELECT 1' is not of type 'object'"),
    ([{"name": "people", "product_id": 1, "query_params": {}}], "[0]: 'query_type' is a required property"),
    ([SQL | {"params": {}}], "[0]: Additional properties are not allowed ('params' was unexpected)"),
    ([SQL | {"schema": {"type": "people"}}], "the schema of people: cannot be used: 'people' is not"),
    ([SQL | {"schema": {"properties": {"a": True}}}], "the schema of people: cannot be used: AttributeError"),
    ([SQL | {"schema": {"properties": {}}}], "the schema of people must have properties, each an object"),
    ([SQL | {"schema": {"properties": {"id": {}, "ID": {}}}}], "the schema of people has two columns id, which "),
    ([SQL | {"schema": COLUMN, "primary_key": ["id"]}], "the primary_key of people names 'id', which is not in "),
]  # fmt: skip


@pytest.mark.parametrize(("queries", "says"), QUERIES, ids=str)
def test_a_wrong_query_is_named_or_its_place_in_the_list(queries: object, says: str) -> None:
    assert refusal(QUERY | {"queries": queries}).startswith(f"queries: {says}")
