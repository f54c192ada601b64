"""Whatever a stream map raises is an error of its stream; the others are read."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Sandbox, make_account
from tests.support.assertions import assert_discreet, assert_every_record_once
from tests.support.cases import SMALL
from tests.support.tap import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve an account whose fourth event has no description."""
    account = make_account(**SMALL)
    account.records["events"][3]["description"] = None
    with Sandbox(account) as running:
        yield running


@pytest.mark.parametrize(
    ("definition", "cause"),
    [
        ({"hash": "md5(description)"}, r"\w+: .+"),
        ({"number": "int(name)"}, "ValueError: invalid literal"),
        ({"x": "config['typo']"}, "KeyError: 'typo'|.*typo"),
        ({"x": "record['typo']"}, "KeyError: 'typo'|.*typo"),
        ({"x": "1 / (total - total)"}, "ZeroDivisionError: .*zero"),
        ({"x": "name + 1"}, "TypeError: .*"),
        ({"x": "name.nonsense()"}, ".*nonsense"),
        ({"x": "[1][5]"}, "IndexError|FeatureNotAvailable"),
        ({"name": "'x' * 10000000"}, ".+"),
        ({"__filter__": "int(name) > 1"}, "ValueError: invalid literal"),
        ({"__filter__": "config['typo']"}, "KeyError: 'typo'|.*typo"),
    ],
    ids=str,
)
def test_an_expression_that_fails(definition: dict[str, Any], cause: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """The record's key and the cause are in one line."""
    run = sync(sandbox, tmp_path, stream_maps={"events": definition})
    assert run.code == 1
    assert run.failed == ["events"]
    ids = "|".join(map(re.escape, sandbox.account.ids("events")))
    says = rf"events: stream_maps: failed for the record with id='({ids})': ({cause})"
    assert re.match(says, run.errors[0]), run.errors[0]
    assert_every_record_once(run, sandbox.account, but=["events"])
    assert_discreet(run, sandbox)


def test_a_setting_that_a_map_raises_is_not_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    """The token may be what fails."""
    run = sync(sandbox, tmp_path, stream_maps={"events": {"x": "int(config['api_token'])"}})
    assert run.failed == ["events"]
    assert_discreet(run, sandbox)


@pytest.mark.parametrize(
    ("maps", "names"),
    [
        ({"event": {"name": "name"}}, "event (did you mean events?)"),
        ({"event": None}, "event (did you mean events?)"),
        ({"people_of_today": {"__alias__": "x"}}, "people_of_today"),
        ({"copy": {"__source__": "event"}}, "event (did you mean events?)"),
        ({"eve*s?": {"name": "name"}, "metric": {}}, "eve*s? (did you mean events?), metric (did you mean metrics?)"),
    ],
    ids=str,
)
def test_a_map_that_no_stream_matches_is_named(
    maps: dict[str, Any], names: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """In a warning; the sync goes on."""
    run = sync(sandbox, tmp_path, stream_maps=maps).succeeded()
    (warning,) = run.warnings
    assert warning.endswith(f"stream_maps: no stream matches {names}")


@pytest.mark.parametrize(
    "maps",
    [
        {"events": {"__alias__": "renamed"}},
        {"ev*": {"x": "1"}},
        {"copy": {"__source__": "events"}},
        {"events": {}, "__else__": None},
    ],
    ids=str,
)
def test_maps_that_match_are_not_named(maps: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """Names, patterns, sources and `__else__`."""
    assert not sync(sandbox, tmp_path, stream_maps=maps).succeeded().warnings


@pytest.mark.parametrize("definition", [{"x": ""}, {"x": "name if"}, {"__filter__": ""}], ids=str)
def test_what_is_no_expression_is_refused(definition: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """In one line, before any request."""
    assert sync(sandbox, tmp_path, stream_maps={"events": definition}).refused().startswith("stream_maps: ")
    assert sandbox.requests == []


def test_an_expression_that_needs_a_package(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "faker", None)
    run = sync(sandbox, tmp_path, stream_maps={"events": {"name": "fake.name()"}})
    assert run.failed == ["events"]
    assert run.errors[0].endswith("'fake' is not defined for expression 'fake.name()'; install the package faker")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("datetime.date(2024, 1, 31)", "2024-01-31"),
        ("datetime.datetime(2024, 1, 31)", "2024-01-31T00:00:00"),
        ("(1, 'a')", [1, "a"]),
        ("{1}", [1]),
        ("float('nan')", None),
        ("total * 0 + 0.5", 0.5),
        ("{'a': [None]}", {"a": [None]}),
    ],
)
def test_a_value_that_json_has(expression: str, value: object, sandbox: Sandbox, tmp_path: Path) -> None:
    """It is written as it is."""
    run = sync(sandbox, tmp_path, stream_maps={"events": {"x": expression}}).succeeded()
    assert [event["x"] for event in run.records("events")] == [value] * sandbox.account.counts["events"]
