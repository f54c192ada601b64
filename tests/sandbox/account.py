"""What one login may see: the lists of an API, and how the records in them are made."""

from __future__ import annotations

import datetime as dt
import gc
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Record = dict[str, Any]
Maker = Callable[[random.Random, int, Record | None], Record]
"""Makes a record from a source of chance, its number in its list, and its parent."""

CHILDLESS_FROM = 3  # an account of at least this many products keeps the last one empty

_FIRST_DAY = dt.date(2010, 1, 1)
_DAYS = [(_FIRST_DAY + dt.timedelta(days=n)).isoformat() for n in range(2**12)]
_TIMES = [f"T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(0, 86_400, 21)]
EARLIER, LATER = _DAYS[: 2**11], _DAYS[2**11 :]
"""Two spans of days, none of which has a day of the other."""

_BIG_TOTALS = (2**31, 4_294_967_296, 9_007_199_254_740_993)


@dataclass(frozen=True)
class Model:
    """The lists of an API.

    Attributes:
        makers: What makes the records of each resource, parents before their children.
        parents: Which resource scopes which.
    """

    makers: Mapping[str, Maker]
    parents: Mapping[str, str]

    def candidates(self, resource: str, records: Mapping[str, list[Record]]) -> list[Record]:
        """Return what records of a resource may belong to: of three products or more, the last one stays empty."""
        parent = self.parents.get(resource)
        found = records[parent] if parent else []
        return found[:-1] if parent == "products" and len(found) >= CHILDLESS_FROM else found


@dataclass
class Account:
    """What one login may see.

    Attributes:
        random: The source of what is made.
        model: The lists of the API that serves it.
        records: The records of each resource, in the order of the list pages. Change the lists as you like, but while
            a sandbox is running only under its lock. In a list of more than a few thousand, replace a record instead
            of changing it (see `lists.CACHE_FROM`).
    """

    random: random.Random
    model: Model
    records: dict[str, list[Record]] = field(init=False)
    _numbers: dict[str, itertools.count[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with empty lists."""
        self.records = {name: [] for name in self.model.makers}
        self._numbers = {name: itertools.count() for name in self.model.makers}

    @classmethod
    def filled(cls, seed: int, model: Model, counts: Mapping[str, int]) -> Self:
        """Make an account with so many records of each resource."""
        account = cls(random.Random(seed), model)  # noqa: S311 - made-up data, no secret
        was_enabled = gc.isenabled()
        gc.disable()  # millions of small objects, none of them garbage: collecting takes longer than making them
        try:
            for resource, make in model.makers.items():
                parents: Sequence[Record | None] = model.candidates(resource, account.records) or [None]
                rng, numbers = account.random, account._numbers[resource]
                account.records[resource] = [
                    make(rng, next(numbers), parents[n % len(parents)]) for n in range(counts[resource])
                ]
        finally:
            if was_enabled:
                gc.enable()
        return account

    @property
    def counts(self) -> dict[str, int]:
        """How many records each resource has."""
        return {name: len(records) for name, records in self.records.items()}

    def ids(self, resource: str) -> list[Any]:
        """Return the ids of a resource's records, in order: text in Core, integers in v3."""
        return [record["id"] for record in self.records[resource]]

    def find(self, resource: str, record_id: object) -> Record | None:
        """Return the record with an id, itself or as it stands in a path; None where there is none."""
        return next((record for record in self.records[resource] if str(record.get("id")) == str(record_id)), None)

    def scoped(self, resource: str, parent_id: object) -> list[Record]:
        """Return the records of `resource` that belong to one account (products) or one product (the others)."""
        key, parent = f"{self.model.parents[resource][:-1]}_id", str(parent_id)
        return [record for record in self.records[resource] if str(record[key]) == parent]

    def fresh(self, resource: str, *, parent_id: object = None) -> Record:
        """Make a new valid record that is in no list yet.

        Args:
            resource: What to make, for instance `events`.
            parent_id: The account (of a product) or product (of the others) that it belongs to; by default any.
        """
        candidates = self.model.candidates(resource, self.records)
        if parent_id is not None and resource in self.model.parents:
            parent = self.find(self.model.parents[resource], parent_id)
            if parent is None:
                message = f"no {self.model.parents[resource][:-1]} {parent_id} in this account"
                raise ValueError(message)
            candidates = [parent]
        parent = self.random.choice(candidates) if candidates else None
        return self.model.makers[resource](self.random, next(self._numbers[resource]), parent)

    def insert(
        self,
        resource: str,
        position: int,
        record: Record | None = None,
        *,
        parent_id: object = None,
    ) -> Record:
        """Insert `record`, or a fresh one, so that it becomes number `position` of the list; return it."""
        record = self.fresh(resource, parent_id=parent_id) if record is None else record
        self.records[resource].insert(position, record)
        return record

    def delete(self, resource: str, which: int | str) -> Record:
        """Take the record at a position (a number), or with an id (text, in v3 too), out of its list and return it."""
        position = which if isinstance(which, int) else [str(each) for each in self.ids(resource)].index(which)
        return self.records[resource].pop(position)


def uuid(rng: random.Random) -> str:
    """Make a UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def date(rng: random.Random, days: Sequence[str] = LATER, zone: str = "+00:00") -> str:
    """Make a date with its time of day."""
    return f"{days[rng.getrandbits(11)]}{_TIMES[rng.getrandbits(12) % len(_TIMES)]}{zone}"


def name_of(number: int, names: Sequence[str]) -> str:
    """Give a record its name; more records than names have a number in theirs."""
    name = names[number % len(names)]
    return name if number < len(names) else f"{name} {number}"


def total_of(rng: random.Random, number: int) -> int:
    """Make the `total` of an event: some need more than 32 bits, or more than a float holds."""
    return _BIG_TOTALS[number // 50 % 3] + number // 50 if number % 50 == 17 else int(rng.random() * 200_000)
