"""A result comes to its end, or is refused in one line, in bounded requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import faults
from tests.support.results import both, is_page, read_results, result_sandbox, results

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox import ApiName, Fault

pytestmark = pytest.mark.usefixtures("clock")

HASTY: dict[str, Any] = {"retry_timeout": 0.2, "backoff_factor": 0.01}


def always(rows: list[Any], total: int | None) -> Fault:
    """Answer each request for rows with these, whatever its offset."""
    pagination = {} if total is None else {"pagination": {"total": total}}

    def change(body: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in body.items() if key != "pagination"}, "data": rows, **pagination}

    return faults.rewrite(change, where=is_page)


@both
@pytest.mark.parametrize("page_size", [2, 3, 10])
@pytest.mark.parametrize("total", [2, None])
@pytest.mark.parametrize("rows", [[["a", 1], ["b", 2]], [["a", 1], ["a", 1]]], ids=["two", "two that are equal"])
def test_two_rows_of_a_server_that_ignores_offset(
    api: ApiName, page_size: int, total: int | None, rows: list[Any], tmp_path: Path
) -> None:
    """It is read or refused; no row is written that is not there, unless all are equal and there is no total."""
    with result_sandbox(api, reports=1, faults=[always(rows, total)]) as sandbox:
        run = read_results(sandbox, tmp_path, page_size=page_size, **HASTY)
        assert len(sandbox.requests) < 130
    if total is not None or rows[0] != rows[1]:
        assert len(results(run)) == 2
    if total is None or page_size == 2:
        assert run.failed == ["report_results"]
    else:
        assert run.code == 0


@both
@pytest.mark.parametrize("cap", [None, 7])
@pytest.mark.parametrize("has_total", [True, False])
def test_many_equal_rows_are_no_fault(api: ApiName, cap: int | None, has_total: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Each is written, once."""

    def equal(body: dict[str, Any]) -> None:
        body["data"] = [["same", 1] for _ in body["data"]]
        if not has_total:
            body.pop("pagination", None)

    with result_sandbox(api, reports=1, rows=45, cap=cap, faults=[faults.rewrite(equal, where=is_page)]) as sandbox:
        run = read_results(sandbox, tmp_path, page_size=10, **HASTY).succeeded()
    assert [record["position"] for record in results(run)] == list(range(45))


@pytest.mark.parametrize("name", ["id"])
def test_the_page_of_another_query_is_refused(name: str, tmp_path: Path) -> None:
    """The Query API names the query in each answer."""
    other = faults.rewrite(lambda body: {**body, name: "another-query"}, where=is_page)
    with result_sandbox("query", reports=1, faults=[other]) as sandbox:
        run = read_results(sandbox, tmp_path, **HASTY)
    assert run.failed == ["report_results"]
    assert "the response is for query another-query" in run.errors[0]
    assert results(run) == []
