"""What corrections of a cell may be fitted on in place of its own items: other datasets, or files of features or means.

A correction that was fitted elsewhere is called `<variant>@<name>`. It is fitted for the same features: of the same
backbone, so of the same width. What isn't given there, such as the texts beside a published mean of images, is the
cell's own; concept names, styles and pairs are never filled up so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap import corrections, fingerprint
from crossgap.corrections import Material, UnavailableError
from crossgap.errors import CrossgapError
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.corrections import material, pairs
from crossgap.importing.files import Assignment, FeatureImportError
from crossgap.keyed import file_and_key
from crossgap.naming import OTHERS

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from crossgap.stores.store import Store

_SIDES = dict(zip(INVERSIONS, ("images", "texts"), strict=True))


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """A place that corrections are fitted on.

    Attributes:
        name: behind the @ of a variant.
        said: what a fit depends on, JSON-able.
        load: what there is to fit on; called when something is fitted.
        rivals: the corrections that can be fitted there.
    """

    name: str
    said: Any
    load: Callable[[], Material]
    rivals: tuple[str, ...] = corrections.FITTED

    @cached_property
    def material(self) -> Material:
        return self.load()

    def over(self, own: Material, width: int | None) -> Material:
        """What there is to fit on here, and the cell's own images or texts where there are none.

        Args:
            width: of the cell's features; None where it has none.

        Raises:
            UnavailableError: features of another width.
        """
        there = self.material
        for what, held in _arrays(there).items():
            if width is not None and held.shape[-1] != width:
                raise UnavailableError(
                    f"{self.name} gives {what} of width {held.shape[-1]}, and the features here have {width}: "
                    "name those of the same backbone"
                )
        return replace(
            own,
            images=self._side("image", own.images),
            texts=self._side("text", own.texts),
            vocabulary=there.vocabulary,
            vocabulary_photo=there.vocabulary_photo,
            styles=there.styles,
            pairs=there.pairs,
            means=there.means,
        )

    def _side(self, modality: str, own: np.ndarray | None) -> np.ndarray | None:
        here = getattr(self.material, _SIDES[modality])
        return None if modality in self.material.means else own if here is None else here

    def words(self) -> str:
        """On what is fitted, of either modality."""
        there = self.material
        held = [
            f"{modality} mean"
            if modality in there.means
            else f"{len(getattr(there, side))} {side}"
            if getattr(there, side) is not None
            else f"own {side}"
            for modality, side in _SIDES.items()
        ]
        return f"{self.name}: {', '.join(held)}"


def of_dataset(name: str, cell: Cell) -> Elsewhere:
    """Another dataset's features of the same backbone: those that its own cell fits on, and any pairs that it has."""

    def load() -> Material:
        held = material(cell)
        return held if held.pairs is not None else replace(held, pairs=pairs(cell, cell.query))

    return Elsewhere(name, cell.said, load)


def require_same_weights(native: Store, other: Store) -> None:
    """Check that two stores of one backbone were made with the same weights: a name may have been given others.

    Raises:
        CrossgapError: they weren't.
    """
    here, there = (
        held.provenance.get("backbone_provenance", {}).get("weights_sha256") for held in (native, other)
    )
    if here != there:
        raise CrossgapError(
            f"evaluate.fit_on.datasets: {native.path} was made with weights {here}, and {other.path} with {there}: "
            "give the backbone's row one of them as sha256, and `dvc repro`"
        )


def others(datasets: Sequence[Elsewhere]) -> Elsewhere:
    """Several datasets together, item by item: for a cell that is none of them, leave-one-dataset-out."""

    def load() -> Material:
        held = [one.material for one in datasets]
        both = [one.pairs for one in held if one.pairs is not None]
        return Material(
            images=_joined(one.images for one in held),
            texts=_joined(one.texts for one in held),
            vocabulary=_each_once(one.vocabulary for one in held),
            vocabulary_photo=_each_once(one.vocabulary_photo for one in held),
            styles=_each_once(one.styles for one in held),
            pairs=(
                np.concatenate([images for images, _ in both]),
                np.concatenate([texts for _, texts in both]),
            )
            if both
            else None,
        )

    return Elsewhere(OTHERS, {one.name: one.said for one in datasets}, load)


def of_files(name: str, files: Mapping[str, str], digests: Mapping[str, str]) -> Elsewhere:
    """Features `(n, d)` of files, or means `(d,)`, on which centring alone is fitted.

    Args:
        files: "image", "text" → `FILE[:KEY]`, as `crossgap import` takes it.
        digests: SHA-256 of the files, by modality.

    Raises:
        FeatureImportError: a file that is not there, is not what the digest says, or holds neither.
    """

    def arrays() -> dict[str, np.ndarray]:
        found = {modality: read(modality, given) for modality, given in files.items()}
        # once read: a file may change while a run goes on
        for modality, given in files.items():
            held = source(modality, given).file
            if fingerprint.sha256_of_files([held]) != digests[modality]:
                raise FeatureImportError(
                    f"{held} has changed since the run was resolved: {fingerprint.read_again('resolve')}"
                )
        return found

    def load() -> Material:
        found = arrays()
        means = {modality: values for modality, values in found.items() if values.ndim == 1}
        sides: dict[str, Any] = {_SIDES[of]: values for of, values in found.items() if of not in means}
        return Material(**sides, means=means)

    only_means = all(values.ndim == 1 for values in arrays().values())
    return Elsewhere(
        name,
        {"digests": dict(digests), "keys": {of: source(of, given).key for of, given in files.items()}},
        load,
        ("centering",) if only_means else corrections.FITTED,
    )


def source(modality: str, given: str) -> Assignment:
    """The array that `FILE[:KEY]` names."""
    return Assignment(f"{modality}/elsewhere", "features", *file_and_key(given))


def read(modality: str, given: str) -> Shaped[np.ndarray, "*shape"]:
    """Features `(n, d)`, or a mean `(d,)`, also where it is the one row of a file, in float64.

    Raises:
        FeatureImportError: no such file, or values that are neither.
    """
    held = source(modality, given)
    values = held.load()
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2) or 0 in values.shape:
        raise FeatureImportError(
            f"{held}: {values.dtype} {values.shape}: give features, (item, feature), or a mean, (feature)"
        )
    # a copy, also of a file that is mapped, which may change
    values = np.array(values, np.float64)
    if not np.isfinite(values).all() or not np.atleast_2d(values).any(axis=1).all():
        raise FeatureImportError(f"{held}: NaN, infinity or a row of zeros: compute it again")
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def _arrays(held: Material) -> dict[str, np.ndarray]:
    names = ("images", "texts", "vocabulary", "vocabulary_photo", "styles")
    found = {name.replace("_", " "): getattr(held, name) for name in names}
    found |= {f"{modality} mean": mean for modality, mean in held.means.items()}
    if held.pairs is not None:
        found["pairs"] = held.pairs[0]
    return {name: values for name, values in found.items() if values is not None}


def _joined(parts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    held = [part for part in parts if part is not None]
    return np.concatenate(held) if held else None


def _each_once(parts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """Rows of all parts, equal ones once: datasets may have one list of concept names."""
    held = _joined(parts)
    return None if held is None else held[np.sort(np.unique(held, axis=0, return_index=True)[1])]
