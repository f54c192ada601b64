"""The account that one login can read: the records of each list of an API, and how they are inserted and deleted."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.sandbox.records import Model, Record


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
        self.records = {name: [] for name in self.model.counts}
        self._numbers = {name: itertools.count() for name in self.model.counts}

    @classmethod
    def filled(cls, seed: int, model: Model, counts: Mapping[str, int]) -> Self:
        """Make an account with `counts` records of each resource, by default those of the model."""
        if unknown := counts.keys() - model.counts.keys():
            message = f"there is no list of {', '.join(sorted(unknown))}"
            raise TypeError(message)
        account = cls(random.Random(seed), model)  # noqa: S311 - made-up data, no secret
        for resource, default in model.counts.items():
            parents: Sequence[Record | None] = model.candidates(resource, account.records) or [None]
            numbers = account._numbers[resource]
            account.records[resource] = [
                model.make(resource, account.random, next(numbers), parents[n % len(parents)])
                for n in range(counts.get(resource, default))
            ]
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
        candidates: Sequence[Record | None] = self.model.candidates(resource, self.records) or [None]
        if parent_id is not None and resource in self.model.parents:
            candidates = [record for record in self.records[self.model.parents[resource]] if record["id"] == parent_id]
        parent = self.random.choice(candidates)
        return self.model.make(resource, self.random, next(self._numbers[resource]), parent)

    def insert(self, resource: str, position: int, record: Record | None = None, *, parent_id: object = None) -> Record:
        """Insert `record`, by default a fresh one, at a position of its list; return it."""
        record = self.fresh(resource, parent_id=parent_id) if record is None else record
        self.records[resource].insert(position, record)
        return record

    def delete(self, resource: str, which: int | str) -> Record:
        """Remove and return the record at a position (a number) or with an id (text, also in v3)."""
        position = which if isinstance(which, int) else [str(each) for each in self.ids(resource)].index(which)
        return self.records[resource].pop(position)
