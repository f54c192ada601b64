"""Read config, state and catalog files and the environment, with one clear line for each error."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
import typing as t

from dotenv import find_dotenv, load_dotenv
from singer_sdk.exceptions import ConfigurationError

from tap_kissmetrics.sdk_extensions.logs import shorten

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

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
