"""How the records of a list are made, from the schema that the tap has of it."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

Record = dict[str, Any]
Schema = dict[str, Any]
Make = Callable[[random.Random, int], Any]
"""Makes a value from a random generator and the number of its record in its list."""

_SCHEMAS = Path(__file__).resolve().parents[2] / "tap_kissmetrics" / "schemas"  # not imported: it may not be installed

_OWNERS = ("products", "accounts")
"""The lists that scope others; of a record that has the id of both, the first one does."""

_COUNT = 10
"""The number of records of a list that `data` does not know, by default."""

CHILDLESS_FROM = 3  # in an account of at least this many products, nothing belongs to the last one

_FIRST_DAY = dt.date(2010, 1, 1)
_DAYS = [(_FIRST_DAY + dt.timedelta(days=n)).isoformat() for n in range(2**12)]
_TIMES = [f"T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(0, 86_400, 21)]
EARLIER, LATER = _DAYS[: 2**11], _DAYS[2**11 :]
"""Two spans of days that do not overlap."""

# Values


def uuid(rng: random.Random) -> str:
    """Make a UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def date(rng: random.Random, days: Sequence[str] = LATER, zone: str = "+00:00") -> str:
    """Make a date with its time of day."""
    return f"{days[rng.getrandbits(11)]}{_TIMES[rng.getrandbits(12) % len(_TIMES)]}{zone}"


def link(href: str, rel: str, name: str) -> Record:
    """Make a link that is not templated."""
    return {"templated": False, "href": href, "rel": rel, "name": name}


def in_turn(*values: object) -> Make:
    """Take the values one after the other, again and again."""
    return lambda _rng, number: values[number % len(values)]


def named(*names: str) -> Make:
    """Take the names one after the other; in lists that are longer, each one ends with a number."""

    def make(_rng: random.Random, number: int) -> str:
        name = names[number % len(names)]
        return name if number < len(names) else f"{name} {number}"

    return make


def dated(days: Sequence[str] = LATER, zone: str = "+00:00") -> Make:
    """Make dates."""
    return lambda rng, _number: date(rng, days, zone)


_BY_TYPE: dict[str, Make] = {
    "boolean": lambda _rng, number: number % 7 != 0,
    "integer": lambda _rng, number: number + 2,
    "number": lambda _rng, number: number + 0.25,
}


def _by_schema(path: str, field: Schema, values: Mapping[str, Make]) -> Make:
    """Return what makes the values of a field: of `values`, else by its type.

    Texts, dates, arrays and objects that may be null are null now and then.
    """
    column = path.partition(".")[2]
    types = [field["type"]] if isinstance(field["type"], str) else field["type"]
    kind = field.get("format") or next(name for name in types if name != "null")
    if found := values.get(path) or values.get(column) or _BY_TYPE.get(kind):
        return found
    if kind == "object":
        make = _object(path, field, values)
    elif kind == "array":
        make = _array(path, field, values)
    else:
        make = dated() if kind == "date-time" else _text(column.replace("_", " "))
    return make if "null" not in types else lambda rng, number: None if number % 9 == 8 else make(rng, number)


def _text(words: str) -> Make:
    return lambda _rng, number: f"{words} {number}"


def _object(path: str, field: Schema, values: Mapping[str, Make]) -> Make:
    parts = {name: _by_schema(f"{path}.{name}", part, values) for name, part in field["properties"].items()}
    return lambda rng, number: {name: make(rng, number) for name, make in parts.items()}


def _array(path: str, field: Schema, values: Mapping[str, Make]) -> Make:
    make = _by_schema(path, field["items"], values)
    return lambda rng, number: [make(rng, number + at) for at in range(number % 3)]


# Lists


class Model:
    """The lists of an API, one for each schema in its folder, and how their records are made."""

    api: ClassVar[str]
    """The name of the folder."""

    known: ClassVar[dict[str, int]]
    """The lists in order, parents before their children, and how many records each has by default; others follow."""

    values: ClassVar[dict[str, Make]]
    """What makes a column, by its name or those of its list and its own."""

    urls: ClassVar[dict[str, str]] = {}
    """Where the links of a list's records begin; `""` is for every other list. Without any, records have no links."""

    def __init__(self) -> None:
        """Read the schemas."""
        files = {path.stem: path for path in (_SCHEMAS / self.api).glob("*.json")}
        order = [*self.known, *sorted(files.keys() - self.known)]
        self.counts = {name: self.known.get(name, _COUNT) for name in order}
        self.parents: dict[str, str] = {}  # the list that scopes each other one
        self._makers: dict[str, dict[str, Make]] = {}  # by list and column
        self._references: dict[str, dict[str, str]] = {}  # by list and column: the list whose ids it holds
        for name in order:
            columns = json.loads(files[name].read_text(encoding="utf-8"))["properties"]
            found = {f"{owner[:-1]}_id": owner for owner in _OWNERS if owner in order}
            references = {column: owner for column, owner in found.items() if column in columns}
            if references:
                self.parents[name] = next(iter(references.values()))
            self._references[name] = references
            self._makers[name] = {
                column: _by_schema(f"{name}.{column}", field, self.values)
                for column, field in columns.items()
                if column not in {"id", "links", *references}
            }

    def new_id(self, rng: random.Random, resource: str, number: int) -> Any:
        """Make the id of a record from its list and its number there."""
        raise NotImplementedError

    def finish(self, resource: str, record: Record, number: int) -> None:
        """Complete a record."""

    def make(self, resource: str, rng: random.Random, number: int, parent: Record | None) -> Record:
        """Make a record of a list from its number there and its parent."""
        record: Record = {"id": self.new_id(rng, resource, number)}
        for column, owner in self._references[resource].items():
            if parent is None:
                record[column] = self.new_id(rng, owner, 0)
            else:
                record[column] = parent["id"] if owner == self.parents[resource] else parent[column]
        record |= {column: make(rng, number) for column, make in self._makers[resource].items()}
        if self.urls:
            record["links"] = self._links(resource, record)
        self.finish(resource, record, number)
        return record

    def _links(self, resource: str, record: Record) -> list[Record]:
        """Make links to a record, to those it belongs to, and to the lists that it scopes."""
        url = self.urls.get(resource, self.urls[""])
        own = f"{url}/{resource}/{record['id']}"
        references = self._references[resource].items()
        return [
            link(own, "self", "Self"),
            *(link(f"{url}/{owner}/{record[column]}", owner[:-1], owner[:-1].title()) for column, owner in references),
            *(
                link(f"{own}/{name}", name, f"{parent[:-1].title()} {name.title()}")
                for name, parent in self.parents.items()
                if parent == resource
            ),
        ]

    def candidates(self, resource: str, records: Mapping[str, list[Record]]) -> list[Record]:
        """Return the possible parents of a resource's records."""
        parent = self.parents.get(resource)
        found = records[parent] if parent else []
        return found[:-1] if parent == "products" and len(found) >= CHILDLESS_FROM else found
