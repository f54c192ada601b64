"""Checking the catalog and the state that the user gives."""

from __future__ import annotations

import typing as t

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL

from tap_kissmetrics.bookmarks import parse_instant
from tap_kissmetrics.errors import SettingsError

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

METHODS: t.Final = (REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL)


def read_catalog(
    catalog: dict[str, t.Any], replication_keys: Mapping[str, Sequence[str]], logger: logging.Logger
) -> dict[str, t.Any]:
    """Check a catalog, and put each choice where the SDK looks for it.

    A user may write `replication-method` and `replication-key` into the metadata of a
    stream, as the Singer specification has it; the SDK reads the method from the
    stream's entry only.

    Args:
        catalog: The catalog file's content.
        replication_keys: For each stream of this tap, the columns that can be its
            replication key.
        logger: Takes a line on selected streams that this tap does not have.

    Returns:
        The catalog, with the streams of this tap only.

    Raises:
        SettingsError: If it is no catalog, or asks for what a stream cannot do.
    """
    entries = catalog.get("streams")
    if not isinstance(entries, list):
        msg = 'catalog: must have a list "streams"; make one with --discover'
        raise SettingsError(msg)
    absent: list[str] = []
    ours: dict[str, dict[str, t.Any]] = {}
    for entry in entries:
        name = entry.get("tap_stream_id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            msg = 'catalog: each item of "streams" must be an object with tap_stream_id'
            raise SettingsError(msg)
        if name in ours:
            msg = f"catalog: has the stream {name} twice"
            raise SettingsError(msg)
        if name in replication_keys:
            _check_entry(name, entry, replication_keys[name])
            ours[name] = entry
        elif _are_metadata(metadata := entry.get("metadata")) and _root(metadata).get("selected"):
            absent.append(name)
    if not ours:
        msg = f"catalog: has none of the streams {', '.join(replication_keys)}"
        raise SettingsError(msg)
    if absent:
        logger.warning("The catalog selects streams that there are not with these settings: %s", ", ".join(absent))
    # What others wrote into theirs, the SDK need not understand.
    return {**catalog, "streams": list(ours.values())}


def check_keys(name: str, own: Sequence[str], chosen: Sequence[str]) -> None:
    """Check the primary key of a stream that a catalog has.

    Args:
        name: Name of the stream.
        own: What tells its records apart.
        chosen: The key that the catalog has; none, for a table to which every record is added.

    Raises:
        SettingsError: If a target would take several records for one, as with a catalog of the other API.
    """
    if chosen and set(own) != set(chosen):
        msg = (
            f"catalog: key_properties of stream {name} must be {', '.join(own) or 'empty'}, not {', '.join(chosen)}; "
            "make the catalog anew, with --discover and the settings of the sync"
        )
        raise SettingsError(msg)


def _check_entry(name: str, entry: dict[str, t.Any], replication_keys: Sequence[str]) -> None:
    if entry.get("stream", name) != name:
        msg = f"catalog: stream of {name} must be {name!r}; to rename it, set an __alias__ in stream_maps"
        raise SettingsError(msg)
    columns = _columns(name, entry.get("schema"))
    root = _root(_checked_metadata(name, entry.setdefault("metadata", [])))
    keys = entry.get("key_properties") or root.get("table-key-properties") or []
    if not isinstance(keys, (list, tuple)) or not all(isinstance(key, str) and key in columns for key in keys):
        msg = f"catalog: key_properties of stream {name} must be a list of columns of its schema, not {keys!r}"
        raise SettingsError(msg)
    if method := root.get("replication-method"):
        entry["replication_method"] = method
    if key := root.get("replication-key"):
        entry["replication_key"] = key

    key = entry.get("replication_key")
    method = entry.get("replication_method") or root.get("forced-replication-method")
    method = method or (REPLICATION_INCREMENTAL if key else REPLICATION_FULL_TABLE)
    _check_choice(f"replication-method of stream {name}", method, METHODS)
    if method == REPLICATION_INCREMENTAL or key is not None:
        _check_choice(f"replication-key of stream {name}", key, replication_keys)
        _check_choice(f"replication-key of stream {name}", key, list(columns))


def _columns(name: str, schema: object) -> dict[str, t.Any]:
    """Give the columns of a stream's schema."""
    columns = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(columns, dict) or not columns or not all(isinstance(each, dict) for each in columns.values()):
        msg = f"catalog: stream {name} has no schema with properties, each an object"
        raise SettingsError(msg)
    try:
        Draft202012Validator.check_schema(t.cast("dict[str, t.Any]", schema))
    except SchemaError as error:
        msg = f"catalog: the schema of stream {name} is no JSON Schema: {error.message}"
        raise SettingsError(msg) from None
    return columns


def _checked_metadata(name: str, metadata: object) -> list[dict[str, t.Any]]:
    if not _are_metadata(metadata):
        msg = f"catalog: the metadata of stream {name} must be a list of objects with breadcrumb and metadata"
        raise SettingsError(msg)
    for item in metadata:
        for choice in ("selected", "selected-by-default"):
            if not isinstance(selected := item["metadata"].get(choice), (bool, type(None))):
                msg = f"catalog: {choice} of stream {name} must be true or false, not {selected!r}"
                raise SettingsError(msg)
    return metadata


def _root(metadata: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Give what a stream's metadata say of the stream itself."""
    return next((item["metadata"] for item in metadata if not item["breadcrumb"]), {})


def _are_metadata(value: object) -> t.TypeGuard[list[dict[str, t.Any]]]:
    return isinstance(value, list) and all(
        isinstance(item, dict) and _is_breadcrumb(item.get("breadcrumb")) and isinstance(item.get("metadata"), dict)
        for item in value
    )


def _is_breadcrumb(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _check_choice(place: str, choice: object, allowed: Sequence[str]) -> None:
    if not allowed:
        msg = f"catalog: there is no {place}: it can only be {REPLICATION_FULL_TABLE}"
        raise SettingsError(msg)
    if choice not in allowed:
        msg = f"catalog: {place} must be one of {', '.join(allowed)}, not {choice!r}"
        raise SettingsError(msg)


def check_state(state: dict[str, t.Any]) -> None:
    """Check a state before it is used.

    Args:
        state: The state file's content.

    Raises:
        SettingsError: If a bookmark is not one that this tap can have written.
    """
    if state.get("type") == "STATE":
        msg = "state: is a whole STATE message; give only what is in its value"
        raise SettingsError(msg)
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict):
        msg = 'state: "bookmarks" must be an object'
        raise SettingsError(msg)
    for name, bookmark in bookmarks.items():
        _check_bookmark(bookmark, f"the bookmark of stream {name}")
        partitions = bookmark.get("partitions", [])
        if not isinstance(partitions, list):
            msg = f'state: "partitions" of stream {name} must be a list'
            raise SettingsError(msg)
        for partition in partitions:
            _check_bookmark(partition, f"a partition of stream {name}")
            if not isinstance(partition.get("context"), dict):
                msg = f"state: a partition of stream {name} has no context"
                raise SettingsError(msg)
        contexts = [partition["context"] for partition in partitions]
        if any(context in contexts[:number] for number, context in enumerate(contexts)):
            msg = f"state: stream {name} has two partitions of the same context"
            raise SettingsError(msg)


def _check_bookmark(bookmark: object, place: str) -> None:
    if not isinstance(bookmark, dict):
        msg = f"state: {place} must be an object, not {bookmark!r}"
        raise SettingsError(msg)
    value = bookmark.get("replication_key_value")
    if value is not None and parse_instant(value) is None:
        msg = f"state: {place} must be a date-time, not {value!r}"
        raise SettingsError(msg)
    if not isinstance(bookmark.get("progress_markers", {}), dict):
        msg = f"state: progress_markers of {place} must be an object"
        raise SettingsError(msg)
    if not isinstance(bookmark.get("replication_key_signpost"), (str, type(None))):
        msg = f"state: replication_key_signpost of {place} must be text"
        raise SettingsError(msg)
