"""Modality centring: each modality's mean is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap.corrections.correction import Affine, Correction, each_side, fitted_each
from crossgap.corrections.material import Material

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

TITLE = "Modality centring"
SOURCE = "GR-CLIP (arXiv 2507.19054)"
REFERENCE = "unit features less the mean of their modality on a calibration set"


def fit(
    image_features: Real[Features, "n d"] | None, text_features: Real[Features, "m d"] | None = None
) -> Correction:
    """Take each modality's mean away, as GR-CLIP does: unit rows, less the mean of unit rows.

    Args:
        image_features: `(n, d)` of a calibration set; None leaves images without a mean.
        text_features: `(m, d)` of a calibration set; None leaves texts without one.

    Raises:
        TypeError, ValueError: features that cannot be used, or none.
    """
    return fitted_each(_affine, image_features, text_features)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "centering", each_side(fit, *material.calibration())


def _affine(rows: Float64[np.ndarray, "n d"]) -> tuple[Affine, dict[str, Any]]:
    return Affine(np.ones(rows.shape[1]), centre=rows.mean(axis=0)), {}
