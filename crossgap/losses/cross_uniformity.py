"""Uniformity across the modalities (It's Not a Modality Gap, section 4)."""

from __future__ import annotations

from torch import Tensor

from crossgap.losses.checks import unit_pair
from crossgap.losses.pairs import exp_off_diagonal, sum_over_pairs


def cross_uniformity(images: Tensor, texts: Tensor) -> Tensor:
    """log mean_{j≠k} exp(−2‖I_j − T_k‖²) of matching unit rows `(n, d)`, from −8 to 0: drives apart what doesn't match.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    # of unit rows −2‖a − b‖² is 4 a·b − 4
    total = sum_over_pairs(exp_off_diagonal, 4 * images, texts)
    return (total / (len(images) * (len(images) - 1))).log() - 4
