"""Validate the catalog and the state that the user gives, before the SDK uses them."""

from __future__ import annotations

import datetime as dt
import typing as t

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, best_match
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL, StreamMetadata

from tap_kissmetrics.sdk_extensions.inputs import MAX_SHOWN_LENGTH, InputError, format_path, quote, suggest_names
from tap_kissmetrics.sdk_extensions.logs import shorten
from tap_kissmetrics.sdk_extensions.state import parse_instant

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Mapping, Sequence

    from singer_sdk.singerlib.catalog import CatalogEntry

REPLICATION_METHODS: t.Final = (REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL)

_Validator: t.Final = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    # A catalog that was not read from a file may have tuples.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("array", lambda _, value: isinstance(value, list | tuple)),
)

_BOOLEAN: t.Final[dict[str, t.Any]] = {"type": ["boolean", "null"]}

_METADATA: t.Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["breadcrumb", "metadata"],
        "properties": {
            "breadcrumb": {"type": "array", "items": {"type": "string"}},
            "metadata": {"type": "object", "properties": {"selected": _BOOLEAN, "selected-by-default": _BOOLEAN}},
        },
    },
}
_CATALOG: t.Final = {
    "type": "object",
    "required": ["streams"],
    "properties": {
        "streams": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tap_stream_id"],
                "properties": {"tap_stream_id": {"type": "string"}},
            },
        }
    },
}
_STREAM: t.Final = {
    "type": "object",
    "required": ["schema"],
    "properties": {
        "schema": {
            "type": "object",
            "required": ["properties"],
            "properties": {
                "properties": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "object"}}
            },
        },
        "metadata": _METADATA,
        "key_properties": {"type": ["array", "null"], "items": {"type": "string"}},
    },
}

_BOOKMARK: t.Final[dict[str, t.Any]] = {
    "type": "object",
    "properties": {
        "replication_key_value": {"type": ["string", "integer", "null"]},
        "replication_key_signpost": {"type": ["string", "null"]},
        "progress_markers": {"type": "object"},
    },
}
_PARTITION: t.Final[dict[str, t.Any]] = {**_BOOKMARK, "required": ["context"]}
_STATE: t.Final = {
    "properties": {
        "bookmarks": {
            "type": "object",
            "additionalProperties": {
                **_BOOKMARK,
                "properties": {**_BOOKMARK["properties"], "partitions": {"type": "array", "items": _PARTITION}},
            },
        }
    }
}


def read_catalog(
    catalog: dict[str, t.Any], replication_keys: Mapping[str, Sequence[str]], logger: logging.Logger
) -> dict[str, t.Any]:
    """Validate a catalog, and return it with the streams of this tap only; raise `InputError`.

    `replication_keys` holds the possible replication keys of each stream. As the Singer specification has it, a user
    may write `replication-method` and `replication-key` into the metadata of a stream; the SDK reads them from its
    entry only, so they are moved there.
    """
    _validate("catalog", catalog, _CATALOG, hint="; make one with --discover")
    unknown: list[str] = []
    entries: dict[str, dict[str, t.Any]] = {}
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        if name in entries:
            msg = f"catalog: has the stream {name} twice"
            raise InputError(msg)
        if name in replication_keys:
            _validate_stream(name, entry, replication_keys[name])
            entries[name] = entry
        elif _Validator(_METADATA).is_valid(metadata := entry.get("metadata", [])):
            unknown += [name] if _root(metadata).get("selected") else []
    if not entries:
        msg = f"catalog: has none of the streams {', '.join(replication_keys)}"
        raise InputError(msg)
    if unknown:
        names = suggest_names(unknown, replication_keys)
        logger.warning("The catalog selects streams that do not exist with these settings: %s", names)
    # The SDK need not understand the entries of other taps.
    own = {**catalog, "streams": list(entries.values())}
    try:
        Catalog.from_dict(own)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # which the SDK does not catch
        msg = f"catalog: cannot be used: {type(error).__name__}: {error}"
        raise InputError(msg) from None
    return own


def read_primary_key(entry: CatalogEntry, own: Sequence[str]) -> Sequence[str]:
    """Return the primary key in the entry of a stream, which gets the stream's own if it names none.

    No key at all is accepted: a target then appends every record. Raises `InputError` if a target would take several
    records for one, as with the catalog of another API.
    """
    if entry.key_properties is None:
        root = entry.metadata.get(())
        given = root.table_key_properties if isinstance(root, StreamMetadata) else None
        entry.key_properties = list(own if given is None else given)
    key, stream = entry.key_properties, entry.tap_stream_id
    if not set(key).issubset(entry.schema.properties or ()):
        msg = f"catalog: key_properties of stream {stream} must be a list of columns of its schema, not {quote(key)}"
        raise InputError(msg)
    if key and set(own) != set(key):
        msg = (
            f"catalog: key_properties of stream {stream} must be {', '.join(own) or 'empty'}, "
            f"not {', '.join(key)}; make a new catalog with --discover and the settings of the sync"
        )
        raise InputError(msg)
    return key


def validate_state(
    state: dict[str, t.Any], streams: Collection[str], numbered: Collection[str], logger: logging.Logger
) -> None:
    """Raise `InputError` if a bookmark is none that the tap can have written.

    It is a number in `numbered` streams, and a date-time in all others.
    """
    if state.get("type") == "STATE":
        msg = "state: is a whole STATE message; give only its value"
        raise InputError(msg)
    if state and "bookmarks" not in state:
        msg = f"state: has no bookmarks, but {', '.join(state)}; give a state as this tap writes it, or {{}}"
        raise InputError(msg)
    _validate("state", state, _STATE)
    bookmarks = state.get("bookmarks", {})
    if bookmarks and not bookmarks.keys() & set(streams):
        logger.warning("The state has bookmarks of other streams only: %s", suggest_names(bookmarks, streams))
    for name, bookmark in bookmarks.items():
        partitions = bookmark.get("partitions", [])
        for each in (bookmark, *partitions):
            value = each.get("replication_key_value")
            _validate_bookmark(name, value, is_number=name in numbered)
            if (instant := parse_instant(value)) and instant > dt.datetime.now(dt.UTC):
                logger.warning("The bookmark of stream %s is in the future: %s", name, value)
        contexts = [partition["context"] for partition in partitions]
        if any(context in contexts[:number] for number, context in enumerate(contexts)):
            msg = f"state: stream {name} has two partitions of the same context"
            raise InputError(msg)


def _validate_bookmark(stream: str, value: object, *, is_number: bool) -> None:
    is_valid = isinstance(value, int) and value >= 0 if is_number else parse_instant(value) is not None
    if value is not None and not is_valid:
        allowed = "a number of 0 or more" if is_number else "a date-time"
        msg = f"state: the bookmark of stream {stream} must be {allowed}, not {quote(value)}"
        raise InputError(msg)


def _validate_stream(name: str, entry: dict[str, t.Any], replication_keys: Sequence[str]) -> None:
    if entry.get("stream", name) != name:
        msg = f"catalog: stream of {name} must be {name!r}; to rename it, set an __alias__ in stream_maps"
        raise InputError(msg)
    _validate(f"catalog: stream {name}", entry, _STREAM)
    schema = entry["schema"]
    columns = list(schema["properties"])
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        msg = f"catalog: the schema of stream {name} is not a JSON Schema: {error.message}"
        raise InputError(msg) from None
    root = _root(entry.setdefault("metadata", []))
    if method := root.get("replication-method"):
        entry["replication_method"] = method
    if key := root.get("replication-key"):
        entry["replication_key"] = key

    key = entry.get("replication_key")
    method = entry.get("replication_method") or root.get("forced-replication-method")
    method = method or (REPLICATION_INCREMENTAL if key else REPLICATION_FULL_TABLE)
    _validate_choice(f"replication-method of stream {name}", method, REPLICATION_METHODS)
    if method == REPLICATION_INCREMENTAL or key is not None:
        _validate_choice(f"replication-key of stream {name}", key, replication_keys)
        _validate_choice(f"replication-key of stream {name}", key, columns)


def _validate(place: str, value: object, schema: dict[str, t.Any], hint: str = "") -> None:
    if error := best_match(_Validator(schema).iter_errors(value)):
        path = format_path(error.path).removeprefix(".")
        msg = ": ".join(filter(None, (place, path, shorten(error.message, 2 * MAX_SHOWN_LENGTH)))) + hint
        raise InputError(msg)


def _validate_choice(place: str, choice: object, allowed: Sequence[str]) -> None:
    if not allowed:
        msg = f"catalog: there is no {place}, which can only be {REPLICATION_FULL_TABLE}"
        raise InputError(msg)
    if choice not in allowed:
        msg = f"catalog: {place} must be one of {', '.join(allowed)}, not {quote(choice)}"
        raise InputError(msg)


def _root(metadata: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Return the metadata of the stream itself."""
    return next((item["metadata"] for item in metadata if not item["breadcrumb"]), {})
