"""A made-up raw data export: a folder with `revisions/1.json` and so on, `index.csv` and `status.csv`."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

START = 1349161501
"""The first second of the first revision."""

SPAN = 600
"""Seconds of the events of a revision. Those of neighbours overlap."""

_COLUMNS = "filename,min_timestamp,max_timestamp,min_utc_date,max_utc_date"
_EVENTS = ("Visited Site", "Viewed Pricing", "Signed Up", "Activated", "Billed")
_PAGES = ("/", "/pricing", "/blog/how-to-read-a-cohort-report", "/signup?plan=power", "/account/settings")
_CHANNELS = ("Direct", "Organic", "Referral", "Paid", "Email")
_PEOPLE = 500


class Export:
    """An export in a folder, new or there already; it grows by whole revisions."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        """Take the folder, which is made if it is not there."""
        self.folder = folder
        self._seed = seed
        (folder / "revisions").mkdir(parents=True, exist_ok=True)
        self._listed: dict[int, str] = {}
        if (folder / "index.csv").exists():
            rows = (folder / "index.csv").read_text(encoding="utf-8").splitlines()[1:]
            found = (re.match(r"revisions/(\d+)\.json,", row) for row in rows)
            self._listed = {int(match[1]): match.string for match in found if match}

    @property
    def newest(self) -> int:
        """The number of the last revision; 0 before the first."""
        return max((int(path.stem) for path in (self.folder / "revisions").glob("*.json")), default=0)

    def path(self, revision: int) -> Path:
        """Give the path of a revision."""
        return self.folder / "revisions" / f"{revision}.json"

    def grow(self, revisions: int = 1, lines: int = 5) -> None:
        """Add revisions of some lines each, and list them."""
        for revision in range(self.newest + 1, self.newest + revisions + 1):
            rng = random.Random(f"{self._seed} {revision}")  # noqa: S311 - no secret
            with self.path(revision).open("w", encoding="utf-8", newline="\n") as file:
                for number in range(lines):
                    at = START + (revision - 1) * SPAN + number * SPAN // lines + rng.randrange(2)
                    file.write(json.dumps(_line(rng, at)) + "\n")
            self.list(revision, write=False)
        self.write_index()

    def write(self, revision: int, content: bytes, *, listed: bool = True) -> None:
        """Write a revision as it is given, and list it."""
        self.path(revision).write_bytes(content)
        if listed:
            self.list(revision)

    def list(self, revision: int, *, write: bool = True) -> None:
        """List a revision, which need not be there."""
        first = START + (revision - 1) * SPAN
        last = first + SPAN + 1
        dates = (dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M GMT") for at in (first, last))
        self._listed[revision] = f"revisions/{revision}.json,{first},{last},{','.join(dates)}"
        if write:
            self.write_index()

    def write_index(self) -> None:
        """Write `index.csv` and `status.csv`."""
        rows = [self._listed[revision] for revision in sorted(self._listed)]
        (self.folder / "index.csv").write_text("\n".join([_COLUMNS, *rows, ""]), encoding="utf-8")
        status = f"total_revisions,exported_revisions\n{self.newest},{len(rows)}\n"
        (self.folder / "status.csv").write_text(status, encoding="utf-8")

    def unlist(self, revision: int) -> None:
        """Take a revision out of the index."""
        del self._listed[revision]
        self.write_index()

    def expected(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Give the object of each line by revision and line, for files that are JSON throughout."""
        return {
            (int(path.stem), number): json.loads(line)
            for path in (self.folder / "revisions").glob("*.json")
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
            if line.strip()
        }


def _line(rng: random.Random, at: int) -> dict[str, Any]:
    """Make an event, a line of properties only, or an alias; some people come with one identity, some with another."""
    person = rng.randrange(_PEOPLE)
    email, visitor = f"person{person}@example.com", f"{person:08x}visitor"
    kind = rng.choices(("event", "properties", "alias"), (85, 10, 5))[0]
    if kind == "alias":
        return {"_p": visitor, "_p2": email, "_t": at}
    line: dict[str, Any] = {"_p": rng.choice((email, email, visitor)), "_t": at}
    if kind == "properties":
        return {**line, "plan level": rng.choice(("free", "power")), "seats": rng.randrange(1, 90)}
    return {
        **line,
        "_n": rng.choice(_EVENTS),
        "url": f"https://www.example.com{rng.choice(_PAGES)}",
        "referrer": f"https://search.example.org/?q={rng.randrange(10_000)}",
        "Campaign Source": rng.choice(_CHANNELS),
        "new vs returning": rng.choice(("new", "returning")),
        "screen": {"width": rng.choice((1280, 1920)), "height": 1080},
        "Billing Amount": round(rng.uniform(1, 500), 2),
        "Städte": rng.choice(("Zürich", "Köln", "Paris")),
        "is mobile": rng.choice((True, False, False)),
        "page views": rng.randrange(1, 60),
    }
