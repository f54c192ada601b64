"""What the documents say of settings and streams, made from the code.

`python -m tests.documents` tells which documents are not as the code has it, and exits with 1 if there are any;
`python -m tests.documents --write` brings them up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tap_kissmetrics.client import ProductStream
from tap_kissmetrics.streams import STREAMS
from tap_kissmetrics.tap import TapKissmetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_kissmetrics.client import KissmetricsStream

PROJECT = Path(__file__).resolve().parent.parent

_SCHEMA = TapKissmetrics.settings_schema()
_BUILT_IN: dict[str, Any] = {"properties": {}}
TapKissmetrics.append_builtin_config(_BUILT_IN)

SETTINGS: dict[str, dict[str, Any]] = _SCHEMA["properties"]
"""Every setting, the required ones first."""

OWN_SETTINGS = {name: setting for name, setting in SETTINGS.items() if name not in _BUILT_IN["properties"]}
"""The settings that the SDK does not bring along."""

REQUIRED: list[str] = _SCHEMA["required"]

_KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    # Meltano 4.4 has the kind "decimal", and fails to write it into the tap's config where the value comes from the
    # environment. With "integer" whole seconds work from everywhere, and others from meltano.yml.
    "number": "integer",
    "object": "object",
    "string": "string",
}
"""From a type of JSON Schema to a kind of Meltano."""


# README.md


def settings_table() -> str:
    """Make the table of the tap's own settings."""
    rows = []
    for name, setting in OWN_SETTINGS.items():
        default = "**required**" if name in REQUIRED else ""
        if "default" in setting:
            default = f"`{_plain(setting['default'])}`"
        rows.append((f"`{name}`", default, setting["description"]))
    return _table(("Setting", "Default", "What it is"), rows)


def streams_table() -> str:
    """Make the table of the streams."""
    head = ("Stream", "Endpoint", "With `product_ids`", "Primary key", "Replication", "Keys to choose for INCREMENTAL")
    tap = TapKissmetrics(validate_config=False, setup_mapper=False)
    return _table(head, [_stream_row(stream(tap)) for stream in STREAMS])


def _stream_row(stream: KissmetricsStream) -> tuple[str, ...]:
    by_product = isinstance(stream, ProductStream)
    key = f" on `{stream.replication_key}`" if stream.replication_key else ""
    return (
        f"`{stream.name}`",
        f"`{stream.get_url(None).removeprefix(stream.url_base)}`",
        f"`{stream.get_url({'product_id': '{id}'}).removeprefix(stream.url_base)}`" if by_product else "",
        _code(stream.primary_keys),
        stream.replication_method + key,
        _code(stream.valid_replication_keys),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def write_readme(text: str) -> str:
    """Put the tables between their markers."""
    for marker, table in (("settings", settings_table()), ("streams", streams_table())):
        start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            message = f"README.md must have {start.strip()} and {end} once each"
            raise ValueError(message)
        before, rest = text.split(start)
        text = f"{before}{start}{table}{end}{rest.split(end)[1]}"
    return text


# meltano.yml


def extractor() -> dict[str, Any]:
    """Make what the code knows of the extractor in meltano.yml."""
    known = set(TapKissmetrics.capabilities)
    return {
        "capabilities": sorted(str(capability.value) for capability in known),
        "settings_group_validation": [REQUIRED],
        "settings": [_meltano_setting(name, setting) for name, setting in SETTINGS.items()],
    }


def _meltano_setting(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    (kind,) = [kind for kind in setting["type"] if kind != "null"]
    made = {
        "name": name,
        "kind": "date_iso8601" if setting.get("format") == "date-time" else _KINDS[kind],
        "value": setting.get("default"),
        "label": setting["title"],
        "description": setting["description"],
        "sensitive": setting.get("secret"),
    }
    return {key: value for key, value in made.items() if value is not None}


def write_meltano(text: str) -> str:
    """Put the extractor's generated keys in the place of those that are there; all other lines stay."""
    found = re.search(r"^  - name: tap-kissmetrics\n(?:    .*\n)+", text, re.MULTILINE)
    if not found:
        message = "meltano.yml must have the extractor tap-kissmetrics"
        raise ValueError(message)
    block = found.group()
    for key, value in extractor().items():
        flow = None if key == "settings_group_validation" else False
        part = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=flow)
        part = textwrap.indent(part, "    ")
        lines = re.compile(rf"^    {key}:.*\n(?:    [ -].*\n)*", re.MULTILINE)
        there = lines.search(block)
        block = block[: there.start()] + part + block[there.end() :] if there else block + part
    return text[: found.start()] + block + text[found.end() :]


# Files to copy


def env_example(_: str = "") -> str:
    """Make .env.example."""
    parts = [
        textwrap.dedent("""\
            # Copy this file to .env, take the # from the settings that you need, and keep .env to yourself: it holds a
            # secret. A variable that is already set wins over this file. Lists and objects are written as JSON.
        """)
    ]
    for name, setting in SETTINGS.items():
        title = f"{setting['title']}{' (required)' if name in REQUIRED else ''}. {setting['description']}"
        about = textwrap.fill(title, 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
        parts.append(f"{about}\n# TAP_KISSMETRICS_{name.upper()}={_plain(setting.get('default', ''))}\n")
    return "\n".join(parts)


def sample_config(_: str = "") -> str:
    """Make sample_config.json: what a sync cannot do without."""
    return json.dumps({name: f"YOUR-{name.upper().replace('_', '-')}" for name in REQUIRED}, indent=2) + "\n"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


DOCUMENTS: dict[str, Callable[[str], str]] = {
    "README.md": write_readme,
    "meltano.yml": write_meltano,
    ".env.example": env_example,
    "sample_config.json": sample_config,
}
"""For each document: from what it says to what it should say."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the documents, or write them.

    Args:
        arguments: Those of the command line.

    Returns:
        The exit code: 1 where a document is not as the code has it.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.documents", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="bring the documents up to date")
    parser.add_argument("--root", type=Path, default=PROJECT, help="the folder they are in (default: the project's)")
    options = parser.parse_args(arguments)
    code = 0
    for name, write in DOCUMENTS.items():
        path = options.root / name
        is_there = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = write(is_there)
        if wanted == is_there:
            continue
        if options.write:
            path.write_text(wanted, encoding="utf-8", newline="\n")
            sys.stdout.write(f"{name} is brought up to date\n")
        else:
            sys.stderr.write(f"{name} is not as the code has it; run: python -m tests.documents --write\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
