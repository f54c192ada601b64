"""ACTIVATE_VERSION, which has a target remove what is gone, comes after a complete FULL_TABLE stream and never else."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.sandbox import RESOURCES, faults
from tests.support.assertions import in_order_of_sync
from tests.support.catalogs import choose
from tests.support.process import live_tap
from tests.support.run import write_json
from tests.support.tables import code_block
from tests.support.tap import sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Request, Sandbox
    from tests.support.run import Run


(EXTRACTOR,) = yaml.safe_load(code_block("nightly", "deletions"))["plugins"]["extractors"]

ON: dict[str, Any] = EXTRACTOR["config"]
"""What docs/nightly.md sets."""

_ORDER = in_order_of_sync(RESOURCES)

BEFORE_PROPERTIES = set(_ORDER[: _ORDER.index("properties")])
"""The streams that are complete when the properties are read."""


def activated(run: Run) -> list[str]:
    """Give the streams whose new version was activated."""
    return [message["stream"] for message in run.of_type("ACTIVATE_VERSION")]


def assert_versions(run: Run, streams: set[str]) -> None:
    """Check that these streams end with their version, and that no other has one that is activated.

    Every record of a FULL_TABLE stream carries the version, a complete stream's and a broken one's.
    """
    assert sorted(activated(run)) == sorted(streams)
    for stream in RESOURCES:
        of_stream = [m for m in run.messages if m.get("stream") == stream]
        versions = {m.get("version") for m in of_stream if m["type"] == "RECORD"}
        if stream in streams:
            last = of_stream[-1]
            assert last["type"] == "ACTIVATE_VERSION"
            assert isinstance(last["version"], int)
            assert versions <= {last["version"]}


def test_complete_streams_end_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is the last message of its stream, and each record carries its version."""
    run = sync(sandbox, tmp_path, **ON).succeeded()
    assert_versions(run, set(RESOURCES))
    assert all("version" in m for m in run.of_type("RECORD"))


def test_list_that_is_empty_has_none(sandbox: Sandbox, tmp_path: Path) -> None:
    """The last metric may have been deleted; but a server that is wrong must not empty a table."""
    sandbox.account.records["metrics"] = []
    run = sync(sandbox, tmp_path, **ON).succeeded()
    assert_versions(run, set(RESOURCES) - {"metrics"})
    (warning,) = run.warnings
    assert "metrics: no records: the rows in the target stay, and no ACTIVATE_VERSION is sent" in warning


@pytest.mark.parametrize("given", [{}, {"emit_activate_version_messages": False}])
def test_not_unless_it_is_asked_for(given: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """Off is the default."""
    run = sync(sandbox, tmp_path, **given).succeeded()
    assert activated(run) == []
    assert all("version" not in message for message in run.messages)


def test_never_for_incremental_streams(sandbox: Sandbox, tmp_path: Path) -> None:
    """They bring only a part of what there is."""
    catalog = choose(events="last_sent_at", metrics="config_last_changed_at", reports=None, accounts=None)
    run = sync(sandbox, tmp_path, "--catalog", write_json(tmp_path / "catalog.json", catalog), **ON).succeeded()
    assert_versions(run, {"reports", "accounts"})
    assert {m["stream"] for m in run.of_type("RECORD") if "version" not in m} == {"events", "metrics"}


@pytest.mark.parametrize("page", [1, 3])
def test_stream_that_fails_has_none_and_the_others_have(page: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """At its first page or later."""
    sandbox.faults.append(faults.status(500, resource="events", skip=page - 1))
    run = sync(sandbox, tmp_path, page_size=5, retry_timeout=0.1, **ON)
    assert run.code == 1
    assert bool(run.records("events")) == (page > 1)
    assert_versions(run, set(RESOURCES) - {"events"})


def test_wrong_token_ends_the_sync_without_one(sandbox: Sandbox, tmp_path: Path) -> None:
    """The streams before were complete; this one is not, and those after it are not read."""
    sandbox.faults.append(faults.status(401, resource="properties", skip=1))
    run = sync(sandbox, tmp_path, page_size=2, **ON)
    assert run.code == 1
    assert run.records("properties")
    assert_versions(run, BEFORE_PROPERTIES)


@pytest.mark.parametrize(
    "fault", [faults.total(500), faults.ignore_offset(), faults.short_body()], ids=lambda f: f.name
)
def test_list_that_cannot_be_read_to_its_end_has_none(fault: faults.Fault, sandbox: Sandbox, tmp_path: Path) -> None:
    """However the API cuts it short."""
    fault.resource, fault.skip, fault.seen = "properties", 1, 0
    sandbox.faults.append(fault)
    run = sync(sandbox, tmp_path, page_size=2, retry_timeout=0.1, **ON)
    assert run.code == 1
    assert run.records("properties")
    assert_versions(run, set(RESOURCES) - {"properties"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_sync_that_is_stopped_has_none_for_the_stream_that_was_read(
    number: signal.Signals, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nor have those after it."""
    sandbox.faults.append(faults.hang(resource="properties", skip=1))

    def stop(_sandbox: Sandbox, request: Request) -> None:
        if request.resource == "properties" and request.query["offset"] != "0":
            tap.process.send_signal(number)

    sandbox.on_request(stop)
    with live_tap(sandbox, tmp_path, page_size=2, request_timeout=60, max_concurrency=1, **ON) as tap:
        run = tap.ends()
    assert run.code in {128 + number, -number}
    assert run.records("properties")
    assert_versions(run, BEFORE_PROPERTIES)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_never_from_a_test(count: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """`--test` reads one record: a list of one, or none, is not taken for complete either."""
    for stream in RESOURCES:
        del sandbox.account.records[stream][count:]
    run = sync(sandbox, tmp_path, "--test", **ON).succeeded()
    assert activated(run) == []


class TestProducts:
    """With `product_ids` a stream is complete after the last product."""

    def test_comes_once_after_the_last_product(self, sandbox: Sandbox, tmp_path: Path) -> None:
        products = sandbox.account.ids("products")[:2]
        run = sync(sandbox, tmp_path, product_ids=products, **ON).succeeded()
        assert {event["product_id"] for event in run.records("events")} == set(products)
        assert_versions(run, set(RESOURCES))

    def test_product_that_fails_keeps_it_back(self, sandbox: Sandbox, tmp_path: Path) -> None:
        products = sandbox.account.ids("products")[:2]
        sandbox.faults.append(faults.status(404, resource="events", where=lambda r: f"/{products[1]}/" in r.path))
        run = sync(sandbox, tmp_path, product_ids=products, **ON)
        assert run.code == 1
        assert {event["product_id"] for event in run.records("events")} == {products[0]}
        assert_versions(run, set(RESOURCES) - {"events"})
