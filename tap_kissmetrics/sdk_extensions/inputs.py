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
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL, StreamMetadata

from tap_kissmetrics.sdk_extensions.logs import shorten
from tap_kissmetrics.sdk_extensions.state import parse_instant

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from singer_sdk.singerlib.catalog import CatalogEntry


Settings: t.TypeAlias = dict[str, t.Any]

MAX_SHOWN_LENGTH: t.Final = 80
"""Characters of a wrong value that are shown; a message of a library may have twice as many."""

_TRUE: t.Final = {"true", "1", "yes", "on"}
_FALSE: t.Final = {"false", "0", "no", "off"}


class InputError(ConfigurationError):
    """A setting, a file or a variable that the user gave is wrong."""


@contextlib.contextmanager
def blame(place: str, hint: str = "") -> Iterator[None]:
    """Turn whatever an input makes go wrong into one line, an `InputError` that names the input and gives a hint."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        problem = error.message if isinstance(error, SchemaError) else f"{type(error).__name__}: {error}"
        problem = " ".join(shorten(problem, 2 * MAX_SHOWN_LENGTH).split())
        msg = f"{place}: cannot be used: {problem}{hint}"
        raise InputError(msg) from error


def read_json_file(path: str, kind: str) -> Settings:
    """Read a config, state or catalog file of this path; raise `InputError`, which names it."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path would swallow an empty one
            return read_json_stream(file, kind, path)
    except OSError as error:
        msg = f"{kind} file {path or 'without a name'} cannot be read: {error.strerror}"
        raise InputError(msg) from None


def read_json_stream(file: t.IO[bytes], kind: str, path: str) -> Settings:
    """Read a JSON object in UTF-8 from an open file; raise `InputError`, which never shows the content."""
    try:
        content = file.read()
        if not content.strip():
            msg = f"{kind} file {path} is empty" + ("; for a first run write {} into it" if kind == "state" else "")
            raise InputError(msg)
        value = json.loads(content.decode("utf-8-sig"), parse_constant=str)
    except OSError as error:
        msg = f"{kind} file {path} cannot be read: {error.strerror}"
        raise InputError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{kind} file {path} is not JSON in UTF-8: {error}"
        raise InputError(msg) from None
    if not isinstance(value, dict):
        msg = f"{kind} file {path} must be a JSON object, not a {type(value).__name__}"
        raise InputError(msg)
    return value


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
    normalize_log_level(prefix)
    settings: Settings = {}
    for name, definition in schema["properties"].items():
        variable = f"{prefix}{name.upper()}"
        text = os.environ.get(variable, "")
        if not text.strip() or (text.strip() == "null" and not definition.get("secret")):
            continue
        types = definition.get("type", [])
        settings[name] = text if "string" in types else _parse(text.strip(), types)
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
        types = schema["properties"].get(name, {}).get("type", [])
        if isinstance(value, str) and "number" in types and isinstance(number := _parse(value, types), int | float):
            numbers[name] = number
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
    """Parse the text of a setting that is no string; what cannot be parsed stays for the validation to report."""
    if "boolean" in types and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if "array" in types and not text.startswith("["):
        return [item.strip() for item in text.split(",")]
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def normalize_log_level(prefix: str) -> None:
    """Remove an empty log level from the environment; raise `InputError` for one that does not exist."""
    levels = logging.getLevelNamesMapping()
    for variable in (f"{prefix}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(variable)
        if level == "":
            del os.environ[variable]  # the SDK would take it for a level
        elif level and level.upper() not in levels:
            msg = f"{variable} must be one of {', '.join(levels)}, not {quote(level)}"
            raise InputError(msg)


def schema_problems(settings: Settings, schema: Mapping[str, t.Any]) -> Iterator[tuple[str, str]]:
    """Yield each setting that does not fit its JSON Schema, and why.

    A pattern is described by the description beside it. The values of secrets are never shown, nor is what may be one
    in a URL.
    """
    for name, value in settings.items():
        definition = schema["properties"].get(name, {})
        with blame(name):
            error = best_match(Draft202012Validator(definition).iter_errors(value))
        if not error:
            continue
        formats = {definition.get("format"), definition.get("items", {}).get("format")}
        is_url = bool(formats & {"uri", "uri-reference"})
        is_hidden = definition.get("secret") or (is_url and error.validator != "pattern")
        problem = shorten(error.message, 2 * MAX_SHOWN_LENGTH)
        if error.validator == "pattern" and "description" in error.schema:
            shown = mask_url(error.instance) if is_url else error.instance
            problem = f"must be {error.schema['description']}" + ("" if is_hidden else f", not {quote(shown)}")
        elif is_hidden:
            problem = f"its {error.validator} must be {error.validator_value}"
        place = shorten(error.json_path.removeprefix("$").removeprefix("."), MAX_SHOWN_LENGTH)
        note = " (its value is not shown)" if is_hidden else ""
        yield name, ": ".join(filter(None, (place, problem))) + note


def mask_url(url: str) -> str:
    """Return a URL without what may be a secret in it: everything up to the last `@`, any query and any fragment."""
    login, at, rest = url.rpartition("@")
    return (login and "...") + at + re.sub("(?s)([?#]).*", r"\1...", rest)


def quote(value: object) -> str:
    """Format a wrong value as Python does, shortened."""
    return shorten(repr(value), MAX_SHOWN_LENGTH)


@blame("catalog", hint="; make one with --discover")
def read_catalog(
    catalog: dict[str, t.Any], replication_keys: Mapping[str, Sequence[str]], logger: logging.Logger
) -> dict[str, t.Any]:
    """Validate a catalog, and return it with the streams of this tap only; raise `InputError`.

    `replication_keys` holds the possible replication keys of each stream. As the Singer specification has it, a user
    may write `replication-method` and `replication-key` into the metadata of a stream; the SDK reads them from its
    entry only, so they are moved there.
    """
    unknown: list[str] = []
    entries: dict[str, dict[str, t.Any]] = {}
    for entry in catalog["streams"]:
        name = entry["tap_stream_id"]
        if name in entries:
            msg = f"catalog: has the stream {name} twice"
            raise InputError(msg)
        if name not in replication_keys:
            # Entries of other taps may be anything.
            with contextlib.suppress(AttributeError, KeyError, TypeError):
                unknown += [name] if _root(entry).get("selected") else []
            continue
        with blame(f"catalog: stream {name}"):
            _read_entry(name, entry, replication_keys[name])
        entries[name] = entry
    if not entries:
        msg = f"catalog: has none of the streams {', '.join(replication_keys)}"
        raise InputError(msg)
    if unknown:
        names = suggest_names(unknown, replication_keys)
        logger.warning("The catalog selects streams that do not exist with these settings: %s", names)
    return {**catalog, "streams": list(entries.values())}


def _read_entry(name: str, entry: dict[str, t.Any], replication_keys: Sequence[str]) -> None:
    if entry.get("stream", name) != name:
        msg = f"catalog: stream of {name} must be {name!r}; to rename it, set an __alias__ in stream_maps"
        raise InputError(msg)
    Draft202012Validator.check_schema(entry["schema"])
    for item in entry.setdefault("metadata", []):
        if item["metadata"].get("selected") not in (True, False, None):  # "false" would select it
            msg = f"catalog: selected of {item['breadcrumb']} of stream {name} must be true or false"
            raise InputError(msg)
    root = _root(entry)
    if method := root.get("replication-method"):
        entry["replication_method"] = method
    if key := root.get("replication-key"):
        entry["replication_key"] = key

    key = entry.get("replication_key")
    method = entry.get("replication_method") or root.get("forced-replication-method")
    method = method or (REPLICATION_INCREMENTAL if key else REPLICATION_FULL_TABLE)
    if method not in (REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL):
        msg = f"catalog: replication-method of stream {name} must be FULL_TABLE or INCREMENTAL, not {quote(method)}"
        raise InputError(msg)
    keys = [column for column in replication_keys if column in entry["schema"]["properties"]]
    if key not in keys and (method == REPLICATION_INCREMENTAL or key is not None):
        msg = f"catalog: replication-key of stream {name} must be one of {', '.join(keys)}, not {quote(key)}"
        if not keys:
            msg = f"catalog: there is no replication-key of stream {name}, which can only be FULL_TABLE"
        raise InputError(msg)
    Catalog.from_dict({"streams": [entry]})  # whose errors the SDK does not catch


def _root(entry: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the metadata of the stream itself."""
    return next((item["metadata"] for item in entry["metadata"] if not item["breadcrumb"]), {})


@blame("catalog", hint="; make one with --discover")
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


@blame("state", hint="; give a state as this tap writes it, or {}")
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
    bookmarks = state.get("bookmarks", {})
    if bookmarks and not bookmarks.keys() & set(streams):
        logger.warning("The state has bookmarks of other streams only: %s", suggest_names(bookmarks, streams))
    for name, bookmark in bookmarks.items():
        partitions = bookmark.get("partitions", [])
        for each in (bookmark, *partitions):
            value = each.get("replication_key_value")
            is_valid = type(value) is int and value >= 0 if name in numbered else parse_instant(value) is not None
            if value is not None and not is_valid:
                allowed = "a number of 0 or more" if name in numbered else "a date-time"
                msg = f"state: the bookmark of stream {name} must be {allowed}, not {quote(value)}"
                raise InputError(msg)
            if (instant := parse_instant(value)) and instant > dt.datetime.now(dt.UTC):
                logger.warning("The bookmark of stream %s is in the future: %s", name, value)
        contexts = [partition["context"] for partition in partitions]
        for context in contexts:
            if contexts.count(context) > 1:  # at which the SDK fails once other streams were written
                msg = f"state: stream {name} has two bookmarks for the partition {quote(context)}"
                raise InputError(msg)
