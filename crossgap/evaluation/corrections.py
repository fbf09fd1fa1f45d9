"""Corrections fitted on what a cell holds, unlabelled, and applied to its items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.corrections import Correction, Material, UnavailableError
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.evaluation.items import Items
from crossgap.evaluation.recent import Recent
from crossgap.evaluation.scoring import Scorer, disjoint
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work, calling
from crossgap.metrics.retrieval.bias import Bias
from crossgap.prepared import manifest

if TYPE_CHECKING:
    from jaxtyping import Float32, Real

    from crossgap.evaluation.elsewhere import Elsewhere


ROWS = 2**16  # corrected at a time, in float64
HELD = 2**29  # bytes of corrected features
COLUMNS = ["name", "title", "source", "how", "fitted_on", "parameters", "reason"]


class Rivals:
    """The corrections of a cell: fitted when one is first applied, so not at all where all its tasks are kept.

    Args:
        names: of those that are asked for; all, if not given.
        elsewhere: other places that each of them is fitted on too; by another name each.

    Raises:
        ValueError: an unknown name.
    """

    def __init__(
        self, work: Work, names: Sequence[str] | None = None, elsewhere: Sequence[Elsewhere] = ()
    ) -> None:
        self.work = work
        self.names = corrections.chosen(names)
        self.elsewhere = {place.name: place for place in elsewhere}
        self._fits: dict[tuple[str, str], dict[str, Correction]] = {}
        self._biases: dict[str, dict[tuple, Bias]] = {}
        self._recent = Recent(HELD)

    def fit_of(self, variant: str) -> dict[str, Any]:
        """What a fit depends on beside the cell's native store and splits."""
        made_by = self.work.cell.native.provenance.get("backbone_provenance", {})
        of = {name: made_by.get(name) for name in ("model", "pretrained")}
        place = variant.partition("@")[2]
        return of | ({"elsewhere": self.elsewhere[place].said} if place else {})

    def said(self, variant: str | None) -> dict[str, Any]:
        """What `Work.part` is told of the variant that a part uses, if it uses one."""
        return {"rival": corrections.rival_of(variant), "fit": self.fit_of(variant)} if variant else {}

    @cached_property
    def described(self) -> pd.DataFrame:
        """`name`, `fitted_on`, `parameters` and `reason` (why it is absent, or empty), a row a correction."""
        columns = ["name", "fitted_on", "parameters", "reason"]

        def compute(rival: str, place: str) -> pd.DataFrame:
            found, reasons = self._fit(rival, place)
            on = self.elsewhere[place].words() if place else _on(rival)
            rows = [(name, on, _words(held.parameters), "") for name, held in found.items()]
            return pd.DataFrame(
                rows + [(name, on, "", why) for name, why in reasons.items()], columns=columns
            )

        asked = [(rival, "") for rival in self.names]
        asked += [
            (rival, name)
            for name, place in self.elsewhere.items()
            for rival in self.names
            if rival in place.rivals
        ]
        parts = [
            self.work.part(
                "corrections", _at(rival, place), calling(compute, rival, place),
                by=__name__, **self.said(_at(rival, place)),
            )
            for rival, place in asked
        ]  # fmt: skip
        frames = [frame for frame in parts if frame is not None]
        whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
        return whole.sort_values("reason", key=lambda reason: reason != "", kind="stable", ignore_index=True)

    @property
    def variants(self) -> list[str]:
        """Names of those that could be fitted."""
        return self.described.loc[self.described["reason"] == "", "name"].tolist()

    @property
    def of_features(self) -> list[str]:
        """Those of `variants` that change features; the others rank with a bias."""
        return [
            variant for variant in self.variants if corrections.rival_of(variant) not in corrections.SCORING
        ]

    def correction(self, variant: str) -> Correction:
        key = corrections.rival_of(variant), variant.partition("@")[2]
        if key not in self._fits:
            self._fit(*key)
        return self._fits[key][variant]

    def _fit(self, rival: str, place: str) -> tuple[dict[str, Correction], dict[str, str]]:
        """The variants fitted on the cell's own items, or elsewhere; and why others are not possible."""
        try:
            found, reasons = corrections.fitted(self._of(place, self.material), [rival])
        except UnavailableError as reason:
            found, reasons = {}, {rival: str(reason)}
        self._fits[rival, place] = {_at(name, place): one for name, one in found.items()}
        return self._fits[rival, place], {_at(name, place): why for name, why in reasons.items()}

    def _of(self, place: str, own: Material) -> Material:
        """What there is to fit on elsewhere, or the cell's own."""
        return self.elsewhere[place].over(own, self.work.cell.width) if place else own

    def fit_by_role(self, variant: str, images: Items, texts: Items) -> Correction:
        """The correction fitted on these in place of all images and texts of the query split.

        Elsewhere has no roles: what it gives stays.
        """
        rival, place = corrections.rival_of(variant), variant.partition("@")[2]
        held = self._of(place, replace(self.material, images=images.features, texts=texts.features))
        found, reasons = corrections.fitted(held, [rival])
        name = variant.partition("@")[0]
        if name not in found:
            raise UnavailableError(reasons.get(name) or reasons[rival])
        return found[name]

    def pair(self, variant: str, task: str, queries: Items, gallery: Items) -> tuple[Items, Items] | None:
        """Queries and gallery as a task takes them, which is named by its modalities; None where they can't be."""
        asking, answering = task.split("-")
        corrected = self.corrected(variant, queries, asking)
        against: Items | None = gallery
        if self.correction(variant).sides == "both":
            against = self.corrected(variant, gallery, answering, "gallery")
        return None if corrected is None or against is None else (corrected, against)

    def corrected(
        self, variant: str, items: Items, modality: str, side: Literal["query", "gallery"] = "query"
    ) -> Items | None:
        """`apply`, held for other tasks on the same items."""
        correction, origin = self.correction(variant), items.origin
        if origin is None:
            return apply(correction, items, modality, side)
        key = variant, modality, side if correction.gallery else "query", *origin.key
        found = self._recent.of(key, origin.group, partial(_corrected, correction, items, modality, side))
        return None if found is None else items.having(found)

    def scorer(self, variant: str, name: str, task: str, within: bool, reasons: Reasons) -> Scorer:
        """The bias of a correction that ranks with one, by the bank of the cell, for a task of these modalities.

        Args:
            name: that `reasons` name it by.
            within: whether a query may stand in its gallery, where it is no candidate.
        """
        scoring, modality = self.correction(variant).scoring, task.partition("-")[0]
        if scoring is None:
            raise ValueError(f"{variant} changes features and scores by nothing else")
        held, known = bank(self.work.cell, modality), self._biases.setdefault(variant, {})
        return Scorer(scoring, held, modality, name, within, reasons, known)

    @cached_property
    def material(self) -> Material:
        """What the cell has to fit on."""
        return material(self.work.cell)

    def table(self) -> pd.DataFrame:
        """`COLUMNS`, a row a correction: on what it was fitted, and `reason`, why it is absent, or empty."""
        rows = [
            (*_named(row.name), row.fitted_on, row.parameters, row.reason)
            for row in self.described.itertuples(False)
        ]
        return pd.DataFrame(rows, columns=COLUMNS)


def material(cell: Cell) -> Material:
    """What corrections may be fitted on: never a label, never a pair of the query split.

    Images and captions are those of the query split, without their pairing and without those that an inversion set
    aside (the gallery's texts where texts are no captions, the class prompts where there are none); pairs come from the
    support split, else from the gallery's, and so do the banks of other queries.
    """
    made_by = cell.native.provenance.get("backbone_provenance", {})
    return Material(
        images=_features(cell, f"image/{cell.query}"),
        texts=_first(_features(cell, name) for name in (*_texts(cell), CLASSES)),
        vocabulary=_features(cell, f"text/{manifest.VOCABULARY}"),
        vocabulary_photo=_features(cell, f"text/{manifest.VOCABULARY_PHOTO}"),
        styles=_features(cell, f"text/{manifest.STYLES}"),
        pairs=_first(pairs(cell, split) for split in cell.other_splits),
        banks={modality: held.features for modality in INVERSIONS if (held := bank(cell, modality))},
        weights=cell.native.projections,
        biases=cell.native.biases,
        model=made_by.get("model"),
        pretrained=made_by.get("pretrained"),
    )


def bank(cell: Cell, modality: str) -> Items | None:
    """Queries that are not asked: the items of the support split, else of the gallery's; None without another split."""
    return _first(cell.items(f"{modality}/{split}") for split in cell.other_splits)


def apply(
    correction: Correction, items: Items, modality: str, side: Literal["query", "gallery"] = "query"
) -> Items | None:
    """Items by their corrected features; None where the correction can't be applied to them."""
    found = _corrected(correction, items, modality, side)
    return None if found is None else items.having(found)


def _corrected(
    correction: Correction, items: Items, modality: str, side: Literal["query", "gallery"]
) -> Float32[np.ndarray, "n d"] | None:
    if not correction.handles(modality):
        return None
    raw = items.features if correction.space == "projected" else items.preprojection
    if raw is None:
        return None
    blocks = (raw[start : start + ROWS] for start in range(0, len(raw), ROWS))
    return np.concatenate([correction.apply(block, modality, side).astype(np.float32) for block in blocks])


def _named(variant: str) -> tuple[str, str, str, str]:
    """A variant's name, its title, its rival's source and how that works."""
    name = corrections.rival_of(variant)
    kind, _, place = variant.partition("@")
    rival, form = corrections.RIVALS[name], kind.removeprefix(name).removeprefix("_")
    beside = ", ".join([form] * bool(form) + [f"fitted on {place}"] * bool(place))
    return variant, f"{rival.TITLE} ({beside})" if beside else rival.TITLE, rival.SOURCE, rival.REFERENCE


def _at(name: str, place: str) -> str:
    return f"{name}@{place}" if place else name


def _on(rival: str) -> str:
    if rival in corrections.OF_WEIGHTS:
        return "the backbone's weights"
    return "own queries of another split" if rival in corrections.SCORING else "own items"


def _words(parameters: Mapping[str, Any]) -> str:
    """Parameters as words, those of a modality behind its name."""
    return ", ".join(
        f"{name}: {_words(value)}" if isinstance(value, Mapping) else f"{name} {_word(value)}"
        for name, value in parameters.items()
    )


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _features(cell: Cell, name: str) -> Real[np.ndarray, "n d"] | None:
    items = cell.invertible(name)
    return items.features if items else None


def _texts(cell: Cell) -> list[str]:
    """Groups of texts, the one to fit on first: queries that are no captions may be as few as a text a class."""
    queries = cell.items(f"text/{cell.query}")
    captions = queries is None or queries.captions
    return [f"text/{split}" for split in ([cell.query] if captions else [cell.gallery, cell.query])]


def _first(found: Iterable[Any]) -> Any:
    """The first that there is; what comes after it is not looked up."""
    return next((one for one in found if one is not None), None)


def pairs(cell: Cell, split: str) -> tuple[Real[np.ndarray, "p d"], Real[np.ndarray, "p d"]] | None:
    """Every caption of a split beside its image, without those of images that are asked; None without captions."""
    images, captions = cell.items(f"image/{split}"), cell.items(f"text/{split}")
    asked = {of: [items] if (items := cell.items(f"{of}/{cell.query}")) else [] for of in INVERSIONS}
    if captions and split != cell.query:  # another split may hold some of its items
        captions = captions.where(disjoint(captions, asked["text"], asked["image"]))
    if images is None or captions is None or not captions.captions:
        return None
    at = pd.Index(images.groups).get_indexer(captions.groups)
    return images.features[at[at >= 0]], captions.features[at >= 0]
