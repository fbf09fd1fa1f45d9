"""BASIC: centred images, of which the query alone is projected where subjects vary more than styles do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, real_number, unit_rows, whole_number
from crossgap.corrections.correction import Affine, Correction
from crossgap.corrections.material import Material
from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

TITLE = "BASIC"
SOURCE = "Instance-level composed image retrieval (arXiv 2510.25387, NeurIPS 2025)"
REFERENCE = "centred images, the query alone on directions in which subjects vary more than styles"
WEIGHT = 0.2  # of the styles
KEEP = 250


def fit(
    image_features: Real[Features, "n d"],
    subjects: Real[Features, "v d"],
    styles: Real[Features, "s d"],
    weight: float = WEIGHT,
    keep: int = KEEP,
) -> Correction:
    """Project on the leading eigenvectors of C = (1 − a) S₊ − a S₋ and take the means of both modalities away.

    S₊ and S₋ are the covariances of texts of subjects and of styles, unit rows, both about the mean of the subjects and
    divided by their number less 1; of C count the eigenvalues above 0. Images that are asked lose the mean of
    `image_features` and are projected; those of a gallery, and texts, lose their modality's mean alone (for texts that
    of the subjects). The paper ranks by the inner products of these features, as they are.

    Of its public code are left out: 1e-5, which is added to every entry of C, and the mean of LAION's images, in whose
    place stands that of the unit rows of `image_features`.

    Args:
        image_features: `(n, d)` of a calibration set; unit rows count.
        subjects: `(v, d)` names of things, two or more.
        styles: `(s, d)` names of what is to be left out: techniques, light, weather, places.
        weight: a, 0 to 1.
        keep: directions at most.

    Raises:
        TypeError, ValueError: features of no use, or of two widths; a weight outside [0, 1]; no direction to keep.
            `UnavailableError` where there are too few texts, or C has no eigenvalue above 0.
    """
    real_number(weight, "weight")
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}: give 0 to 1")
    whole_number(keep, "keep", 1)
    images = unit_rows(image_features, "image_features", np.float64)
    wanted, unwanted = unit_rows(subjects, "subjects", np.float64), unit_rows(styles, "styles", np.float64)
    for name, rows in (("subjects", wanted), ("styles", unwanted)):
        check_widths(images, rows, ("image_features", name))
        if len(rows) < 2:
            raise UnavailableError(f"{name} holds 1 row: give at least 2 to fit on")
    centre = wanted.mean(axis=0)
    values, vectors = np.linalg.eigh(
        (1 - weight) * _about(wanted, centre) - weight * _about(unwanted, centre)
    )
    # what rounding leaves of directions in which neither varies is no eigenvalue above 0
    above = int((values > len(centre) * np.finfo(np.float64).eps).sum())
    if not above:
        raise UnavailableError("no direction in which the subjects vary more than the styles")
    kept = vectors[:, ::-1][:, : min(keep, above)]
    ones = np.ones(len(centre))
    queries, gallery = (Affine(held, images.mean(axis=0)) for held in (kept @ kept.T, ones))
    return Correction(
        {"image": queries, "text": Affine(ones, centre)},
        {"subjects": len(wanted), "styles": len(unwanted), "keep": kept.shape[1]},
        gallery={"image": gallery},
        similarity="dot",
    )


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    images, _ = material.calibration()
    subjects = material.vocabularies()[""]
    if images is None:
        raise UnavailableError("no two images to take the mean of")
    if isinstance(subjects, UnavailableError):
        raise subjects
    if material.styles is None or len(material.styles) < 2:
        raise UnavailableError("no texts of styles")
    yield "basic", fit(images, subjects, material.styles)


def _about(rows: Float64[np.ndarray, "n d"], centre: Float64[np.ndarray, " d"]) -> Float64[np.ndarray, "d d"]:
    """The rows' covariance about a centre that need not be their mean."""
    rows = rows - centre
    return rows.T @ rows / (len(rows) - 1)
