"""docs/demo.svg: the log of a run as it is today, in a picture that any browser shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from scripts.documents import PROJECT
from scripts.recording import RECORDING, Screen, Span, comparable, draw, last_frame
from tests.support.run import environment

if TYPE_CHECKING:
    from tests.support.targets import Programs


@pytest.fixture
def screen() -> Screen:
    """A line that is updated in place, and what is written instead of it."""
    screen = Screen()
    for text in ("$ run\n", "\r10 %\r", "\r20 % <&>\r", "\r         \rdone\n", "$ "):
        screen.write(text)
        screen.wait(1)
    return screen


def test_a_screen_overwrites(screen: Screen) -> None:
    """Each line is shown from when it is written to when another takes its place."""
    assert screen.spans() == [
        Span(0, "$ run", 0.0, None),
        Span(1, "10 %", 1.0, 2.0),
        Span(1, "20 % <&>", 2.0, 3.0),
        Span(1, "done", 3.0, None),
        Span(2, "$", 4.0, None),
    ]


def test_a_picture_ends_with_the_last_frame(screen: Screen) -> None:
    """As it is shown where nothing moves; a line that differs is found."""
    svg = draw(screen)
    assert last_frame(svg) == ["$ run", "done", "$"]
    assert [element.text for element in ET.fromstring(svg) if element.get("class") == "gone"] == ["10 %", "20 % <&>"]  # noqa: S314
    assert last_frame(svg.replace(">done<", ">over<")) != last_frame(svg)


def test_long_lines_wrap() -> None:
    """As in a terminal, which has 132 columns."""
    screen = Screen()
    screen.write("x" * 140)
    assert [len(span.text) for span in screen.spans()] == [132, 8]


def test_only_times_are_not_compared() -> None:
    """Versions and ports neither; counts are."""
    lines = [
        "2026-11-25 16:58:49,013 | INFO | tap v0.1.0+abc at http://127.0.0.1:4575/core: 4 records, 2 requests, 0.6 s"
    ]
    assert comparable(lines) == ["... | INFO | tap ... at http://.../core: 4 records, 2 requests, ..."]


def test_the_recording_needs_nothing_from_elsewhere() -> None:
    """It may be shown where nothing else can be loaded; it holds no path of a machine."""
    svg = RECORDING.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"<]+", svg)) <= {
        "http://www.w3.org/2000/svg",
        *re.findall(r"http://127\.0\.0\.1:\d+/core", svg),
    }
    assert not re.search(r"url\(|@import|<script|<image|/home/|/tmp/", svg)
    assert {"prefers-color-scheme", "prefers-reduced-motion"} <= set(re.findall(r"prefers-[\w-]+\w(?=:)", svg))
    assert any("left, stream 4 of 6" in line for line in svg.splitlines())


@pytest.mark.slow
def test_the_recording_is_what_a_run_shows(programs: Programs) -> None:
    """A run writes the same lines, and the target the same rows."""
    folders = [sysconfig.get_path("scripts"), str(programs.install("target-csv") / "bin"), os.environ["PATH"]]
    env = environment({"PATH": os.pathsep.join(folders)}, measured=False)
    command = [sys.executable, "-m", "scripts.recording"]
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
