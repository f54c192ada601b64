"""A wrong setting, file, catalog or state is refused in one line, before any request; what is only odd is named.

The line names the input, and never a secret. Which line each value has is in `tests/unit`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Tap

from scripts.about import ENTRIES
from tests.sandbox import TOKEN
from tests.support.assertions import assert_refused, expected
from tests.support.catalogs import choose
from tests.support.process import run_started
from tests.support.run import environment, settings_for, write_json
from tests.support.tap import run_tap, sync

if TYPE_CHECKING:
    from tests.sandbox import Sandbox

LATER = "2999-01-01T00:00:00Z"

UNSELECTED = ENTRIES["core"]["events"] | {"metadata": []}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"api_token": "SECRET with-blanks"}, "api_token: must be the bare token"),
        ({"api_token": 1234567890}, "api_token: its type must be "),
        ({"api_token": None}, "api_token or username is required: put it in the config file or in TAP_"),
        ({"api_url": "https://joe:SECRET@host:99999999/"}, "api_url: must be an https:// URL"),
        ({"start_date": f"{'x' * 40} {TOKEN}{'y' * 5000}"}, "..."),
        ({"backoff_factor": float("nan")}, "backoff_factor: 'NaN' is not of type 'number'"),
        ({"stream_maps": {"__else__": "x"}}, "stream_maps: cannot be used: "),
        ({"stream_maps": {"accounts": {"name": "1 +"}}}, "stream_maps: Failed to parse expression 1 +."),
    ],
    ids=lambda part: str(part)[:60],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    run = sync(sandbox, tmp_path, **settings, env={"LOGLEVEL": "DEBUG"})
    assert_refused(run, sandbox, says)
    assert "SECRET" not in run.stderr
    assert "1234567890" not in run.stderr


def test_a_setting_from_a_variable_is_named_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {**sandbox.env, "TAP_KISSMETRICS_PAGE_SIZE": "0", "TAP_KISSMETRICS_PRODUCT_IDS": "[1"}
    run = sync(sandbox, tmp_path, "--config", "ENV", max_concurrency=0, page_size=5, env=env)
    says = ["max_concurrency: 0 is less", "; page_size (from TAP_KISSMETRICS_PAGE_SIZE): 0 is less"]
    assert_refused(run, sandbox, *says, "; product_ids (from TAP_KISSMETRICS_PRODUCT_IDS): [0]: must be an id, ")


def test_a_variable_that_is_not_read_beside_a_file_is_explained(sandbox: Sandbox, tmp_path: Path) -> None:
    run = run_tap(folder=tmp_path, config={"api_url": sandbox.url}, env=sandbox.env)
    assert_refused(run, sandbox, "api_token or username is required: ", "; beside a file, variables need --config ENV")


@pytest.mark.parametrize("variable", ["LOGLEVEL", "TAP_KISSMETRICS_LOGLEVEL"])
def test_a_log_level_that_does_not_exist_is_refused(variable: str, sandbox: Sandbox, tmp_path: Path) -> None:
    says = (f"{variable} must be one of ", "WARNING", "DEBUG", "not 'LOUD'")
    assert_refused(sync(sandbox, tmp_path, env={variable: "LOUD"}), sandbox, *says)
    (tmp_path / ".env").write_text(f"{variable}=LOUD\n", encoding="utf-8")
    assert_refused(run_tap(folder=tmp_path, env=sandbox.env), sandbox, *says)


def test_a_dotenv_file_that_cannot_be_read_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"TAP_KISSMETRICS_API_TOKEN=\xff\n")
    assert_refused(run_tap(folder=tmp_path), sandbox, f"{tmp_path / '.env'} cannot be read: ")


def test_a_working_directory_that_was_deleted_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """A job may be started in one."""
    (tmp_path / "gone").mkdir()
    gone = os.open(tmp_path / "gone", os.O_RDONLY)
    (tmp_path / "gone").rmdir()
    run = run_tap(folder=Path(f"/proc/self/fd/{gone}"), env=sandbox.env)
    os.close(gone)
    assert_refused(run, sandbox, "the working directory cannot be read: ")


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("REQUESTS_CA_BUNDLE", None),
        ("CURL_CA_BUNDLE", b""),
        ("SSL_CERT_FILE", b"<html>Log in</html>"),
        ("AWS_CA_BUNDLE", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
    ids=str,
)
def test_unreadable_certificates_are_refused(
    variable: str, content: bytes | None, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    env = {**dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), ""), variable: str(path)}
    urls = ["s3://bucket/x"] if variable == "AWS_CA_BUNDLE" else []
    run = sync(sandbox, tmp_path, api_url=sandbox.url.replace("http:", "https:"), export_urls=urls, env=env)
    assert_refused(run, sandbox, f"{variable}: no certificates can be read from {path}: ")


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("config", '{"api_token": "SECRET', "wrong.json is not JSON in UTF-8: Unterminated string"),
        ("state", "", "wrong.json is empty; for a first run write {} into it"),
        ("catalog", "[]", "wrong.json must be a JSON object, not a list"),
        ("config", '{"streams": []}', "api_token or username is required"),
        ("state", '{"streams": []}', "state: has no bookmarks, but streams"),
        ("catalog", '{"api_token": "SECRET"}', "catalog: cannot be used: KeyError: 'streams'; make one with "),
        ("state", '{"bookmarks": {"events": {"progress_markers": 5}}}', "state: cannot be used: AttributeError: "),
        ("catalog", json.dumps({"streams": [UNSELECTED]}), "catalog: selects no stream; the streams are accounts, "),
        ("catalog", json.dumps({"streams": [ENTRIES["query"]["events"]]}), "catalog: was made for the Query API"),
    ],
    ids=lambda part: part[:40],
)
def test_a_wrong_file_is_refused(kind: str, content: str, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content, encoding="utf-8")
    run = run_tap(f"--{kind}", path, folder=tmp_path, config=None if kind == "config" else settings_for(sandbox))
    assert_refused(run, sandbox, says)
    assert "SECRET" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--config", "absent.json"], 1, "config file absent.json cannot be read: No such file or directory"),
        (["--config", "/"], 1, "config file / cannot be read: Is a directory"),
        (["--state", "absent.json"], 2, "absent.json"),
        (["--catalog", "/proc/self/mem"], 1, "catalog file /proc/self/mem cannot be read: Input/output error"),
        (["--config", ' {"api_token": "SECRET"}'], 1, "--config takes the path of a file, not its content"),
        (["--config", '["SECRET"]'], 1, "--config takes the path of a file, not its content"),
        (["a\nSECRET"], 2, "unexpected extra argument"),
        (["SECRET", "more"], 2, "unexpected extra arguments"),
    ],
    ids=str,
)
def test_no_file_is_refused(arguments: list[str], code: int, says: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A secret in its place is not shown."""
    run = run_tap(*arguments, folder=tmp_path, env=sandbox.env)
    assert_refused(run, sandbox, says, code=code)
    assert "SECRET" not in run.stderr


def test_an_unexpected_error_is_one_line(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback is for DEBUG, and shows no secret either."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot find {sandbox.token}")

    monkeypatch.setattr(Tap, "setup_mapper", fail)
    line = sync(sandbox, tmp_path).refused()
    assert line == "a bug of the tap; please report it, with LOGLEVEL=DEBUG: RuntimeError: cannot find (hidden)"
    run = sync(sandbox, tmp_path, env={"LOGLEVEL": "DEBUG"})
    assert "RuntimeError: cannot find (hidden)\n" in run.stderr
    assert sandbox.token not in run.stderr


def test_names_that_are_misspelt_are_named_with_the_nearest(sandbox: Sandbox, tmp_path: Path) -> None:
    """Beside an error as well; their values are not."""
    env = {"TAP_KISSMETRICS_PGE_SIZE": "SECRET", "TAP_KISSMETRICS__SELECT": "1", "TAP_KISSMETRICS_LOGLEVEL": "info"}
    config = write_json(tmp_path / "config.json", {"API_TOKEN": "SECRET", "Page-Size": 1, "x" * 5000: 1})
    run = run_tap("--config", config, "--config", "ENV", folder=tmp_path, env=sandbox.env | env).succeeded()
    variables, settings = run.warnings
    nearest = "TAP_KISSMETRICS_PGE_SIZE (did you mean TAP_KISSMETRICS_PAGE_SIZE?)"
    assert variables.endswith(f"Unknown variables are ignored: {nearest}, TAP_KISSMETRICS__SELECT")
    assert "are ignored: API_TOKEN (did you mean api_token?), Page-Size (did you mean page_size?), xxx" in settings
    assert len(settings) < 400
    assert "SECRET" not in run.stderr
    run = run_tap("--config", config, folder=tmp_path)
    assert "did you mean api_token?" in run.warnings[0]
    assert "is required" in run.refused()


@pytest.mark.parametrize(
    ("settings", "bookmarks", "says"),
    [
        ({}, {"customers": {}}, "The state has bookmarks of other streams only: customers"),
        (
            {},
            {"events": {"replication_key_value": LATER}},
            "The bookmark of stream events is in the future: 2999-01-01",
        ),
        (
            {"start_date": LATER},
            {},
            "start_date 2999-01-01 00:00:00+00:00 is in the future: INCREMENTAL streams write ",
        ),
    ],
    ids=str,
)
def test_inputs_that_would_leave_something_out_are_named(
    settings: dict[str, Any], bookmarks: object, says: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    run = sync(sandbox, tmp_path, **settings, state={"bookmarks": bookmarks}).succeeded()
    (warning,) = run.warnings
    assert says in warning


def test_what_is_of_others_in_a_catalog_may_be_anything(sandbox: Sandbox, tmp_path: Path) -> None:
    """A stream that is selected and does not exist is named."""
    catalog = choose(events=None)
    odd: list[dict[str, Any]] = [{"schema": None}, {"schema": {"properties": {"a": 5}}}, {"metadata": [{}]}, {}]
    catalog["streams"] += [{"tap_stream_id": f"odd{number}", **entry} for number, entry in enumerate(odd)]
    root = {"breadcrumb": [], "metadata": {"selected": True}}
    catalog["streams"].append({"tap_stream_id": "evnets", "metadata": [root]})
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    (warning,) = run.warnings
    assert "selects streams that do not exist with these settings: evnets (did you mean events?)" in warning
    assert run.records("events") == expected("events", sandbox.account.records["events"])


def test_keys_cannot_be_left_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither by what is selected nor by what is unsupported."""
    catalog = choose(events=None)
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            if item["breadcrumb"] == ["properties", "id"]:
                item["metadata"] = {"selected": False, "inclusion": "unsupported"}
    run = sync(sandbox, tmp_path, catalog=catalog).succeeded()
    assert run.records("events") == expected("events", sandbox.account.records["events"])


NAME = "Ünïcode-☃-秘密"


def test_files_are_utf_8_whatever_the_locale(sandbox: Sandbox, tmp_path: Path) -> None:
    """A process has a locale, so it is started. Some editors begin a file with a mark."""
    config = {name: value for name, value in settings_for(sandbox).items() if name != "api_token"}
    catalog = choose(events=None)
    catalog["streams"][0]["description"] = NAME
    files = {
        "config": {**config, "stream_maps": {"events": {"note": f"'{NAME}'"}}},
        "catalog": catalog,
        "state": {"bookmarks": {NAME: {"a": 1}}},
    }
    arguments = []
    for kind, content in files.items():
        path = tmp_path / f"{kind}-{NAME}.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")
        arguments += [f"--{kind}", str(path)]
    (tmp_path / ".env").write_text(f"# {NAME}\nTAP_KISSMETRICS_API_TOKEN={sandbox.token}\n", encoding="utf-8")
    env = environment({"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    run = run_started([*arguments, "--config", "ENV"], folder=tmp_path, env=env).succeeded()
    assert [record["note"] for record in run.records("events")] == [NAME] * sandbox.account.counts["events"]
    assert run.state["bookmarks"][NAME] == {"a": 1}
