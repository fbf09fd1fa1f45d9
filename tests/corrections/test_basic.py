"""BASIC against its definition, written out entry by entry."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.corrections import Material, UnavailableError, basic, fitted
from tests.rows import cloud, unit

IMAGES, SUBJECTS, STYLES = cloud(0), cloud(1), 0.5 * cloud(2, 30)


def contrast(a: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """(1 − a) S₊ − a S₋, summed over rows, and the subjects' mean."""
    wanted, unwanted = unit(SUBJECTS), unit(STYLES)
    centre = wanted.mean(axis=0)
    plus = sum(np.outer(row - centre, row - centre) for row in wanted) / (len(wanted) - 1)
    minus = sum(np.outer(row - centre, row - centre) for row in unwanted) / (len(unwanted) - 1)
    return (1 - a) * plus - a * minus, centre


@pytest.mark.parametrize(("keep", "weight"), [(250, 0.2), (2, 0.2), (250, 0.5), (250, 0)])
def test_the_query_alone_is_projected_on_eigenvectors_above_0(keep, weight):
    matrix, centre = contrast(weight)
    values, vectors = np.linalg.eig(matrix)
    order = [place for place in np.argsort(-values) if values[place] > 1e-12][:keep]
    projection = vectors[:, order] @ vectors[:, order].T
    correction = basic.fit(IMAGES, SUBJECTS, STYLES, weight, keep)
    queries = cloud(3, 5)
    mean = unit(IMAGES).mean(axis=0)
    np.testing.assert_allclose(
        correction.apply(queries, "image"), (unit(queries) - mean) @ projection, atol=1e-9
    )
    for side in ("query", "gallery"):
        np.testing.assert_allclose(
            correction.apply(queries, "text", side), unit(queries) - centre, atol=1e-12
        )
    np.testing.assert_allclose(
        correction.apply(queries, "image", "gallery"), unit(queries) - mean, atol=1e-12
    )
    assert correction.parameters == {"subjects": 40, "styles": 30, "keep": len(order)}
    assert correction.similarity == "dot"
    assert len(order) == (8 if weight == 0 else min(keep, len(order))) and (weight == 0 or len(order) < 8)


def test_directions_that_neither_text_has_are_not_kept():
    def flat(rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, 4)))

    correction = basic.fit(flat(IMAGES), flat(SUBJECTS), flat(STYLES), 0)
    assert correction.parameters["keep"] == 8
    assert not correction.apply(flat(IMAGES), "image")[:, 8:].any()


def test_what_it_cant_be_fitted_on():
    with pytest.raises(ValueError, match=r"weight is 1\.5: give 0 to 1"):
        basic.fit(IMAGES, SUBJECTS, STYLES, 1.5)
    with pytest.raises(ValueError, match="keep is 0: give at least 1"):
        basic.fit(IMAGES, SUBJECTS, STYLES, keep=0)
    with pytest.raises(TypeError, match=r"keep is 1\.5: give a whole number from 1"):
        basic.fit(IMAGES, SUBJECTS, STYLES, keep=1.5)
    with pytest.raises(ValueError, match="styles width 7"):
        basic.fit(IMAGES, SUBJECTS, STYLES[:, :7])
    with pytest.raises(UnavailableError, match="styles holds 1 row"):
        basic.fit(IMAGES, SUBJECTS, STYLES[:1])
    with pytest.raises(UnavailableError, match="no direction in which the subjects vary more"):
        basic.fit(IMAGES, SUBJECTS, STYLES, 1)
    cell = {"images": IMAGES, "vocabulary": SUBJECTS, "styles": STYLES}
    for missing, why in {
        "images": "no two images to take the mean of",
        "vocabulary": "no texts of bare concept names",
        "styles": "no texts of styles",
    }.items():
        found, reasons = fitted(Material(texts=cloud(5), **(cell | {missing: None})), ["basic"])
        assert not found and reasons == {"basic": why}
    found, _ = fitted(Material(**cell), ["basic"])
    np.testing.assert_array_equal(
        found["basic"].apply(STYLES, "image"), basic.fit(IMAGES, SUBJECTS, STYLES).apply(STYLES, "image")
    )


def test_directions_that_no_subject_varies_in_are_not_kept_for_their_rounding():
    correction = basic.fit(IMAGES, SUBJECTS[:4], STYLES, weight=0)
    assert correction.parameters["keep"] == 3
