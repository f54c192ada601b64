"""Record a run on a terminal as an animated SVG, `docs/demo.svg`: the sandbox's account into CSV files.

`python -m scripts.recording --write` records it anew; without `--write`, it exits with 1 if a run writes other lines,
apart from times, than the recording shows. It needs `tap-kissmetrics` and `target-csv` in PATH, and a pseudo-terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from tests.sandbox import Sandbox, make_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RECORDING = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"

COMMANDS = (
    "tap-kissmetrics | target-csv > states.jsonl",
    "head -n 4 events.csv | cut -d, -f3,7,12",
)

COLUMNS, FONT_SIZE, LINE_HEIGHT, MARGIN = 132, 12, 17, 14
CHARACTER = 0.6 * FONT_SIZE
"""The width of a character of the usual monospaced fonts."""

MIN_FRAME, MAX_PAUSE, LAST_PAUSE = 0.2, 1.5, 6.0
"""Seconds that a frame lasts at least and at most, and that the last one stays before the recording begins again."""

VARIABLE = re.compile(r"\d{4}-\d\d-\d\d \S+(?= \| )|\bv\d\S*|127\.0\.0\.1:\d+|[\d.]+ s\b")
"""What differs from run to run: the time, versions, ports, and how long something took."""

STYLE = """\
rect { fill: #f6f8fa; }
text { fill: #1f2328; font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: %dpx; }
.prompt { fill: #116329; font-weight: bold; }
.gone { visibility: hidden; }
@media (prefers-color-scheme: dark) { rect { fill: #0d1117; } text { fill: #e6edf3; } .prompt { fill: #3fb950; } }
@media (prefers-reduced-motion: reduce) { text { animation: none !important; } }
"""


class Span(NamedTuple):
    """A line of the screen, from one moment on to another, or to the end."""

    row: int
    text: str
    start: float
    end: float | None


class Screen:
    """The lines of a terminal, and its frames: what it showed, and when."""

    def __init__(self) -> None:
        self.lines = [""]
        self.frames: list[tuple[float, list[str]]] = []
        self._column = 0
        self._now = 0.0

    def wait(self, seconds: float) -> None:
        """Let time pass, but no pause be long."""
        self._now += min(seconds, MAX_PAUSE)

    def write(self, text: str) -> None:
        """Write text, which may return to the first column and overwrite."""
        for part in re.findall(r"[\r\n]|[^\r\n]+", text):
            if part == "\n":
                self.lines.append("")
            if part in "\r\n":
                self._column = 0
                continue
            line = self.lines[-1].ljust(self._column)
            end = self._column + len(part)
            self.lines[-1], self._column = line[: self._column] + part + line[end:], end
        if self.frames and self._now - self.frames[-1][0] < MIN_FRAME:
            self.frames[-1] = (self.frames[-1][0], self._shown())
        else:
            self.frames.append((self._now, self._shown()))

    def _shown(self) -> list[str]:
        """Wrap the lines as the terminal does."""
        return [line[at : at + COLUMNS].rstrip() for line in self.lines for at in range(0, max(len(line), 1), COLUMNS)]

    def spans(self) -> list[Span]:
        """Return when each row showed which text."""
        found = []
        for row in range(max(len(lines) for _, lines in self.frames)):
            start, text = 0.0, ""
            for moment, lines in self.frames:
                new = lines[row] if row < len(lines) else ""
                if new != text:
                    found.append(Span(row, text, start, moment))
                    start, text = moment, new
            found.append(Span(row, text, start, None))
        return [span for span in found if span.text]


def record(commands: Sequence[str], *, latency: float) -> Screen:
    """Run commands in a shell, beside a sandbox whose responses take `latency` seconds each."""
    screen = Screen()
    account = make_account(accounts=1, events=12_000)
    with Sandbox(account, latency=latency) as sandbox, tempfile.TemporaryDirectory() as folder:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "TARGET_"))}
        env = inherited | sandbox.env | {"TERM": "xterm", "TARGET_CSV_LOGLEVEL": "ERROR", "NO_PROXY": "*"}
        for command in commands:
            screen.write("$ ")
            screen.wait(1)
            screen.write(f"{command}\n")
            for seconds, text in run(command, folder, env):
                screen.wait(seconds)
                screen.write(text)
            screen.wait(1)
    screen.write("$ ")
    return screen


def run(command: str, folder: str, env: Mapping[str, str]) -> Iterator[tuple[float, str]]:
    """Run a command on a terminal; yield what it writes, with the seconds since it wrote before."""
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    shell = ["bash", "-o", "pipefail", "-c", command]
    process = subprocess.Popen(shell, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    before = time.monotonic()
    with os.fdopen(reader, "rb", buffering=0) as written, contextlib.suppress(OSError):  # the end, on Linux
        while chunk := written.read(65536):
            now = time.monotonic()
            yield now - before, chunk.decode().replace("\r\n", "\n")
            before = now
    if code := process.wait():
        sys.exit(f"{command}: exit code {code}")


def draw(screen: Screen) -> str:
    """Make the SVG, which shows the run again and again; where animations are off, its end."""
    spans, length = screen.spans(), screen.frames[-1][0] + LAST_PAUSE
    rules, texts = [], []
    for number, span in enumerate(spans):
        begin, end = (f"{100 * (moment or 0) / length:.2f}%" for moment in (span.start, span.end))
        keys = "0% { visibility: hidden; } " * (span.start > 0) + f"{begin} {{ visibility: visible; }}"
        keys += f" {end} {{ visibility: hidden; }}" if span.end else ""
        rules.append(f"@keyframes k{number} {{ {keys} }}\n")
        kinds = " ".join(["gone"] * (span.end is not None) + ["prompt"] * span.text.startswith("$"))
        texts.append(
            f'<text class="{kinds}" x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * (span.row + 0.75):g}"'
            f' textLength="{len(span.text) * CHARACTER:g}" xml:space="preserve"'
            f' style="animation: k{number} {length:.1f}s step-end infinite">{escape(span.text, quote=False)}</text>\n'
        )
    width = round(COLUMNS * CHARACTER + 2 * MARGIN)
    height = LINE_HEIGHT * (max(span.row for span in spans) + 1) + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        "<title>tap-kissmetrics and target-csv in a terminal. Made by python -m scripts.recording --write</title>\n"
        f"<style>\n{STYLE % FONT_SIZE}{''.join(rules)}</style>\n"
        f'<rect width="{width}" height="{height}" rx="6"/>\n{"".join(texts)}</svg>\n'
    )


def last_frame(svg: str) -> list[str]:
    """Return the lines in which a recording ends."""
    texts = [element for element in ET.fromstring(svg) if element.tag.endswith("}text")]  # noqa: S314 - our own file
    return [str(text.text) for text in texts if "gone" not in str(text.get("class"))]


def comparable(lines: Sequence[str]) -> list[str]:
    """Return the lines without what differs from run to run."""
    return [VARIABLE.sub("...", line) for line in lines]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or write the recording; return the exit code, which is 1 if it is out of date."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m scripts.recording", description=about)
    parser.add_argument("--write", action="store_true", help="record it anew")
    if parser.parse_args(arguments).write:
        RECORDING.write_text(draw(record(COMMANDS, latency=0.3)), encoding="utf-8", newline="\n")
        return 0
    new = comparable([line for line in record(COMMANDS, latency=0).frames[-1][1] if line])
    old = comparable(last_frame(RECORDING.read_text(encoding="utf-8")))
    for line in [f"- {line}" for line in old if line not in new] + [f"+ {line}" for line in new if line not in old]:
        print(line, file=sys.stderr)
    if new != old:
        print("docs/demo.svg is out of date; run: python -m scripts.recording --write", file=sys.stderr)
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())
