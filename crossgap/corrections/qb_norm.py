"""QB-Norm: the inverted softmax for those queries alone whose first item is the first of a bank’s query too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from crossgap.corrections.correction import Correction
from crossgap.corrections.inverted_softmax import BETA
from crossgap.corrections.material import Material
from crossgap.corrections.scoring import banks, by_softmax

if TYPE_CHECKING:
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
    return by_softmax(banks, beta, which=np.isin)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "qb_norm", fit(banks(material))
