"""Validate the JSON Schemas of rows that come with the setting `queries`."""

from __future__ import annotations

import typing as t

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_kissmetrics.sdk_extensions.inputs import Settings

_UNSUPPORTED_KEYWORDS: t.Final = ("$ref", "$dynamicRef", "$defs", "definitions", "const")

_SUBSCHEMAS: t.Final = ("items", "additionalProperties", "contains", "not", "anyOf", "allOf", "oneOf", "prefixItems")
"""Keywords of JSON Schema that hold a schema, or a list of them."""


def describe_query_error(queries: list[Settings]) -> str | None:
    """Describe what is wrong with the schema or the key of a query; None if nothing is."""
    for query in queries:
        schema, key = query.get("schema"), query.get("primary_key") or []
        if schema is None:
            if key:
                return f"{query['name']} has a primary_key but no schema; give the schema of its rows"
            continue
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            return f"the schema of {query['name']} is not a JSON Schema: {error.message}"
        if keyword := next(_unsupported_keywords(schema), None):
            return f"the schema of {query['name']} has {keyword}, which the SDK would drop; write it out"
        columns = schema.get("properties")
        if not columns or not all(isinstance(column, dict) for column in columns.values()):
            return f"the schema of {query['name']} must have properties, each an object"
        if missing := [column for column in key if column not in columns]:
            return f"the primary_key of {query['name']} names {missing[0]!r}, which its schema does not have"
    return None


def _unsupported_keywords(schema: object) -> Iterator[str]:
    """Yield the keywords in a schema that the SDK would drop; a column may have the name of one."""
    if isinstance(schema, list):
        for each in schema:
            yield from _unsupported_keywords(each)
    if isinstance(schema, dict):
        yield from (keyword for keyword in _UNSUPPORTED_KEYWORDS if keyword in schema)
        named = [schema.get(keyword) for keyword in ("properties", "patternProperties")]
        columns = [column for columns in named if isinstance(columns, dict) for column in columns.values()]
        yield from _unsupported_keywords([*columns, *(schema.get(keyword) for keyword in _SUBSCHEMAS)])
