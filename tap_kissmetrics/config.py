"""Reading and checking what the user gives: settings, catalog and state."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import typing as t
from urllib.parse import urlsplit

from dotenv import find_dotenv, load_dotenv
from jsonschema import Draft202012Validator

from tap_kissmetrics.bookmarks import parse_instant
from tap_kissmetrics.errors import SettingsError

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Settings: t.TypeAlias = dict[str, t.Any]

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
        msg = f"{place} cannot be read: {error.strerror}"
        raise SettingsError(msg) from None


def read_json_stream(file: t.IO[str], place: str) -> Settings:
    """Read a file that is already open.

    Args:
        file: The file.
        place: What to call it in an error.

    Returns:
        The object in it.

    Raises:
        SettingsError: If it is no JSON, or no object. Its content is not shown.
    """
    try:
        value = json.loads(file.read(), parse_constant=str)
    except UnicodeDecodeError:
        msg = f"{place} is not text in UTF-8"
        raise SettingsError(msg) from None
    except RecursionError:
        msg = f"{place} is not JSON: nested too deeply"
        raise SettingsError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{place} is not JSON: line {error.lineno} column {error.colno}: {error.msg}"
        raise SettingsError(msg) from None
    if not isinstance(value, dict):
        msg = f"{place} must be a JSON object, not {_kind(value)}"
        raise SettingsError(msg)
    return value


def read_environment(schema: Mapping[str, t.Any], prefix: str) -> Settings:
    """Read settings from the environment, and from `.env` in this folder or above it.

    The SDK's own reader looks for `.env` beside its source, lets that win over the
    environment, and stops with a traceback at "abc" for a number.

    Args:
        schema: JSON Schema of the settings.
        prefix: What the names of the variables begin with.

    Returns:
        The settings that are there. An empty variable counts as absent, but for text.

    Raises:
        SettingsError: If a value is not of the setting's type.
    """
    load_dotenv(find_dotenv(usecwd=True))
    settings: Settings = {}
    for name, definition in schema["properties"].items():
        variable = f"{prefix}{name.upper()}"
        if (text := os.environ.get(variable)) is None:
            continue
        types = definition.get("type", [])
        if "string" in types:
            settings[name] = text
        elif text.strip():
            try:
                settings[name] = _parse(text.strip(), types)
            except ValueError:
                msg = f"{name} (from {variable}): {_allowed(definition)}, not {text!r}"
                raise SettingsError(msg) from None
    return settings


def _parse(text: str, types: list[str]) -> t.Any:  # noqa: ANN401
    if "boolean" in types:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError
    if "array" in types and not text.startswith("["):
        return [item.strip() for item in text.split(",")]
    return json.loads(text, parse_constant=str)


def check_settings(settings: Settings, schema: Mapping[str, t.Any]) -> None:
    """Check settings before anything is done with them.

    Args:
        settings: The settings.
        schema: JSON Schema of the settings.

    Raises:
        SettingsError: If a setting is missing or wrong. The line names it and what is
            allowed; the value of a secret is not shown.
    """
    if problems := list(dict.fromkeys(_problems(settings, schema))):
        raise SettingsError("; ".join(problems))


def _problems(settings: Settings, schema: Mapping[str, t.Any]) -> Iterator[str]:
    wrong = set()
    for error in Draft202012Validator(schema).iter_errors(settings):
        if error.validator == "required":
            missing = sorted(set(error.validator_value) - settings.keys())
            for name in missing if not error.path else ():
                variable = f"TAP_KISSMETRICS_{name.upper()}"
                yield f"{name} is required: put it in the config file or in {variable}"
            continue
        name = str(error.path[0]) if error.path else "config"
        wrong.add(name)
        definition = schema["properties"].get(name, {})
        if definition.get("secret"):
            yield f"{name}: {_allowed(definition)} (its value is not shown)"
        else:
            yield f"{name}: {_allowed(definition)}, not {_show(settings.get(name))}"
    if settings.get("batch_config") and settings.get("emit_activate_version_messages"):
        yield (
            "emit_activate_version_messages: cannot be true together with batch_config, "
            "for records in files have no version"
        )
    for name, check in _CHECKS.items():
        if name in settings and name not in wrong and (said := check(settings[name])):
            yield f"{name}: {said}"


def _allowed(definition: Mapping[str, t.Any]) -> str:
    types = [kind for kind in definition.get("type", ["object"]) if kind != "null"]
    text = f"must be {_article(types[0])}"
    if "exclusiveMinimum" in definition:
        text += f" above {definition['exclusiveMinimum']}, up to {definition['maximum']}"
    elif "minimum" in definition:
        text += f" from {definition['minimum']} to {definition['maximum']}"
    return text


def _article(kind: str) -> str:
    return {"string": "text", "boolean": "true or false"}.get(kind, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _show(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004


def _check_api_token(token: str | None) -> str | None:
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        return (
            "must be the bare token, without spaces, line breaks or characters outside "
            "ASCII, and not empty (its value is not shown)"
        )
    return None


def _check_api_url(url: str | None) -> str | None:
    try:
        parts = urlsplit(url or "")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{url!r} is not a URL"
    if re.search(r"[\s\x00-\x1f]", url or "") or not host:
        return f"must be a URL such as https://api.kissmetrics.com/core, not {url!r}"
    if parts.username is not None or parts.query or parts.fragment:
        return "must not hold a user, a password, a query or a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return None
    return f"must start with https:// (http:// is for this machine only), not {url!r}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_start_date(value: str | None) -> str | None:
    if value is None or parse_instant(value):
        return None
    return f"must be a date-time such as 2024-01-31T00:00:00Z, not {value!r}"


def _check_product_ids(ids: list[str] | None) -> str | None:
    for product_id in ids or ():
        if not re.fullmatch(r"[\w-]+", product_id, re.ASCII):
            return f"must be the ids of products, not {product_id!r}"
    return None


_CHECKS: t.Final[dict[str, t.Callable[[t.Any], str | None]]] = {
    "api_token": _check_api_token,
    "api_url": _check_api_url,
    "start_date": _check_start_date,
    "product_ids": _check_product_ids,
}
