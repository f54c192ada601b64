"""Each code block of the documents is valid, and a test runs it or uses it; where none does, a table here says why."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from scripts.about import ENTRIES, SETTINGS
from scripts.documents import PROJECT
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import validate_settings
from tests.support.tables import code_blocks
from tests.support.targets import requirements

PATHS = {path.stem: path for path in (*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"))}

BLOCKS = [(page, *block) for page, path in PATHS.items() for block in code_blocks(page, path.parent)]

STREAMS = {name for entries in ENTRIES.values() for name in entries}

OTHERS = {
    ("README", "python3 -m venv"): ".ci/run runs it word for word",
    ("README", "uv tool install ."): "installs from the network; its requirements are compared below",
    ("README", "uv tool install 'meltano"): "test_meltano.py runs its commands; its requirements are compared below",
    ("CONTRIBUTING", "python3 -m venv"): "installs from the network; .ci/run runs its tests as the README has them",
    ("CONTRIBUTING", "git tag"): "publishes",
    ("CONTRIBUTING", "uv pip compile"): "resolves from the network; the tests run with what it wrote",
    ("CONTRIBUTING", "class SegmentsStream"): "test_new_stream.py adds it",
    ("design", "flowchart TB"): "test_project_files.py compares it with the modules",
    ("nightly", "meltano "): "test_meltano.py runs it",
    ("nightly", "TAP_KISSMETRICS_START_DATE="): "test_meltano.py runs it",
    ("nightly", "uv tool install"): "installs from the network; test_project_files.py compares the version",
    ("nightly", "docker "): "needs Docker and a registry; the workflow builds the image and runs it",
    ("nightly", "events: 21,979"): "shows a line of the log, which test_logs.py reads",
    ("performance", "python -m pip install"): "takes half an hour; test_benchmarks.py runs it on small lists",
    ("targets", "meltano config set"): "the same command as in nightly.md",
    ("targets", "uv tool install"): "installs from the network; test_project_files.py compares the commits",
}
"""By page and beginning of a block without a marker: what is done with it."""

SOURCES = [
    path.read_text(encoding="utf-8")
    for path in (*PROJECT.glob("tests/**/*.py"), *PROJECT.glob("scripts/*.py"))
    if path.name != "test_code_blocks.py"
]


def is_used(marker: str) -> bool:
    """Tell whether a test or a script names a marker, whole or as an f-string with its second half as a parameter."""
    kind, _, name = marker.partition(": ")
    whole = re.compile(rf'"{re.escape(marker)}"|<!-- {re.escape(marker)} -->')
    return any(whole.search(text) or (f'f"{kind}: {{' in text and f'"{name}"' in text) for text in SOURCES)


@pytest.mark.parametrize("page", PATHS)
def test_each_block_is_run_or_says_why_not(page: str) -> None:
    """A block with a marker is used by a test, and one without is in the table above."""
    for _, marker, _, text in (block for block in BLOCKS if block[0] == page):
        reasons = [why for (where, start), why in OTHERS.items() if where == page and text.startswith(start)]
        assert len(reasons) == 1 or is_used(marker) or page == "streams", f"{page}: {marker or text}"


def test_the_table_of_reasons_is_current() -> None:
    """A block that is gone leaves no reason behind."""
    starts = {(page, start) for page, start in OTHERS if any(b[0] == page and b[3].startswith(start) for b in BLOCKS)}
    assert starts == OTHERS.keys()


@pytest.mark.parametrize("page", PATHS)
def test_json_parses_and_settings_are_those_of_the_tap(page: str) -> None:
    """What is marked as settings is a config that the tap accepts, with placeholders for the credentials."""
    schema = TapKissmetrics.settings_schema()
    for _, marker, language, text in (block for block in BLOCKS if block[0] == page):
        if language == "json":
            value = json.loads(text)
            if marker.partition(":")[0] == "settings":
                assert value.keys() <= SETTINGS.keys()
                validate_settings(value, schema, is_complete=False, reserved_names=())
            elif page != "streams":  # which is generated, and holds records
                assert marker.partition(":")[0] in {"row", "state", "target.json"}, text


@pytest.mark.parametrize("page", PATHS)
def test_yaml_parses_and_names_what_exists(page: str) -> None:
    """Settings, streams and columns of the tap, and loaders."""
    for _, _, language, text in (block for block in BLOCKS if block[0] == page):
        if language != "yaml":
            continue
        value = yaml.safe_load(text)
        for tap in value.get("plugins", {}).get("extractors", []):
            assert tap["name"] == "tap-kissmetrics"
            config: dict[str, Any] = tap.get("config", {})
            assert config.keys() <= SETTINGS.keys()
            selected = {pattern.removeprefix("!").partition(".")[0] for pattern in tap.get("select", [])}
            assert {
                *tap.get("metadata", {}),
                *tap.get("schema", {}),
                *config.get("stream_maps", {}),
                *selected,
            } <= STREAMS
        assert {*value.get("stream_maps", {})} <= STREAMS


@pytest.mark.parametrize(("page", "text"), [(b[0], b[3]) for b in BLOCKS if b[2] == "bash"])
def test_bash_parses(page: str, text: str) -> None:
    """A line to be put into a pipe ends with one."""
    script = f"{text}cat\n" if text.endswith("|\n") else text
    done = subprocess.run(["/bin/bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), page


@pytest.mark.parametrize("page", PATHS)
def test_options_environments_and_modules_exist(page: str) -> None:
    """In blocks and in running text: the options of the tap, the environments of tox, what `python -m` runs."""
    text = PATHS[page].read_text(encoding="utf-8")
    known = {option for parameter in TapKissmetrics.cli.params for option in parameter.opts} | {"--help"}
    used = {
        option
        for line in re.findall(r"(?:^|[` ])tap-kissmetrics( --[^|`>\n]*)", text, re.MULTILINE)
        for option in re.findall(r"--[\w-]+", line.partition(" -- ")[0])
        if "state-id" not in option  # of Meltano
    }
    assert used <= known
    tox = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["tox"]["env"].keys() | {"py"}
    assert {env for names in re.findall(r"\btox (?:run )?-q?e ([\w,]+)", text) for env in names.split(",")} <= tox
    for module in re.findall(r"\bpython3? -m ((?:scripts|tests|benchmarks)[\w.]*)", text):
        path = PROJECT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_what_the_readme_installs_is_what_the_tests_run() -> None:
    """The commands before the first one of `meltano` are left out of test_meltano.py."""
    lines = [line for page, _, _, text in BLOCKS if page == "README" for line in text.splitlines()]
    installs = [shlex.split(line, comments=True)[3] for line in lines if line.startswith("uv tool install ")]
    assert installs[1:] == [".", *requirements("target-csv")]
    assert installs[0].partition(">=")[0] == "meltano"
