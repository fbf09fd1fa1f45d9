"""Uniformity (Wang and Isola, ICML 2020; It's Not a Modality Gap, section 4)."""

from __future__ import annotations

from torch import Tensor

from crossgap.losses.checks import unit_batch
from crossgap.losses.pairs import exp_off_diagonal, sum_over_pairs


def uniformity(x: Tensor) -> Tensor:
    """log mean_{j<k} exp(−2‖x_j − x_k‖²) of unit rows `(n, d)`: 0 is one point, lower is more spread out.

    The paper's L_Uniform is half the sum of the two modalities'.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    x = unit_batch(x)
    # of unit rows −2‖a − b‖² is 4 a·b − 4; the mean over j ≠ k is that over j < k
    return (sum_over_pairs(exp_off_diagonal, 4 * x, x) / (len(x) * (len(x) - 1))).log() - 4
