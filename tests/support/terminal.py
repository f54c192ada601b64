"""A terminal: a pseudo-terminal to run the tap on, and what a person sees on its screen."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import termios
import threading
from typing import TYPE_CHECKING

from tests.support.in_process import run_into
from tests.support.run import Run

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class Terminal:
    """A terminal whose lines are as long as they have to be; `columns` is what it says of itself."""

    def __init__(self, columns: int = 120) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.file = os.fdopen(slave, "wb", buffering=0)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        """Read what is written, lest the writer waits."""
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.file.close()
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        # The end is an error on Linux, and nothing elsewhere.
        try:
            while part := os.read(self._master, 65536):
                self._written += part
        except OSError:
            return

    @property
    def written(self) -> str:
        """Whatever was written; complete once the terminal is closed."""
        return self._written.decode().replace("\r\n", "\n")

    @property
    def screen(self) -> list[str]:
        """The lines that are seen: what stands behind a carriage return overwrites."""
        lines = []
        for line in self.written.split("\n"):
            seen = ""
            for part in line.split("\r"):
                seen = part + seen[len(part) :]
            lines.append(seen.rstrip())
        return lines

    def run(self, arguments: list[str], *, folder: Path, env: dict[str, str]) -> Run:
        """Run the tap in this process with its log on the terminal, which is closed in the end."""
        with self, tempfile.TemporaryFile() as stdout:
            code = run_into(stdout, self.file, arguments, folder=folder, env=env)
            stdout.seek(0)
            output = stdout.read().decode()
        return Run(code, output, "\n".join(self.screen))
