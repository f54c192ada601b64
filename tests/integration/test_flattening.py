"""The columns of each record are among those of its SCHEMA, whatever is flattened, mapped or selected."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import Sandbox, make_account
from tests.support.catalogs import choose
from tests.support.examples import examples
from tests.support.results import result_sandbox
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName
    from tests.support.run import Run

SIZES: dict[str, int] = {"products": 2, "reports": 2, "events": 3, "properties": 3, "metrics": 2}

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "country", "phone", "new", "a__b", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)

MAPS: list[dict[str, Any] | None] = [
    None,
    {"accounts": {"shout": "str(id)"}},
    {"accounts": {"__alias__": "clients", "contact": None}},
    {"copy": {"__source__": "accounts", "id": "id", "__else__": None}},
    {"products": {"__alias__": "renamed"}, "events": None},
]


def assert_columns_are_known(run: Run) -> None:
    """Check each RECORD against the SCHEMA that came last before it."""
    columns: dict[str, set[str]] = {}
    for message in run.messages:
        if message["type"] == "SCHEMA":
            columns[message["stream"]] = set(message["schema"]["properties"])
        elif message["type"] == "RECORD":
            unknown = message["record"].keys() - columns[message["stream"]]
            assert not unknown, (message["stream"], unknown)


@examples(6)
@given(
    odd=st.lists(
        st.tuples(
            st.sampled_from(["accounts", "products", "reports", "events", "metrics"]),
            st.sampled_from(["contact", "links", "hosts", "name", "new", "total"]),
            st.just("missing") | values,
        ),
        max_size=5,
    ),
    depth=st.sampled_from([None, 0, 1, 2, 5]),
    maps=st.sampled_from(MAPS),
    left_out=st.lists(
        st.sampled_from([("contact",), ("contact", "properties", "phone"), ("links",), ("name",)]), max_size=2
    ),
)
def test_any_values_maps_and_selection(
    odd: list[tuple[str, str, Any]], depth: int | None, maps: dict[str, Any] | None, left_out: list[tuple[str, ...]]
) -> None:
    """For every stream."""
    account = make_account(**SIZES)
    for stream, column, value in odd:
        record = account.records[stream][0]
        if value == "missing":
            record.pop(column, None)
        else:
            record[column] = copy.deepcopy(value)
    flattening = {} if depth is None else {"flattening_enabled": True, "flattening_max_depth": depth}
    catalog = choose(**dict.fromkeys(account.records))
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if tuple(item["breadcrumb"][1:]) in left_out:
                item["metadata"]["selected"] = False
    with Sandbox(account) as sandbox:
        mapped = {} if maps is None else {"stream_maps": maps}
        run = sync_here(sandbox, catalog=catalog, **flattening, **mapped)
    assert_columns_are_known(run)
    if maps is None:
        for stream, records in account.records.items():
            assert len(run.records(stream)) == len(records)


@pytest.mark.parametrize(
    "contact", [None, {}, {"name": "x", "new": 1}, {"name": {"first": "x"}}, "text", 5, []], ids=str
)
@pytest.mark.parametrize("depth", [1, 2])
def test_a_contact_that_is_odd(contact: object, depth: int, tmp_path: Path) -> None:
    """Null, empty, with a new field, or no object at all; what has a value and no column is named."""
    account = make_account(**SIZES)
    account.records["accounts"][0]["contact"] = contact
    with Sandbox(account) as sandbox:
        run = sync(sandbox, tmp_path, flattening_enabled=True, flattening_max_depth=depth).succeeded()
    assert_columns_are_known(run)
    if isinstance(contact, dict) and "new" in contact:
        assert any("'contact__new'" in line for line in run.warnings)


@pytest.mark.parametrize("api", ["core", "query"])
def test_the_date_range_of_results(api: ApiName, tmp_path: Path) -> None:
    """Its parts differ by the kind of range."""
    with result_sandbox(api, reports=2) as sandbox:
        run = sync(sandbox, tmp_path, report_ids=["*"], flattening_enabled=True, flattening_max_depth=1).succeeded()
    assert all(record["date_range"] for record in run.records("report_results"))
    assert run.records("report_results")
    assert_columns_are_known(run)
    assert not [line for line in run.warnings if "dropped" in line]


def test_flattening_without_a_depth_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """The setting that is missing is named."""
    assert (
        "flattening_max_depth is required with flattening_enabled"
        in sync(sandbox, tmp_path, flattening_enabled=True).refused()
    )
    assert sandbox.requests == []


UNSELECTED: list[dict[str, Any]] = [
    {"inclusion": "unsupported"},
    {"inclusion": "available", "selected": False},
    {"inclusion": "available", "selected-by-default": False},
]


@pytest.mark.parametrize("metadata", UNSELECTED, ids=json.dumps)
def test_a_key_is_in_the_schema_whatever_a_catalog_says(
    metadata: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    """A primary key, and a replication key."""
    catalog = choose(accounts=None, events="last_sent_at")
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"][-1:] in (["id"], ["last_sent_at"]):
                item["metadata"] = metadata
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    assert_columns_are_known(run)
    for message in run.of_type("SCHEMA"):
        keys = {*message["key_properties"], *message.get("bookmark_properties", ())}
        assert keys <= message["schema"]["properties"].keys()
    assert all(record["id"] for record in run.records("accounts"))


@pytest.mark.parametrize("where", ["nowhere", "metadata"])
def test_a_catalog_that_names_no_key_has_that_of_the_stream(where: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Without it, a target would add each record again."""
    catalog = choose(events=None)
    for entry in catalog["streams"]:
        del entry["key_properties"]
        (root,) = [item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]]
        if where == "nowhere":
            del root["table-key-properties"]
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    assert [message["key_properties"] for message in run.of_type("SCHEMA")] == [["id"]]


def test_no_key_is_an_empty_list(sandbox: Sandbox, tmp_path: Path) -> None:
    """Singer requires `key_properties`."""
    run = sync(sandbox, tmp_path, stream_maps={"events": {"__key_properties__": None}}).succeeded()
    assert {m["stream"]: m["key_properties"] for m in run.of_type("SCHEMA")}["events"] == []
