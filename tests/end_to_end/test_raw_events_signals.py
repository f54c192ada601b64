"""Reading an export is stopped: the last line is a STATE to resume from, and what hangs keeps nobody waiting."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.sandbox.export import Export
from tests.support.exports import assert_complete, bookmarks, keys, read_exports
from tests.support.process import PIPE, TAP, LiveTap, start
from tests.support.run import QUICK, write_json
from tests.support.s3 import serve_s3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextmanager
def reading(folder: Path, *urls: object, env: Mapping[str, str] | None = None) -> Iterator[LiveTap]:
    """Start to read exports; the output goes to a pipe, which the test reads."""
    config = write_json(folder / "config.json", {"export_urls": [str(url) for url in urls], **QUICK})
    with start([*TAP, "--config", str(config)], folder, stdout=PIPE, env=env) as tap:
        yield tap


def until_state(tap: LiveTap) -> bytes:
    """Read the output up to the first STATE."""
    lines: list[bytes] = []
    while not lines or b'"type":"STATE"' not in lines[-1]:
        lines.append(tap.stdout.readline())
        assert lines[-1], tap.log
    return b"".join(lines)


def test_after_a_signal_no_line_is_cut_or_lost_and_one_revision_at_most_is_read_again(tmp_path: Path) -> None:
    export = Export(tmp_path / "export")
    export.grow(20, lines=100)  # several times what fits into a pipe
    with reading(tmp_path, export.folder) as tap:
        stdout = until_state(tap)
        tap.process.send_signal(signal.SIGTERM)
        run = tap.ends(stdout + tap.stdout.read())
    assert run.code == 143
    assert run.messages[-1]["type"] == "STATE"
    bookmark = bookmarks(run.state)[str(export.folder)]
    assert bookmark
    assert bookmark < 20
    assert keys(run) == sorted(export.expected())[: len(keys(run))]
    assert (bookmark, 100) <= keys(run)[-1] <= (bookmark + 1, 100)
    assert_complete(read_exports(tmp_path, export.folder, state=run.state).succeeded(), export, after=bookmark)


def test_a_signal_is_noticed_while_s3_hangs(tmp_path: Path) -> None:
    export = Export(tmp_path / "export")
    export.grow(3)
    with serve_s3() as s3:
        url = s3.upload(export.folder, "hangs")
        s3.faults.append((r"revisions/2\.json", "hang"))
        with reading(tmp_path, url, env=s3.env) as tap:
            stdout = until_state(tap)
            sent = time.monotonic()
            tap.process.send_signal(signal.SIGTERM)
            run = tap.ends(stdout + tap.stdout.read())
            assert time.monotonic() - sent < 5
    assert run.code == 143
    assert bookmarks(run.state) == {url: 1}
    assert len(keys(run)) == 5
