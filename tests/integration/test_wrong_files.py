"""Each wrong config, state and catalog is refused: one line that names the place, no traceback, and no request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.sandbox import RESOURCES
from tests.support.assertions import assert_refused, assert_says, expected
from tests.support.cases import small_sandbox
from tests.support.run import settings_for, write_json
from tests.support.tap import attempt, catalog_of, run_tap, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Sandbox


NO_JSON = [
    pytest.param(b"", "is empty", id="empty"),
    pytest.param(b" \n", "is empty", id="blank"),
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


FILES = {"config": {"api_token": "SECRET"}, "catalog": {"streams": []}, "state": {"bookmarks": {}}}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", FILES)
def test_a_file_of_another_kind(kind: str, content: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line names the option that it belongs to."""
    if kind == content:
        return
    path = write_json(tmp_path / "wrong.json", FILES[content])
    run = run_tap(f"--{kind}", path, folder=tmp_path, config=None if kind == "config" else settings_for(sandbox))
    says = {"state": "state: has no bookmarks, but api_token", "catalog": "catalog: 'streams' is a required property"}
    assert_refused(run, sandbox, says[kind] if content == "config" else f"holds a {content}: pass it with --{content}")
    assert "SECRET" not in run.stderr


def test_an_empty_state_file_is_not_a_first_run(sandbox: Sandbox, tmp_path: Path) -> None:
    """A target that stopped before its first state leaves one: the line says what to write."""
    (tmp_path / "state.json").touch()
    assert_refused(sync(sandbox, tmp_path, "--state", tmp_path / "state.json"), sandbox, "for a first run write {}")


def assert_refused_here(sandbox: Sandbox, *says: str, **given: object) -> None:
    """Check the line for a catalog or a state, without a process for each."""
    line = attempt(sandbox, **given).refused()
    assert [word for word in says if word not in line] == []
    assert sandbox.requests == []


NO_OBJECT = "is not of type 'object'"

STATES: list[tuple[Any, str]] = [
    ({"type": "STATE", "value": {"bookmarks": {}}}, "is a whole STATE message; give only its value"),
    *(
        ({"bookmarks": {"accounts": {"progress_markers": wrong_value}}}, "bookmarks.accounts.progress_markers: ")
        for wrong_value in cast("tuple[object, ...]", (5, None, []))
    ),
    ({"bookmarks": {"accounts": {"replication_key_signpost": 5}}}, "bookmarks.accounts.replication_key_signpost: 5 is"),
    ({"bookmarks": []}, f"bookmarks: [] {NO_OBJECT}"),
    ({"bookmarks": {"accounts": "2024-01-01"}}, f"bookmarks.accounts: '2024-01-01' {NO_OBJECT}"),
    ({"bookmarks": {"accounts": None}}, f"bookmarks.accounts: None {NO_OBJECT}"),
    *(
        (
            {"bookmarks": {"accounts": {"replication_key_value": wrong_value}}},
            "bookmarks.accounts.replication_key_value",
        )
        for wrong_value in cast("tuple[object, ...]", (True, []))
    ),
    *(
        ({"bookmarks": {"accounts": {"replication_key_value": wrong_value}}}, "the bookmark of stream accounts must be")
        for wrong_value in ("not a date", "", 17)
    ),
    ({"bookmarks": {"events": {"partitions": {}}}}, "bookmarks.events.partitions: {} is not of type 'array'"),
    ({"bookmarks": {"events": {"partitions": [1]}}}, f"bookmarks.events.partitions[0]: 1 {NO_OBJECT}"),
    ({"bookmarks": {"events": {"partitions": [{}]}}}, "bookmarks.events.partitions[0]: 'context' is a required prop"),
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
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": "false"}}]}, "stream events: metadata[0].meta"),
    ({"metadata": [{"breadcrumb": ["properties", "name"], "metadata": {"selected": 0}}]}, "stream events: meta"),
    ({"schema": {"properties": {}}}, "stream events: schema.properties: {} "),
    ({"schema": {"properties": {"id": {"type": 5}}}}, "the schema of stream events is not a JSON Schema: "),
    ({"key_properties": ["nope"]}, "key_properties of stream events must be a list of columns of its schema"),
    *(({"key_properties": wrong_value}, "stream events: key_properties: ")
      for wrong_value in cast("tuple[object, ...]", ("id", 5))),
    ({"replication_method": "FULL_TABLE", "replication_key": "nope"}, "replication-key of stream events must be one"),
    ({"replication_method": None, "metadata": [{"breadcrumb": [], "metadata": {
        "selected": True, "forced-replication-method": "LOG_BASED"}}]}, "replication-method of stream events must be"),
    ({"metadata": "all"}, "stream events: metadata: 'all' is not of type 'array'"),
    ({"metadata": [{}]}, "stream events: metadata[0]: "),
    ({"metadata": [{"breadcrumb": "", "metadata": {}}]}, "stream events: metadata[0].breadcrumb: "),
    ({"metadata": [{"breadcrumb": [], "metadata": True}]}, "stream events: metadata[0].metadata: "),
    ({"metadata": [{"breadcrumb": [["id"]], "metadata": {}}]}, "stream events: metadata[0].breadcrumb[0]: "),
    ({"schema": None}, "stream events: schema: None is not of type 'object'"),
    ({"schema": {"type": "object"}}, "stream events: schema: 'properties' is a required property"),
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
     "stream events: metadata[0].metadata.selected-by-default: 'no' is not of type 'boolean', 'null'"),
    ({"replication_method": "INCREMENTAL", "replication_key": "last_sent_at",
      "schema": {"properties": {"id": {"type": "string"}}}}, "replication-key of stream events must be one of id, not"),
    ({"schema": {"properties": {"id": {"type": "string"}, "tags": {"type": "array", "items": True}}}},
     "cannot be used: AttributeError"),
    ({"tap_stream_id": "accounts"}, "has the stream accounts twice"),
    ({"tap_stream_id": None}, ".tap_stream_id: None is not of type 'string'"),
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
        ({}, "'streams' is a required property; make one with --discover"),
        ({"streams": {}}, "streams: {} is not of type 'array'"),
        ({"streams": []}, f"has none of the streams {', '.join(RESOURCES)}"),
        ({"streams": [{"tap_stream_id": "people", "schema": {}, "metadata": []}]}, "has none of the streams accounts"),
        ({"streams": ["events"]}, "streams[0]: 'events' is not of type 'object'"),
    ],
    ids=lambda part: json.dumps(part)[:60],
)
def test_a_catalog(value: object, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says what a catalog needs."""
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", value))
    assert_refused(run, sandbox, "catalog: ", says)


@pytest.mark.parametrize("selected", [["products"], ["products", "reports", "events", "properties"]], ids=len)
@pytest.mark.parametrize("api", ["core", "query"])
def test_a_catalog_of_the_other_api(api: ApiName, selected: list[str], tmp_path: Path) -> None:
    """Its keys would make one row of several products' records; where keys are the same, columns would be lost."""
    config = {} if api == "query" else {"api": "query", "username": "nobody"}
    other = catalog_of(tmp_path, config, **{name: {} for name in selected})
    path = write_json(tmp_path / "catalog.json", other)
    with small_sandbox(api=api) as sandbox:
        run = sync(sandbox, tmp_path, "--catalog", path)
    made, meant = ("Core", "Query") if api == "query" else ("Query", "Core")
    assert_refused(run, sandbox, f"catalog: was made for the {made} API, not for the {meant} API; make a new one")


def test_what_is_of_others_in_a_catalog(catalog: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """It may be anything; a stream that is selected and is none of this tap's is told of."""
    value = json.loads(catalog)
    odd: list[dict[str, Any]] = [{"schema": None}, {"schema": {"properties": {"a": 5}}}, {"metadata": [{}]}, {}]
    value["streams"] += [{"tap_stream_id": f"odd{number}", **entry} for number, entry in enumerate(odd)]
    root = {"breadcrumb": [], "metadata": {"selected": True}}
    value["streams"].append({"tap_stream_id": "evnets", "metadata": [root]})
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", value)).succeeded()
    assert_says(
        run, "WARNING.*The catalog selects streams that do not exist with these settings: evnets .did you mean events"
    )
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
