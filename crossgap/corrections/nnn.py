"""NNN: a gallery item loses a share of its mean similarity to the queries of a bank that are nearest to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from crossgap.arrays import real_number, whole_number
from crossgap.corrections.correction import Correction
from crossgap.corrections.material import Material
from crossgap.corrections.scoring import banks, scored
from crossgap.metrics import hubness

if TYPE_CHECKING:
    from crossgap.arrays import Features

TITLE = "NNN"
SOURCE = "Nearest Neighbor Normalization (EMNLP 2024)"
REFERENCE = "similarity less 0.75 of the item’s mean similarity to its k nearest queries of a bank"
ALPHA = 0.75
NEAREST = (16, 64)  # queries of a bank, a variant each


def fit(banks: Mapping[str, Features], k: int = 64, alpha: float = ALPHA) -> Correction:
    """Score by s(q, g) − α · mean of the k greatest s(b, g) over the bank.

    Args:
        banks: by the queries' modality, `(b, d)`; of fewer than k queries all count.
        k: at least 1.
        alpha: from 0, as it is, to 1.

    Raises:
        TypeError, ValueError: banks that aren't by modality, or k or alpha out of range.
    """
    whole_number(k, "k", 1)
    real_number(alpha, "alpha")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}: give 0 to 1")
    return scored(partial(hubness.by_nearest, k=k, alpha=alpha), banks, {"k": k, "alpha": alpha})


def fits(material: Material) -> Iterator[tuple[str, Correction]]:
    held = banks(material)
    for k in NEAREST:
        yield f"nnn_{k}", fit(held, k)
