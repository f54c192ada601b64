"""Metrics of the Core API, over time and by segment: what is sent, where it is asked for, and what is written."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox import faults
from tests.support.assertions import assert_says, expected
from tests.support.cases import watched_sync
from tests.support.results import (
    SPAN,
    SUBJECTS,
    all_metric_rows,
    is_page,
    is_poll,
    is_start,
    metric_rows,
    result_sandbox,
    results,
)
from tests.support.tap import run_tap, sync, sync_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox import Fault, Record, Request, Response, Sandbox
    from tests.support.clock import Clock

pytestmark = pytest.mark.usefixtures("clock")

METRICS = SUBJECTS[2]

AT = {"start_at": "2024-01-01", "end_at": "2024-01-31"}
"""`SPAN` as a query of a metric takes it."""


def written(sandbox: Sandbox, run: Any) -> bool:
    """Tell whether every row of every query was written, and nothing else."""
    return bool(results(run, "metric_results") == all_metric_rows(sandbox) != [])


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"polls_until_complete": 3},
        {"rows": 0},
        {"cap": 7},
        {"metric_total": False},
        {"metric_total": False, "cap": 2},
        {"first_form": True, "columns": True},
        {"first_form": True, "cap": 7, "row_form": "array"},
    ],
    ids=str,
)
def test_every_metric_over_time(switches: dict[str, Any], tmp_path: Path) -> None:
    """Each metric of the list once, which is read once; every row in its order."""
    with result_sandbox("core", **switches) as sandbox:
        run = watched_sync(sandbox, tmp_path, metric_ids=["*"], report_date_range=SPAN).succeeded()
        metrics = sandbox.account.ids("metrics")
        lists = [r for r in sandbox.requests if r.resource == "metrics" and r.query.get("offset") == "0"]
    assert len(lists) == 1
    assert [(query.kind, query.of, query.body) for query in sandbox.queries] == [
        ("over-time", metric, AT) for metric in metrics
    ]
    columns = ["timestamp", "year", "month", "day", "value"] if switches.get("columns") else None
    assert results(run, "metric_results") == [
        row for query in sandbox.queries for row in metric_rows(query, columns, metric_id=query.of, date_range=AT)
    ]
    assert run.records("metrics") == expected("metrics", sandbox.account.records["metrics"])


def test_items(tmp_path: Path) -> None:
    """Ids and objects, each once; what an object holds goes into the body unchanged, and its date range replaces."""
    with result_sandbox("core") as sandbox:
        first, second, _ = sandbox.account.ids("metrics")
        segment = sandbox.account.ids("properties")[4]
        own = {"start_date": "2023-05-01T00:00:00Z", "end_date": "2023-05-31T00:00:00Z"}
        other = {"property_id": segment, "property_date": "last_ever", "filter": {"any": [1, None]}}
        items = [
            {"id": second, "property_id": segment},
            first,
            {"id": first.upper()},
            {"id": first, "date_range": own},
            {"date_range": own, "id": first, **other},
        ]
        run = watched_sync(sandbox, tmp_path, metric_ids=items, report_date_range=SPAN).succeeded()
    own_at = {"start_at": own["start_date"], "end_at": own["end_date"]}
    assert [(query.kind, query.of, query.body) for query in sandbox.queries] == [
        ("by-segment", second, {**AT, "property_id": segment, "property_date": "first_ever"}),
        ("over-time", first, AT),
        ("over-time", first, own_at),
        ("by-segment", first, {**own_at, **other}),
    ]
    assert written(sandbox, run)
    assert {row["property_id"] for row in results(run, "metric_results")} == {segment, None}


def test_items_of_reports_and_of_the_query_api(tmp_path: Path) -> None:
    """They take the same form."""
    dates = {"type": "after", "date": "2018-01-06"}
    with result_sandbox("query") as sandbox:
        reports = sandbox.account.ids("reports")
        items = [{"id": str(reports[1]), "query_type": "people_search", "sort": "Visits", "order": "desc"}, reports[0]]
        over_time = {"id": 90001, "query_type": "metric_over_time"}
        metrics = [over_time, {"id": 90001, "date_range": dates}, over_time]
        run = sync(sandbox, tmp_path, report_ids=items, metric_ids=metrics).succeeded()
    month = {"type": "preset", "preset": "this_month_to_date"}
    assert sorted((query.body for query in sandbox.queries), key=str) == sorted(
        [
            {"report_id": reports[1], "date_range": month, "query_type": "people_search"}
            | {"sort": "Visits", "order": "desc"},
            {"report_id": reports[0], "date_range": month},
            {"metric_id": 90001, "date_range": month, "query_type": "metric_over_time"},
            {"metric_id": 90001, "date_range": dates},
        ],
        key=str,
    )
    series = [row for row in results(run, "metric_results") if row["timestamp"]]
    assert series == metric_rows(sandbox.queries[0], metric_id=90001, date_range=month)
    assert len(series) == 25
    with result_sandbox("core") as sandbox:
        report = sandbox.account.ids("reports")[0]
        sync(sandbox, tmp_path, report_ids=[{"id": report, "date_range": SPAN, "sort": "x"}]).succeeded()
    assert sandbox.queries[0].body == {**SPAN, "sort": "x"}


def test_a_metric_that_is_not_there(tmp_path: Path) -> None:
    """It is named, and the others come; `product_ids` narrows both ids and `*`."""
    with result_sandbox("core", metrics=4) as sandbox:
        records = sandbox.account.records["metrics"]
        product = records[0]["product_id"]
        of_product = [record["id"] for record in records if record["product_id"] == product]
        other = next(record["id"] for record in records if record["product_id"] != product)
        run = sync(sandbox, tmp_path, metric_ids=[other, of_product[0]], product_ids=[product])
        assert run.code == 1
        says = f"metric {other} is not among the metrics; check metric_ids and product_ids"
        assert run.errors[0] == f"metric_results: {says}"
        assert written(sandbox, run)
        sandbox.queries.clear()
        sync(sandbox, tmp_path, metric_ids=["*"], product_ids=[product]).succeeded()
    assert [query.of for query in sandbox.queries] == of_product


def see_other(change: Callable[[Response], None]) -> Fault:
    """Change the 303 of a status."""

    def answer(_: Request, response: Response) -> Response:
        if response.status == 303:
            change(response)
        return response

    return faults.Fault("see other", answer=answer, where=lambda request: request.path.startswith("/query/queries/"))


def relocated(make: Callable[[str], str | None]) -> Callable[[Response], None]:
    """Make another `Location` of its path."""

    def change(response: Response) -> None:
        location = make(urlsplit(response.headers.pop("Location")).path)
        response.headers |= {} if location is None else {"Location": location}

    return change


def with_body(body: bytes, kind: str = "text/html") -> Callable[[Response], None]:
    """Replace its body."""

    def change(response: Response) -> None:
        response.body, response.headers["Content-Type"] = body, kind

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(relocated(lambda path: path), id="a path"),
        pytest.param(relocated(lambda path: path.rsplit("/", 2)[1] + "/results"), id="a relative path"),
        pytest.param(relocated(lambda path: f"https://example.invalid{path}"), id="another host"),
        pytest.param(relocated(lambda path: f"//user:password@example.invalid:81{path}"), id="another host, a login"),
        pytest.param(relocated(lambda path: f"http://127.0.0.1:1{path}?limit=1&offset=7#x"), id="a query"),
        pytest.param(relocated(lambda _: None), id="a link alone"),
        pytest.param(relocated(lambda _: "https://example.invalid/login"), id="elsewhere, and a link"),
        pytest.param(with_body(b""), id="no body"),
        pytest.param(with_body(b"<html>See other</html>"), id="HTML"),
        pytest.param(with_body(b'{"data": ', "application/json"), id="half a body"),
        pytest.param(with_body(b'{"links": [5, {"rel": "query-results", "href": 7}]}', "application/json"), id="odd"),
        pytest.param(with_body(b'{"completed": false, "progress": 0.9}', "application/json"), id="an old body"),
    ],
)
def test_the_303_of_a_status_is_its_answer(change: Callable[[Response], None], tmp_path: Path) -> None:
    """Only the path of its `Location` is used, whatever its body is."""
    with result_sandbox("core", metrics=2, polls_until_complete=1, faults=[see_other(change)]) as sandbox:
        run = METRICS.read(sandbox, tmp_path).succeeded()
        assert written(sandbox, run)
    assert "example.invalid" not in run.stderr


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (faults.status(303, where=is_start), "the API redirects .*; set api_url to the right address"),
        (faults.redirect("/query/queries/1", 303, where=is_page), "the API redirects .*; set api_url to the right"),
        (faults.redirect("/query/queries/1", 302, where=is_poll), "the API redirects .*; set api_url to the right"),
        (faults.redirect("https://example.invalid/", 307, where=is_poll), "the API redirects .* to example.invalid"),
        (
            faults.status(303, body=b"{}", headers={"Location": "https://example.invalid/login"}, where=is_poll),
            "the response names no query-results",
        ),
        (faults.status(303, body=b"{}", where=is_poll), "the response names no query-results below .*; check api_url"),
        (faults.status(404, where=is_start), "nothing at /query/metrics/.*; check api_url and product_ids"),
    ],
    ids=["of the start", "of a page", "302", "307", "elsewhere", "without a place", "no redirect"],
)
def test_every_other_redirect_is_an_error(fault: Fault, says: str, tmp_path: Path) -> None:
    """And one that points nowhere."""
    fault.seen = 0
    with result_sandbox("core", metrics=1, polls_until_complete=1, faults=[fault]) as sandbox:
        run = METRICS.read(sandbox, tmp_path)
    assert run.failed == ["metric_results"]
    assert re.search(says, run.errors[0]), run.errors[0]
    assert not results(run, "metric_results")


def test_no_other_host_is_asked(tmp_path: Path) -> None:
    """Another origin in `Location` and in links is not followed, but its path is asked for at that of `api_url`."""
    with result_sandbox("core") as elsewhere, result_sandbox("core") as sandbox:
        sandbox.stray_links = elsewhere.url.removesuffix("/core")
        run = METRICS.read(sandbox, tmp_path).succeeded()
        assert elsewhere.requests == []
    assert written(sandbox, run)


@pytest.mark.parametrize(
    ("row", "filled"),
    [
        ({"timestamp": "2024-01-01T00:00:00-08:00", "value": 1.50}, {"timestamp": "2024-01-01T08:00:00+00:00"}),
        ({"timestamp": "soon", "value": "many", "people_count": 2.5, "property_value": 7}, {"property_value": "7"}),
        ({"timestamp": 10**30, "value": True, "people_count": True}, {}),
        (
            {"timestamp": None, "value": {"n": 1}, "people_count": [1], "property_value": [0.10]},
            {"property_value": "[0.1]"},
        ),
        ({}, {}),
        (["a", 1], {}),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_its_column(row: Any, filled: Record) -> None:
    """It is null there; `data` is what came."""
    with result_sandbox("core", metrics=1, rows=lambda _: [row]) as sandbox:
        run = sync_here(sandbox, metric_ids=["*"])
    (record,) = results(run, "metric_results")
    assert record["data"] == row
    shown = {name: record[name] for name in ("timestamp", "value", "property_value", "people_count")}
    assert (
        shown
        == dict.fromkeys(shown) | ({"value": 1.5} if isinstance(row, dict) and row.get("value") == 1.5 else {}) | filled
    )
    assert "is of type" not in run.stderr


@pytest.mark.parametrize("names", [["a", "a", ""], ["a", "b"], ["a", "b", "c", "d"], None], ids=str)
def test_fields_of_rows_that_are_arrays(names: list[str] | None) -> None:
    """Names that come twice or are empty; columns that do not fit a row leave `fields` null, with one warning."""
    columns = None if names is None else [{"display_name": name, "type": "number"} for name in names]
    named = faults.rewrite(lambda body: {**body, **({"columns": columns} if columns else {})}, where=is_page)
    with result_sandbox("core", reports=1, rows=lambda _: [[1, 2, 3], [4, 5, 6]], faults=[named]) as sandbox:
        run = sync_here(sandbox, report_ids=["*"])
    fits = names == ["a", "a", ""]
    assert [record["fields"] for record in results(run)] == (
        [{"a": 1, "a_2": 2, "column_3": 3}, {"a": 4, "a_2": 5, "column_3": 6}] if fits else [None, None]
    )
    assert [record["columns"] for record in results(run)] == [columns, columns]
    assert run.stderr.count("its columns do not fit a row of 3 values") == (names is not None and not fits)


def test_people_with_columns() -> None:
    """Rows {"identity", "columns": [...]}."""
    named = faults.rewrite(lambda body: {**body, "columns": ["Visits", "Plan"]}, where=is_page)
    rows: list[Any] = [{"identity": f"bob{n}", "columns": [n, None]} for n in range(3)]
    with result_sandbox("core", reports=1, rows=lambda _: rows, faults=[named]) as sandbox:
        run = sync_here(sandbox, report_ids=["*"])
    assert [record["fields"] for record in results(run)] == [
        {"identity": f"bob{n}", "Visits": n, "Plan": None} for n in range(3)
    ]
    assert [record["data"] for record in results(run)] == rows


class TestPresets:
    """Presets of the Core API."""

    @pytest.mark.parametrize("setting", ["report_ids", "metric_ids"])
    def test_in_the_time_zone_of_the_product(self, setting: str, clock: Clock) -> None:
        clock.today = dt.datetime(2024, 3, 12, 3, 30, tzinfo=dt.UTC)  # still the 11th in California
        with result_sandbox("core") as sandbox:
            products = sandbox.account.records["products"]
            for product, zone in zip(products, ("US/Pacific", "Asia/Tokyo", None), strict=True):
                product["timezone"] = zone
            listed = sandbox.account.records[setting.removesuffix("_ids") + "s"]
            for record, product in zip(listed, products, strict=True):
                record["product_id"] = product["id"]
            run = sync_here(sandbox, **{setting: ["*"]}, report_date_range={"type": "preset", "preset": "last_7_days"})
        names = ("start_at", "end_at") if setting == "metric_ids" else ("start_date", "end_date")
        assert [query.body for query in sandbox.queries] == [
            dict(zip(names, dates, strict=True))
            for dates in (
                ("2024-03-05T00:00:00-08:00", "2024-03-11T23:59:59-07:00"),
                ("2024-03-06T00:00:00+09:00", "2024-03-12T23:59:59+09:00"),
                ("2024-03-06T00:00:00+00:00", "2024-03-12T23:59:59+00:00"),
            )
        ]
        (warning,) = run.warnings
        assert f"the time zone of product {products[2]['id']} is not known: its days are taken in UTC" in warning
        stream = setting.replace("_ids", "_results")
        assert [record["date_range"] for record in results(run, stream)][::25] == [q.body for q in sandbox.queries]

    def test_of_one_item(self, clock: Clock) -> None:
        clock.today = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
        with result_sandbox("core") as sandbox:
            for product in sandbox.account.records["products"]:
                product["timezone"] = "Europe/Berlin"
            metric = sandbox.account.ids("metrics")[0]
            items = [{"id": metric, "date_range": {"type": "preset", "preset": "last_month"}}]
            sync_here(sandbox, metric_ids=items, report_date_range=SPAN)
        assert sandbox.queries[0].body == {
            "start_at": "2023-12-01T00:00:00+01:00",
            "end_at": "2023-12-31T23:59:59+01:00",
        }

    def test_products_that_cannot_be_read(self, tmp_path: Path) -> None:
        with result_sandbox("core", metrics=1, faults=[faults.status(403, resource="products")]) as sandbox:
            today = {"type": "preset", "preset": "today"}
            run = METRICS.read(sandbox, tmp_path, report_date_range=today)
        assert run.failed == ["metric_results"]
        assert sandbox.queries == []


def test_sql_that_is_switched_off(tmp_path: Path) -> None:
    """403 for one product; the line has what the API says."""
    query = {"name": "rows", "query_type": "sql", "query_params": {"statement": "SELECT * FROM records"}}
    with result_sandbox("query") as sandbox:
        product = sandbox.account.ids("products")[0]
        sandbox.products_without_sql = {product}
        run = sync(sandbox, tmp_path, queries=[{**query, "product_id": product}])
    assert run.failed == ["rows"]
    assert_says(run, "rows: HTTP 403: .*SQL is not enabled for this product")


@pytest.mark.parametrize("chosen", ["core", "query"])
def test_both_credentials(chosen: Any, tmp_path: Path) -> None:
    """With `api`, both may be set; the other one is neither sent nor shown."""
    other: dict[str, dict[str, Any]] = {
        "core": {"username": "a-user-of-v3", "password": "a-password-of-v3"},
        "query": {"api_token": "a-token-x"},
    }
    with result_sandbox(chosen) as sandbox:
        run = watched_sync(sandbox, tmp_path, api=chosen, **other[chosen]).succeeded()
        sent = str([request.headers for request in sandbox.requests])
    for secret in other[chosen].values():
        assert secret not in run.stderr + run.stdout + sent


def test_both_credentials_in_the_environment(tmp_path: Path) -> None:
    """`api` may be there alone, and an empty one is absent."""
    with result_sandbox("core") as sandbox:
        both = sandbox.env | {"TAP_KISSMETRICS_USERNAME": "a-user-of-v3"}
        says = "api_token and username are both set: set api to core (api_token: the Core API) or query"
        for empty in ({}, {"TAP_KISSMETRICS_API": ""}):
            assert run_tap(folder=tmp_path, env=both | empty).refused().startswith(says)
        assert run_tap("--discover", folder=tmp_path, env=both).refused().startswith(says)
        assert sandbox.requests == []
        chosen = both | {"TAP_KISSMETRICS_API": "core"}
        assert run_tap(folder=tmp_path, env=chosen).succeeded().records("accounts")
        config = {"api": "", "api_token": sandbox.token, "api_url": sandbox.url}
        assert run_tap(folder=tmp_path, config=config).succeeded().records("accounts")


def test_the_user_alone(v3: Sandbox, tmp_path: Path) -> None:
    """No setting names the API."""
    env = v3.env | {"TAP_KISSMETRICS_REQUESTS_PER_MINUTE": "10000"}
    assert "TAP_KISSMETRICS_API" not in env
    run = run_tap(folder=tmp_path, env=env).succeeded()
    assert len(run.records("reports")) == len(v3.account.records["reports"])
    discovered = run_tap("--discover", folder=tmp_path, config={"username": "anybody"}).succeeded().stdout
    assert '"accounts"' not in discovered
    assert '"accounts"' in run_tap("--discover", folder=tmp_path, config={}).succeeded().stdout
