"""The schemas hold every field of the vendor's documents, described, and turn into natural columns."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from scripts.about import ENTRIES
from tests.sandbox import QUERY_RESOURCES, RESOURCES, make_account, make_query_account
from tests.support.assertions import expected
from tests.support.reference import BOOLEAN, FIELDS, TEXT
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

STREAMS = [*(("core", name) for name in RESOURCES), *(("query", name) for name in QUERY_RESOURCES)]

REQUIRED: dict[str, list[str]] = {"core": ["id"], "query": []}
"""What the schemas of an API say of it in `required`; a column of the key may be null in neither."""

SOME_ID: dict[str, object] = {"core": "51cc9c30-0edf-0131-ead3-12313b0d181e", "query": 11_001}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Schema]:
    """The schema of each stream of each API, as `--discover` gives it."""
    found: dict[tuple[str, str], Schema] = {}
    for api in FIELDS:
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


def key_of(api: str, stream: str) -> set[str]:
    """Give the columns of the primary key: in the Query API, only the ids of products are unique by themselves."""
    return {"id"} if api == "core" or stream == "products" else {"product_id", "id"}


class TestStreams:
    """All of them."""

    def test_streams_are_those_of_the_apis(self, schemas: dict[tuple[str, str], Schema]) -> None:
        assert schemas.keys() == set(STREAMS) == {(api, name) for api, models in FIELDS.items() for name in models}


@pytest.mark.parametrize(("api", "stream"), STREAMS)
class TestEachSchema:
    """Each stream's schema."""

    @pytest.fixture
    def schema(self, api: str, stream: str, schemas: dict[tuple[str, str], Schema]) -> Schema:
        """The one that is looked at."""
        return schemas[api, stream]

    def test_has_the_fields_of_the_documents_and_of_real_answers(self, api: str, stream: str, schema: Schema) -> None:
        assert {name: kind(field) for name, field in schema["properties"].items()} == FIELDS[api][stream]

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


class TestNestedFields:
    """The fields of `contact` and `links`."""

    def test_contact_has_its_parts(self, schemas: dict[tuple[str, str], Schema]) -> None:
        contact = schemas["core", "accounts"]["properties"]["contact"]["properties"]
        assert {name: kind(field) for name, field in contact.items()} == dict.fromkeys(
            ("name", "country", "phone"), TEXT
        )

    @pytest.mark.parametrize("stream", RESOURCES)
    def test_links_have_their_parts(self, stream: str, schemas: dict[tuple[str, str], Schema]) -> None:
        parts = schemas["core", stream]["properties"]["links"]["items"]["properties"]
        wanted = {"templated": BOOLEAN, "href": TEXT, "rel": TEXT, "name": TEXT}
        assert {name: kind(field) for name, field in parts.items()} == wanted


def _is_date(text: str) -> bool:
    return dt.datetime.fromisoformat(text).tzinfo is not None
