"""Validate the JSON Schemas of rows that come with the setting `queries`."""

from __future__ import annotations

import typing as t

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from singer_sdk.singerlib.schema import STANDARD_KEYS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_kissmetrics.sdk_extensions.inputs import Settings

_KNOWN_KEYWORDS: t.Final = {*STANDARD_KEYS, "properties", "items", "$schema", "$id"}
"""What the SDK keeps of a schema."""

_ANNOTATIONS: t.Final = {"$comment", "examples", "readOnly", "writeOnly"}
"""What means nothing to a target, so that the SDK may drop it."""

_SUBSCHEMAS: t.Final = ("items", "additionalProperties", "anyOf", "allOf", "oneOf")
"""Keywords that hold a schema, or a list of them."""


def describe_query_error(queries: list[Settings]) -> str | None:
    """Describe what is wrong with the schema or the key of a query; None if nothing is."""
    for query in queries:
        schema, key = query.get("schema"), query.get("primary_key") or []
        if schema is None:
            if key:
                return f"{query['name']} has a primary_key but no schema; give the schema of its rows"
            continue
        if problem := _describe_schema_error(schema):
            return f"the schema of {query['name']} {problem}"
        if missing := [column for column in key if column not in schema["properties"]]:
            return f"the primary_key of {query['name']} names {missing[0]!r}, which its schema does not have"
    return None


def _describe_schema_error(schema: Settings) -> str | None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"is not a JSON Schema: {error.message}"
    columns = schema.get("properties")
    if not columns or not all(isinstance(column, dict) for column in columns.values()):
        return "must have properties, each an object"
    if "object" not in schema.get("type", "object"):
        return "must be of type object, as its rows are"
    if keyword := next(_unsupported_keywords(schema), None):
        return f"has {keyword}, which the SDK would drop; write out what it means"
    tables = [column.lower() for column in columns]  # many databases ignore the case
    shared = next((column for column in columns if tables.count(column.lower()) > 1), None)
    return None if shared is None else f"has two columns {shared}, which differ by case only"


def _unsupported_keywords(schema: object, *, is_column: bool = True) -> Iterator[str]:
    """Yield the keywords in a schema that the SDK would drop; a column may have the name of one."""
    if isinstance(schema, bool) and is_column:  # elsewhere the SDK keeps it
        yield f"{str(schema).lower()} in the place of a schema"
    if isinstance(schema, list):
        for each in schema:
            yield from _unsupported_keywords(each, is_column=False)
    if isinstance(schema, dict):
        yield from sorted(schema.keys() - _KNOWN_KEYWORDS - _ANNOTATIONS)
        for keyword in ("properties", "patternProperties"):
            for column in schema.get(keyword, {}).values():
                yield from _unsupported_keywords(column, is_column=keyword == "properties")
        for keyword in _SUBSCHEMAS:
            yield from _unsupported_keywords(schema.get(keyword), is_column=keyword == "items")
