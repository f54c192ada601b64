"""What the documents say of settings and streams is what the code does, and what a user copies works as it is."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.about import ENTRIES, OWN_SETTINGS, SETTINGS, TITLES, tap_of
from scripts.documents import PROJECT, main
from scripts.readme import GROUPS, settings_table
from tap_kissmetrics.apis import APIS, get_api
from tap_kissmetrics.tap import TapKissmetrics
from tap_kissmetrics.validation import validate_settings
from tests.sandbox import QUERY_RESOURCES, RESOURCES, Sandbox, make_query_account
from tests.support.assertions import assert_complete
from tests.support.tables import code_block
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path

FILLED_IN = re.compile(r"\.\.\.|\d+|\(.*?\)|: |\b(?:ID|api_token|username|expression|id=)")
"""What stands in a quoted message for what differs from run to run."""

PREFIX = "# TAP_KISSMETRICS_"


def cells(text: str) -> list[list[str]]:
    """Give the cells of the rows of tables, without their heads."""
    rows = [line for line in text.splitlines() if re.match(r"\| ([^|]*\| )?`", line)]
    return [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in rows]


def test_documents_are_as_the_code_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("README.md", "| `query_timeout` | `3600` |", "| `query_timeout` | `20` |"),
        ("meltano.yml", "    - name: page_size\n", "    - name: size_of_page\n"),
        (".env.example", "TAP_KISSMETRICS_QUERY_TIMEOUT=3600", "TAP_KISSMETRICS_QUERY_TIMEOUT=20"),
        ("plugin.yaml", "  kind: date_iso8601\n", "  kind: string\n"),
        ("docs/targets.md", "contact: json.dumps(contact)", "contact: contact"),
        ("docs/streams.md", "| `updated_at` | date-time |", "| `updated_at` | string |"),
        ("tests/snapshots/core/accounts.json", '"format": "date-time"', '"format": "date"'),
    ],
)
def test_drift_is_found_and_repaired(
    name: str, old: str, new: str, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(copies)]
    assert main(root) == 0
    before = (copies / name).read_text(encoding="utf-8")
    assert old in before
    (copies / name).write_text(before.replace(old, new, 1), encoding="utf-8")
    assert main(root) == 1
    assert name in capsys.readouterr().err
    assert main([*root, "--write"]) == 0
    assert (copies / name).read_text(encoding="utf-8") == before


def test_missing_marker_is_an_error(copies: Path) -> None:
    (copies / "README.md").write_text("# tap-kissmetrics\n", encoding="utf-8")
    with pytest.raises(ValueError, match="<!-- streams -->"):
        main(["--root", str(copies)])


def test_readme_has_every_setting() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    rows = {name: (default, about) for _, name, default, about in cells(table)}
    assert rows.keys() == OWN_SETTINGS.keys()
    assert rows["api"][0] == "that of the credentials"
    assert rows["query_url"][0] == "https://query.kissmetrics.com/v2"
    assert all(1 < len(about) < 100 for _, about in rows.values())
    assert [row[0] for row in cells(table) if row[0]] == list(GROUPS)


def test_every_setting_has_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GROUPS, "tune", GROUPS["tune"][1:])
    with pytest.raises(ValueError, match=r"settings without a group.*: page_size$"):
        settings_table()


def test_streams_page_has_how_every_stream_is_read() -> None:
    text = (PROJECT / "docs" / "streams.md").read_text(encoding="utf-8")
    heads = (text.partition(f"\n## {title}\n\n")[2].partition("\n\n")[0] for title in TITLES.values())
    rows, v3, export = ({row[0]: row[1:] for row in cells(head)} for head in heads)
    assert list(rows) == [*RESOURCES, "report_results", "metric_results"]
    assert list(v3) == [*QUERY_RESOURCES, "report_results", "metric_results"]
    assert v3["events"][:3] == ["", "/products/{id}/events", "product_id, id"]
    assert rows["accounts"] == ["/accounts", "", "id", "FULL_TABLE", "updated_at, created_at"]
    assert all(row[3] == "FULL_TABLE" for row in rows.values())
    assert export == {"raw_events": ["", "", "export, revision, line", "INCREMENTAL on revision", "revision"]}


def test_readme_introduces_every_stream() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = {row[0]: row[2:] for row in cells(text.partition("\n## ")[0])}
    for api, column in (("core", 0), ("query", 1)):
        assert {name for name, marks in rows.items() if marks[column] == "✓"} == ENTRIES[api].keys()
    assert rows.keys() >= {*ENTRIES["export"]}


def test_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


def test_nightly_says_what_each_replication_key_misses() -> None:
    _, _, rest = (PROJECT / "docs" / "nightly.md").read_text(encoding="utf-8").partition("\n## INCREMENTAL\n")
    section, _, _ = rest.partition("\n## ")
    streams = [stream for api in APIS for stream in tap_of(api).discover_streams()]
    assert {row[0] for row in cells(section)} == {key for stream in streams for key in stream.valid_replication_keys}


def test_nightly_chooses_incremental_in_the_same_way_twice() -> None:
    """And what Meltano makes of the first one is in the tests of Meltano."""
    first, second = (yaml.safe_load(code_block("nightly", marker)) for marker in ("choices", "incremental"))
    (chosen,), (again,) = (found["plugins"]["extractors"] for found in (first, second))
    assert chosen["metadata"] == again["metadata"]


def test_quoted_messages_are_those_of_the_code() -> None:
    """Each piece between what a message fills in; a message that is changed is changed in the documents too."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "tap_kissmetrics").rglob("*.py"))
    constants = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    code = "\n".join(value for value in constants if isinstance(value, str))
    page = (PROJECT / "docs" / "what-happens.md").read_text(encoding="utf-8")
    _, _, readme = (PROJECT / "README.md").read_text(encoding="utf-8").partition("\n## What happens when\n")
    quoted = re.findall(r"`(\w[^`\n]+ [^`\n]+)`", page + readme.partition("\n## ")[0])
    pieces = {piece.strip(" ;,") for message in quoted for piece in FILLED_IN.split(message)}
    assert len(pieces) > 20
    assert {piece for piece in pieces if " " in piece and piece not in code} == set()


def test_sample_config_is_what_a_user_of_today_needs(tmp_path: Path) -> None:
    sample = PROJECT / "sample_config.json"
    config = json.loads(sample.read_text(encoding="utf-8"))
    assert config == {"username": "YOUR-API-KEY"}
    assert json.loads((PROJECT / "sample_config.core.json").read_text()) == {"api_token": "YOUR-API-TOKEN"}
    account = make_query_account(products=1, reports=3, events=5, properties=3)
    refused = run_tap("--config", sample, folder=tmp_path).refused()
    assert "username: must be your own, not the example" in refused
    with Sandbox(account, api="query", password="") as sandbox:
        env = {**sandbox.env, "TAP_KISSMETRICS_REQUESTS_PER_MINUTE": "10000"}
        run = run_tap("--config", sample, "--config", "ENV", folder=tmp_path, env=env)
    assert_complete(run.succeeded(), account)


def test_readme_has_the_credentials_of_each_api() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    printed = [json.loads(found) for found in re.findall(r"^\| .* \| `(\{.*?\})` \|", text, re.MULTILINE)]
    assert [list(config) for config in printed] == [
        ["username"],
        ["username", "password"],
        ["api_token"],
        ["export_urls"],
    ]
    schema = TapKissmetrics.settings_schema()
    assert [get_api(config).name for config in printed[:3]] == ["query", "query", "core"]
    for config in printed:
        validate_settings(config, schema, is_complete=False, reserved_names=())


def test_env_example_names_every_setting_and_works_as_env(sandbox: Sandbox, tmp_path: Path) -> None:
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") or not line for line in lines)
    values = dict(line.removeprefix(PREFIX).split("=", 1) for line in lines if line.startswith(PREFIX))
    assert [name.lower() for name in values] == list(SETTINGS)
    assert next(iter(values)) == "API"

    values |= {"API_TOKEN": sandbox.token, "API_URL": sandbox.url}
    chosen = [f"TAP_KISSMETRICS_{name}={value}\n" for name, value in values.items() if value]
    assert len(chosen) > 5
    (tmp_path / ".env").write_text("".join(chosen), encoding="utf-8")
    assert_complete(run_tap(folder=tmp_path).succeeded(), sandbox.account)
