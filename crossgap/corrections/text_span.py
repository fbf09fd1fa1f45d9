"""Projection on the text span: what no text expresses is taken out of the features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import unit_rows
from crossgap.corrections.correction import (
    Affine,
    Correction,
    directions_to_keep,
    principal_directions,
    rounding,
    tried,
)
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Real

    from crossgap.arrays import Features

TITLE = "Projection on the text span"
SOURCE = "after the language projector of SSP (arXiv 2407.16977, ACM MM 2024)"
REFERENCE = "features on the leading singular directions of texts of concept names, uncentred"


def fit(text_features: Real[Features, "v d"], keep: int | None = None) -> Correction:
    """Project features, of images and texts alike, on the span of unit texts, or on its leading directions.

    Unlike PCA⁺ the texts are not centred, so that their common direction is one of those kept. Texts that span the
    whole space would leave features as they are: then the d // 2 leading singular directions of the texts are kept.

    Args:
        text_features: `(v, d)`.
        keep: leading directions; None for all that the texts span, or d // 2 where they span everything.

    Raises:
        TypeError, ValueError: texts that cannot be used, or that span fewer than `keep` directions.
    """
    texts = unit_rows(text_features, "text_features", np.float64)
    _, directions, rank = principal_directions(texts, False, rounding(text_features, "text_features"))
    width = texts.shape[1]
    keep = directions_to_keep(keep, rank, default=rank if rank < width else width // 2)
    affine = Affine(directions[:, :keep])
    return Correction({"image": affine, "text": affine}, {"texts": len(texts), "rank": rank, "keep": keep})


def fits(material: Material) -> Iterator[tuple[str, Correction | UnavailableError]]:
    for suffix, texts in material.vocabularies().items():
        yield f"text_span{suffix}", texts if isinstance(texts, UnavailableError) else tried(fit, texts)
