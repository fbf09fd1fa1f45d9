"""A ridge map between the modalities, fitted on unlabelled pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.arrays import check_widths, real_number, unit_rows
from crossgap.corrections.correction import Affine, Correction, one_point
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features

TITLE = "Ridge map between modalities"
SOURCE = "ridge regression (Hoerl and Kennard 1970)"
REFERENCE = "the query as a ridge regression on unlabelled image-text pairs foresees its partner"

FEWEST = 3
PENALTIES = np.logspace(-6, 3, 10)


def fit(
    image_features: Real[Features, "p d"], text_features: Real[Features, "p d"], penalty: float | None = None
) -> Correction:
    """Map queries into the other modality by ridge regression between unit rows, with an intercept, each way.

    Args:
        image_features: `(p, d)`; row i and row i of `text_features` belong together, and no query is among them.
        text_features: `(p, d)`.
        penalty: α in ‖Y − XB‖² + α‖B‖². None: each way its own, that of the least squared error on pairs left out, of
            10 from 10⁻⁶ to 10³ times the mean eigenvalue of XᵀX. Pairs of one image, of equal `image_features`, are
            left out together: its other captions would tell what is asked (in closed form, without labels).

    Raises:
        TypeError, ValueError: features that cannot be used, or unequal row counts; `UnavailableError` for fewer than 3
            pairs, or a side that is all the same.
    """
    names = ("image_features", "text_features")
    images, texts = (
        unit_rows(x, name, np.float64) for x, name in zip((image_features, text_features), names, strict=True)
    )
    check_widths(images, texts, names)
    if len(images) != len(texts):
        raise ValueError(
            f"image_features has {len(images)} rows and text_features {len(texts)}: "
            f"give at least {FEWEST} pairs, row i of both belonging together"
        )
    if len(images) < FEWEST:
        raise UnavailableError(f"image_features has {len(images)} rows: give at least {FEWEST} pairs")
    if penalty is not None:
        real_number(penalty, "penalty")
        if not penalty > 0:
            raise ValueError(f"penalty is {penalty}: give a number above 0, or None")
    of_image = pd.factorize(np.array([row.tobytes() for row in images], object))[0]
    to_texts, image_penalty = _regression(images, texts, of_image, penalty)
    to_images, text_penalty = _regression(texts, images, of_image, penalty)
    parameters = {"pairs": len(images), "penalty": {"image": image_penalty, "text": text_penalty}}
    return Correction({"image": to_texts, "text": to_images}, parameters, sides="query")


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    if material.pairs is None or len(material.pairs[0]) < FEWEST:
        raise UnavailableError(f"fewer than {FEWEST} image-text pairs beside the queries")
    yield "ridge", fit(*material.pairs)


def _regression(
    x: Float64[np.ndarray, "p d"],
    y: Float64[np.ndarray, "p d"],
    groups: Int64[np.ndarray, " p"],
    penalty: float | None,
) -> tuple[Affine, float]:
    from sklearn.linear_model import Ridge

    if one_point(x):
        raise UnavailableError("pairs of which one side is all the same have no map: give pairs that differ")
    centre, shift = x.mean(axis=0), y.mean(axis=0)
    x, y = x - centre, y - shift
    if penalty is None:
        penalties = np.square(x).sum() / x.shape[1] * PENALTIES
        penalty = float(penalties[np.argmin(_errors_left_out(x, y, groups, penalties))])
    return Affine(Ridge(penalty).fit(x, y).coef_.T, centre, shift), penalty


def _errors_left_out(
    x: Float64[np.ndarray, "p d"],
    y: Float64[np.ndarray, "p d"],
    groups: Int64[np.ndarray, " p"],
    penalties: Float64[np.ndarray, " k"],
) -> list[float]:
    """The summed squared error on each group's pairs by a regression on all others, of each penalty.

    With H = 1/p + X (XᵀX + α)⁻¹ Xᵀ of centred X, that takes the pairs to their fitted values, and e the errors of
    these, a group G that is left out has the errors (I − H_GG)⁻¹ e_G (Cook and Weisberg, Residuals and Influence in
    Regression, 1982, section 3.6).
    """
    variances, directions = np.linalg.eigh(x.T @ x)
    turned = x @ directions
    target = turned.T @ y
    sizes = np.bincount(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.cumsum(sizes) - sizes
    alike = [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]
    found = []
    for penalty in penalties:
        shrunk = turned / (variances.clip(0) + penalty)
        errors = y - shrunk @ target
        total = 0.0
        for rows in alike:  # (groups, size)
            within = shrunk[rows] @ turned[rows].transpose(0, 2, 1) + 1 / len(x)
            total += np.square(np.linalg.solve(np.eye(rows.shape[1]) - within, errors[rows])).sum()
        found.append(float(total))
    return found
