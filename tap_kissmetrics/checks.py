"""Checking the settings before anything is done with them."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from requests import PreparedRequest
from singer_sdk.helpers._batch import BatchConfig

from tap_kissmetrics.apis import APIS
from tap_kissmetrics.bookmarks import parse_instant
from tap_kissmetrics.errors import SettingsError
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from jsonschema import ValidationError

    from tap_kissmetrics.apis import Api

Settings: t.TypeAlias = dict[str, t.Any]


LONGEST_VALUE: t.Final = 80
"""Characters that are shown of a wrong value."""


def check_settings(
    settings: Settings, schema: Mapping[str, t.Any], *, complete: bool, streams: Collection[str]
) -> None:
    """Check settings.

    Args:
        settings: The settings.
        schema: JSON Schema of the settings.
        complete: Whether what every request needs must be there.
        streams: Names that no query of the user's own can have.

    Raises:
        SettingsError: If a setting is missing or wrong. The line names it and what is
            allowed; the value of a secret is not shown.
    """
    maps = settings.get("stream_maps")
    places = [maps, *maps.values()] if isinstance(maps, dict) else []
    # The SDK's own schema breaks at it.
    if any(isinstance(place, dict) and place.get("__else__") not in (None, "__NULL__") for place in places):
        msg = "stream_maps: its __else__ must be __NULL__"
        raise SettingsError(msg)
    said = [*_misfits(settings, schema), *_contradictions(settings, schema, streams, complete=complete)]
    if said:
        raise SettingsError("; ".join(dict.fromkeys(said)))


def _misfits(settings: Settings, schema: Mapping[str, t.Any]) -> Iterator[str]:
    """Tell what does not fit the schema, or is no value of its kind."""
    wrong = set()
    for error in Draft202012Validator(schema).iter_errors(settings):
        if error.validator == "anyOf":
            continue  # it says what each API requires, and they are looked at one by one
        name = str(error.path[0]) if error.path else "config"
        wrong.add(name)
        yield f"{name}: {_misfit(error, settings.get(name), schema['properties'].get(name, {}))}"
    wrong |= {name for name, _ in _of_other_apis(settings)}
    for name, check in _CHECKS.items():
        if name in settings and name not in wrong and (said := check(settings[name])):
            yield f"{name}: {said}"


def _misfit(error: ValidationError, value: object, definition: Mapping[str, t.Any]) -> str:
    if definition.get("secret"):
        return f"{allowed(definition)} (its value is not shown)"
    if len(error.path) > 1 and (definition.get("properties") or definition.get("items", {}).get("properties")):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in list(error.path)[1:])
        return f"{place}: {error.message[-LONGEST_VALUE:]}"
    return f"{allowed(definition)}, not {_show(value)}"


def allowed(definition: Mapping[str, t.Any]) -> str:
    """Say what a setting can be.

    Args:
        definition: JSON Schema of the setting.

    Returns:
        Words that follow its name.
    """
    if "enum" in definition:
        return f"must be {' or '.join(str(value) for value in definition['enum'] if value is not None)}"
    types = [kind for kind in definition.get("type", ["object"]) if kind != "null"]
    text = f"must be {_a(types[0])}"
    if types[0] == "array":
        items = definition.get("items", {}).get("type", "object")
        items = [items] if isinstance(items, str) else items
        text += f" of {' or '.join(_MANY[kind] for kind in items if kind != 'null')}"
    elif "exclusiveMinimum" in definition:
        text += f" above {definition['exclusiveMinimum']}, up to {definition['maximum']}"
    elif "minimum" in definition:
        text += f" from {definition['minimum']} to {definition['maximum']}"
    return text


_MANY: t.Final = {"string": "text", "integer": "numbers", "object": "objects"}


def _a(kind: str) -> str:
    names = {"string": "text", "boolean": "true or false", "array": "a list"}
    return names.get(kind, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")


def _contradictions(
    settings: Settings, schema: Mapping[str, t.Any], streams: Collection[str], *, complete: bool
) -> Iterator[str]:
    """Tell which settings do not go together."""
    name = settings.get("api", "core")
    if api := APIS.get(name) if isinstance(name, str) else None:
        if complete and api.required not in settings:
            yield f"{api.required} is required: put it in the config file or in TAP_KISSMETRICS_{api.required.upper()}"
        for setting, other in _of_other_apis(settings):
            # Whoever starts the tap may pass on defaults, and something empty for nothing.
            if settings[setting] not in ("", [], schema["properties"][setting].get("default")):
                yield f"{setting}: belongs to api: {other}; this is api: {name}"
        yield from _wrong_ids(settings, api)
    if settings.get("batch_config") and settings.get("emit_activate_version_messages"):
        yield (
            "emit_activate_version_messages: cannot be true together with batch_config, "
            "for records in files have no version"
        )
    names = [name for query in _objects(settings.get("queries")) if isinstance(name := query.get("name"), str)]
    for query_name in dict.fromkeys(names):
        if query_name in streams:
            yield f"queries: {query_name} is the name of another stream"
        elif names.count(query_name) > 1:
            yield f"queries: {query_name} is the name of two queries"


def _of_other_apis(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give each setting that only another API has, with the name of that API."""
    chosen = settings.get("api", "core")
    for name, api in APIS.items():
        yield from ((setting, name) for setting in api.settings if name != chosen and setting in settings)


def _wrong_ids(settings: Settings, api: Api) -> Iterator[str]:
    for name in ("product_ids", "report_ids", "metric_ids"):
        ids = settings.get(name)
        for one in ids if api.numeric_ids and isinstance(ids, list) and ids != [ALL] else ():
            if not str(one).isdecimal():
                yield f"{name}: must be numbers where api is query, not {one!r}"


def _objects(value: object) -> list[Settings]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _show(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def _check_api_token(token: str) -> str | None:
    if not re.fullmatch(r"[!-~]+", token):
        return (
            "must be the bare token, without spaces, line breaks or characters outside "
            "ASCII, and not empty (its value is not shown)"
        )
    return None


def _check_username(username: str) -> str | None:
    if not username or ":" in username or not username.isprintable():
        return "must not be empty, nor have a colon or a line break (its value is not shown)"
    return None


def _check_password(password: str) -> str | None:
    return None if password.isprintable() else "must not have a line break (its value is not shown)"


def _check_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{_shown(url)} is not a URL"
    if re.search(r"[\s\x00-\x1f]", url) or not host:
        return f"must be a URL such as https://api.kissmetrics.com/core, not {_shown(url)}"
    if parts.username is not None or parts.query or parts.fragment:
        return "must not hold a user, a password, a query or a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        try:
            url_of(url)
        except ValueError:
            return f"{_shown(url)} is not a URL"
        return None
    return f"must start with https:// (http:// is for this machine only), not {_shown(url)}"


def url_of(setting: str) -> str:
    """Write a root directory as requests does in the addresses below it.

    Args:
        setting: The URL that the user gave.

    Returns:
        The same, without a slash at its end.

    Raises:
        ValueError: If it is none.
    """
    request = PreparedRequest()
    request.prepare_url(setting, None)
    return str(request.url).rstrip("/?")


def _shown(url: str) -> str:
    return "what it is (its value may hold a secret)" if set("@?") & set(url) else repr(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_start_date(value: str) -> str | None:
    if parse_instant(value):
        return None
    return f"must be a date-time such as 2024-01-31T00:00:00Z, not {value!r}"


def _check_ids(ids: list[str | int]) -> str | None:
    for one in ids:
        if not re.fullmatch(r"[\w-]+", str(one), re.ASCII):
            return f"must be ids, not {one!r}"
    return None


def _check_report_ids(ids: list[str | int]) -> str | None:
    return None if ids == [ALL] else _check_ids(ids)


def _check_queries(queries: list[Settings]) -> str | None:
    for query in queries:
        schema, key = query.get("schema"), query.get("primary_key") or []
        if schema is None:
            if key:
                return f"{query['name']} has a primary_key and no schema; give the schema of its rows"
            continue
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            return f"the schema of {query['name']} is no JSON Schema: {error.message}"
        columns = schema.get("properties")
        if not columns or not all(isinstance(column, dict) for column in columns.values()):
            return f"the schema of {query['name']} must have properties, each an object"
        if missing := [column for column in key if column not in columns]:
            return f"the primary_key of {query['name']} names {missing[0]!r}, which its schema does not have"
    return None


def _check_batch_config(config: Settings) -> str | None:
    size = config.get("batch_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        return f"its batch_size must be an integer from 1 on, not {_show(size)}"
    storage, encoding = config.get("storage"), config.get("encoding")
    if not isinstance(storage, dict) or not isinstance(storage.get("root"), str):
        return "must have a storage with a root, such as file:///tmp/batches"
    if not isinstance(encoding, dict) or not isinstance(encoding.get("format"), str):
        return "must have an encoding with a format, such as jsonl"
    try:
        BatchConfig.from_dict(config).storage.get_url("")
    except TypeError as error:  # of what it does not know
        return str(error).partition("__init__() ")[2] or str(error)
    except (ImportError, NotImplementedError, ValueError) as error:
        return str(error)
    return None


_CHECKS: t.Final[dict[str, t.Callable[[t.Any], str | None]]] = {
    "api_token": _check_api_token,
    "username": _check_username,
    "password": _check_password,
    "api_url": _check_url,
    "query_url": _check_url,
    "start_date": _check_start_date,
    "product_ids": _check_ids,
    "report_ids": _check_report_ids,
    "metric_ids": _check_ids,
    "queries": _check_queries,
    "batch_config": _check_batch_config,
}
