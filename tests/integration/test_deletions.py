"""ACTIVATE_VERSION, which has a target remove what is gone, comes after a complete FULL_TABLE stream and never else."""

from __future__ import annotations

import dataclasses
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.sandbox import RESOURCES, faults
from tests.support.assertions import in_order_of_sync
from tests.support.catalogs import choose
from tests.support.process import live_tap
from tests.support.tables import code_block
from tests.support.tap import attempt, sync_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import Request, Sandbox
    from tests.support.run import Run


(EXTRACTOR,) = yaml.safe_load(code_block("nightly", "deletions"))["plugins"]["extractors"]

ON: dict[str, Any] = EXTRACTOR["config"]
"""What docs/nightly.md sets."""

ORDER = in_order_of_sync(RESOURCES)

BEFORE_PROPERTIES = set(ORDER[: ORDER.index("properties")])
"""The streams that are complete when the properties are read."""


def assert_activated(run: Run, streams: set[str]) -> None:
    """Check that these streams end with the version that their records carry, and that no other is activated."""
    assert sorted(message["stream"] for message in run.of_type("ACTIVATE_VERSION")) == sorted(streams)
    for stream in streams:
        *others, last = [message for message in run.messages if message.get("stream") == stream]
        assert last["type"] == "ACTIVATE_VERSION"
        assert isinstance(last["version"], int)
        assert {m["version"] for m in others if m["type"] == "RECORD"} == {last["version"]}


def test_a_complete_stream_ends_with_it(sandbox: Sandbox) -> None:
    assert_activated(sync_here(sandbox, **ON), set(RESOURCES))


def test_it_comes_only_if_it_is_asked_for(sandbox: Sandbox) -> None:
    run = sync_here(sandbox)
    assert_activated(run, set())
    assert all("version" not in message for message in run.messages)


def test_an_empty_list_has_none(sandbox: Sandbox) -> None:
    """The last metric may have been deleted; but a server that is wrong must not empty a table."""
    sandbox.account.records["metrics"] = []
    run = sync_here(sandbox, **ON)
    assert_activated(run, set(RESOURCES) - {"metrics"})
    (warning,) = run.warnings
    assert "metrics: no records: the rows in the target stay, and no ACTIVATE_VERSION is sent" in warning


def test_an_incremental_stream_has_none(sandbox: Sandbox) -> None:
    """It brings only a part of what there is."""
    catalog = choose(events="last_sent_at", metrics="config_last_changed_at", reports=None, accounts=None)
    run = sync_here(sandbox, catalog=catalog, **ON)
    assert_activated(run, {"reports", "accounts"})
    assert {m["stream"] for m in run.of_type("RECORD") if "version" not in m} == {"events", "metrics"}


@pytest.mark.parametrize("fault", [faults.status(500), faults.ignore_offset()], ids=lambda fault: fault.name)
def test_a_stream_that_fails_has_none_and_the_others_have(fault: faults.Fault, sandbox: Sandbox) -> None:
    sandbox.faults.append(dataclasses.replace(fault, resource="properties", skip=1))
    run = attempt(sandbox, page_size=2, retry_timeout=0.1, **ON)
    assert run.failed == ["properties"]
    assert run.records("properties")
    assert_activated(run, set(RESOURCES) - {"properties"})


def test_a_stream_that_fails_before_its_first_record_writes_nothing(sandbox: Sandbox) -> None:
    """Some targets empty their file at a SCHEMA."""
    sandbox.faults.append(faults.status(500, resource="properties"))
    run = attempt(sandbox, retry_timeout=0.1, **ON)
    assert run.failed == ["properties"]
    assert not [message for message in run.messages if message.get("stream") == "properties"]


def test_the_streams_from_a_401_on_have_none(sandbox: Sandbox) -> None:
    sandbox.faults.append(faults.status(401, resource="properties", skip=1))
    run = attempt(sandbox, page_size=2, **ON)
    assert run.code == 1
    assert run.records("properties")
    assert_activated(run, BEFORE_PROPERTIES)


def test_the_streams_from_a_signal_on_have_none(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.append(faults.hang(resource="properties", skip=1))

    def stop(_sandbox: Sandbox, request: Request) -> None:
        if request.resource == "properties" and request.query["offset"] != "0":
            tap.process.send_signal(signal.SIGTERM)

    sandbox.on_request(stop)
    with live_tap(sandbox, tmp_path, page_size=2, request_timeout=60, max_concurrency=1, **ON) as tap:
        run = tap.ends()
    assert run.code == 128 + signal.SIGTERM
    assert run.records("properties")
    assert_activated(run, BEFORE_PROPERTIES)


def test_a_test_has_none(sandbox: Sandbox) -> None:
    """`--test` reads one record: a list of one is not taken for complete either."""
    for records in sandbox.account.records.values():
        del records[1:]
    assert_activated(sync_here(sandbox, "--test", **ON), set())


def test_of_several_products_it_comes_once_after_the_last(sandbox: Sandbox) -> None:
    products = sandbox.account.ids("products")[:2]
    run = sync_here(sandbox, product_ids=products, **ON)
    assert {event["product_id"] for event in run.records("events")} == set(products)
    assert_activated(run, set(RESOURCES))


def test_a_product_that_fails_keeps_it_back(sandbox: Sandbox) -> None:
    products = sandbox.account.ids("products")[:2]
    sandbox.faults.append(faults.status(404, resource="events", where=lambda r: f"/{products[1]}/" in r.path))
    run = attempt(sandbox, product_ids=products, **ON)
    assert run.failed == ["events"]
    assert {event["product_id"] for event in run.records("events")} == {products[0]}
    assert_activated(run, set(RESOURCES) - {"events"})
