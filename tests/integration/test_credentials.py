"""When a login is required, and what is never shown of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.export import Export
from tests.support.tap import run_tap

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "beside",
    [
        {"api": "query"},
        {"password": "something"},
        {"product_ids": [11001]},
        {"api_url": "http://127.0.0.1:9/core"},
        {"api_token": ""},
        {"username": ""},
        {"password": ""},
        {"report_ids": ["*"]},
    ],
    ids=str,
)
def test_what_only_an_api_needs_makes_a_login_required_beside_exports(beside: dict[str, Any], tmp_path: Path) -> None:
    line = run_tap(folder=tmp_path, config={"export_urls": [str(tmp_path)], **beside}).refused()
    assert "username is required" in line


@pytest.mark.parametrize("variables", [{}, {"TAP_KISSMETRICS_API_TOKEN": "", "TAP_KISSMETRICS_PASSWORD": ""}])
def test_without_it_the_log_says_that_only_raw_events_are_read(variables: dict[str, str], tmp_path: Path) -> None:
    """An empty variable counts as absent."""
    Export(tmp_path / "export").grow(1, 3)
    config = {"export_urls": str(tmp_path / "export")}
    run = run_tap("--config", "ENV", folder=tmp_path, config=config, env=variables).succeeded()
    assert "Reading raw events only: there are no credentials" in run.stderr
    assert len(run.records("raw_events")) == 3


HIDDEN = "aSecretThatNobodyMaySee"


@pytest.mark.parametrize(
    "config",
    [
        {"export_urls": f"s3://KEY:{HIDDEN}@bucket/p"},
        {"export_urls": [f"s3://KEY:{HIDDEN}@bucket/p"]},
        {"export_urls": [[f"s3://KEY:{HIDDEN}@bucket/p"]]},
        {"export_urls": {"url": f"s3://KEY:{HIDDEN}@bucket/p"}},
        {"export_urls": [f"KEY:{HIDDEN}@bucket/p"]},
        {"export_urls": [f"s3:KEY:{HIDDEN}@bucket/p"]},
        {"export_urls": [f"s3://bucket/p?token={HIDDEN}"]},
        {"export_urls": [f"https://KEY:{HIDDEN}@host/p"]},
        {"api_token": "a-token", "api_url": f"https://KEY:{HIDDEN}@host/core"},
        {"api_token": "a-token", "api_url": [f"https://KEY:{HIDDEN}@host/core"]},
        {"api_token": "a-token", "api_url": f"https://host/core?key={HIDDEN}"},
        {"api_token": "a-token", "query_url": f"ftp://KEY:{HIDDEN}@host/v2"},
    ],
    ids=str,
)
def test_a_secret_in_a_url_is_refused_unseen(config: dict[str, Any], tmp_path: Path) -> None:
    run = run_tap(folder=tmp_path, config=config, env={"LOGLEVEL": "DEBUG"})
    assert run.refused().startswith(("export_urls: ", "api_url: ", "query_url: "))
    assert HIDDEN not in run.stderr


def test_nor_is_one_in_a_malformed_variable_shown(tmp_path: Path) -> None:
    env = {"TAP_KISSMETRICS_EXPORT_URLS": f'["s3://KEY:{HIDDEN}@bucket/p", ', "LOGLEVEL": "DEBUG"}
    run = run_tap(folder=tmp_path, env=env)
    assert run.refused().startswith("export_urls (from TAP_KISSMETRICS_EXPORT_URLS): ")
    assert HIDDEN not in run.stderr


def test_a_url_without_a_secret_is_shown(tmp_path: Path) -> None:
    line = run_tap(folder=tmp_path, config={"api_token": "a-token", "api_url": "ftp://127.0.0.1:8000"}).refused()
    assert line.endswith("not 'ftp://127.0.0.1:8000'")


@pytest.mark.parametrize(
    ("settings", "package", "says"),
    [
        ({"export_urls": ["s3://bucket/p"]}, "s3fs", "export_urls needs the extra s3: "),
        ({"stream_maps": {"events": {"name": "fake.name()"}}}, "faker", "stream_maps needs the extra faker: "),
        (
            {"batch_config": {"encoding": {"format": "parquet"}, "storage": {"root": "file:///tmp"}}},
            "pyarrow",
            "batch_config needs the extra parquet: ",
        ),
    ],
)
def test_a_missing_extra_is_named(
    settings: dict[str, Any], package: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    line = run_tap(folder=tmp_path, config={"api_token": "a-token", **settings}).refused()
    extra = says.rsplit(maxsplit=1)[-1].rstrip(":")
    assert line == f"{says}pip install 'tap-kissmetrics[{extra}]'"
