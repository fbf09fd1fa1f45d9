"""Modality centring: each modality's mean is taken away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap.corrections.correction import Affine, Correction, each_side, fitted_each
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

TITLE = "Modality centring"
SOURCE = "GR-CLIP (arXiv 2507.19054)"
REFERENCE = "unit features less the mean of their modality on a calibration set"
ROUNDING = 1e-3  # of a published mean's length, as of half precision


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


def of_means(means: Mapping[str, Real[np.ndarray, " d"]]) -> Correction:
    """Take away means that were published without the features that they are of.

    Args:
        means: "image", "text" → `(d,)`, of unit features: no longer than 1.

    Raises:
        UnavailableError: a mean that can't be one of unit features.
    """
    maps = {}
    for modality, mean in means.items():
        length = float(np.linalg.norm(np.asarray(mean, np.float64)))
        if np.ndim(mean) != 1 or not length <= 1 + ROUNDING:
            raise UnavailableError(
                f"the {modality} mean has shape {np.shape(mean)} and length {length:.4g}: give one vector, the mean of "
                "features of unit length, which is at most 1 long"
            )
        maps[modality] = Affine(np.ones(len(mean)), centre=np.asarray(mean, np.float64))
    return Correction(maps, {modality: {"published mean": "given"} for modality in maps})


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    published = of_means(material.means)
    try:
        held = material.calibration()
    except UnavailableError:
        if not published.maps:
            raise
        held = None, None
    yield "centering", each_side(fit, *held, given=published)


def _affine(rows: Float64[np.ndarray, "n d"], _: Real[Features, "n d"]) -> tuple[Affine, dict[str, Any]]:
    return Affine(np.ones(rows.shape[1]), centre=rows.mean(axis=0)), {}
