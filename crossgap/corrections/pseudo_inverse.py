"""Closed-form inversion: an image feature becomes that of a pseudo text, by the text projection's pseudo-inverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import real_number
from crossgap.corrections.correction import Affine, Correction, weight_matrix
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Real

    from crossgap.arrays import Features

TITLE = "Closed-form inversion"
SOURCE = "SeMoBridge (ICLR 2026)"
REFERENCE = (
    "the image query as a pseudo-EOS feature, by the text projection's pseudo-inverse, and projected again"
)


def fit(text_weight: Real[Features, "d width"], tolerance: float = 0.3) -> Correction:
    """Map image queries to what the text projection makes of their pseudo-EOS feature, SeMoBridge untrained.

    With W `(d, width)` of the text projection, the pseudo-EOS feature of x is W⁺x, scaled to the length of texts; it is
    projected by W. W⁺ drops the singular values at or below `tolerance`, which is absolute, as in the paper's code. So
    WW⁺ is the orthogonal projection on W's remaining left singular directions, which is what is computed: the
    scaling changes no cosine, and if nothing is dropped neither does the map. Texts have no such map in the source.

    Args:
        text_weight: `(d, width)`, output × input.
        tolerance: singular values above it are inverted; from 0.

    Raises:
        TypeError, ValueError: a weight or a tolerance that cannot be used; `UnavailableError` for a weight that is
            not finite, or has no singular value above the tolerance.
    """
    weight = weight_matrix(text_weight, "text_weight")
    real_number(tolerance, "tolerance")
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}: give a number from 0")
    directions, values, _ = np.linalg.svd(weight, full_matrices=False)
    kept = directions[:, values > tolerance]
    if not kept.shape[1]:
        raise UnavailableError(
            f"tolerance is {tolerance} and the largest singular value of text_weight {values[0]:.3g}: give a lower one"
        )
    parameters = {"tolerance": tolerance, "kept": kept.shape[1], "directions": len(values)}
    return Correction({"image": Affine(kept @ kept.T)}, parameters, sides="query")


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    if "text" not in material.weights:
        raise UnavailableError("the text tower has no last projection that stands apart, or it isn't stored")
    yield "pseudo_inverse", fit(material.weights["text"])
