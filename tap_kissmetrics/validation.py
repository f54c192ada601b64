"""Validate the settings: their JSON Schema, and what it cannot express."""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t
from functools import partial
from importlib.util import find_spec
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from singer_sdk.helpers._batch import BatchConfig

from tap_kissmetrics.apis import APIS, CORE, V3, describe_core_range_error, get_api, normalize_url, reads_api
from tap_kissmetrics.sdk_extensions.files import S3, parse_folder_url
from tap_kissmetrics.sdk_extensions.inputs import InputError, describe_schema_errors, quote, show
from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.settings import ALL

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from tap_kissmetrics.apis import Api
    from tap_kissmetrics.sdk_extensions.inputs import Settings


_is_placeholder: t.Final = re.compile(r"<.*>|\$\w+|\$?\{.*\}|your[-_ ].*", re.IGNORECASE).fullmatch
"""As documents have it in the place of a secret: YOUR-API-TOKEN, <token>; or a variable that was not replaced."""

BATCH_FORMATS: t.Final = ("jsonl", "parquet")
"""The formats of batch files that the SDK writes."""


def validate_settings(
    settings: Settings, schema: Mapping[str, t.Any], *, is_complete: bool, reserved_names: Collection[str]
) -> None:
    """Raise `InputError`, which names each setting that is missing or wrong and what is allowed.

    Without `is_complete`, as for discovery, credentials may be missing. No user-defined query can have a reserved name.
    """
    maps = settings.get("stream_maps")
    places = [maps, *maps.values()] if isinstance(maps, dict) else []
    # The SDK's own schema fails at it.
    if any(isinstance(place, dict) and place.get("__else__") not in (None, "__NULL__") for place in places):
        msg = "stream_maps: its __else__ must be __NULL__"
        raise InputError(msg)
    errors = [*_schema_errors(settings, schema), *_conflicts(settings, schema, reserved_names, is_complete=is_complete)]
    if errors:
        raise InputError("; ".join(dict.fromkeys(errors)))


def normalize_settings(settings: Settings) -> Settings:
    """Read settings as they are meant: `api` in any case, and `*` for `["*"]`."""
    normal = dict(settings)
    if isinstance(api := settings.get("api"), str):
        normal["api"] = api.strip().lower()
    return normal | {name: [ALL] for name in ("report_ids", "metric_ids") if settings.get(name) == ALL}


def _schema_errors(settings: Settings, schema: Mapping[str, t.Any]) -> Iterator[str]:
    # Left out: the credentials of each API, which `_conflicts` looks at; what versions of the SDK check differently.
    validation_errors = [
        error
        for error in Draft202012Validator(schema).iter_errors(settings)
        if error.path and not (len(error.path) > 1 and error.path[0] == "batch_config")
    ]
    invalid = {name for name, _ in _settings_of_other_apis(settings)}
    for name, message in describe_schema_errors(validation_errors, settings, schema):
        invalid.add(name)
        yield f"{name}: {message}"
    for name, validate in _VALIDATORS.items():
        if name in settings and name not in invalid and (problem := validate(settings[name])):
            yield f"{name}: {problem}"


def _conflicts(
    settings: Settings, schema: Mapping[str, t.Any], reserved_names: Collection[str], *, is_complete: bool
) -> Iterator[str]:
    """Yield the settings that do not go together."""
    if settings.get("api") in (None, "", *APIS):
        api = get_api(settings)
        yield from _missing_credentials(settings, api, is_complete=is_complete and reads_api(settings))
        for setting, other in _settings_of_other_apis(settings):
            # Meltano passes on defaults, and empty values for absent ones.
            if setting not in APIS[other].credentials and settings[setting] not in (
                "",
                [],
                schema["properties"][setting].get("default"),
            ):
                yield f"{setting}: belongs to api: {other}; this is api: {api.name}"
        yield from _wrong_choices(settings, api)
        for setting in api.credentials if is_complete else ():
            if isinstance(value := settings.get(setting), str) and _is_placeholder(value):
                yield f"{setting}: must be your own, not the example (its value is not shown)"
    yield from _incomplete_features(settings)
    yield from _taken_names(settings, reserved_names)


def _missing_credentials(settings: Settings, api: Api, *, is_complete: bool) -> Iterator[str]:
    """Yield what is wrong with the credentials as a whole: none of them, or those of several APIs and no `api`."""
    given = [one for one in APIS.values() if settings.get(one.login)]
    variables = {one: f"TAP_KISSMETRICS_{one.login.upper()}" for one in APIS.values()}
    unread = "; beside a file, variables need --config ENV" if any(map(os.environ.get, variables.values())) else ""
    if settings.get("api"):
        if is_complete and api.login not in settings:
            yield f"{api.login} is required: put it in the config file or in {variables[api]}{unread}"
    elif len(given) > 1:
        choices = " or ".join(f"{one.name} ({one.login}: the {one.title})" for one in given)
        yield f"{' and '.join(one.login for one in given)} are both set: set api to {choices}"
    elif is_complete and not given:
        names = " or ".join(one.login for one in APIS.values())
        places = " or ".join(f"{variable} (the {one.title})" for one, variable in variables.items())
        yield f"{names} is required: put it in the config file or in {places}{unread}"


def _incomplete_features(settings: Settings) -> Iterator[str]:
    if settings.get("flattening_enabled") and settings.get("flattening_max_depth") is None:
        yield "flattening_max_depth is required with flattening_enabled: the number of levels to flatten, such as 1"
    if settings.get("batch_config") and settings.get("emit_activate_version_messages"):
        yield (
            "emit_activate_version_messages: cannot be true together with batch_config, "
            "because records in files have no version"
        )


def _taken_names(settings: Settings, reserved_names: Collection[str]) -> Iterator[str]:
    queries = settings.get("queries")
    queries = [query for query in queries if isinstance(query, dict)] if isinstance(queries, list) else []
    names = [query_name for query in queries if isinstance(query_name := query.get("name"), str)]
    tables = [query_name.lower() for query_name in names]  # many databases ignore the case
    for query_name, table in zip(names, tables, strict=True):
        if table in reserved_names:
            yield f"queries: {query_name} is the name of another stream"
        elif tables.count(table) > 1:
            yield f"queries: {query_name} is the name of two queries"


def _settings_of_other_apis(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that only another API has, with the name of that API."""
    name = settings.get("api")
    chosen = get_api(settings).name if name in (None, "", *APIS) else name
    for other, api in APIS.items():
        names = (*api.credentials, *api.settings)
        yield from ((setting, other) for setting in names if other != chosen and setting in settings)


def _wrong_choices(settings: Settings, api: Api) -> Iterator[str]:
    """Yield what is wrong with ids, and with what is to be run, for this API."""
    if api is V3 and settings.get("metric_ids") == [ALL]:
        yield f"metric_ids: must be ids, not {ALL!r}; the Query API has no list of metrics"
    for name in ("product_ids", "report_ids", "metric_ids"):
        items = settings.get(name)
        for item in items if isinstance(items, list) and items != [ALL] else ():
            choice = item if isinstance(item, dict) else {"id": item}
            if api.has_numeric_ids and not str(choice.get("id")).isdecimal():
                yield f"{name}: must be numbers where api is query, not {quote(choice.get('id'))}"
            if api is CORE and "date_range" in choice and (problem := _validate_core_dates(choice["date_range"])):
                yield f"{name}: the date_range of {choice.get('id')}: {problem}"
    dates = settings.get("report_date_range")
    if api is CORE and isinstance(dates, dict) and dates and (problem := _validate_core_dates(dates)):
        yield f"report_date_range: {problem}"


def _validate_api_token(token: str) -> str | None:
    wrong = {
        "and not empty": not token.strip(),
        "without the word Bearer": re.match(r"\s*bearer\s", token, re.IGNORECASE),
        "without spaces, line breaks or control characters": re.search(r"[\x00-\x20\x7f]", token),
        "without characters outside ASCII": not token.isascii(),
    }
    problem = next((problem for problem, is_found in wrong.items() if is_found), None)
    return problem and f"must be the bare token, {problem} (its value is not shown)"


def _validate_username(username: str) -> str | None:
    if not username or ":" in username or not username.isprintable():
        return "must not be empty, nor have a colon or a line break (its value is not shown)"
    return None


def _validate_password(password: str) -> str | None:
    return None if password.isprintable() else "must not have a line break (its value is not shown)"


def _validate_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{_show_url(url)} is not a URL"
    if re.search(r"[\s\x00-\x1f]", url) or not host:
        return f"must be a URL such as https://api.kissmetrics.com/core, not {_show_url(url)}"
    if parts.username is not None or parts.query or parts.fragment:
        return "must not hold a user, a password, a query or a fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        try:
            normalize_url(url)
        except ValueError:
            return f"{_show_url(url)} is not a URL"
        return None
    return f"must start with https:// (http:// is for this machine only), not {_show_url(url)}"


def _show_url(url: str) -> str:
    return "the given value, which is not shown because it may hold a secret" if set("@?") & set(url) else quote(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _validate_start_date(value: str) -> str | None:
    if parse_instant(value):
        return None
    return f"must be a date-time such as 2024-01-31T00:00:00Z, not {quote(value)}"


def _validate_core_dates(value: object) -> str | None:
    problem = describe_core_range_error(value) if isinstance(value, dict) else "must be an object"
    return problem and f"{problem}, not {show(value)}"


def _validate_ids(ids: list[str | int], stream: str) -> str | None:
    for one in ids:
        if isinstance(one, bool) or not re.fullmatch(r"[\w-]{1,100}", str(one), re.ASCII):
            return f"must be ids, not {quote(one)}; an id is a number or a UUID, not a name: see the stream {stream}"
    return None


def _validate_choices(items: list[str | int | Settings], stream: str) -> str | None:
    if items == [ALL]:
        return None
    for item in items:
        if not isinstance(item, dict):
            continue
        if "id" not in item:
            return f"an object must have an id, not {show(item)}"
        if not isinstance(item["id"], (str, int)):
            return f"must be ids, not {quote(item['id'])}; an id is a number or a UUID, not a name"
        if own := sorted({"report_id", "metric_id"} & item.keys()):
            return f"an object gives its id as id, not as {own[0]}"
    return _validate_ids([item["id"] if isinstance(item, dict) else item for item in items], stream)


def _validate_export_urls(urls: list[str]) -> str | None:
    for url in urls:
        try:
            protocol = parse_folder_url(url).protocol
        except ValueError as error:
            return str(error)
        if protocol == S3 and not find_spec("s3fs"):
            return f"{url} needs the extra s3: pip install 'tap-kissmetrics[s3]'"
    return None


def _validate_batch_config(config: Settings) -> str | None:
    size = config.get("batch_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        return f"batch_size must be an integer of 1 or more, not {show(size)}"
    storage, encoding = config.get("storage"), config.get("encoding")
    if not isinstance(storage, dict) or not isinstance(storage.get("root"), str):
        return "must have a storage with a root, such as file:///tmp/batches"
    if not isinstance(encoding, dict) or encoding.get("format") not in BATCH_FORMATS:
        return f"must have an encoding with a format, {' or '.join(BATCH_FORMATS)}"
    try:
        # Private: the SDK itself makes it only once a stream is synced, and lets its errors through.
        BatchConfig.from_dict(config).storage.get_url("")
    except TypeError as error:  # for members that it does not know
        return str(error).partition("__init__() ")[2] or str(error)
    except (ImportError, NotImplementedError, OSError, ValueError) as error:
        return str(error)
    return None


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
    tables = [column.lower() for column in columns]  # many databases ignore the case
    shared = next((column for column in columns if tables.count(column.lower()) > 1), None)
    return None if shared is None else f"has two columns {shared}, which differ by case only"


_VALIDATORS: t.Final[dict[str, Callable[[t.Any], str | None]]] = {
    "api_token": _validate_api_token,
    "username": _validate_username,
    "password": _validate_password,
    "api_url": _validate_url,
    "query_url": _validate_url,
    "start_date": _validate_start_date,
    "product_ids": partial(_validate_ids, stream="products"),
    "report_ids": partial(_validate_choices, stream="reports"),
    "metric_ids": partial(_validate_choices, stream="metrics"),
    "export_urls": _validate_export_urls,
    "queries": describe_query_error,
    "batch_config": _validate_batch_config,
    "flattening_max_depth": lambda depth: None if depth >= 0 else f"must be an integer of 0 or more, not {depth}",
}
