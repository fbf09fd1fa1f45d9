"""Inverted softmax: similarities are normalised over a bank of queries instead of over the gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.corrections.scoring import banks, scored
from crossgap.metrics import hubness
from crossgap.metrics.retrieval.bias import Bias

if TYPE_CHECKING:
    from jaxtyping import Int64, Real

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
        ValueError: beta out of range.
    """
    return scored(partial(_bias, beta=checked(beta)), banks, {"beta": beta})


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    yield "inverted_softmax", fit(banks(material))


def checked(beta: float) -> float:
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta is {beta}: give a number above 0")
    return beta


def _bias(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    bank: Real[Features, "b d"],
    left_out: Int64[np.ndarray, " n"] | None,
    *,
    beta: float,
) -> Bias:
    return Bias(np.ones(len(queries), bool), hubness.softmax_bank(gallery, bank, beta))
