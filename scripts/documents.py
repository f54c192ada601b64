"""Generate the documents about settings and streams, and the snapshot of each stream, from the code.

`python -m scripts.documents` lists the documents that are out of date, and exits with 1 if there are any;
`python -m scripts.documents --write` updates them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scripts.about import ABOUT, ENTRIES, SETTING_GROUPS, SETTINGS, TITLES, tap_of
from scripts.markdown import between, code, plain, table
from scripts.readme import readme
from tap_kissmetrics.client import ListStream, V3ListStream
from tap_kissmetrics.raw_events import RawEventsStream
from tap_kissmetrics.raw_lines import parse_line
from tests.sandbox import make_account, make_query_account
from tests.sandbox.export import Export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scripts.about import Entry
    from tap_kissmetrics.sdk_extensions.stream import ExtendedStream

PROJECT = Path(__file__).resolve().parent.parent

SNAPSHOTS = "tests/snapshots"
"""The folder of the snapshots: the catalog entry of each stream, one file each."""

# docs/targets.md


def _csv_maps() -> str:
    """Make the stream maps that write JSON where target-csv would not, for each API and for the export."""
    parts = []
    for name, title in TITLES.items():
        lines = []
        for stream, entry in ENTRIES[name].items():
            fields = entry["schema"]["properties"].items()
            nested = [column for column, field in fields if {"array", "object"} & set(field["type"])]
            # The properties of raw events may hold numbers with a fraction, which are exact until here.
            as_text = {"properties": '"json.dumps(properties, default=str)"'}
            maps = ", ".join(f"{column}: {as_text.get(column, f'json.dumps({column})')}" for column in nested)
            lines += [f"  {stream}: {{{maps}}}\n"] if maps else []
        parts.append(
            f"{title.partition(' (')[0]}:\n\n<!-- csv: {name} -->\n```yaml\nstream_maps:\n{''.join(lines)}```\n"
        )
    return "\n".join(parts)


def _targets(text: str) -> str:
    return between("docs/targets.md", text, "csv", _csv_maps())


# docs/streams.md and the snapshots

_STREAMS_HEAD = """\
# Streams and columns

Which streams there are, with a sample record, and what each column is for. This page is generated from the catalog by
`python -m scripts.documents --write`; the samples are the sandbox's.

A column may be null unless it is marked "never null". `contact.name` is a field of the object `contact`; `links[].href`
is a field of each object in the array `links`. The third column is the type that target-postgres makes of it;
[Targets](targets.md) has the others. In the diagrams, PK is a column of the primary key, and FK one that refers to
another stream.
"""

_POSTGRES = {
    "string": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date-time": "timestamp",
    "object": "jsonb",
}
"""What target-postgres makes of a type or format."""


def _samples() -> dict[str, dict[str, dict[str, Any]]]:
    """Make a record of each list, of which the sandbox has some, and one raw event."""
    accounts = {"core": make_account(), "query": make_query_account()}
    samples = {
        api: {
            stream: records[0] | ({"links": records[0]["links"][:1]} if "links" in records[0] else {})
            for stream, records in account.records.items()
        }
        for api, account in accounts.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        export = Export(Path(folder))
        export.grow()
        line = export.path(1).read_bytes().splitlines()[0]
    record = {"export": "s3://BUCKET/PREFIX", "revision": 1, "line": 1, **parse_line(line, lambda _: None)}
    return samples | {"export": {RawEventsStream.name: record}}


SAMPLES = _samples()
"""A record of each stream but those of results, for each API and for the raw data export."""


def _streams_page(_: str) -> str:
    return _STREAMS_HEAD + "".join(
        f"\n## {TITLES[api]}\n\n{_overview(api)}{diagram(entries)}"
        + "".join(_stream_section(entry, SAMPLES[api].get(name)) for name, entry in entries.items())
        for api, entries in ENTRIES.items()
    )


def _overview(api: str) -> str:
    head = ("Stream", "Endpoint", "Product by product", "Primary key", "Replication", "Keys to choose for INCREMENTAL")
    return table(head, list(map(_stream_row, tap_of(api).discover_streams())))


def _stream_row(stream: ExtendedStream) -> tuple[str, ...]:
    key = f" on `{stream.replication_key}`" if stream.replication_key else ""
    is_scoped = isinstance(stream, V3ListStream) and stream.of_products
    return (
        f"`{stream.name}`",
        f"`{stream.path}`" if isinstance(stream, ListStream) and not is_scoped else "",
        f"`/products/{{id}}{stream.path}`" if getattr(stream, "of_products", False) else "",
        code(stream.primary_keys),
        stream.replication_method + key,
        code(stream.valid_replication_keys),
    )


def diagram(entries: Mapping[str, Entry]) -> str:
    """Draw the streams of an API with their keys, as Mermaid: a column such as `product_id` refers to `products`."""
    if len(entries) == 1:
        return ""
    boxes, lines = [], []
    for name, entry in entries.items():
        fields = []
        for column, field in entry["schema"]["properties"].items():
            kinds = ["PK"] * (column in entry["key_properties"])
            if (parent := f"{column.removesuffix('_id')}s") in entries and column.endswith("_id"):
                kinds.append("FK")
                most = "|o" if "null" in field["type"] else "||"
                lines.append(f"    {parent} {most}--o{{ {name} : {column}\n")
            if kinds:
                fields.append(f"        {_type(field).partition(',')[0]} {column} {', '.join(kinds)}\n")
        boxes.append(f"    {name} {{\n{''.join(fields)}    }}\n")
    return f"\n```mermaid\nerDiagram\n{''.join(boxes)}{''.join(lines)}```\n"


def _stream_section(entry: Entry, sample: Mapping[str, Any] | None) -> str:
    rows = [
        (f"`{name}`", _type(field), "" if "." in name else _postgres_type(field), field.get("description", ""))
        for name, field in columns(entry["schema"])
    ]
    example = f"```json\n{json.dumps(sample, indent=2, ensure_ascii=False, default=float)}\n```\n\n" if sample else ""
    note = "" if sample else "Records of each kind: [Results](results.md).\n\n"
    described = table(("Column", "Type", "PostgreSQL", "What it is"), rows)
    return f"\n### {entry['tap_stream_id']}\n\n{example}{note}{described}"


def columns(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the JSON Schema of each column of an object's schema, and of each field in them."""
    for name, field in schema.get("properties", {}).items():
        yield f"{prefix}{name}", field
        yield from columns(field, f"{prefix}{name}.")
    if isinstance(items := schema.get("items"), dict):
        yield from columns(items, f"{prefix.removesuffix('.')}[].")


def _type(field: dict[str, Any]) -> str:
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kind = field.get("format", " or ".join(name for name in types if name != "null"))
    return kind if "null" in types else f"{kind}, never null"


def _postgres_type(field: dict[str, Any]) -> str:
    kind = _type(field).partition(",")[0]
    return f"{_postgres_type(field['items'])}[]" if kind == "array" else _POSTGRES[kind]


def _snapshot(entry: Entry, _: str) -> str:
    ordered = {key: entry[key] for key in _ENTRY_KEYS if key in entry} | entry
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


_ENTRY_KEYS = (
    *("tap_stream_id", "replication_key", "replication_method", "key_properties", "schema", "stream", "metadata"),
)
"""The order of the keys of a catalog entry, which differs between versions of the SDK."""


# meltano.yml, and plugin.yaml for the Meltano projects of others

_PLUGIN = {
    "name": ABOUT["name"],
    "namespace": ABOUT["name"].replace("-", "_"),
    "label": "Kissmetrics",
    "description": "Product analytics",
    "pip_url": ABOUT["name"],  # from PyPI
    "executable": ABOUT["name"],
    "domain_url": "https://www.kissmetrics.io/",
    "keywords": ["api", "meltano_sdk"],
    "maintenance_status": "beta",
}
"""The keys of plugin.yaml besides those of `extractor`."""


def extractor() -> dict[str, Any]:
    """Make the keys of the extractor that follow from the code."""
    return {
        # "start-date" is that of newer versions of the SDK; the setting is the tap's own in all of them.
        "capabilities": sorted(set(ABOUT["capabilities"]) - {"start-date"}),
        "settings_group_validation": SETTING_GROUPS,
        "settings": [meltano_setting(name, setting) for name, setting in SETTINGS.items()],
    }


def meltano_setting(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Make MeltanoHub's definition of a setting from its JSON Schema."""
    (kind,) = [kind for kind in setting["type"] if kind != "null"]
    if kind == "number":  # with "decimal" Meltano 4.4 ends with a TypeError if the setting is in the environment
        kind = "string"
    if setting.get("format") == "date-time":
        kind = "date_iso8601"
    options = [
        {"label": str(value).capitalize(), "value": value} for value in setting.get("enum", []) if value is not None
    ]
    definition = {
        "name": name,
        "kind": "options" if options else kind,
        "value": setting.get("default"),
        "label": setting["title"],
        "description": setting["description"],
        "options": options or None,
        "sensitive": setting.get("secret"),
    }
    return {key: value for key, value in definition.items() if value is not None}


def _meltano_yml(text: str) -> str:
    """Replace the generated keys of the extractor; all other lines stay."""
    found = re.search(r"^  - name: tap-kissmetrics\n(?:    .*\n)+", text, re.MULTILINE)
    if not found:
        message = "meltano.yml must have the extractor tap-kissmetrics"
        raise ValueError(message)
    block = found.group()
    for key, value in extractor().items():
        part = textwrap.indent(_dump(key, value), "    ")
        lines = re.compile(rf"^    {key}:.*\n(?:    [ -].*\n)*", re.MULTILINE)
        old = lines.search(block)
        block = block[: old.start()] + part + block[old.end() :] if old else block + part
    return text[: found.start()] + block + text[found.end() :]


def _plugin_yaml(_: str) -> str:
    """Make what `meltano add --from-ref` takes, in the form of MeltanoHub's own definitions."""
    head = (
        "# Made by `python -m scripts.documents --write`. To use it, see README.md, With Meltano: until the tap is\n"
        "# published, pip_url is the path of a clone.\n"
    )
    return head + "".join(_dump(key, value) for key, value in (_PLUGIN | extractor()).items())


def _dump(key: str, value: object) -> str:
    flow = None if key == "settings_group_validation" else False
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=flow)


# Files to copy


_ENV_HEAD = """\
# Copy this file to .env, take the # from the settings that you need, and keep .env to yourself: it holds a
# secret. A variable that is already set wins over this file. Lists and objects are written as JSON.
"""


def _env_example(_: str) -> str:
    parts = [_ENV_HEAD]
    for name, setting in SETTINGS.items():
        title = f"{setting['title']}. {setting['description']}"
        about = textwrap.fill(title, 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
        parts.append(f"{about}\n# TAP_KISSMETRICS_{name.upper()}={plain(setting.get('default', ''))}\n")
    return "\n".join(parts)


# The command

DOCUMENTS: dict[str, Callable[[str], str]] = {
    "README.md": readme,
    "meltano.yml": _meltano_yml,
    "plugin.yaml": _plugin_yaml,
    "docs/streams.md": _streams_page,
    "docs/targets.md": _targets,
    ".env.example": _env_example,
    **{
        f"{SNAPSHOTS}/{api}/{name}.json": partial(_snapshot, entry)
        for api, entries in ENTRIES.items()
        for name, entry in entries.items()
    },
}
"""For each document, the function that makes its new text from the old one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or write the documents; return the exit code, which is 1 if a check finds one that is out of date."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m scripts.documents", description=about)
    parser.add_argument("--write", action="store_true", help="update the documents that are out of date")
    parser.add_argument("--root", type=Path, default=PROJECT, help="their folder (default: the project's)")
    options = parser.parse_args(arguments)
    outdated = [(path, new) for path, old, new in _texts(options.root) if old != new]
    for path, new in outdated:
        name = path.relative_to(options.root).as_posix()
        if not options.write:
            print(f"{name} is out of date; run: python -m scripts.documents --write", file=sys.stderr)
        elif new is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8", newline="\n")
    return int(bool(outdated) and not options.write)


def _texts(root: Path) -> Iterator[tuple[Path, str | None, str | None]]:
    """Yield each document with its old text and the new one; either is None if there is none."""
    for name, write in DOCUMENTS.items():
        path = root / name
        old = path.read_text(encoding="utf-8") if path.exists() else None
        yield path, old, write(old or "")
    for path in (root / SNAPSHOTS).rglob("*.json"):
        if path.relative_to(root).as_posix() not in DOCUMENTS:
            yield path, path.read_text(encoding="utf-8"), None


if __name__ == "__main__":
    sys.exit(main())
