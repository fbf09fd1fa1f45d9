"""Uniformity and alignment on the unit sphere (Wang and Isola, ICML 2020), also across the modalities.

Across the modalities: It's Not a Modality Gap (arXiv 2405.18570), section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from crossgap.losses.checks import unit_batch, unit_pair
from crossgap.losses.pairs import exp_off_diagonal, sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float


def uniformity(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """log mean_{j<k} exp(−2‖x_j − x_k‖²) of unit rows `(n, d)`: 0 is one point, lower is more spread out.

    The paper's L_Uniform is half the sum of the two modalities'.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    x = unit_batch(x)
    # of unit rows −2‖a − b‖² is 4 a·b − 4; the mean over j ≠ k is that over j < k
    return (sum_over_pairs(exp_off_diagonal, 4 * x, x) / (len(x) * (len(x) - 1))).log() - 4


def cross_uniformity(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """log mean_{j≠k} exp(−2‖I_j − T_k‖²) of matching unit rows `(n, d)`, from −8 to 0: drives apart what doesn't match.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    # of unit rows −2‖a − b‖² is 4 a·b − 4
    total = sum_over_pairs(exp_off_diagonal, 4 * images, texts)
    return (total / (len(images) * (len(images) - 1))).log() - 4


def alignment(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """mean_j ‖I_j − T_j‖² of matching unit rows `(n, d)`: from 0 to 4.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    return (images - texts).square().sum() / len(images)
