"""What is evaluated: the items of a cell, native and inverted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from crossgap.store import Group, Store

CLASSES = "text/classes"
INVERSIONS = {"image": "oti", "text": "ovi"}


class EvaluationError(ValueError):
    """The stores of a cell don't fit each other or the protocol."""


@dataclass(frozen=True)
class Items:
    """Items of one modality and split: features `(n, d)`, native or inverted, with what is known of each."""

    features: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    ranks: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, group: Group) -> Items:
        """The items of a store's group; without a `group` column, texts belong to no image."""
        groups = group["group"] if "group" in group else np.full(len(group), "", object)
        ranks = group["rank"] if "rank" in group else np.zeros(len(group), np.int64)
        return cls(group.features, group.ids, groups, ranks, group.labels)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def captions(self) -> bool:
        """Whether any of the items belongs to an image."""
        return bool(self.groups.astype(bool).any())

    def where(self, rows: np.ndarray) -> Items:
        """The items of a boolean mask or of positions."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Items(self.features[rows], self.ids[rows], self.groups[rows], self.ranks[rows], labels)

    def without(self, ids: Iterable[str]) -> Items:
        """The items but for those of the given ids."""
        out = pd.Index(self.ids).isin(list(ids))
        return self.where(~out) if out.any() else self

    def places(self, ids: np.ndarray) -> np.ndarray | None:
        """Where each of the items stands among `ids`, `(n,)`; None unless every one is there."""
        index = pd.Index(ids).get_indexer(self.ids)
        return None if (index < 0).any() else index

    def inverted(self, features: np.ndarray) -> Items:
        """The same items with other features `(n, d)`."""
        return replace(self, features=features)


@dataclass(frozen=True)
class Cell:
    """The stores of one backbone on one dataset and the splits that queries and gallery come from.

    Attributes:
        sweep: inversions of the same images as `oti` by other numbers of pseudo-tokens.

    Raises:
        EvaluationError: an inversion of other features, or a split that the store lacks.
    """

    native: Store
    oti: Store | None
    ovi: Store | None
    query: str
    gallery: str
    labellings: Sequence[str] | None = None
    sweep: Sequence[Store] = ()
    _items: dict[str, Items] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        stages = {"oti": [self.oti], "ovi": [self.ovi], "sweep": self.sweep}
        for stage, stores in stages.items():
            for store in stores:
                if store and store.provenance.get("inverts") != self.native.provenance["fingerprint"]:
                    raise EvaluationError(
                        f"{store.path} inverts other features than {self.native.path} holds; "
                        f"run the {stage} stage of this cell again"
                    )
        for name, split in (("query", self.query), ("gallery", self.gallery)):
            if f"image/{split}" not in self.native and f"text/{split}" not in self.native:
                raise EvaluationError(
                    f"retrieval.{name}: {self.native.path} has no split {split!r}; "
                    f"it holds {', '.join(self.native.groups)}"
                )

    def main(self, modality: str) -> Store | None:
        """The inversion that a modality's tasks are measured with."""
        return self.oti if modality == "image" else self.ovi

    def inversions(self, modality: str) -> list[Store]:
        """Every inversion of a modality's features, the main one first."""
        stores = [self.oti, *self.sweep] if modality == "image" else [self.ovi]
        return [store for store in stores if store]

    def set_aside(self, name: str) -> list[str]:
        """Ids of a group's items that one of its inversions set aside, since their loss was not finite."""
        stores = self.inversions(name.partition("/")[0])
        return sorted({i for store in stores for i in store.provenance.get("set_aside", {}).get(name, [])})

    def items(self, name: str) -> Items | None:
        """Native features of a group, if the store has it."""
        if name not in self.native:
            return None
        if name not in self._items:
            self._items[name] = Items.of(self.native[name])
        return self._items[name]

    def invertible(self, name: str) -> Items | None:
        """`items` without those set aside: what is compared with an inversion, so that comparisons are paired."""
        items = self.items(name)
        return None if items is None else items.without(self.set_aside(name))

    def inverted(self, items: Items | None, name: str) -> Items | None:
        """`items` with the main inversion's features, if all of them were inverted."""
        store = self.main(name.partition("/")[0])
        if items is None or store is None or name not in store:
            return None
        at = items.places(store[name].ids)
        return None if at is None else items.inverted(store[name].features[at])

    def labellings_of(self, items: Items) -> list[str]:
        """The labellings of items that are to be measured."""
        return [name for name in items.labels if self.labellings is None or name in self.labellings]
