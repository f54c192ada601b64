"""What index.csv lists, and which revisions of an export are read."""

from __future__ import annotations

import pytest

from tap_kissmetrics.exports import (
    Index,
    find_revisions,
    make_plan,
    parse_index,
    split_lines,
)
from tap_kissmetrics.sdk_extensions.files import File

HEADER = b"filename,min_timestamp,max_timestamp,min_utc_date,max_utc_date"
ROW = b"revisions/%d.json,1349161501,%d,2012-10-02 07:05 GMT,2012-10-02 07:15 GMT"


def files(*names: str) -> dict[str, File]:
    """Make a listing."""
    return {name: File(f"x/revisions/{name}", 5, ()) for name in names}


@pytest.mark.parametrize(
    ("lines", "revisions", "unread"),
    [
        pytest.param([HEADER, ROW % (9, 20), ROW % (10, 30)], {9: 20, 10: 30}, 0, id="as documented"),
        pytest.param([b"\xef\xbb\xbf" + HEADER + b"\r", ROW % (9, 20) + b"\r", b"\r"], {9: 20}, 0, id="Windows"),
        pytest.param([b"\xef\xbb\xbf" + ROW % (9, 20)], {9: 20}, 0, id="no header, byte order mark"),
        pytest.param([b"size,Max_Timestamp ,FILENAME,new", b"7,20,revisions/9.json,x"], {9: 20}, 0, id="other columns"),
        pytest.param([b"filename", b"9.json", b"./10.json"], {9: None, 10: None}, 0, id="names without revisions/"),
        pytest.param([b"filename", b"s3://b/p/revisions/9.json", b"/revisions/8.json"], {9: None, 8: None}, 0),
        pytest.param([HEADER, b'"revisions/9.json", 1, "20", a, "b, c"'], {9: 20}, 0, id="quotes"),
        pytest.param([HEADER, ROW % (9, 20), ROW % (9, 30)], {9: 30}, 0, id="listed twice"),
        pytest.param([HEADER, b"revisions/9.json,1,soon,,", b"revisions/10.json"], {9: None, 10: None}, 0),
        pytest.param([HEADER, b"revisions/x.json,1,2,,", b"revisions/22", b"1.json.tmp", b"other/7.json"], {}, 4),
        pytest.param([b"<html>", b"\xff\x00\xfe", b'"'], {}, 3, id="no index"),
    ],
)
def test_an_index_lists_revisions_and_their_ends(
    lines: list[bytes], revisions: dict[int, float | None], unread: int
) -> None:
    index = parse_index(lines)
    assert index.revisions == revisions
    assert len(index.unread) == unread


def test_files_with_a_number_are_revisions_and_nothing_else_is() -> None:
    listing = files("9.json", "10.json", "010.json", "x.json", "11.json.tmp", "-1.json", "\u0663.json")
    listing["12.json"] = File("x/revisions/12.json", -1, ())
    revisions, twice = find_revisions(listing)
    assert sorted(revisions) == [9, 10]
    assert twice == [("x/revisions/10.json", "x/revisions/010.json")]


@pytest.mark.parametrize(
    ("there", "listed", "bookmark", "start", "read", "missing", "expired"),
    [
        pytest.param((9, 10, 100), (9, 10, 100), None, None, [9, 10, 100], None, [], id="by number"),
        pytest.param((9, 10, 11), (9, 10), None, None, [9, 10], None, [], id="not listed yet"),
        pytest.param((9, 10, 11), None, 9, None, [10, 11], None, [], id="no index"),
        pytest.param((9, 10, 11), (9, 10, 11), 10, None, [11], None, [], id="after the bookmark"),
        pytest.param((9, 11, 12), (9, 10, 11, 12), None, None, [9], 10, [], id="missing"),
        pytest.param((9, 11), (9, 10, 11), 10, None, [11], None, [], id="missing below the bookmark"),
        pytest.param((9, 10), (7, 8, 9, 10), 7, None, [9, 10], None, [8], id="deleted before it was read"),
        pytest.param((), (7, 8), 7, None, [], 8, [], id="none is there"),
        pytest.param((0, 1), (0, 1), None, None, [0, 1], None, [], id="zero"),
        pytest.param((7, 8, 9), (7, 8, 9), None, 80, [8, 9], None, [], id="start_date"),
        pytest.param((8, 9), (7, 8, 9), None, 80, [8, 9], None, [], id="missing before start_date"),
        pytest.param((7, 8, 9), None, None, 80, [7, 8, 9], None, [], id="start_date without an index"),
    ],
)
def test_what_is_listed_and_not_read_is_read_in_order_up_to_what_is_missing(  # noqa: PLR0913, PLR0917
    there: tuple[int, ...],
    listed: tuple[int, ...] | None,
    bookmark: int | None,
    start: float | None,
    read: list[int],
    missing: int | None,
    expired: list[int],
) -> None:
    """A revision ends at ten times its number."""
    revisions, _ = find_revisions(files(*(f"{revision}.json" for revision in there)))
    index = None if listed is None else Index({revision: revision * 10.0 for revision in listed}, [])
    plan = make_plan(revisions, index, bookmark, start)
    assert [revision for revision, _ in plan.revisions] == read
    assert (plan.missing, plan.expired) == (missing, expired)


def test_start_date_leaves_out_what_ends_before_it_and_nothing_else() -> None:
    revisions, _ = find_revisions(files("1.json", "2.json", "3.json"))
    plan = make_plan(revisions, Index({1: 79.9, 2: 80.0, 3: None}, []), None, 80.0)
    assert [revision for revision, _ in plan.revisions] == [2, 3]
    assert plan.left_out == 1


@pytest.mark.parametrize(
    ("blocks", "lines"),
    [
        ([b""], []),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a", b"b", b"", b"c\n", b"\n", b"d"], [b"abc", b"", b"d"]),
        ([b"a\r\nb\r", b"\n"], [b"a\r", b"b\r"]),
    ],
)
def test_a_line_may_be_in_several_blocks_and_the_last_one_need_not_end(blocks: list[bytes], lines: list[bytes]) -> None:
    assert [line for some in split_lines(blocks) for line in some] == lines
