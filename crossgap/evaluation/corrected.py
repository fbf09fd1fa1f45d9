"""Corrections fitted on what a cell holds, unlabelled, and applied to its items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.corrections import Correction, Material
from crossgap.evaluation.cell import CLASSES, Cell, Items

ROWS = 2**16  # corrected at a time, in float64


@dataclass(frozen=True)
class Rivals:
    """The corrections of a cell.

    Attributes:
        fitted: by name.
        reasons: why the others could not be fitted, by name.
    """

    fitted: dict[str, Correction]
    reasons: dict[str, str]

    def pairs(self, task: str, queries: Items, gallery: Items) -> Iterator[tuple[str, Items, Items]]:
        """Name, queries and gallery of every correction that can be applied to a task, named by its modalities."""
        modalities = task.split("-")
        for name, correction in self.fitted.items():
            both = [apply(correction, queries, modalities[0])]
            untouched = correction.sides == "query"
            both.append(gallery if untouched else apply(correction, gallery, modalities[1]))
            if both[0] is not None and both[1] is not None:
                yield name, *both

    def table(self) -> pd.DataFrame:
        """`name`, `title`, `source`, `how`, `parameters`, `reason` (why it is absent, or empty), a row a correction."""
        columns = ["name", "title", "source", "how", "parameters", "reason"]
        fitted = [(*_named(name), _words(held.parameters), "") for name, held in self.fitted.items()]
        absent = [(*_named(name), "", reason) for name, reason in self.reasons.items()]
        return pd.DataFrame(fitted + absent, columns=columns)


def rivals(cell: Cell, names: Sequence[str] | None = None) -> Rivals:
    """All corrections, or those named, fitted on the cell's material."""
    return Rivals(*corrections.fitted(material(cell), names))


def material(cell: Cell) -> Material:
    """What corrections may be fitted on: never a label, never a pair of the query split.

    Images and captions are those of the query split, without their pairing and without those that an inversion set
    aside (the gallery's texts where texts are no captions, the class prompts where there are none); pairs come from the
    support split, else from the gallery's.
    """
    made_by = cell.native.provenance.get("backbone_provenance", {})
    return Material(
        images=_features(cell, f"image/{cell.query}"),
        texts=_first(_features(cell, name) for name in (*_texts(cell), CLASSES)),
        vocabulary=_features(cell, "text/vocabulary"),
        vocabulary_photo=_features(cell, "text/vocabulary-photo"),
        pairs=_first(_pairs(cell, split) for split in (cell.support, cell.gallery) if split),
        weights=cell.native.projections,
        biases=cell.native.biases,
        model=made_by.get("model"),
        pretrained=made_by.get("pretrained"),
    )


def apply(correction: Correction, items: Items, modality: str) -> Items | None:
    """Items by their corrected features; None where the correction can't be applied to them."""
    if not correction.handles(modality):
        return None
    raw = items.features if correction.space == "projected" else items.preprojection
    if raw is None:
        return None
    blocks = (raw[start : start + ROWS] for start in range(0, len(raw), ROWS))
    return items.having(
        np.concatenate([correction.apply(block, modality).astype(np.float32) for block in blocks])
    )


def _named(variant: str) -> tuple[str, str, str, str]:
    """A variant's name, its title, its rival's source and how that works."""
    rival = corrections.rival_of(variant)
    title, source, how = corrections.known()[rival]
    form = variant.removeprefix(rival).removeprefix("_")
    return variant, f"{title} ({form})" if form else title, source, how


def _words(parameters: Mapping[str, Any]) -> str:
    """Parameters as words, those of a modality behind its name."""
    return ", ".join(
        f"{name}: {_words(value)}" if isinstance(value, Mapping) else f"{name} {_word(value)}"
        for name, value in parameters.items()
    )


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _features(cell: Cell, name: str) -> np.ndarray | None:
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


def _pairs(cell: Cell, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Every caption of a split beside its image; None for the queries' own split, whose pairs are what is asked."""
    images, captions = cell.items(f"image/{split}"), cell.items(f"text/{split}")
    if split == cell.query or images is None or captions is None or not captions.captions:
        return None
    at = pd.Index(images.groups).get_indexer(captions.groups)
    return images.features[at[at >= 0]], captions.features[at >= 0]
