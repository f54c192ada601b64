"""Fields that the schema does not know are reported once; fields that are missing, or of another kind, stop nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import RESOURCES, Sandbox, make_account
from tests.support.examples import examples
from tests.support.expected import assert_complete
from tests.support.tap import sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox import Record


@pytest.fixture(scope="module")
def one_event() -> Iterator[Sandbox]:
    """A sandbox with a single event, for many runs; each changes the event."""
    with Sandbox(make_account(accounts=1, products=1, reports=0, events=1, properties=0, metrics=0)) as running:
        yield running


def warnings(stderr: str) -> list[str]:
    """Give the lines that were logged as warnings."""
    return [line for line in stderr.splitlines() if "| WARNING " in line]


class TestFields:
    """Fields and values that the schema does not foresee, or only just."""

    def test_unknown_fields_are_reported_once_per_stream(self, sandbox: Sandbox, tmp_path: Path) -> None:
        known = {name: [dict(record) for record in records] for name, records in sandbox.account.records.items()}
        for resource in ("events", "metrics"):
            for number, record in enumerate(sandbox.account.records[resource]):
                record["color_of_the_sky"] = number
                if number >= 3:
                    record["a_later_one"] = {"nested": True}
        run = sync(sandbox, tmp_path, page_size=3).succeeded()
        sandbox.account.records.update(known)
        assert_complete(run, sandbox.account)
        lines = warnings(run.stderr)
        for resource in ("events", "metrics"):
            own = [line for line in lines if f"tap-kissmetrics.{resource}" in line]
            assert [sum(name in line for line in own) for name in ("color_of_the_sky", "a_later_one")] == [1, 1]
        assert len(lines) == 4

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_records_may_be_nothing_but_an_id(self, resource: str, sandbox: Sandbox) -> None:
        records = sandbox.account.records[resource]
        records[:] = [{"id": record["id"]} for record in records]
        assert_complete(sync_here(sandbox), sandbox.account)

    @pytest.mark.parametrize("resource", RESOURCES)
    def test_everything_but_the_id_may_be_null(self, resource: str, sandbox: Sandbox) -> None:
        records = sandbox.account.records[resource]
        records[:] = [dict.fromkeys(record) | {"id": record["id"]} for record in records]
        assert_complete(sync_here(sandbox), sandbox.account)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("total", 2**63),
            ("total", -(2**63) - 1),
            ("total", 10**400),
            ("name", "a\u2028b\u0000c\u0085 \ud83d\ude00 \u202e"),
            ("name", "lone \ud800 surrogate"),
            ("name", '"\\\n\r\t</script>'),
            ("name", ""),
            ("name", " 2014-09-02T19:46:43Z "),
            ("last_sent_at", "2014-09-02T19:46:43Z"),
            ("last_sent_at", "2014-09-02T19:46:43+00:00"),
            ("last_sent_at", "2014-09-02T21:46:43.123456789+02:00"),
            ("last_sent_at", "2014-09-02 19:46:43"),
            ("last_sent_at", "0000-00-00T00:00:00Z"),
            ("last_sent_at", "not a date"),
            ("links", []),
            ("links", [{"rel": "self", "href": None, "more": [1, {"deep": 1.5}]}, None]),
            ("description", "x" * 300_000),
        ],
    )
    def test_values_pass_unchanged(self, column: str, value: object, one_event: Sandbox) -> None:
        assert_event_passes(one_event, {column: value})

    @pytest.mark.no_cover  # traced, it takes twice as long
    @given(
        st.fixed_dictionaries(
            {
                "name": st.text(),
                "description": st.none() | st.text(),
                "total": st.integers(),
                "is_visible": st.booleans(),
            }
        )
    )
    @examples(30)
    def test_any_text_and_number_pass_unchanged(self, one_event: Sandbox, values: dict[str, Any]) -> None:
        assert_event_passes(one_event, values)

    @pytest.mark.parametrize(
        ("value", "text"), [(True, "true"), (False, "false"), ("pending", "pending"), ("True", "True"), (None, None)]
    )
    def test_status_of_a_metric_is_text(self, value: object, text: str | None, sandbox: Sandbox) -> None:
        for metric in sandbox.account.records["metrics"]:
            metric["status"] = value
        run = sync_here(sandbox)
        assert {metric["status"] for metric in run.records("metrics")} == {text}
        assert {type(metric["status"]) for metric in run.records("metrics")} == {type(text)}

    @pytest.mark.parametrize(
        ("resource", "column"),
        [
            ("accounts", "status"),
            ("products", "status"),
            ("products", "environment"),
            ("reports", "report_type"),
            ("properties", "type"),
            ("metrics", "unit_type"),
            ("metrics", "status"),
        ],
    )
    def test_enumerated_field_may_have_a_value_that_is_not_listed(
        self, resource: str, column: str, sandbox: Sandbox
    ) -> None:
        for record in sandbox.account.records[resource]:
            record[column] = "something new"
        assert_complete(sync_here(sandbox), sandbox.account)


def assert_event_passes(sandbox: Sandbox, values: Record) -> None:
    """Assert that an event with these values comes out as it is."""
    with sandbox.lock:
        sandbox.account.records["events"] = [sandbox.account.fresh("events") | values]
    assert_complete(sync_here(sandbox), sandbox.account)
