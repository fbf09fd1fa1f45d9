"""Standardisation: each dimension of each modality gets mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap.corrections.correction import Affine, Correction, each_side, fitted_each
from crossgap.corrections.material import Material

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

TITLE = "Standardisation"
SOURCE = "I0T post-hoc (ACL 2025, arXiv 2412.14384)"
REFERENCE = "unit features less their modality's mean, over its standard deviation, dimension by dimension"

ROUNDING = 1e-12  # a standard deviation of unit features below this is no spread


def fit(
    image_features: Real[Features, "n d"] | None, text_features: Real[Features, "m d"] | None = None
) -> Correction:
    """Standardise every dimension of a modality's unit rows: less their mean, over their standard deviation.

    The plain reading of the paper's title. Its public code takes the mean away only and scales to unit length, which is
    `centering`; there a standard deviation enters in the trained variant alone, a batch normalisation a modality. A
    dimension that doesn't vary on the calibration set is centred and left at its scale.

    Args:
        image_features: `(n, d)` of a calibration set; None leaves images uncorrected.
        text_features: `(m, d)` of a calibration set; None leaves texts uncorrected.

    Raises:
        TypeError, ValueError: features that cannot be used, or none.
    """
    return fitted_each(_affine, image_features, text_features)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "standardisation", each_side(fit, *material.calibration())


def _affine(rows: Float64[np.ndarray, "n d"], _: Real[Features, "n d"]) -> tuple[Affine, dict[str, Any]]:
    deviation = rows.std(axis=0)
    varies = deviation > ROUNDING
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 1)
    return Affine(scale, centre=rows.mean(axis=0)), {"constant_dimensions": int((~varies).sum())}
