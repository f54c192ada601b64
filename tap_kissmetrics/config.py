"""Reading what the user gives: settings, catalog and state."""

from __future__ import annotations

import json
import logging
import os
import typing as t

from dotenv import find_dotenv, load_dotenv

from tap_kissmetrics.checks import Settings, allowed
from tap_kissmetrics.errors import SettingsError

if t.TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE: t.Final = {"true", "1", "yes", "on"}
_FALSE: t.Final = {"false", "0", "no", "off"}


def read_json_file(path: str, place: str) -> Settings:
    """Read a file that the user gave.

    Args:
        path: Its path.
        place: What to call it in an error.

    Returns:
        The object in it.

    Raises:
        SettingsError: If it cannot be read, is no JSON, or no object.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123
            return read_json_stream(file, place)
    except OSError as error:
        raise _unreadable(place, error) from None


def _unreadable(place: str, error: OSError) -> SettingsError:
    return SettingsError(f"{place} cannot be read: {error.strerror}")


def read_json_stream(file: t.IO[str], place: str) -> Settings:
    """Read a file that is already open.

    Args:
        file: The file.
        place: What to call it in an error.

    Returns:
        The object in it.

    Raises:
        SettingsError: If it cannot be read, is no JSON, or no object. Its content is not
            shown.
    """
    try:
        value = json.loads(file.read().removeprefix("\ufeff"), parse_constant=str)
    except OSError as error:
        raise _unreadable(place, error) from None
    except UnicodeDecodeError:
        msg = f"{place} is not text in UTF-8"
        raise SettingsError(msg) from None
    except RecursionError:
        msg = f"{place} is not JSON: nested too deeply"
        raise SettingsError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{place} is not JSON: line {error.lineno} column {error.colno}: {error.msg}"
        raise SettingsError(msg) from None
    except ValueError:
        msg = f"{place} holds a number of too many digits"
        raise SettingsError(msg) from None
    if not isinstance(value, dict):
        msg = f"{place} must be a JSON object, not {_kind(value)}"
        raise SettingsError(msg)
    return value


def read_environment(schema: Mapping[str, t.Any], prefix: str, logger: logging.Logger) -> Settings:
    """Read settings from the environment, and from `.env` in this folder or above it.

    The SDK's own reader looks for `.env` beside its source, lets that win over the
    environment, and stops with a traceback at "abc" for a number.

    Args:
        schema: JSON Schema of the settings.
        prefix: What the names of the variables begin with.
        logger: Takes a line that tells which settings were found, and where.

    Returns:
        The settings that are there. An empty variable counts as absent.

    Raises:
        SettingsError: If a value is not of the setting's type.
    """
    dotenv = "the working directory"
    try:
        dotenv = find_dotenv(usecwd=True)
        load_dotenv(dotenv)
    except (OSError, ValueError) as error:
        msg = f"{dotenv} cannot be read: {error}"
        raise SettingsError(msg) from None
    check_log_level()
    settings: Settings = {}
    for name, definition in schema["properties"].items():
        variable = f"{prefix}{name.upper()}"
        if not (text := os.environ.get(variable, "")).strip():
            continue
        types = definition.get("type", [])
        if "string" in types:
            settings[name] = text
            continue
        try:
            value = _parse(text.strip(), types)
        except (ValueError, RecursionError):
            msg = f"{name} (from {variable}): {allowed(definition)}, not {text!r}"
            raise SettingsError(msg) from None
        if value is not None:
            settings[name] = value
    if settings:
        places = f"the environment and {dotenv}" if dotenv else "the environment"
        logger.info("Settings from %s: %s", places, ", ".join(settings))
    return settings


def check_log_level() -> None:
    """Check the level in the environment, which the SDK reads.

    Raises:
        SettingsError: If it is none.
    """
    levels = logging.getLevelNamesMapping()
    for variable in ("TAP_KISSMETRICS_LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(variable)
        if level == "":
            del os.environ[variable]  # as good as absent
        elif level and level.upper() not in levels:
            msg = f"{variable} must be one of {', '.join(levels)}, not {level!r}"
            raise SettingsError(msg)


def _parse(text: str, types: list[str]) -> t.Any:  # noqa: ANN401
    if "boolean" in types:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError
    if "array" in types and not text.startswith("["):
        return [item.strip() for item in text.split(",")]
    return json.loads(text, parse_constant=str)


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
