"""What is evaluated: the items of a cell, native and inverted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.store import Group, Store

CLASSES = "text/classes"
INVERSIONS = {"image": "oti", "text": "ovi"}


class EvaluationError(ValueError):
    """The stores of a cell don't fit each other or the protocol."""


class Origin(NamedTuple):
    """Where native features come from: a group of a store, and rows of it `(n,)`."""

    group: Group
    rows: np.ndarray


@dataclass(frozen=True)
class Items:
    """Items of one modality and split: features `(n, d)`, native or made from them, with what is known of each."""

    features: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    ranks: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    origin: Origin | None = None  # of native features

    @classmethod
    def of(cls, group: Group) -> Items:
        """The items of a store's group; without a `group` column, texts belong to no image."""
        groups = group["group"] if "group" in group else np.full(len(group), "", object)
        ranks = group["rank"] if "rank" in group else np.zeros(len(group), np.int64)
        origin = Origin(group, np.arange(len(group)))
        return cls(group.features, group.ids, groups, ranks, group.labels, origin)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def captions(self) -> bool:
        """Whether any of the items belongs to an image."""
        return bool(self.groups.astype(bool).any())

    def where(self, rows: np.ndarray) -> Items:
        """The items of a boolean mask or of positions."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        origin = self.origin and Origin(self.origin.group, self.origin.rows[rows])
        return Items(self.features[rows], self.ids[rows], self.groups[rows], self.ranks[rows], labels, origin)

    def without(self, ids: Iterable[str]) -> Items:
        """The items but for those of the given ids."""
        out = pd.Index(self.ids).isin(list(ids))
        return self.where(~out) if out.any() else self

    def places(self, ids: np.ndarray) -> np.ndarray | None:
        """Where each of the items stands among `ids`, `(n,)`; None unless every one is there."""
        index = pd.Index(ids).get_indexer(self.ids)
        return None if (index < 0).any() else index

    def sample(self, count: int) -> Items:
        """At most so many items, evenly spread over their order."""
        if len(self) <= count:
            return self
        return self.where(np.linspace(0, len(self) - 1, count).astype(int))

    @property
    def preprojection(self) -> np.ndarray | None:
        """`(n, width)`, what the tower's projection was applied to; None where the store doesn't hold it."""
        if self.origin is None or "preprojection" not in self.origin.group:
            return None
        return self.origin.group.rows("preprojection", self.origin.rows)

    def having(self, features: np.ndarray) -> Items:
        """The same items with other features `(n, d)`."""
        return replace(self, features=features, origin=None)


@dataclass(frozen=True)
class Cell:
    """The stores of one backbone on one dataset and the splits that queries and gallery come from.

    A store may have no items at all, of an image-only backbone on a dataset of texts: then there is nothing to measure.

    Attributes:
        sweep: inversions of the same images as `oti` by other numbers of pseudo-tokens.
        seeds: inversions like `oti` and `ovi` but for the seed.
        support: the split that classes' means are taken over; the gallery's, where it isn't the queries', if not given.
        subsets: named controls, each a labelling with the classes that it is confined to.
        arithmetic: labelling → another: images are asked for with a class of the one changed, that of the other kept.
        protocol: of explicit judgements, `plain` or `revisited` (see `retrieval.judged_metrics`).

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
    seeds: Sequence[Store] = ()
    support: str | None = None
    subsets: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "plain"
    _items: dict[str, Items] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        stages = {"oti": [self.oti], "ovi": [self.ovi], "sweep": self.sweep, "seeds": self.seeds}
        for stage, stores in stages.items():
            for store in stores:
                if store and store.provenance.get("inverts") != self.native.provenance["fingerprint"]:
                    raise EvaluationError(
                        f"{store.path} inverts other features than {self.native.path} holds; "
                        f"run the {stage} stage of this cell again"
                    )
        splits = {"retrieval.query": self.query, "retrieval.gallery": self.gallery}
        for name, split in (splits | {"controls.support": self.support}).items():
            held = not self.native.groups or any(f"{of}/{split}" in self.native for of in INVERSIONS)
            if split and not held:
                raise EvaluationError(
                    f"{name}: {self.native.path} has no split {split!r}; "
                    f"it holds {', '.join(self.native.groups)}"
                )

        for name, confined in self.subsets.items():
            for labelling, classes in confined.items():
                known = self._classes(labelling)
                if strangers := [one for one in classes if one not in known]:
                    raise EvaluationError(
                        f"controls.subsets.{name}: the queries have no {labelling} {', '.join(strangers)}; they have "
                        f"{', '.join(sorted(known)) or 'no such labelling'}"
                    )

        images = self.items(f"image/{self.query}")
        labels = images.labels if images else {}
        for changed, kept in self.arithmetic.items():
            if lacking := [name for name in (changed, kept) if name not in labels]:
                raise EvaluationError(
                    f"controls.arithmetic.{changed}: image/{self.query} of {self.native.path} has no labelling "
                    f"{', '.join(lacking)}; it has {', '.join(labels) or 'none'}"
                )
            prompts = self.items(CLASSES)
            named = prompts.labels.get(changed, []) if prompts else labels[changed]
            if silent := sorted(set(labels[changed]) - set(named) - {""}):
                raise EvaluationError(
                    f"controls.arithmetic.{changed}: {CLASSES} of {self.native.path} has no prompt of {changed} "
                    f"{', '.join(silent)}, whose text is to be added or taken off"
                )

    def _classes(self, labelling: str) -> set[str]:
        """Classes of the queries by a labelling."""
        names = (f"{modality}/{self.query}" for modality in INVERSIONS)
        found = [
            items.labels[labelling] for items in map(self.items, names) if items and labelling in items.labels
        ]
        return set(np.concatenate(found)) - {""} if found else set()

    def main(self, modality: str) -> Store | None:
        """The inversion that a modality's tasks are measured with."""
        return self.oti if modality == "image" else self.ovi

    def inversions(self, modality: str) -> list[Store]:
        """Every inversion of a modality's features, the main one first."""
        method = INVERSIONS[modality]
        stores = [self.oti, *self.sweep] if modality == "image" else [self.ovi]
        return [store for store in stores if store] + self.of_seeds(method)

    def of_seeds(self, method: str) -> list[Store]:
        """The inversions of `seeds` by one method, in the order of their seeds."""
        stores = [store for store in self.seeds if store.provenance["method"]["name"] == method]
        return sorted(stores, key=lambda store: store.provenance["recipe"]["seed"])

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

    def inverted(self, items: Items | None, name: str, store: Store | None = None) -> Items | None:
        """`items` with the features of an inversion, the main one if none is named, if all of them were inverted."""
        store = store or self.main(name.partition("/")[0])
        if items is None or store is None or name not in store:
            return None
        at = items.places(store[name].ids)
        return None if at is None else items.having(store[name].features[at])

    def labellings_of(self, items: Items) -> list[str]:
        """The labellings of items that are to be measured."""
        return [name for name in items.labels if self.labellings is None or name in self.labellings]
