"""Inverted softmax: similarities are normalised over a bank of queries instead of over the gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.corrections.scoring import banks, by_softmax

if TYPE_CHECKING:
    from crossgap.arrays import Features

TITLE = "Inverted softmax"
SOURCE = "Smith et al. (ICLR 2017)"
REFERENCE = "20 times the similarity, less the log of its exponential’s sum over a bank of queries"
BETA = 20.0  # the inverse temperature of QB-Norm's code


def fit(banks: Mapping[str, Features], beta: float = BETA) -> Correction:
    """Score by β s(q, g) − ln Σ_b exp(β s(b, g)) over the bank.

    Args:
        banks: by the queries' modality, `(b, d)`.
        beta: inverse temperature, above 0.

    Raises:
        TypeError, ValueError: banks that aren't by modality, or beta out of range.
    """
    return by_softmax(banks, beta)


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "inverted_softmax", fit(banks(material))
