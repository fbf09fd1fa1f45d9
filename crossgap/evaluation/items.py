"""Items of one modality and split: what is known of each, and their features, read when first asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.stores.store import Group

if TYPE_CHECKING:
    from jaxtyping import Int64, Integer, Real, Shaped


def by_id(ids: Shaped[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The order of items by their ids, whatever their order in the store: `(n,)` positions.

    By number where all ids are a number behind one and the same name (`pair 2` before `pair 10`), else as words.
    """
    words = [str(one) for one in ids]
    split = [found for one in words if (found := re.fullmatch(r"(\D*)(\d+)", one))]
    if len(split) == len(words) and len({found[1] for found in split}) == 1:
        return np.array(sorted(range(len(words)), key=lambda row: (int(split[row][2]), words[row])), int)
    return np.array(sorted(range(len(words)), key=words.__getitem__), int)


class Origin(NamedTuple):
    """Where features come from: a group of a store, rows of it `(n,)` or None for all, and maybe one of its steps."""

    group: Group
    rows: Integer[np.ndarray, " n"] | None = None
    step: int | None = None  # the place of a snapshot

    def where(self, rows: Shaped[np.ndarray, " rows"]) -> Origin:
        """Some of the rows, by a boolean mask or by positions."""
        every = np.arange(len(self.group)) if self.rows is None else self.rows
        return self._replace(rows=every[rows])

    @property
    def key(self) -> tuple[int, str, int | None]:
        """Equal for the same features, as long as the group lives."""
        rows = "" if self.rows is None else fingerprint.of_bytes(self.rows.astype(np.int64).tobytes())
        return id(self.group), rows, self.step

    def features(self) -> Real[np.ndarray, "n d"]:
        """`(n, d)`."""
        held = self.group.features if self.step is None else self.group.snapshot(self.step)
        return held if self.rows is None else held[self.rows]


@dataclass(frozen=True)
class Items:
    """Items of one modality and split, with what is known of each. Features are read when first asked for."""

    ids: Shaped[np.ndarray, " n"]
    groups: Shaped[np.ndarray, " n"]
    ranks: Integer[np.ndarray, " n"]
    labels: dict[str, Shaped[np.ndarray, " n"]] = field(default_factory=dict)
    origin: Origin | None = None  # of features that a store holds
    made: Real[np.ndarray, "n d"] | None = None  # features made from such

    @classmethod
    def of(cls, group: Group) -> Items:
        """The items of a store's group; without a `group` column, texts belong to no image."""
        groups = group["group"] if "group" in group else np.full(len(group), "", object)
        ranks = group["rank"] if "rank" in group else np.zeros(len(group), np.int64)
        return cls(group.ids, groups, ranks, group.labels, Origin(group))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def features(self) -> Real[np.ndarray, "n d"]:
        """`(n, d)`, not normalised."""
        if self.made is not None:
            return self.made
        if self.origin is None:
            raise ValueError("items without features: neither a store holds them nor were they made")
        return self.origin.features()

    @property
    def width(self) -> int:
        """Of the features, which are not read for it."""
        if self.made is None and self.origin is not None:
            return self.origin.group.width
        return self.features.shape[1]

    @property
    def captions(self) -> bool:
        """Whether any of the items belongs to an image."""
        return bool(self.groups.astype(bool).any())

    def where(self, rows: Shaped[np.ndarray, " rows"]) -> Items:
        """The items of a boolean mask or of positions."""
        return Items(
            self.ids[rows],
            self.groups[rows],
            self.ranks[rows],
            {name: values[rows] for name, values in self.labels.items()},
            self.origin and self.origin.where(rows),
            None if self.made is None else self.made[rows],
        )

    def without(self, ids: Iterable[str]) -> Items:
        """The items but for those of the given ids."""
        out = pd.Index(self.ids).isin(list(ids))
        return self.where(~out) if out.any() else self

    def places(self, ids: Shaped[np.ndarray, " m"]) -> Integer[np.ndarray, " n"] | None:
        """Where each of the items stands among `ids`, `(n,)`; None unless every one is there."""
        index = pd.Index(ids).get_indexer(self.ids)
        return None if (index < 0).any() else index

    def sample(self, count: int) -> Items:
        """At most so many items, evenly spread over their order."""
        if len(self) <= count:
            return self
        return self.where(np.linspace(0, len(self) - 1, count).astype(int))

    @property
    def preprojection(self) -> Real[np.ndarray, "n width"] | None:
        """`(n, width)`, what the tower's projection was applied to; None where the store doesn't hold it."""
        if self.origin is None or "preprojection" not in self.origin.group:
            return None
        if self.origin.rows is None:
            return self.origin.group.preprojection
        return self.origin.group.rows("preprojection", self.origin.rows)

    def having(self, features: Real[np.ndarray, "n d"]) -> Items:
        """The same items with other features `(n, d)`."""
        return replace(self, origin=None, made=features)

    def read_from(self, group: Group, rows: Integer[np.ndarray, " n"], step: int | None = None) -> Items:
        """The same items with the features of rows `(n,)` of another group."""
        return replace(self, origin=Origin(group, rows, step), made=None)
