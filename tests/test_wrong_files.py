"""Each wrong config, state and catalog is refused: one line that names the place, no traceback, and no request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from tap_kissmetrics.errors import SettingsError
from tests.expected import expected
from tests.fault_runs import assert_says, small_sandbox
from tests.refusals import assert_refused
from tests.sandbox import RESOURCES
from tests.tap_in_process import sync_here
from tests.tap_process import catalog_of, run_tap, settings_for, sync, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Sandbox


NO_JSON = [
    pytest.param(b"", "is not JSON: line 1 column 1", id="empty"),
    pytest.param(b"not JSON", "is not JSON: line 1 column 1", id="words"),
    pytest.param(b'{\n "api_token": "SECRET', "is not JSON: line 2 column 15", id="truncated"),
    pytest.param(b"{'api_token': 'SECRET'}", "is not JSON: line 1 column 2", id="single quotes"),
    pytest.param(b'{"api_token": "SECRET-\xff"}', "is not text in UTF-8", id="not UTF-8"),
    pytest.param(b'["SECRET"]', "must be a JSON object, not a list", id="a list"),
    pytest.param(b'"SECRET"', "must be a JSON object, not text", id="a text"),
    pytest.param(b"null", "must be a JSON object, not null", id="null"),
    pytest.param(b"42", "must be a JSON object, not a number", id="a number"),
    pytest.param(b"[" * 100_000, "is not JSON", id="nested without end"),
]


@pytest.mark.parametrize("kind", ["config", "state", "catalog"])
@pytest.mark.parametrize(("content", "says"), NO_JSON)
def test_a_file_that_is_no_json_object(kind: str, content: bytes, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the file and the place in it; what it holds is not shown."""
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    config = None if kind == "config" else settings_for(sandbox)
    run = run_tap(f"--{kind}", path, folder=tmp_path, config=config)
    assert_refused(run, sandbox, "wrong.json", says)
    assert "SECRET" not in run.stderr


@pytest.mark.parametrize("kind", ["config", "state", "catalog"])
@pytest.mark.parametrize("what", ["absent", "folder"])
def test_a_file_that_is_none(kind: str, what: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the path."""
    path = tmp_path / "wrong.json"
    if what == "folder":
        path.mkdir()
    run = run_tap(f"--{kind}", path, folder=tmp_path, config=None if kind == "config" else settings_for(sandbox))
    assert_refused(run, sandbox, "wrong.json", code=1 if kind == "config" else 2)


def assert_refused_here(sandbox: Sandbox, *says: str, **given: object) -> None:
    """Check the line for a catalog or a state, without a process for each."""
    with pytest.raises(SettingsError) as caught:
        sync_here(sandbox, **given)
    line = str(caught.value)
    assert line.splitlines() == [line]
    assert [word for word in says if word not in line] == []
    assert sandbox.requests == []


STATES: list[tuple[Any, str]] = [
    ({"type": "STATE", "value": {"bookmarks": {}}}, "is a whole STATE message; give only what is in its value"),
    *(
        (
            {"bookmarks": {"accounts": {"progress_markers": wrong_value}}},
            "progress_markers of the bookmark of stream acc",
        )
        for wrong_value in cast("tuple[object, ...]", (5, None, []))
    ),
    (
        {"bookmarks": {"accounts": {"replication_key_signpost": 5}}},
        "replication_key_signpost of the bookmark of stream",
    ),
    ({"bookmarks": []}, '"bookmarks" must be an object'),
    ({"bookmarks": {"accounts": "2024-01-01"}}, "the bookmark of stream accounts must be an object"),
    ({"bookmarks": {"accounts": None}}, "the bookmark of stream accounts must be an object"),
    *(
        ({"bookmarks": {"accounts": {"replication_key_value": wrong_value}}}, "the bookmark of stream accounts must be")
        for wrong_value in cast("tuple[object, ...]", (17, "not a date", True, [], ""))
    ),
    ({"bookmarks": {"events": {"partitions": {}}}}, '"partitions" of stream events must be a list'),
    ({"bookmarks": {"events": {"partitions": [1]}}}, "a partition of stream events must be an object"),
    ({"bookmarks": {"events": {"partitions": [{}]}}}, "a partition of stream events has no context"),
    (
        {"bookmarks": {"events": {"partitions": [{"context": {"product_id": "a"}}] * 2}}},
        "stream events has two partitions of the same context",
    ),
]


@pytest.mark.parametrize(("state", "says"), STATES, ids=lambda part: json.dumps(part)[:90])
def test_a_state(state: object, says: str, sandbox: Sandbox) -> None:
    """The line names the stream."""
    assert_refused_here(sandbox, "state: ", says, state=state)


def test_a_state_on_the_command_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """The same line, whichever way it came."""
    state, says = STATES[0]
    run = sync(sandbox, tmp_path, "--state", write_json(tmp_path / "state.json", state))
    assert_refused(run, sandbox, "state: ", says)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A catalog that is right, as JSON."""
    return json.dumps(catalog_of(tmp_path_factory.mktemp("catalog"), events={}, accounts={}))


CATALOGS: list[tuple[dict[str, Any], str]] = [
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": "false"}}]}, "selected of stream events must be true"),
    ({"metadata": [{"breadcrumb": ["properties", "name"], "metadata": {"selected": 0}}]}, "selected of stream events"),
    ({"schema": {"properties": {}}}, "stream events has no schema with properties"),
    ({"schema": {"properties": {"id": {"type": 5}}}}, "the schema of stream events is no JSON Schema: "),
    *(({"key_properties": wrong_value}, "key_properties of stream events must be a list of columns of its schema")
      for wrong_value in cast("tuple[object, ...]", (["nope"], "id", 5))),
    ({"replication_method": "FULL_TABLE", "replication_key": "nope"}, "replication-key of stream events must be one"),
    ({"replication_method": None, "metadata": [{"breadcrumb": [], "metadata": {
        "selected": True, "forced-replication-method": "LOG_BASED"}}]}, "replication-method of stream events must be"),
    ({"metadata": "all"}, "the metadata of stream events must be a list of objects"),
    ({"metadata": [{}]}, "the metadata of stream events must be a list of objects"),
    ({"metadata": [{"breadcrumb": "", "metadata": {}}]}, "the metadata of stream events must be a list of objects"),
    ({"metadata": [{"breadcrumb": [], "metadata": True}]}, "the metadata of stream events must be a list of objects"),
    ({"metadata": [{"breadcrumb": [["id"]], "metadata": {}}]}, "the metadata of stream events must be"),
    ({"schema": None}, "stream events has no schema with properties"),
    ({"schema": {"type": "object"}}, "stream events has no schema with properties"),
    ({"schema": {"properties": {"id": 5}}}, "schema"),
    ({"replication_method": "LOG_BASED"}, "replication-method of stream events must be one of FULL_TABLE, INCREMENTAL"),
    ({"replication_method": "INCREMENTAL"}, "replication-key of stream events must be one of last_sent_at, last_us"),
    ({"replication_method": "INCREMENTAL", "replication_key": "name"}, "replication-key of stream events must be one"),
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": True, "replication-method": "SOMETIMES"}}]},
     "replication-method of stream events must be one of FULL_TABLE, INCREMENTAL, not 'SOMETIMES'"),
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": True, "replication-key": "total"}}],
      "replication_method": None},
     "replication-key of stream events must be one of last_sent_at, last_used_at, not 'total'"),
    ({"stream": "renamed"}, "stream of events must be 'events'; to rename it, set an __alias__ in stream_maps"),
    ({"key_properties": ["name"]}, "key_properties of stream events must be id, not name"),
    ({"key_properties": None, "metadata": [{"breadcrumb": [], "metadata": {"table-key-properties": ["nope"]}}]},
     "key_properties of stream events must be a list of columns of its schema"),
    ({"metadata": [{"breadcrumb": ["properties", "name"], "metadata": {"selected-by-default": "no"}}]},
     "selected-by-default of stream events must be true or false, not 'no'"),
    ({"replication_method": "INCREMENTAL", "replication_key": "last_sent_at",
      "schema": {"properties": {"id": {"type": "string"}}}}, "replication-key of stream events must be one of id, not"),
    ({"tap_stream_id": "accounts"}, "has the stream accounts twice"),
    ({"tap_stream_id": None}, 'each item of "streams" must be an object with tap_stream_id'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), CATALOGS, ids=lambda part: json.dumps(part)[:90])
def test_a_catalog_entry(change: dict[str, Any], says: str, catalog: str, sandbox: Sandbox) -> None:
    """The line names the stream and what is wrong with it."""
    value = json.loads(catalog)
    (entry,) = [entry for entry in value["streams"] if entry["tap_stream_id"] == "events"]
    entry.update(change)
    assert_refused_here(sandbox, "catalog: ", says, catalog=value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, 'must have a list "streams"'),
        ({"streams": {}}, 'must have a list "streams"'),
        ({"streams": []}, f"has none of the streams {', '.join(RESOURCES)}"),
        ({"streams": [{"tap_stream_id": "people", "schema": {}, "metadata": []}]}, "has none of the streams accounts"),
        ({"streams": ["events"]}, 'each item of "streams" must be an object with tap_stream_id'),
    ],
    ids=lambda part: json.dumps(part)[:60],
)
def test_a_catalog(value: object, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says what a catalog needs."""
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", value))
    assert_refused(run, sandbox, "catalog: ", says)


@pytest.mark.parametrize("api", ["core", "query"])
def test_a_catalog_of_the_other_api(api: ApiName, tmp_path: Path) -> None:
    """Its keys would make one row of the records of several products."""
    config = {} if api == "query" else {"api": "query", "username": "nobody"}
    other = catalog_of(tmp_path, config, products={}, reports={}, events={}, properties={})
    path = write_json(tmp_path / "catalog.json", other)
    with small_sandbox(api=api) as sandbox:
        run = sync(sandbox, tmp_path, "--catalog", path)
    says = " must be product_id, id, not id;" if api == "query" else " must be id, not product_id, id;"
    assert_refused(run, sandbox, "catalog: key_properties of stream ", says)


def test_what_is_of_others_in_a_catalog(catalog: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It may be anything; a stream that is selected and is none of this tap's is told of."""
    value = json.loads(catalog)
    odd: list[dict[str, Any]] = [{"schema": None}, {"schema": {"properties": {"a": 5}}}, {"metadata": [{}]}, {}]
    value["streams"] += [{"tap_stream_id": f"odd{number}", **entry} for number, entry in enumerate(odd)]
    root = {"breadcrumb": [], "metadata": {"selected": True}}
    value["streams"].append({"tap_stream_id": "evnets", "metadata": [root]})
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", value)).succeeded()
    assert_says(run, "WARNING.*The catalog selects streams that there are not with these settings: evnets$")
    assert run.records("events") == expected("events", sandbox.account.records["events"])


def test_keys_cannot_be_left_out(catalog: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither by what is selected nor by what is unsupported."""
    value = json.loads(catalog)
    for entry in value["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == ["properties", "id"]:
                item["metadata"] = {"selected": False, "inclusion": "unsupported"}
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", value)).succeeded()
    assert run.records("events") == expected("events", sandbox.account.records["events"])


@pytest.mark.parametrize("kind", ["state", "catalog"])
def test_a_byte_order_mark(kind: str, catalog: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Some editors of Windows begin a file with it."""
    path = tmp_path / "marked.json"
    path.write_text(catalog if kind == "catalog" else "{}", encoding="utf-8-sig")
    assert sync(sandbox, tmp_path, f"--{kind}", path).succeeded().records("events")


@pytest.mark.parametrize("kind", ["state", "catalog"])
def test_a_file_that_cannot_be_read(kind: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is opened well, and fails as it is read."""
    run = sync(sandbox, tmp_path, f"--{kind}", "/proc/self/mem")
    assert_refused(run, sandbox, f"{kind} file /proc/self/mem cannot be read: Input/output error")


@pytest.mark.parametrize(
    "arguments",
    [["--config", '{"api_token": "SECRET"}'], ["--config", '["SECRET"]'], ["a\nSECRET"], ["SECRET", "more"]],
)
def test_content_in_the_place_of_a_file(arguments: list[str], sandbox: Sandbox, tmp_path: Path) -> None:
    """It may be a secret: it is not shown."""
    run = run_tap(*arguments, folder=tmp_path, config=None)
    assert_refused(run, sandbox, "", code=1 if "--config" in arguments else 2)
    assert "SECRET" not in run.stderr


def test_a_catalog_that_selects_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Else a sync of nothing would pass for a success."""
    path = write_json(tmp_path / "catalog.json", catalog_of(tmp_path))
    assert_refused(sync(sandbox, tmp_path, "--catalog", path), sandbox, "catalog: selects no stream")
