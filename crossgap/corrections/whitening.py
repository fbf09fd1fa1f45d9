"""PCA whitening: each modality's features become uncorrelated and of variance 1."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap.arrays import real_number
from crossgap.corrections.correction import (
    Affine,
    Correction,
    each_side,
    fitted_each,
    principal_directions,
    rounding,
)
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

TITLE = "PCA whitening"
SOURCE = "Jégou and Chum (ECCV 2012); shrinkage by Ledoit and Wolf (2004)"
REFERENCE = (
    "unit features less their modality's mean, on its principal directions over their standard deviations"
)


ROUNDING = 1e-12  # a shrinkage below this is 0: rows on either side of their mean, as two rows always are


def fit(
    image_features: Real[Features, "n d"] | None,
    text_features: Real[Features, "m d"] | None = None,
    shrinkage: float | None = None,
) -> Correction:
    """Whiten each modality's unit rows by the covariance of a calibration set.

    The whitened rows are turned back to the axes of the joint space (ZCA: Kessy, Lewin and Strimmer, 2018), which
    changes no cosine inside a modality and leaves images and texts comparable.

    n items less their mean span at most n − 1 directions. Where no more items differ than there are dimensions,
    whitening those would leave nothing of their distances but how often each of them comes, so the covariance is
    shrunk.

    Args:
        image_features: `(n, d)` of a calibration set; None leaves images uncorrected.
        text_features: `(m, d)` of a calibration set; None leaves texts uncorrected.
        shrinkage: s from 0 to 1 in (1 − s) · covariance + s · mean variance · identity. With s = 0 the directions that
            the rows span are kept, with more all d. None: 0 where more items differ than there are dimensions, else
            Ledoit and Wolf's.

    Raises:
        TypeError, ValueError: features that cannot be used, or none; `UnavailableError` for rows that are all the same,
            or at two points.
    """
    if shrinkage is not None:
        real_number(shrinkage, "shrinkage")
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage is {shrinkage}: give 0 to 1, or None")
    return fitted_each(partial(_affine, shrinkage=shrinkage), image_features, text_features)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "whitening", each_side(fit, *material.calibration())


def _affine(
    rows: Float64[np.ndarray, "n d"], features: Real[Features, "n d"], shrinkage: float | None
) -> tuple[Affine, dict[str, Any]]:
    variances, directions, rank = principal_directions(rows, True, rounding(features, "features"))
    if rank == 0:
        raise UnavailableError(
            "features that are all the same can't be whitened: give a calibration set that varies"
        )
    if shrinkage is None:
        width = rows.shape[1]
        shrinkage = 0.0 if rank == width or len(np.unique(rows, axis=0)) > width else _ledoit_wolf(rows)
    kept = len(variances) if shrinkage else rank
    shrunk = (1 - shrinkage) * variances.clip(0) + shrinkage * variances.mean()
    kept_directions = directions[:, :kept]
    matrix = kept_directions / np.sqrt(shrunk[:kept]) @ kept_directions.T
    return Affine(matrix, centre=rows.mean(axis=0)), {"components": kept, "shrinkage": shrinkage}


def _ledoit_wolf(rows: Float64[np.ndarray, "n d"]) -> float:
    from sklearn.covariance import ledoit_wolf_shrinkage

    found = float(ledoit_wolf_shrinkage(rows))
    if found <= ROUNDING:
        raise UnavailableError(
            f"{len(rows)} features at two points leave nothing to estimate the shrinkage from: give a third"
        )
    return found
