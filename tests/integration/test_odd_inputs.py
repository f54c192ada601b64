"""Settings, states and variables that are odd are refused or named before anything is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.assertions import assert_refused
from tests.support.catalogs import choose
from tests.support.process import run_started
from tests.support.run import environment, settings_for
from tests.support.tap import catalog_of, run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Sandbox

LATER = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "state",
    [
        {"singer_state": {"bookmarks": {}}},
        {"value": {"bookmarks": {}}},
        {"bookmark": {}},
        {"currently_syncing": "events"},
        {"completed": {}, "partial": {}},
    ],
    ids=json.dumps,
)
def test_a_state_without_bookmarks_is_refused(state: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """Its content would be ignored."""
    assert_refused(sync(sandbox, tmp_path, state=state), sandbox, "state: has no bookmarks", next(iter(state)))


def test_an_empty_state_is_a_first_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """As Meltano gives it."""
    assert not sync(sandbox, tmp_path, state={}).succeeded().warnings


def test_a_state_of_another_tap_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """No stream of it is known."""
    run = sync(sandbox, tmp_path, state={"bookmarks": {"customers": {}}}).succeeded()
    assert any("The state has bookmarks of other streams only: customers" in line for line in run.warnings)


def test_a_start_date_in_the_future_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """And a stream that left out all of its records."""
    for event in sandbox.account.records["events"]:
        event["last_sent_at"] = "2024-01-31T00:00:00Z"
    run = sync(sandbox, tmp_path, catalog=choose(events="last_sent_at"), start_date=LATER).succeeded()
    assert any("start_date 2999-01-01" in line and "in the future" in line for line in run.warnings)
    left_out = "events: all records are older than the bookmark or start_date: nothing was written"
    assert any(left_out in line for line in run.warnings)


def test_a_bookmark_in_the_future_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """As of a clock that was wrong."""
    bookmark = {"replication_key": "last_sent_at", "replication_key_value": LATER}
    state = {"bookmarks": {"events": bookmark}}
    run = sync(sandbox, tmp_path, catalog=choose(events="last_sent_at"), state=state).succeeded()
    assert any(f"The bookmark of stream events is in the future: {LATER}" in line for line in run.warnings)


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("TAP_KISSMETRICS_PAGESIZE", "TAP_KISSMETRICS_PAGE_SIZE"),
        ("TAP_KISSMETRICS_API_TOKN", "TAP_KISSMETRICS_API_TOKEN"),
        ("TAP_KISSMETRICS_PRODUCT_ID", "TAP_KISSMETRICS_PRODUCT_IDS"),
    ],
)
def test_a_misspelt_variable_is_named(variable: str, hint: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the nearest name, and without its value."""
    config = settings_for(sandbox)
    env = {f"TAP_KISSMETRICS_{name.upper()}": str(value) for name, value in config.items()}
    run = run_tap(folder=tmp_path, env={**env, variable: "some-secret-value"}).succeeded()
    (warning,) = run.warnings
    assert f"Unknown variables are ignored: {variable} (did you mean {hint}?)" in warning
    assert "some-secret-value" not in run.stderr


def test_a_misspelt_setting_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """With the nearest name."""
    (warning,) = sync(sandbox, tmp_path, pagesize=10).succeeded().warnings
    assert "Unknown settings are ignored: pagesize (did you mean page_size?)" in warning


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "settings",
    [
        {"retry_timeout": "0.5"},
        {"backoff_factor": "1e-2", "request_timeout": " 30 "},
        {"query_timeout": "60"},
        {"api": "CORE"},
        {"api": " Core "},
        {"report_ids": "*"},
    ],
    ids=json.dumps,
)
def test_what_is_meant_is_read(settings: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """As text Meltano passes on a fraction that is in the environment."""
    run = sync(sandbox, tmp_path, **settings).succeeded()
    assert len(run.records("events")) == sandbox.account.counts["events"]
    assert bool(run.records("report_results")) == ("report_ids" in settings)


@pytest.mark.parametrize("value", ["", "soon", "null", "true", "NaN", "[1]", "1_0"])
def test_text_that_is_no_number(value: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is refused as other text is."""
    run = sync(sandbox, tmp_path, retry_timeout=value)
    assert_refused(run, sandbox, "retry_timeout: ", " is not of type 'number'")


UNICODE_NAME = "Ünïcode-☃-秘密"


def test_files_are_utf_8_whatever_the_locale(sandbox: Sandbox, tmp_path: Path) -> None:
    """Config, catalog, state, `.env` and the output; a process has a locale, so it is started."""
    maps = {"events": {"note": f"'{UNICODE_NAME}'"}}
    config = {name: value for name, value in settings_for(sandbox).items() if name != "api_token"}
    catalog = catalog_of(tmp_path, config, events={"description": UNICODE_NAME})
    files = {
        "config": {**config, "stream_maps": maps},
        "catalog": catalog,
        "state": {"bookmarks": {UNICODE_NAME: {"a": 1}}},
    }
    arguments = []
    for kind, content in files.items():
        path = tmp_path / f"{kind}-{UNICODE_NAME}.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        arguments += [f"--{kind}", str(path)]
    (tmp_path / ".env").write_text(f"# {UNICODE_NAME}\nTAP_KISSMETRICS_API_TOKEN={sandbox.token}\n", encoding="utf-8")
    env = environment({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    run = run_started([*arguments, "--config", "ENV"], folder=tmp_path, env=env).succeeded()
    notes = [record["note"] for record in run.records("events")]
    assert notes == [UNICODE_NAME] * sandbox.account.counts["events"]
    assert run.state["bookmarks"][UNICODE_NAME] == {"a": 1}


@pytest.mark.parametrize(
    ("maps", "table"),
    [
        ({"events": {"__alias__": "products"}}, "products"),
        ({"events": {"__alias__": "Products"}}, "Products"),
        ({"*": {"__alias__": "everything"}}, "everything"),
        ({"one": {"__source__": "events"}, "ONE": {"__source__": "events"}}, "ONE"),
        ({"a-b": {"__source__": "events"}, "a_b": {"__source__": "events"}}, "a_b"),
    ],
    ids=json.dumps,
)
def test_two_streams_of_one_table(maps: dict[str, Any], table: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each would delete the rows of the other."""
    run = sync(sandbox, tmp_path, stream_maps=maps)
    assert_refused(run, sandbox, f"stream_maps: several streams would be written to the table {table}")


@pytest.mark.parametrize(
    "maps",
    [
        {"events": {"__alias__": "products"}, "products": None},
        {"copy": {"__source__": "events"}},
        {"*": {"__alias__": "'k_' + __stream_name__"}},
        {"__else__": None, "events": {"__alias__": "accounts"}},
    ],
    ids=json.dumps,
)
def test_streams_of_a_table_each(maps: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """A name that is free may be taken."""
    sync(sandbox, tmp_path, stream_maps=maps).succeeded()


@pytest.mark.parametrize("name", ["PRODUCT_IDS", "START_DATE", "QUERY_URL", "API", "REPORT_DATE_RANGE", "EXPORT_URLS"])
@pytest.mark.parametrize("text", ["null", " null ", ""])
def test_a_variable_of_null_counts_as_absent(text: str, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """As an empty one, whatever the type of the setting."""
    config = settings_for(sandbox)
    env = {f"TAP_KISSMETRICS_{each.upper()}": str(value) for each, value in config.items()}
    run = run_tap(folder=tmp_path, env={**env, f"TAP_KISSMETRICS_{name}": text}).succeeded()
    assert len(run.records("events")) == sandbox.account.counts["events"]


@pytest.mark.parametrize(
    "dates",
    [
        {"type": "after", "date": "2024-01-01"},
        {"start_date": "2024-01-01"},
        {"start_date": "2024-01-01", "end_date": "soon"},
        {"start_date": "2024-01-01", "end_date": None},
        {"start_date": "2024-01-01", "end_date": "2024-01-31", "zone": "UTC"},
    ],
    ids=json.dumps,
)
def test_a_date_range_of_the_wrong_form_is_refused(dates: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """By name, before any request."""
    run = sync(sandbox, tmp_path, report_date_range=dates, report_ids=["*"])
    assert_refused(run, sandbox, "report_date_range", "start_date", "end_date")


@pytest.mark.parametrize("name", ["a b", "1a", "_a", "a-b", "", "é"])
def test_a_name_of_a_query_that_is_no_name_of_a_table(name: str, tmp_path: Path) -> None:
    """What is allowed is said in words."""
    query = {"name": name, "product_id": 1, "query_type": "sql", "query_params": {}}
    line = run_tap(folder=tmp_path, config={"api": "query", "username": "some-user", "queries": [query]}).refused()
    assert "[0].name: must be letters, digits and _, beginning with a letter, not " in line


def test_dates_in_the_wrong_order_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """As instants: offsets may differ."""
    dates = {"start_date": "2024-01-31T23:00:00-05:00", "end_date": "2024-02-01T01:00:00Z"}
    run = sync(sandbox, tmp_path, report_date_range=dates, report_ids=["*"])
    assert_refused(run, sandbox, "report_date_range: its end_date is before its start_date")


@pytest.mark.parametrize(
    "column",
    [{"properties": {"const": {"type": "string"}, "$ref": {"type": "string"}}}, {"default": {"const": 1}},
     {"description": 'a "$ref": in it'}, {"examples": [{"$defs": 1}]}, {"enum": ["const"]}],
    ids=json.dumps,
)  # fmt: skip
def test_what_only_has_the_name_of_a_keyword_is_accepted(column: dict[str, Any], tmp_path: Path) -> None:
    """Such as a column `const` of an SQL query."""
    schema = {"properties": {"const": {"type": ["string", "null"]}, "a": {"type": ["string", "object"], **column}}}
    query = {"name": "q", "product_id": 1, "query_type": "sql", "query_params": {}, "schema": schema}
    config = {"api": "query", "username": "some-user", "queries": [query]}
    streams = json.loads(run_tap("--discover", folder=tmp_path, config=config).succeeded().stdout)["streams"]
    (found,) = [entry["schema"]["properties"] for entry in streams if entry["tap_stream_id"] == "q"]
    assert set(found) == {"const", "a"}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"properties": {"a": {"type": "object", "properties": {"b": True}}}}, ": cannot be used: AttributeError"),
        ({"properties": {"id": {}, "ID": {}}}, " has two columns id, which differ by case only"),
    ],
    ids=json.dumps,
)
def test_a_schema_that_is_no_table(schema: dict[str, Any], says: str, tmp_path: Path) -> None:
    """It is refused by name."""
    query = {"name": "q", "product_id": 1, "query_type": "sql", "query_params": {}, "schema": schema}
    line = run_tap(folder=tmp_path, config={"api": "query", "username": "some-user", "queries": [query]}).refused()
    assert line.startswith(f"queries: the schema of q{says}")


def test_the_schema_of_a_query_is_written_without_annotations(v3: Sandbox, tmp_path: Path) -> None:
    """As a program makes it, with a title everywhere; a column may have that name. The type may be left out."""
    text = {"type": ["string", "null"]}
    column = {"title": "Tags", "type": ["array", "null"], "items": {"title": "Tag", **text}}
    schema: dict[str, Any] = {"$id": "urn:x", "$schema": "http://json-schema.org/draft-07/schema#", "title": "Row"}
    schema |= {"properties": {"title": {"title": "Title", **text}, "tags": column}}
    product = v3.account.ids("products")[0]
    query = {"name": "q", "product_id": product, "query_type": "sql", "query_params": {"statement": "x"}}
    run = sync(v3, tmp_path, queries=[{**query, "schema": schema}])
    (found,) = [message["schema"] for message in run.of_type("SCHEMA") if message["stream"] == "q"]
    columns = {"title": text, "tags": {"type": ["array", "null"], "items": text}}
    assert found == {"type": "object", "properties": columns}


def test_schema_messages_have_neither_schema_nor_title(sandbox: Sandbox, tmp_path: Path) -> None:
    """Some targets refuse them."""
    for message in sync(sandbox, tmp_path).succeeded().of_type("SCHEMA"):
        assert not message["schema"].keys() & {"$schema", "title"}


def test_a_catalog_that_selects_nothing_names_what_there_is(sandbox: Sandbox, tmp_path: Path) -> None:
    """Streams, by name."""
    run = sync(sandbox, tmp_path, catalog=choose())
    assert_refused(run, sandbox, "selects no stream", "accounts", "events")


@pytest.mark.parametrize("token", ["wrong", "core", "expired", "reading"])
def test_a_token_that_is_an_everyday_word(token: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is not cut out of the tap's own words."""
    run = sync(sandbox, tmp_path, api_token=token)
    assert run.code == 1
    assert "api_token is wrong or expired" in run.errors[-1]
    assert "(hidden)" not in run.stderr
