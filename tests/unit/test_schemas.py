"""The schemas hold every field that the vendor sends, described, and turn into natural columns."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from scripts.about import ENTRIES
from tests.sandbox import QUERY_RESOURCES, RESOURCES, make_account, make_query_account
from tests.support.assertions import expected
from tests.support.catalogs import KEYS, QUERY_KEYS
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

STREAMS = [*(("core", name) for name in RESOURCES), *(("query", name) for name in QUERY_RESOURCES)]

_DAY = "2014-09-02T19:46:43Z"
_USE = {"first_used_at": _DAY, "last_used_at": _DAY, "first_sent_at": _DAY, "last_sent_at": _DAY}
_LINKS = [{"templated": False, "href": "https://api.example.com/1", "rel": "self", "name": "Self"}]
_DEFINITION = {"id": "1-a", "product_id": "2-b", "name": "hit", "display_name": "Hit", "description": "A hit."}

RECORDS: dict[tuple[str, str], dict[str, Any]] = {
    ("core", "accounts"): {
        "id": "1-a",
        "name": "Shop",
        "status": "active",
        "created_at": _DAY,
        "updated_at": _DAY,
        "links": _LINKS,
        "contact": {"name": "A", "country": "AT", "phone": "+43"},
    },
    ("core", "products"): {
        "id": "1-a",
        "account_id": "2-b",
        "name": "Shop",
        "url": "http://a.example",
        "environment": "staging",
        "status": "active",
        "timezone": "US/Pacific",
        "created_at": _DAY,
        "links": _LINKS,
        "tracking_key": "abc",
        "hosts": ["a.example"],  # in real responses, not in the reference
    },
    ("core", "reports"): {
        "id": "1-a",
        "account_id": "2-b",
        "product_id": "3-c",
        "name": "Who",
        "report_type": "funnel",
        "created_at": _DAY,
        "links": _LINKS,
    },
    # `index` of events and properties is in real responses, not in the reference.
    ("core", "events"): {**_DEFINITION, **_USE, "is_visible": True, "total": 8, "index": 2, "links": _LINKS},
    ("core", "properties"): {**_DEFINITION, **_USE, "is_visible": True, "type": "text", "index": 2, "links": _LINKS},
    ("core", "metrics"): {
        "id": "1-a",
        "product_id": "2-b",
        "title": "Churn",
        "description": "Who left.",
        "is_visible": True,
        "unit_type": "percent",
        "status": "pending",
        "color": "teal",
        "sort_index": 0,
        "links": _LINKS,
        "config_last_changed_at": _DAY,
    },
    ("query", "products"): {"id": 1, "account_id": 2, "name": "Shop", "timezone": "US/Pacific", "km_key": "abc"},
    ("query", "reports"): {"id": 1, "product_id": 2, "name": "Who", "report_type": "funnel"},
    ("query", "events"): {
        "id": 1,
        "product_id": 2,
        "name": "hit",
        "index": 2,
        "visible": True,
        "total": 8,
        **_USE,
        "property_indices": [3],
    },
    ("query", "properties"): {"id": 1, "product_id": 2, "name": "hit", "index": 2, "visible": True, **_USE},
}
"""A record of each list as the vendor's references and recorded responses have it, with made-up values."""

TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}

REQUIRED: dict[str, list[str]] = {"core": ["id"], "query": []}
"""What the schemas of an API say of it in `required`; a column of the key may be null in neither."""

SOME_ID: dict[str, object] = {"core": "51cc9c30-0edf-0131-ead3-12313b0d181e", "query": 11_001}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Schema]:
    """The schema of each stream of each API, as `--discover` gives it."""
    found: dict[tuple[str, str], Schema] = {}
    for api in REQUIRED:
        run = run_tap("--discover", folder=tmp_path_factory.mktemp("discover"), config={"api": api}).succeeded()
        found |= {(api, entry["tap_stream_id"]): entry["schema"] for entry in json.loads(run.stdout)["streams"]}
    return found


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk over the fields of a schema, nested ones too."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from fields(field, f"{path}{name}.")
    if isinstance(items := schema.get("items"), dict):
        yield from fields(items, f"{path}[].")


def kind(field: Schema) -> dict[str, str]:
    """Give the one type of a field, null aside, and its format."""
    (name,) = [name for name in field["type"] if name != "null"] if isinstance(field["type"], list) else [field["type"]]
    return {"type": name} | ({"format": field["format"]} if "format" in field else {})


def kinds_of(value: object, path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Walk over the fields of a record as `fields` does over those of a schema; give the type and format of each."""
    for name, part in value.items() if isinstance(value, dict) else ():
        yield f"{path}{name}", {"type": TYPES[type(part)]} | ({"format": "date-time"} if part == _DAY else {})
        yield from kinds_of(part, f"{path}{name}.")
    if isinstance(value, list):
        yield from kinds_of(value[0], f"{path}[].")


def key_of(api: str, stream: str) -> set[str]:
    """Give the columns of the primary key: in the Query API, only the ids of products are unique by themselves."""
    return {"id"} if api == "core" or stream == "products" else {"product_id", "id"}


class TestStreams:
    """All of them."""

    def test_streams_are_those_of_the_apis(self, schemas: dict[tuple[str, str], Schema]) -> None:
        assert RECORDS.keys() <= schemas.keys() == set(STREAMS)

    @pytest.mark.parametrize(("api", "stream"), RECORDS)
    def test_fields_are_those_that_the_vendor_sends(
        self, api: str, stream: str, schemas: dict[tuple[str, str], Schema]
    ) -> None:
        found = {name: kind(field) for name, field in fields(schemas[api, stream])}
        assert found == dict(kinds_of(RECORDS[api, stream]))


@pytest.mark.parametrize(("api", "stream"), STREAMS)
class TestEachSchema:
    """Each stream's schema."""

    @pytest.fixture
    def schema(self, api: str, stream: str, schemas: dict[tuple[str, str], Schema]) -> Schema:
        """The one that is looked at."""
        return schemas[api, stream]

    def test_is_json_schema(self, schema: Schema) -> None:
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"

    def test_describes_every_field(self, api: str, schema: Schema) -> None:
        described = dict(fields(schema))
        assert api == "query" or "links.[].href" in described, "no nested field was looked at"
        for name, field in described.items():
            assert len(field.get("description", "").split()) >= 2, name
            assert field["description"].endswith("."), name

    def test_requires_the_key_only(self, api: str, stream: str, schema: Schema) -> None:
        assert schema.get("required", []) == REQUIRED[api]
        for name, field in fields(schema):
            assert ("null" in field["type"]) == (name not in key_of(api, stream)), name

    def test_replication_keys_are_date_times(self, api: str, stream: str, schema: Schema) -> None:
        keys = {"core": KEYS, "query": QUERY_KEYS}[api].get(stream, ())
        assert all(kind(schema["properties"][key]) == {"type": "string", "format": "date-time"} for key in keys)

    def test_tolerates_what_nobody_listed(self, schema: Schema) -> None:
        text = json.dumps(schema)
        for keyword in ('"enum"', '"const"', '"pattern"', '"maxLength"', '"maximum"', '"additionalProperties"'):
            assert keyword not in text

    def test_fits_every_record_of_the_sandbox(self, api: str, stream: str, schema: Schema) -> None:
        checker = FormatChecker()
        checker.checks("date-time", raises=ValueError)(lambda text: text is None or _is_date(text))
        validator = Draft202012Validator(schema, format_checker=checker)
        account = make_account() if api == "core" else make_query_account()
        records = expected(stream, account.records[stream])
        assert records
        for record in records:
            validator.validate(record)
            assert record.keys() == schema["properties"].keys()
        with pytest.raises(Exception, match="is not of type"):
            validator.validate(records[0] | {"id": ["no id"]})

    def test_all_null_but_the_key_fits(self, api: str, stream: str, schema: Schema) -> None:
        nulls = dict.fromkeys(schema["properties"])
        validator = Draft202012Validator(schema)
        validator.validate(nulls | dict.fromkeys(key_of(api, stream), SOME_ID[api]))
        assert not validator.is_valid(nulls)


@pytest.mark.parametrize(("api", "stream"), [(api, name) for api, entries in ENTRIES.items() for name in entries])
def test_strict_targets_take_every_column(api: str, stream: str) -> None:
    """One type each; `items` for every array, `properties` for every object; no format that is no date-time."""
    for name, field in fields(ENTRIES[api][stream]["schema"]):
        assert kind(field)["type"] in {"string", "integer", "number", "boolean", "array", "object"}, name
        assert field.get("format") in {None, "date-time"}, name
        assert (kind(field)["type"] == "array") == ("items" in field), name
        # Whoever sends events names their properties: no schema lists them.
        is_listed = (stream, name) != ("raw_events", "properties")
        assert (kind(field)["type"] == "object" and is_listed) == bool(field.get("properties")), name
        assert name.split(".")[0] not in {"row", "rows", "order", "group", "table"}, name


def _is_date(text: str) -> bool:
    return dt.datetime.fromisoformat(text).tzinfo is not None
