"""QB-Norm: the inverted softmax for those queries alone whose first item is the first of a bank’s query too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from crossgap.corrections.correction import Correction
from crossgap.corrections.inverted_softmax import BETA
from crossgap.corrections.material import Material
from crossgap.corrections.scoring import banks, by_softmax
from crossgap.metrics import hubness

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64, Real

    from crossgap.arrays import Features

TITLE = "QB-Norm"
SOURCE = "Querybank Normalisation, DIS (CVPR 2022)"
REFERENCE = "inverted softmax where a query’s first item is that of a query of the bank, else the similarity"


def fit(banks: Mapping[str, Features], beta: float = BETA) -> Correction:
    """Dynamic inverted softmax, k = 1: score by β s(q, g) − ln Σ_b exp(β s(b, g)) where the most similar item of a
    query is in the activation set, the items that are most similar to some query of the bank; else by s.

    Args:
        banks: by the queries' modality, `(b, d)`.
        beta: inverse temperature, above 0.

    Raises:
        TypeError, ValueError: banks that aren't by modality, or beta out of range.
    """
    return by_softmax(banks, beta, _activated)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "qb_norm", fit(banks(material))


def _activated(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    bank: Real[Features, "b d"],
    left_out: Int64[np.ndarray, " n"] | None,
    of_bank: Int64[np.ndarray, " b"] | None,
) -> Bool[np.ndarray, " n"]:
    """Queries whose first item is the first of some query of the bank."""
    activation = hubness.firsts(bank, gallery) if of_bank is None else of_bank
    return np.isin(hubness.firsts(queries, gallery, left_out), activation)
