"""Read and validate config, environment, catalog and state, with one clear line for each error."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import json
import logging
import os
import re
import typing as t

from dotenv import find_dotenv, load_dotenv
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, best_match
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL, StreamMetadata

from tap_kissmetrics.sdk_extensions.logs import shorten
from tap_kissmetrics.sdk_extensions.state import parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jsonschema import ValidationError
    from singer_sdk.singerlib.catalog import CatalogEntry


Settings: t.TypeAlias = dict[str, t.Any]

MAX_SHOWN_LENGTH: t.Final = 80
"""Characters of a wrong value that are shown."""

_KEYS_OF_FILES: t.Final = {"catalog": "streams", "state": "bookmarks"}
"""The key by which a file is known."""

_TRUE: t.Final = {"true", "1", "yes", "on"}
_FALSE: t.Final = {"false", "0", "no", "off"}


class InputError(ConfigurationError):
    """A setting, a file or a variable that the user gave is wrong."""


def read_json_file(path: str, kind: str) -> Settings:
    """Read a config, state or catalog file of this path; raise `InputError`, which names it."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path would swallow an empty one
            return read_json_stream(file, kind, path)
    except OSError as error:
        raise _unreadable(_describe_file(kind, path), error) from None


def read_json_stream(file: t.IO[bytes], kind: str, path: str) -> Settings:
    """Read a JSON object in UTF-8 from an open file; raise `InputError`, which never shows the content."""
    description = _describe_file(kind, path)
    text = ""
    try:
        text = file.read().decode("utf-8-sig")
        value = json.loads(text, parse_constant=str)
    except OSError as error:
        raise _unreadable(description, error) from None
    except UnicodeDecodeError:
        msg = f"{description} is not text in UTF-8"
        raise InputError(msg) from None
    except RecursionError:
        msg = f"{description} is not JSON: nested too deeply"
        raise InputError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{description} is not JSON: line {error.lineno} column {error.colno}: {error.msg}"
        if not text.strip():
            msg = f"{description} is empty" + ("; for a first run write {} into it" if kind == "state" else "")
        raise InputError(msg) from None
    except ValueError:
        msg = f"{description} contains a number with too many digits"
        raise InputError(msg) from None
    if not isinstance(value, dict):
        msg = f"{description} must be a JSON object, not {_describe_type(value)}"
        raise InputError(msg)
    for other, key in _KEYS_OF_FILES.items():
        if key in value and other != kind and _KEYS_OF_FILES.get(kind) not in value:
            msg = f"{description} holds a {other}: pass it with --{other}"
            raise InputError(msg)
    return value


def _describe_file(kind: str, path: str) -> str:
    return f"{kind} file {path or 'without a name'}"


def _unreadable(description: str, error: OSError) -> InputError:
    return InputError(f"{description} cannot be read: {error.strerror}")


def _describe_type(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def read_environment(schema: Mapping[str, t.Any], prefix: str, logger: logging.Logger) -> Settings:
    """Read settings from variables that begin with the prefix, and from `.env` in the working directory or above it.

    An empty variable counts as absent, and so does `null`, except in a secret. The SDK's own reader looks for `.env`
    beside its source code, lets it win over the environment, and ends with a traceback at "abc" for a number.
    """
    dotenv = "the working directory"
    try:
        dotenv = find_dotenv(usecwd=True)
        load_dotenv(dotenv)
    except (OSError, ValueError) as error:
        msg = f"{dotenv} cannot be read: {error}"
        raise InputError(msg) from None
    validate_log_level(prefix)
    settings: Settings = {}
    for name, definition in schema["properties"].items():
        variable = f"{prefix}{name.upper()}"
        text = os.environ.get(variable, "")
        if not text.strip() or (text.strip() == "null" and not definition.get("secret")):
            continue
        types = definition.get("type", [])
        if "string" in types:
            settings[name] = text
            continue
        try:
            settings[name] = _parse(text.strip(), types)
        except (ValueError, RecursionError):
            msg = f"{name} (from {variable}): {describe_allowed(definition)}, not {quote(text)}"
            raise InputError(msg) from None
    variables = {f"{prefix}{name.upper()}" for name in schema["properties"]} | {f"{prefix}LOGLEVEL"}
    if unknown := sorted(name for name in os.environ if name.startswith(prefix) and name not in variables):
        logger.warning("Unknown variables are ignored: %s", suggest_names(unknown, variables, prefix))
    if settings:
        sources = f"the environment and {dotenv}" if dotenv else "the environment"
        logger.info("Settings from %s: %s", sources, ", ".join(settings))
    return settings


def read_numbers(settings: Settings, schema: Mapping[str, t.Any]) -> Settings:
    """Return the settings with numbers in the place of text: as text Meltano passes on a fraction."""
    numbers: Settings = {}
    for name, value in settings.items():
        if isinstance(value, str) and "number" in schema["properties"].get(name, {}).get("type", ()):
            with contextlib.suppress(ValueError, RecursionError):  # the validation of the settings reports it
                number = json.loads(value, parse_constant=str)
                numbers |= {name: number} if isinstance(number, (int, float)) else {}
    return settings | numbers


def suggest_names(unknown: Iterable[str], known: Iterable[str], prefix: str = "") -> str:
    """Join unknown names, each with the known one that is nearest to it; `prefix` is what all of them begin with."""
    plain = {name.removeprefix(prefix).lower(): name for name in known}
    shown = []
    for name in unknown:
        nearest = difflib.get_close_matches(name.removeprefix(prefix).lower().replace("-", "_"), plain, n=1)
        shown.append(shorten(name, MAX_SHOWN_LENGTH) + "".join(f" (did you mean {plain[found]}?)" for found in nearest))
    return ", ".join(shown)


def name_variables(message: str, variables: Mapping[str, str]) -> str:
    """Add to each setting, at the beginning of what is wrong with it, the variable that it came from."""
    pattern = rf"(?:^|(?<=; ))({'|'.join(variables) or '(?!)'})(?=:)"
    return re.sub(pattern, lambda match: f"{match[1]} (from {variables[match[1]]})", message)


def _parse(text: str, types: list[str]) -> t.Any:
    if "boolean" in types:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError
    if "array" in types and not text.startswith("["):
        return [item.strip() for item in text.split(",")]
    return json.loads(text, parse_constant=str)


def validate_log_level(prefix: str) -> None:
    """Raise `InputError` for a log level in the environment that does not exist."""
    levels = logging.getLevelNamesMapping()
    for variable in (f"{prefix}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(variable)
        if level == "":
            del os.environ[variable]  # the SDK would take it for a level
        elif level and level.upper() not in levels:
            msg = f"{variable} must be one of {', '.join(levels)}, not {quote(level)}"
            raise InputError(msg)


def describe_schema_errors(
    errors: Iterable[ValidationError], settings: Settings, schema: Mapping[str, t.Any]
) -> Iterator[tuple[str, str]]:
    """Yield the setting of each validation error, and what is wrong with it; never the value of a secret."""
    for error in errors:
        name = str(error.path[0]) if error.path else "config"
        definition = schema["properties"].get(name, {})
        if definition.get("secret"):
            yield name, f"{describe_allowed(definition)} (its value is not shown)"
        elif len(error.path) > 1 and "properties" in definition.get("items", {"properties": {}}):
            problem = shorten(error.message, 2 * MAX_SHOWN_LENGTH)
            allowed = error.schema.get("description") if isinstance(error.schema, dict) else None
            if error.validator == "pattern" and allowed:
                problem = f"must be {allowed}, not {show(error.instance)}"
            yield name, f"{format_path(list(error.path)[1:]).removeprefix('.')}: {problem}"
        else:
            yield name, f"{describe_allowed(definition)}, not {show(settings.get(name))}"


def describe_allowed(definition: Mapping[str, t.Any]) -> str:
    """Describe the allowed values of a setting, from its JSON Schema: "must be an integer from 1 to 32"."""
    if "enum" in definition:
        return f"must be {' or '.join(str(value) for value in definition['enum'] if value is not None)}"
    types = [name for name in definition.get("type", ["object"]) if name != "null"]
    text = f"must be {_TYPE_NAMES[types[0]]}"
    if types[0] == "array":
        items = definition.get("items", {}).get("type", "object")
        items = [items] if isinstance(items, str) else items
        text += f" of {' or '.join(_PLURALS[name] for name in items if name != 'null')}"
    elif "exclusiveMinimum" in definition:
        text += f" above {definition['exclusiveMinimum']}, up to {definition['maximum']}"
    elif "minimum" in definition:
        text += f" from {definition['minimum']} to {definition['maximum']}"
    return text


_TYPE_NAMES: t.Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_PLURALS: t.Final = {"string": "text", "integer": "numbers", "object": "objects"}


def format_path(path: Iterable[str | int]) -> str:
    """Format a place in a JSON document, such as "[0].name"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def show(value: object) -> str:
    """Format a wrong value for a message, shortened."""
    return shorten(json.dumps(value, default=str), MAX_SHOWN_LENGTH)


def quote(value: object) -> str:
    """Format a wrong value as Python does, shortened."""
    return shorten(repr(value), MAX_SHOWN_LENGTH)


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
