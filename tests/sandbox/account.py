"""The account that one login can read: the lists of an API, and how their records are made, inserted and deleted."""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Record = dict[str, Any]
Maker = Callable[[random.Random, int, Record | None], Record]
"""Makes a record from a random generator, its number in its list, and its parent."""

CHILDLESS_FROM = 3  # in an account of at least this many products, nothing belongs to the last one


@dataclass(frozen=True)
class Model:
    """The lists of an API."""

    makers: dict[str, Maker] = field(default_factory=dict)  # by resource, parents before their children
    parents: dict[str, str] = field(default_factory=dict)  # the resource that scopes each other one
    counts: dict[str, int] = field(default_factory=dict)  # the records of each resource in an account by default

    def add(self, resource: str, *, count: int, parent: str | None = None) -> Callable[[Maker], Maker]:
        """Add a list, whose records the decorated function makes."""

        def register(make: Maker) -> Maker:
            self.makers[resource], self.counts[resource] = make, count
            if parent:
                self.parents[resource] = parent
            return make

        return register

    def candidates(self, resource: str, records: Mapping[str, list[Record]]) -> list[Record]:
        """Return the possible parents of a resource's records."""
        parent = self.parents.get(resource)
        found = records[parent] if parent else []
        return found[:-1] if parent == "products" and len(found) >= CHILDLESS_FROM else found


@dataclass
class Account:
    """The records that one login can read.

    Change the lists of `records` freely, but while a sandbox serves them only under its lock. In a list of more than a
    few thousand, replace a record instead of changing it (see `apis.CACHE_FROM`).
    """

    random: random.Random
    model: Model
    records: dict[str, list[Record]] = field(init=False)  # by resource, in the order of the list's pages
    _numbers: dict[str, itertools.count[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Start with empty lists."""
        self.records = {name: [] for name in self.model.makers}
        self._numbers = {name: itertools.count() for name in self.model.makers}

    @classmethod
    def filled(cls, seed: int, model: Model, counts: Mapping[str, int]) -> Self:
        """Make an account with `counts` records of each resource, by default those of the model."""
        if unknown := counts.keys() - model.counts.keys():
            message = f"there is no list of {', '.join(sorted(unknown))}"
            raise TypeError(message)
        account = cls(random.Random(seed), model)  # noqa: S311 - made-up data, no secret
        was_enabled = gc.isenabled()
        gc.disable()  # millions of small objects, none of them garbage: collecting takes longer than making them
        try:
            for resource, make in model.makers.items():
                parents: Sequence[Record | None] = model.candidates(resource, account.records) or [None]
                rng, numbers = account.random, account._numbers[resource]
                count = counts.get(resource, model.counts[resource])
                account.records[resource] = [make(rng, next(numbers), parents[n % len(parents)]) for n in range(count)]
        finally:
            if was_enabled:
                gc.enable()
        return account

    @property
    def counts(self) -> dict[str, int]:
        """The number of records of each resource."""
        return {name: len(records) for name, records in self.records.items()}

    def ids(self, resource: str) -> list[Any]:
        """Return the ids of a resource's records, in order: text in the Core API, integers in v3."""
        return [record["id"] for record in self.records[resource]]

    def find(self, resource: str, record_id: object) -> Record | None:
        """Return the record with an id, or with its text as in a path; None if there is none."""
        return next((record for record in self.records[resource] if str(record.get("id")) == str(record_id)), None)

    def scoped(self, resource: str, parent_id: object) -> list[Record]:
        """Return the records of `resource` that belong to one account (products) or one product (the others)."""
        key, parent = f"{self.model.parents[resource][:-1]}_id", str(parent_id)
        return [record for record in self.records[resource] if str(record[key]) == parent]

    def fresh(self, resource: str, *, parent_id: object = None) -> Record:
        """Make a record that is in no list yet; its parent is the one with `parent_id`, by default a random one."""
        candidates = self.model.candidates(resource, self.records)
        if parent_id is not None and resource in self.model.parents:
            parent = self.find(self.model.parents[resource], parent_id)
            if parent is None:
                message = f"no {self.model.parents[resource][:-1]} {parent_id} in this account"
                raise ValueError(message)
            candidates = [parent]
        parent = self.random.choice(candidates) if candidates else None
        return self.model.makers[resource](self.random, next(self._numbers[resource]), parent)

    def insert(self, resource: str, position: int, record: Record | None = None, *, parent_id: object = None) -> Record:
        """Insert `record`, by default a fresh one, at a position of its list; return it."""
        record = self.fresh(resource, parent_id=parent_id) if record is None else record
        self.records[resource].insert(position, record)
        return record

    def delete(self, resource: str, which: int | str) -> Record:
        """Remove and return the record at a position (a number) or with an id (text, also in v3)."""
        position = which if isinstance(which, int) else [str(each) for each in self.ids(resource)].index(which)
        return self.records[resource].pop(position)
