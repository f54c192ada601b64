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
    pytest.param(b"not JSON", "is not JSON in UTF-8: Expecting value: line 1 column 1", id="words"),
    pytest.param(
        b'{\n "api_token": "SECRET',
        "is not JSON in UTF-8: Unterminated string starting at: line 2 column 15",
        id="truncated",
    ),
    pytest.param(b'{"api_token": "SECRET-\xff"}', "is not JSON in UTF-8: 'utf-8' codec", id="not UTF-8"),
    pytest.param(b'["SECRET"]', "must be a JSON object, not a list", id="a list"),
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


FILES: dict[str, dict[str, Any]] = {
    "config": {"api_token": "SECRET"},
    "catalog": {"streams": []},
    "state": {"bookmarks": {}},
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", FILES)
def test_a_file_of_another_kind(kind: str, content: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The line says what is missing."""
    if kind == content:
        return
    path = write_json(tmp_path / "wrong.json", FILES[content])
    run = run_tap(f"--{kind}", path, folder=tmp_path, config=None if kind == "config" else settings_for(sandbox))
    says = {
        "config": "api_token or username is required",
        "state": f"state: has no bookmarks, but {next(iter(FILES[content]))}",
        "catalog": "catalog: cannot be used: KeyError: 'streams'; make one with --discover",
    }
    assert_refused(run, sandbox, says[kind])
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


STATES: list[tuple[Any, str]] = [
    ({"type": "STATE", "value": {"bookmarks": {}}}, "is a whole STATE message; give only its value"),
    ({"bookmarks": []}, "cannot be used: AttributeError: "),
    ({"bookmarks": {"accounts": "2024-01-01"}}, "cannot be used: AttributeError: "),
    (
        {"bookmarks": {"events": {"progress_markers": 5}}},
        "cannot be used: AttributeError: 'int' object has no attribute",
    ),
    ({"bookmarks": {"events": {"partitions": [1]}}}, "cannot be used: AttributeError: "),
    (
        {"bookmarks": {"events": {"partitions": [{"replication_key_value": None}]}}},
        "cannot be used: KeyError: 'context'",
    ),
    (
        {
            "bookmarks": {
                "events": {
                    "partitions": [
                        {"context": {"product_id": "x"}},
                        {"context": {"product_id": "y"}},
                        {"context": {"product_id": "x"}, "replication_key_value": "2024-01-31"},
                    ]
                }
            }
        },
        "stream events has two bookmarks for the partition {'product_id': 'x'}",
    ),
    *(
        ({"bookmarks": {"accounts": {"replication_key_value": wrong_value}}}, "the bookmark of stream accounts must be")
        for wrong_value in cast("tuple[object, ...]", ("not a date", "", 17, True, []))
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
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": "false"}}]}, "selected of [] of stream events must be"),
    ({"schema": {"properties": {"id": {"type": 5}}}}, "stream events: cannot be used: 5 is not valid under any of the"),
    ({"schema": None}, "stream events: cannot be used: None is not of type 'object', 'boolean'"),
    ({"schema": {"type": "object"}}, "stream events: cannot be used: KeyError: 'properties'"),
    ({"schema": {"properties": {"id": {"type": "string"}, "tags": {"type": "array", "items": True}}}},
     "stream events: cannot be used: AttributeError"),
    ({"metadata": "all"}, "stream events: cannot be used: TypeError"),
    ({"metadata": [{}]}, "stream events: cannot be used: KeyError: 'metadata'"),
    ({"key_properties": ["nope"]}, "key_properties of stream events must be a list of columns of its schema"),
    ({"key_properties": 5}, "cannot be used: TypeError"),
    ({"key_properties": ["name"]}, "key_properties of stream events must be id, not name"),
    ({"key_properties": None, "metadata": [{"breadcrumb": [], "metadata": {"table-key-properties": ["nope"]}}]},
     "key_properties of stream events must be a list of columns of its schema"),
    ({"replication_method": "FULL_TABLE", "replication_key": "nope"}, "replication-key of stream events must be one"),
    ({"replication_method": None, "metadata": [{"breadcrumb": [], "metadata": {
        "selected": True, "forced-replication-method": "LOG_BASED"}}]}, "replication-method of stream events must be"),
    ({"replication_method": "LOG_BASED"}, "replication-method of stream events must be FULL_TABLE or INCREMENTAL, not"),
    ({"replication_method": "INCREMENTAL"}, "replication-key of stream events must be one of last_sent_at, last_us"),
    ({"replication_method": "INCREMENTAL", "replication_key": "name"}, "replication-key of stream events must be one"),
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": True, "replication-method": "SOMETIMES"}}]},
     "replication-method of stream events must be FULL_TABLE or INCREMENTAL, not 'SOMETIMES'"),
    ({"metadata": [{"breadcrumb": [], "metadata": {"selected": True, "replication-key": "total"}}],
      "replication_method": None},
     "replication-key of stream events must be one of last_sent_at, last_used_at, not 'total'"),
    ({"replication_method": "INCREMENTAL", "replication_key": "last_sent_at",
      "schema": {"properties": {"id": {"type": "string"}}}}, "there is no replication-key of stream events, which"),
    ({"stream": "renamed"}, "stream of events must be 'events'; to rename it, set an __alias__ in stream_maps"),
    ({"tap_stream_id": "accounts"}, "has the stream accounts twice"),
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
        ({}, "cannot be used: KeyError: 'streams'; make one with --discover"),
        ({"streams": []}, f"has none of the streams {', '.join(RESOURCES)}"),
        ({"streams": [{"tap_stream_id": "people", "schema": {}, "metadata": []}]}, "has none of the streams accounts"),
        ({"streams": ["events"]}, "cannot be used: TypeError: "),
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
