"""Validate the settings: their JSON Schema, and what it cannot express."""

from __future__ import annotations

import json
import os
import re
import typing as t
from importlib.util import find_spec

from jsonschema import Draft202012Validator
from singer_sdk.helpers._batch import BatchConfig
from singer_sdk.singerlib import Schema

from tap_kissmetrics.apis import APIS, CORE, V3, describe_core_range_error, get_api, normalize_url, reads_api
from tap_kissmetrics.sdk_extensions.files import parse_folder_url
from tap_kissmetrics.sdk_extensions.inputs import InputError, blame, quote, schema_problems
from tap_kissmetrics.sdk_extensions.state import parse_instant
from tap_kissmetrics.settings import ALL, SETTINGS

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tap_kissmetrics.apis import Api
    from tap_kissmetrics.sdk_extensions.inputs import Settings


_is_placeholder: t.Final = re.compile(r"<.*>|\$\w+|\$?\{.*\}|your[-_ ].*", re.IGNORECASE).fullmatch
"""As documents have it in the place of a secret: YOUR-API-TOKEN, <token>; or a variable that was not replaced."""


def normalize_settings(settings: Settings) -> Settings:
    """Return the settings in canonical form: `api` in lower case or absent, and a list for one text."""
    lists = {name for name, definition in SETTINGS["properties"].items() if "array" in definition["type"]}
    normal = {name: [value] if name in lists and isinstance(value, str) else value for name, value in settings.items()}
    if isinstance(api := settings.get("api"), str):
        normal["api"] = api.strip().lower()
        if not normal["api"]:  # Meltano passes on a variable without a value
            del normal["api"]
    return normal


def validate_settings(
    settings: Settings, schema: Mapping[str, t.Any], *, is_complete: bool, reserved_names: Collection[str]
) -> None:
    """Raise `InputError`, which names each setting that is missing or wrong and what is allowed.

    Without `is_complete`, as for discovery, credentials may be missing. No user-defined query can have a reserved name.
    """
    problems = [f"{name}: {problem}" for name, problem in schema_problems(settings, schema)]
    if not problems:
        api = get_api(settings)
        problems += _wrong_credentials(settings, api, is_complete=is_complete)
        problems += _wrong_combinations(settings, api, schema)
        problems += _wrong_choices(settings, api)
        problems += _wrong_urls_and_dates(settings, api)
        problems += _wrong_queries(settings.get("queries") or [], reserved_names)
        problems += _wrong_batch_config(settings.get("batch_config"))
        problems += _missing_extras(settings)
    if problems:
        raise InputError("; ".join(dict.fromkeys(problems)))


def _wrong_credentials(settings: Settings, api: Api, *, is_complete: bool) -> Iterator[str]:
    """Yield what is wrong with the credentials: none, those of several APIs and no `api`, or an example."""
    possible = [api] if settings.get("api") else list(APIS.values())
    given = [one for one in possible if settings.get(one.login)]
    if len(given) > 1:
        choices = " or ".join(f"{one.name} ({one.login}: the {one.title})" for one in given)
        yield f"{' and '.join(one.login for one in given)} are both set: set api to {choices}"
    elif is_complete and not given and reads_api(settings):
        variables = {f"TAP_KISSMETRICS_{one.login.upper()}": one.title for one in possible}
        names = " or ".join(one.login for one in possible)
        places = " or ".join(f"{variable} (the {title})" for variable, title in variables.items())
        unread = "; beside a file, variables need --config ENV" if any(map(os.environ.get, variables)) else ""
        yield f"{names} is required: put it in the config file or in {places}{unread}"
    for name in api.credentials if is_complete else ():
        if _is_placeholder(settings.get(name, "")):
            yield f"{name}: must be your own, not the example (its value is not shown)"


def _wrong_combinations(settings: Settings, api: Api, schema: Mapping[str, t.Any]) -> Iterator[str]:
    for other in APIS.values():
        for name in other.settings if other is not api else ():
            # Meltano passes on defaults.
            if settings.get(name) and settings[name] != schema["properties"][name].get("default"):
                yield f"{name}: belongs to api: {other.name}; this is api: {api.name}"
    if settings.get("flattening_enabled") and settings.get("flattening_max_depth") is None:
        yield "flattening_max_depth is required with flattening_enabled: the number of levels to flatten, such as 1"
    if settings.get("batch_config") and settings.get("emit_activate_version_messages"):
        yield (
            "emit_activate_version_messages: cannot be true together with batch_config, "
            "because records in files have no version"
        )


def _wrong_choices(settings: Settings, api: Api) -> Iterator[str]:
    """Yield what is wrong with ids, and with what is to be run, for this API."""
    if api is V3 and settings.get("metric_ids") == [ALL]:
        yield f"metric_ids: must be ids, not {ALL!r}; the Query API has no list of metrics"
    for name in ("product_ids", "report_ids", "metric_ids"):
        items = settings.get(name) or []
        for item in items if items != [ALL] else ():
            choice = item if isinstance(item, dict) else {"id": item}
            if own := sorted({"report_id", "metric_id"} & choice.keys()):  # it would replace the id in the query
                yield f"{name}: an object gives its id as id, not as {own[0]}"
            if choice["id"] == ALL:
                yield f"{name}: must be ids, or {ALL!r} alone"
            elif api.has_numeric_ids and not str(choice["id"]).isdecimal():
                yield f"{name}: must be numbers where api is query, not {quote(choice['id'])}"
            if api is CORE and "date_range" in choice and (problem := _core_range_problem(choice["date_range"])):
                yield f"{name}: the date_range of {choice['id']}: {problem}"
    dates = settings.get("report_date_range")
    if api is CORE and dates and (problem := _core_range_problem(dates)):
        yield f"report_date_range: {problem}"


def _core_range_problem(value: object) -> str | None:
    problem = describe_core_range_error(value) if isinstance(value, dict) else "must be an object"
    return problem and f"{problem}, not {quote(value)}"


def _wrong_urls_and_dates(settings: Settings, api: Api) -> Iterator[str]:
    start_date = settings.get("start_date")
    if start_date is not None and not parse_instant(start_date):
        yield f"start_date: must be a date-time such as 2024-01-31T00:00:00Z, not {quote(start_date)}"
    for name in ("api_url", "query_url"):
        try:
            normalize_url(settings.get(name, api.default_url))
        except ValueError:
            yield f"{name}: is not a URL (its value is not shown)"
    for url in settings.get("export_urls") or ():
        try:
            parse_folder_url(url)
        except ValueError as error:
            yield f"export_urls: {error}"


def _missing_extras(settings: Settings) -> Iterator[str]:
    """Yield the settings that need a package which is not installed, and the extra that has it."""
    urls = " ".join(settings.get("export_urls") or ()).lower()
    maps = json.dumps([settings.get(name) for name in ("stream_maps", "faker_config")], default=str)
    files = json.dumps(settings.get("batch_config"), default=str)
    for setting, extra, package, is_used in (
        ("export_urls", "s3", "s3fs", "s3:" in urls),
        ("stream_maps", "faker", "faker", bool(re.search(r"\bfake\b", maps)) or bool(settings.get("faker_config"))),
        ("batch_config", "parquet", "pyarrow", '"parquet"' in files),
    ):
        if is_used and not find_spec(package):
            yield f"{setting} needs the extra {extra}: pip install 'tap-kissmetrics[{extra}]'"


def _wrong_queries(queries: list[Settings], reserved_names: Collection[str]) -> Iterator[str]:
    tables = [query["name"].lower() for query in queries]  # many databases ignore the case
    for query, table in zip(queries, tables, strict=True):
        name, schema = query["name"], query.get("schema")
        if table in reserved_names:
            yield f"queries: {name} is the name of another stream"
        elif tables.count(table) > 1:
            yield f"queries: {name} is the name of two queries"
        columns = []
        if schema is not None:
            with blame(f"queries: the schema of {name}"):
                Draft202012Validator.check_schema(schema)
                Schema.from_dict(schema)  # which fails at true and false in the place of a schema
                columns = list(schema.get("properties", {}))
            if not columns:
                yield f"queries: the schema of {name} must have properties, each an object"
        spellings = [column.lower() for column in columns]
        if shared := [column for column in columns if spellings.count(column.lower()) > 1]:
            yield f"queries: the schema of {name} has two columns {shared[0]}, which differ by case only"
        if missing := [column for column in query.get("primary_key") or () if column not in columns]:
            yield f"queries: the primary_key of {name} names {missing[0]!r}, which is not in its schema"


def _wrong_batch_config(config: Settings | None) -> Iterator[str]:
    if not config:
        return
    with blame("batch_config"):
        file_format, _ = config["encoding"]["format"], config["storage"]["root"]  # which not every SDK requires
        # Private: the SDK itself makes it only once a stream is synced, and lets its errors through.
        batch = BatchConfig.from_dict(config)
        batch.storage.get_url(batch.encoding.format)
    if file_format not in {"jsonl", "parquet"}:
        yield f"batch_config: {quote(file_format)} is not one of ['jsonl', 'parquet']"
    size = config.get("batch_size", 1)
    if not isinstance(size, int) or size < 1:  # 0 would write nothing at all
        yield f"batch_config: batch_size must be an integer of 1 or more, not {quote(size)}"
