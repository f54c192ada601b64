"""What the documents say of settings and streams, and each stream's snapshot, made from the code.

`python -m tests.documents` tells which documents are not as the code has it, and exits with 1 if there are any;
`python -m tests.documents --write` brings them up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from tap_kissmetrics.apis import APIS
from tap_kissmetrics.client import ListStream, ProductListStream, QueryProductListStream
from tests.about import OWN_SETTINGS, SETTING_GROUPS, SETTINGS, tap_of
from tests.markdown import code, table
from tests.meltano_documents import plugin_yaml, write_meltano
from tests.stream_documents import ENTRIES, SNAPSHOTS, snapshots, streams_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_kissmetrics.client import KissmetricsStream

PROJECT = Path(__file__).resolve().parent.parent

# README.md


def settings_table() -> str:
    """Make the table of the tap's own settings."""
    rows = []
    required = {api.login: f"**required** for `{name}`" for name, api in APIS.items()}
    for name, setting in OWN_SETTINGS.items():
        default = required.get(name, "")
        if "default" in setting:
            default = f"`{_plain(setting['default'])}`"
        rows.append((f"`{name}`", default, setting["description"]))
    return table(("Setting", "Default", "What it is"), rows)


def streams_table() -> str:
    """Make the tables of the streams, one for each API."""
    head = ("Stream", "Endpoint", "Product by product", "Primary key", "Replication", "Keys to choose for INCREMENTAL")
    return "\n".join(
        f"### {api.title} (`api: {name}`)\n\n{table(head, [_stream_row(s) for s in tap_of(name).discover_streams()])}"
        for name, api in APIS.items()
    )


def _stream_row(stream: KissmetricsStream) -> tuple[str, ...]:
    key = f" on `{stream.replication_key}`" if stream.replication_key else ""
    return (
        f"`{stream.name}`",
        f"`{stream.path}`" if isinstance(stream, ListStream) and not isinstance(stream, QueryProductListStream) else "",
        f"`/products/{{id}}{stream.path}`" if isinstance(stream, (ProductListStream, QueryProductListStream)) else "",
        code(stream.primary_keys),
        stream.replication_method + key,
        code(stream.valid_replication_keys),
    )


def write_readme(text: str) -> str:
    """Put the tables between their markers."""
    text = _between("README.md", text, "settings", settings_table())
    return _between("README.md", text, "streams", streams_table())


def _between(name: str, text: str, marker: str, made: str) -> str:
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        message = f"{name} must have {start.strip()} and {end} once each"
        raise ValueError(message)
    before, rest = text.split(start)
    return f"{before}{start}{made}{end}{rest.split(end)[1]}"


# docs/targets.md


def csv_maps() -> str:
    """Make the stream maps that write JSON where target-csv would not, for each API."""
    parts = []
    for name, api in APIS.items():
        lines = []
        for stream, entry in ENTRIES[name].items():
            fields = entry["schema"]["properties"].items()
            nested = [column for column, field in fields if {"array", "object"} & set(field["type"])]
            # A row may hold numbers with a fraction, which are exact until here.
            as_text = {"row": '"json.dumps(row, default=str)"'}
            maps = ", ".join(f"{column}: {as_text.get(column, f'json.dumps({column})')}" for column in nested)
            lines += [f"  {stream}: {{{maps}}}\n"] if maps else []
        parts.append(f"{api.title}:\n\n<!-- csv: {name} -->\n```yaml\nstream_maps:\n{''.join(lines)}```\n")
    return "\n".join(parts)


def write_targets(text: str) -> str:
    """Put the stream maps between their markers."""
    return _between("docs/targets.md", text, "csv", csv_maps())


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
        title = f"{setting['title']}. {setting['description']}"
        about = textwrap.fill(title, 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
        parts.append(f"{about}\n# TAP_KISSMETRICS_{name.upper()}={_plain(setting.get('default', ''))}\n")
    return "\n".join(parts)


def sample_config(_: str = "") -> str:
    """Make sample_config.json: what a sync cannot do without, in the first of the ways to log in."""
    return json.dumps({name: f"YOUR-{name.upper().replace('_', '-')}" for name in SETTING_GROUPS[0]}, indent=2) + "\n"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


DOCUMENTS: dict[str, Callable[[str], str]] = {
    "README.md": write_readme,
    "meltano.yml": write_meltano,
    "plugin.yaml": plugin_yaml,
    "docs/streams.md": streams_page,
    "docs/targets.md": write_targets,
    ".env.example": env_example,
    "sample_config.json": sample_config,
    **snapshots(),
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
    exit_code = 0
    for path, wanted in _wanted(options.root):
        is_there = path.read_text(encoding="utf-8") if path.exists() else None
        if wanted == is_there:
            continue
        name = path.relative_to(options.root).as_posix()
        if not options.write:
            sys.stderr.write(f"{name} is not as the code has it; run: python -m tests.documents --write\n")
            exit_code = 1
            continue
        if wanted is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8", newline="\n")
        sys.stdout.write(f"{name} is brought up to date\n")
    return exit_code


def _wanted(root: Path) -> Iterator[tuple[Path, str | None]]:
    """Give, for each document, what it should say: nothing for the snapshot of a stream that is no more."""
    for name, write in DOCUMENTS.items():
        path = root / name
        yield path, write(path.read_text(encoding="utf-8") if path.exists() else "")
    for path in sorted((root / SNAPSHOTS).rglob("*.json")):
        if path.relative_to(root).as_posix() not in DOCUMENTS:
            yield path, None


if __name__ == "__main__":
    sys.exit(main())
