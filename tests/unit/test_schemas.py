"""The schemas hold every field that the vendor sends, described, and turn into natural columns."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from scripts.about import ENTRIES
from tests.sandbox import QUERY_RESOURCES, RESOURCES, make_account, make_query_account
from tests.support.assertions import expected
from tests.support.catalogs import KEYS, QUERY_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

LISTS = [*(("core", name) for name in RESOURCES), *(("query", name) for name in QUERY_RESOURCES)]

STREAMS = [(api, name) for api, entries in ENTRIES.items() for name in entries]

ACCOUNTS = {"core": make_account(), "query": make_query_account()}
"""Their records have the fields of the vendor's references and of recorded responses."""

TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk over the fields of a schema, nested ones too."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from fields(field, f"{path}{name}.")
    if isinstance(items := schema.get("items"), dict):
        yield from fields(items, f"{path}[].")


def kind(field: Schema) -> str:
    """Give the format of a field or, without one, its type; null aside, it must have one alone."""
    (name,) = [name for name in field["type"] if name != "null"] if isinstance(field["type"], list) else [field["type"]]
    return str(field.get("format", name))


def kinds_of(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Walk over the fields of a record that are not null as `fields` does over those of a schema; give the kind."""
    for name, part in value.items() if isinstance(value, dict) else ():
        if part is not None:
            is_date = name.endswith("_at")
            assert not is_date or dt.datetime.fromisoformat(part).tzinfo
            yield f"{path}{name}", "date-time" if is_date else TYPES[type(part)]
            yield from kinds_of(part, f"{path}{name}.")
    for part in value if isinstance(value, list) else ():
        yield from kinds_of(part, f"{path}[].")


def key_of(api: str, stream: str) -> set[str]:
    """Give the columns of the primary key: in the Query API, only the ids of products are unique by themselves."""
    return {"id"} if api == "core" or stream == "products" else {"product_id", "id"}


@pytest.mark.parametrize(("api", "stream"), LISTS)
class TestLists:
    """The schema of each list of each API."""

    @pytest.fixture
    def schema(self, api: str, stream: str) -> Schema:
        """The one that is looked at, as `--discover` gives it."""
        schema: Schema = ENTRIES[api][stream]["schema"]
        return schema

    @pytest.fixture
    def records(self, api: str, stream: str) -> list[dict[str, Any]]:
        """Records of the API."""
        return expected(stream, ACCOUNTS[api].records[stream])

    def test_it_has_the_fields_that_the_vendor_sends(self, schema: Schema, records: list[dict[str, Any]]) -> None:
        sent = {pair for record in records for pair in kinds_of(record)}
        assert {(name, kind(field)) for name, field in fields(schema)} == sent

    def test_it_fits_each_record_and_one_with_nothing_but_the_key(
        self, api: str, stream: str, schema: Schema, records: list[dict[str, Any]]
    ) -> None:
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        nulls = dict.fromkeys(schema["properties"])
        key = {column: records[0][column] for column in key_of(api, stream)}
        for record in (*records, nulls | key):
            validator.validate(record)
        for name, field in fields(schema):
            assert ("null" in field["type"]) == (name not in key), name
        assert not validator.is_valid(key | {"id": ["no id"]})

    def test_a_replication_key_is_a_date_time(self, api: str, stream: str, schema: Schema) -> None:
        keys = {"core": KEYS, "query": QUERY_KEYS}[api].get(stream, ())
        assert all(kind(schema["properties"][key]) == "date-time" for key in keys)

    def test_it_refuses_no_value_that_nobody_listed(self, schema: Schema) -> None:
        text = json.dumps(schema)
        for keyword in ('"enum"', '"const"', '"pattern"', '"maxLength"', '"maximum"', '"additionalProperties"'):
            assert keyword not in text
        assert set(schema.get("required", ())) <= {"id"}


@pytest.mark.parametrize(("api", "stream"), STREAMS)
def test_strict_targets_take_every_column_and_people_read_what_it_is(api: str, stream: str) -> None:
    """One type each; `items` for every array, `properties` for every object; no format that is no date-time."""
    for name, field in fields(ENTRIES[api][stream]["schema"]):
        assert kind(field) in {"string", "integer", "number", "boolean", "array", "object", "date-time"}, name
        assert (kind(field) == "array") == ("items" in field), name
        # Whoever sends events names their properties: no schema lists them.
        is_listed = (stream, name) != ("raw_events", "properties")
        assert (kind(field) == "object" and is_listed) == bool(field.get("properties")), name
        assert name.split(".")[0] not in {"row", "rows", "order", "group", "table"}, name
        assert len(field.get("description", "").split()) >= 2, name
        assert field["description"].endswith("."), name
