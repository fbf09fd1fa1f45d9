"""What is evaluated: the items of a cell, native and inverted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from crossgap.controls import no_support
from crossgap.errors import CrossgapError
from crossgap.evaluation.inversions import alike, content, name_of, set_aside
from crossgap.evaluation.items import Items
from crossgap.evaluation.options import CellOptions
from crossgap.naming import ByPhi
from crossgap.prepared import manifest
from crossgap.stores.store import Store
from crossgap.strict import options

if TYPE_CHECKING:
    from jaxtyping import Real


CLASSES = f"text/{manifest.CLASSES}"
INVERSIONS = {"image": "oti", "text": "ovi"}
PROTOCOLS = ("plain", "revisited")
GROUP = "group"  # the relevance by image


class EvaluationError(CrossgapError):
    """The stores of a cell don't fit each other or the protocol."""


class Variant(NamedTuple):
    """Inverted features, as their tasks are called: by optimisation, by φ alone, or by the steps from there."""

    words: str
    store: Store
    step: int | None  # the place of a snapshot, as in `Origin`

    def losses(self, name: str) -> Real[np.ndarray, " n"]:
        """`(n,)`, of a group's items."""
        group = self.store[name]
        return group.losses if self.step is None else group.snapshot_losses[:, self.step]


@dataclass(frozen=True)
class Cell:
    """The stores of one backbone on one dataset and the splits that queries and gallery come from.

    A store may have no items at all, of an image-only backbone on a dataset of texts: then there is nothing to measure.

    Attributes:
        sweep: inversions of the same images as `oti` by other numbers of pseudo-tokens.
        seeds: inversions like `oti` and `ovi` but for the seed. Of both, those count alone that were made by the same
            code and the same recipe as the main inversion, or without one as the first of them by name; `left_out` has
            the others.
        distilled: inversions by φ, each of another loss or dataset that φ was distilled on.
        support: the split that classes' means are taken over; the gallery's, where it isn't the queries', if not given.
        subsets: named controls, each a labelling with the classes that it is confined to.
        arithmetic: labelling → another: images are asked for with a class of the one changed, that of the other kept.
        protocol: of explicit judgements, `plain` or `revisited` (see `retrieval.judged_metrics`).

    Raises:
        CrossgapError: an argument of another kind, or a subset or an arithmetic that can't be measured.
        EvaluationError: an inversion of other features, by a φ that has seen the queries, or a split that the store
            lacks.
    """

    native: Store
    oti: Store | None
    ovi: Store | None
    query: str
    gallery: str
    labellings: Sequence[str] | None = None
    sweep: Sequence[Store] = ()
    seeds: Sequence[Store] = ()
    distilled: Sequence[Store] = ()
    support: str | None = None
    subsets: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    protocol: str = "plain"
    _items: dict[str, Items] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_given()
        self._check_inversions()
        self._check_splits()
        if self.protocol not in PROTOCOLS:
            raise EvaluationError(f"controls.protocol is {self.protocol!r}: give {' or '.join(PROTOCOLS)}")
        self._check_subsets()
        self._check_names()
        self._check_arithmetic()

    def _check_inversions(self) -> None:
        """They are of these features, and no φ has learnt from the queries."""
        stages = {"oti": [self.oti], "ovi": [self.ovi], "sweep": self.sweep, "seeds": self.seeds}
        stages["distilled"] = self.distilled
        for stage, stores in stages.items():
            for store in filter(_applies, stores):
                if store.provenance.get("inverts") != self.native.provenance["fingerprint"]:
                    raise EvaluationError(
                        f"{store.path} inverts other features than {self.native.path} holds; "
                        f"run the {stage} stage of this cell again"
                    )
        for store in filter(_applies, self.distilled):
            on = store.provenance["start"]["on"]
            if (on.get("features"), on.get("split")) == (self.native.provenance["fingerprint"], self.query):
                raise EvaluationError(
                    f"{store.path} is by a φ that was distilled on the split of the queries, {self.query!r}: distil it "
                    "on another split, distil.oti.split or distil.ovi.split, or on another dataset"
                )

    def _check_splits(self) -> None:
        splits = {"retrieval.query": self.query, "retrieval.gallery": self.gallery}
        for name, split in (splits | {"controls.support": self.support}).items():
            held = not self.native.groups or any(f"{of}/{split}" in self.native for of in INVERSIONS)
            if split and not held:
                raise EvaluationError(
                    f"{name}: {self.native.path} has no split {split!r}; "
                    f"it holds {', '.join(self.native.groups)}"
                )
        if reason := no_support(self.support, self.query):
            raise EvaluationError(reason)

    def _check_subsets(self) -> None:
        for name, confined in self.subsets.items():
            for labelling, classes in confined.items():
                known = self._classes(labelling)
                if strangers := [one for one in classes if one not in known]:
                    raise EvaluationError(
                        f"controls.subsets.{name}: the queries have no {labelling} {', '.join(strangers)}; they have "
                        f"{', '.join(sorted(known)) or 'no such labelling'}"
                    )

    def _check_arithmetic(self) -> None:
        """The images have both labellings, and the class prompts every class of that which is changed."""
        images = self.items(f"image/{self.query}")
        labels = images.labels if images else {}
        for changed, kept in self.arithmetic.items():
            if lacking := [name for name in (changed, kept) if name not in labels]:
                raise EvaluationError(
                    f"controls.arithmetic.{changed}: image/{self.query} of {self.native.path} has no labelling "
                    f"{', '.join(lacking)}; it has {', '.join(labels) or 'none'}"
                )
            prompts = self.items(CLASSES)
            named = prompts.labels.get(changed, np.empty(0, object)) if prompts else labels[changed]
            if silent := sorted(set(labels[changed]) - set(named) - {""}):
                raise EvaluationError(
                    f"controls.arithmetic.{changed}: {CLASSES} of {self.native.path} has no prompt of {changed} "
                    f"{', '.join(silent)}, whose text is to be added or taken off"
                )

    def _check_given(self) -> None:
        """What was given, by its kind alone."""
        options(
            CellOptions,
            "Cell",
            {name: getattr(self, name) for name in CellOptions.model_fields},
        )
        lists: dict[str, Any] = {"sweep": self.sweep, "seeds": self.seeds, "distilled": self.distilled}
        for name, stores in lists.items():
            if not isinstance(stores, list | tuple):
                raise EvaluationError(f"Cell: {name} is {stores!r}: give a list of what `open_store` gives")
        given: dict[str, Any] = {"native": [self.native], "oti": [self.oti], "ovi": [self.ovi], **lists}
        for name, stores in given.items():
            for store in stores:
                if not isinstance(store, Store) and (store is not None or name not in INVERSIONS.values()):
                    raise EvaluationError(f"Cell: {name} is {store!r}: give what `open_store` gives")

    def _check_names(self) -> None:
        """Every relevance needs a name of its own: two of one name would be one in every table."""
        labellings = dict.fromkeys(name for group in self.native.groups for name in self.native[group].labels)
        judged = self.native.judgements
        settings = [] if judged is None else sorted(set(judged["setting"]))
        taken = {GROUP: "the relevance by image"}
        for kind, names in (("labelling", labellings), ("subset", self.subsets), ("setting", settings)):
            for name in names:
                if name in taken or "/" in name:
                    why = f"is {taken[name]} already" if name in taken else "may not hold a '/'"
                    raise EvaluationError(
                        f"{self.native.path}: a {kind} is called {name!r}, which {why}: rename it"
                    )
            taken |= dict.fromkeys(names, f"a {kind}")

    @property
    def other_splits(self) -> list[str]:
        """The support split and the gallery's, as far as they are not that of the queries, whose pairs are asked."""
        return [
            split for split in dict.fromkeys((self.support, self.gallery)) if split and split != self.query
        ]

    def _classes(self, labelling: str) -> set[str]:
        """Classes of the queries by a labelling."""
        names = (f"{modality}/{self.query}" for modality in INVERSIONS)
        found = [
            items.labels[labelling] for items in map(self.items, names) if items and labelling in items.labels
        ]
        return set(np.concatenate(found)) - {""} if found else set()

    @property
    def width(self) -> int | None:
        """Of the features; None where the store has no items."""
        return next((self.native[name].width for name in self.native.groups), None)

    def main(self, modality: str) -> Store | None:
        """The inversion that a modality's tasks are measured with."""
        store = self.oti if modality == "image" else self.ovi
        return store if _applies(store) else None

    def inversions(self, modality: str) -> list[Store]:
        """Every inversion of a modality's features, the main one first."""
        main = self.main(modality)
        sweep = self._beside[0] if modality == "image" else []
        return [
            *([main] if main else []), *sweep, *self.of_seeds(INVERSIONS[modality]), *self._by_phi(modality)
        ]  # fmt: skip

    def _by_phi(self, modality: str) -> list[Store]:
        held = filter(_applies, self.distilled)
        return [store for store in held if _method(store) == INVERSIONS[modality]]

    def variants(self, modality: str) -> list[Variant]:
        """What φ makes of a modality's features: by itself, which is step 0, and after the steps from there."""
        found = []
        for store in self._by_phi(modality):
            start, warm = store.provenance["start"], store.provenance["recipe"]["steps"] > 0
            called = ByPhi("distilled", start["loss"], start["on"]["dataset"])
            method = INVERSIONS[modality]
            found.append(Variant(called.words(method), store, 0 if warm else None))
            if warm:
                found.append(Variant(called._replace(how="warm").words(method), store, None))
        return found

    def methods(self, modality: str) -> list[Variant]:
        """The main inversion of a modality's features, if there is one, then `variants`."""
        main = self.main(modality)
        return [*([Variant(INVERSIONS[modality], main, None)] if main else []), *self.variants(modality)]

    def of_seeds(self, method: str) -> list[Store]:
        """The inversions of `seeds` by one method, in the order of their seeds."""
        return sorted(self._beside[1][method], key=lambda store: store.provenance["recipe"]["seed"])

    @property
    def left_out(self) -> dict[str, str]:
        """By the name of an inversion that doesn't count: why."""
        return self._beside[2]

    @cached_property
    def _beside(self) -> tuple[list[Store], dict[str, list[Store]], dict[str, str]]:
        """The sweep, the seeds by method, and what is left out."""
        every = [self.oti, self.ovi, *self.sweep, *self.seeds, *self.distilled]
        silent = [store for store in every if store and not _applies(store)]
        left_out = {name_of(store): store.provenance["not_applicable"] for store in silent}
        sweep, others = alike(list(filter(_applies, self.sweep)), self.main("image"), but="tokens")
        left_out |= others
        seeds = {}
        for modality, method in INVERSIONS.items():
            made = [store for store in filter(_applies, self.seeds) if _method(store) == method]
            seeds[method], others = alike(made, self.main(modality), but="seed")
            left_out |= others
        return sweep, seeds, left_out

    def set_aside(self, name: str) -> list[str]:
        """Ids of a group's items that one of its inversions set aside, since their loss was not finite."""
        stores = self.inversions(name.partition("/")[0])
        return sorted({item for store in stores for item in set_aside(store, name)})

    def unpaired(self, name: str) -> list[str]:
        """Those of `set_aside` that comparisons do without; not of an inversion that has no item left to compare."""
        stores = self.inversions(name.partition("/")[0])
        return sorted(
            {item for store in stores if not _empty(store, name) for item in set_aside(store, name)}
        )

    @cached_property
    def said(self) -> dict[str, Any]:
        """What every number of the cell may depend on, inversions apart: JSON-able."""
        return {
            "native": content(self.native),
            "query": self.query,
            "gallery": self.gallery,
            "support": self.support,
            "unpaired": {name: ids for name in self.native.groups if (ids := self.unpaired(name))},
        }

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
        return None if items is None else items.without(self.unpaired(name))

    def inverted(
        self, items: Items | None, name: str, store: Store | None = None, step: int | None = None
    ) -> Items | None:
        """`items` with the features of an inversion, the main one if none is named, if all of them were inverted.

        Args:
            step: the place of a snapshot, as in `Origin`.
        """
        store = store or self.main(name.partition("/")[0])
        if items is None or store is None or name not in store:
            return None
        at = items.places(store[name].ids)
        return None if at is None else items.read_from(store[name], at, step)

    def unknown(self) -> Iterator[tuple[str, str, str]]:
        """Rows of `unavailable.COLUMNS`: labellings that are to be measured and that no query has."""
        names = (f"{modality}/{self.query}" for modality in INVERSIONS)
        held = sorted({name for items in map(self.items, names) if items for name in items.labels})
        for name in self.labellings or ():
            if name not in held:
                yield (
                    "labelling",
                    name,
                    f"the queries have no such labelling; they have {', '.join(held) or 'none'}",
                )

    def labellings_of(self, items: Items) -> list[str]:
        """The labellings of items that are to be measured."""
        return [name for name in items.labels if self.labellings is None or name in self.labellings]


def _applies(store: Store | None) -> TypeGuard[Store]:
    """Whether there is an inversion: a stage that has nothing to invert leaves a store that says so."""
    return store is not None and "not_applicable" not in store.provenance


def _method(store: Store) -> str:
    return store.provenance["method"]["name"]


def _empty(store: Store, name: str) -> bool:
    """Whether an inversion of a group set everything aside."""
    return bool(set_aside(store, name)) and (
        name not in store or set(store[name].ids.tolist()) <= set(set_aside(store, name))
    )
