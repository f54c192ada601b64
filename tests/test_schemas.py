"""The schemas hold every field of the vendor's reference, described, and turn into natural columns."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.expected import expected
from tests.sandbox import RESOURCES, make_account
from tests.tap_process import run_tap

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("_forked")

Schema = dict[str, Any]

UUID, DATE, TEXT, WHOLE, TRUTH, JSON_OBJECT, JSON_ARRAY = (
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "date-time"},
    {"type": "string"},
    {"type": "integer"},
    {"type": "boolean"},
    {"type": "object"},
    {"type": "array"},
)

_USE = {"first_used_at": DATE, "last_used_at": DATE, "first_sent_at": DATE, "last_sent_at": DATE}
_LIBRARY = {"id": UUID, "product_id": UUID, "name": TEXT, "display_name": TEXT, "description": TEXT}

MODELS: dict[str, dict[str, dict[str, str]]] = {
    "accounts": {
        "id": UUID,
        "name": TEXT,
        "status": TEXT,
        "created_at": DATE,
        "updated_at": DATE,
        "contact": JSON_OBJECT,
    },
    "products": {
        "id": UUID,
        "account_id": UUID,
        "name": TEXT,
        "url": TEXT,
        "environment": TEXT,
        "status": TEXT,
        "timezone": TEXT,
        "created_at": DATE,
    },
    "reports": {
        "id": UUID,
        "account_id": UUID,
        "product_id": UUID,
        "name": TEXT,
        "report_type": TEXT,
        "created_at": DATE,
    },
    "events": {**_LIBRARY, "is_visible": TRUTH, "total": WHOLE, **_USE},
    "properties": {**_LIBRARY, "is_visible": TRUTH, "type": TEXT, **_USE},
    "metrics": {
        "id": UUID,
        "product_id": UUID,
        "title": TEXT,
        "description": TEXT,
        "is_visible": TRUTH,
        "unit_type": TEXT,
        "status": TEXT,  # the reference says boolean and shows text
        "color": TEXT,
        "sort_index": WHOLE,
        "config_last_changed_at": DATE,
    },
}
"""The fields under "Model" in the vendor's reference, and the columns they are."""

BESIDES: dict[str, dict[str, dict[str, str]]] = {
    "products": {"tracking_key": TEXT, "hosts": JSON_ARRAY},
    "events": {"index": WHOLE},
    "properties": {"index": WHOLE},
}
"""What the API sends besides; and each record has `links`."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Schema]:
    """The schema of each stream, as `--discover` gives it."""
    run = run_tap("--discover", folder=tmp_path_factory.mktemp("discover")).succeeded()
    return {entry["tap_stream_id"]: entry["schema"] for entry in json.loads(run.stdout)["streams"]}


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


class TestStreams:
    """All of them."""

    def test_streams_are_those_of_the_api(self, schemas: dict[str, Schema]) -> None:
        assert schemas.keys() == MODELS.keys() == set(RESOURCES)


@pytest.mark.parametrize("stream", RESOURCES)
class TestEachSchema:
    """Each stream's schema."""

    def test_has_the_fields_of_the_reference_and_of_real_answers(self, stream: str, schemas: dict[str, Schema]) -> None:
        found = {name: kind(field) for name, field in schemas[stream]["properties"].items()}
        assert found == MODELS[stream] | BESIDES.get(stream, {}) | {"links": JSON_ARRAY}

    def test_is_json_schema(self, stream: str, schemas: dict[str, Schema]) -> None:
        Draft202012Validator.check_schema(schemas[stream])
        assert schemas[stream]["type"] == "object"

    def test_describes_every_field(self, stream: str, schemas: dict[str, Schema]) -> None:
        described = dict(fields(schemas[stream]))
        assert any("." in name for name in described), "no nested field was looked at"
        for name, field in described.items():
            assert len(field.get("description", "").split()) >= 2, name
            assert field["description"].endswith("."), name

    def test_requires_the_id_only(self, stream: str, schemas: dict[str, Schema]) -> None:
        assert schemas[stream]["required"] == ["id"]
        for name, field in fields(schemas[stream]):
            assert ("null" in field["type"]) == (name != "id"), name

    def test_tolerates_what_nobody_listed(self, stream: str, schemas: dict[str, Schema]) -> None:
        text = json.dumps(schemas[stream])
        for keyword in ('"enum"', '"const"', '"pattern"', '"maxLength"', '"maximum"', '"additionalProperties"'):
            assert keyword not in text

    def test_fits_every_record_of_the_sandbox(self, stream: str, schemas: dict[str, Schema]) -> None:
        checker = FormatChecker()
        checker.checks("date-time", raises=ValueError)(lambda text: text is None or _is_date(text))
        validator = Draft202012Validator(schemas[stream], format_checker=checker)
        records = expected(stream, make_account().records[stream])
        assert records
        for record in records:
            validator.validate(record)
            assert record.keys() == schemas[stream]["properties"].keys()
        with pytest.raises(Exception, match="is not a"):
            validator.validate(records[0] | {"id": "no uuid"})

    def test_all_null_but_the_id_fits(self, stream: str, schemas: dict[str, Schema]) -> None:
        nulls = dict.fromkeys(schemas[stream]["properties"])
        validator = Draft202012Validator(schemas[stream])
        validator.validate(nulls | {"id": "51cc9c30-0edf-0131-ead3-12313b0d181e"})
        assert not validator.is_valid(nulls)


class TestNestedFields:
    """The fields of `contact` and `links`."""

    def test_contact_has_its_parts(self, schemas: dict[str, Schema]) -> None:
        contact = schemas["accounts"]["properties"]["contact"]["properties"]
        assert {name: kind(field) for name, field in contact.items()} == dict.fromkeys(
            ("name", "country", "phone"), TEXT
        )

    @pytest.mark.parametrize("stream", RESOURCES)
    def test_links_have_their_parts(self, stream: str, schemas: dict[str, Schema]) -> None:
        parts = schemas[stream]["properties"]["links"]["items"]["properties"]
        wanted = {"templated": TRUTH, "href": TEXT, "rel": TEXT, "name": TEXT}
        assert {name: kind(field) for name, field in parts.items()} == wanted


def _is_date(text: str) -> bool:
    return dt.datetime.fromisoformat(text).tzinfo is not None
