"""Uniformity of the pairs' midpoints (ModGap: Grassucci et al., ICLR 2026, arXiv 2601.18525)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossgap.losses.checks import unit_pair
from crossgap.losses.pairs import exp_off_diagonal, sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float

SHORTEST = 1e-6  # of a midpoint that has a direction


def centroid_uniformity(
    images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], *, unit: bool = True
) -> Float[Tensor, ""]:
    """log mean_{j<k} exp(−2‖m_j − m_k‖²), where m_j is the midpoint of pair j: spreads out the pairs, each as one.

    Args:
        images, texts: matching unit rows `(n, d)`.
        unit: midpoints are made unit, as in the public code; else they are taken as they are.

    Raises:
        TypeError, ValueError: see `checks`; or midpoints are to be unit, and that of an opposite pair has no direction.
    """
    images, texts = unit_pair(images, texts)
    middles = (images + texts) / 2
    if unit:
        lengths = torch.linalg.vector_norm(middles, dim=1, keepdim=True)
        if lengths.detach().amin() < SHORTEST:
            raise ValueError(
                f"images, texts: pair {int(lengths.argmin())} is opposite, and its midpoint has no direction; "
                "give pairs that are not, or unit=False"
            )
        middles = middles / lengths
    squares, ones = -2 * middles.square().sum(dim=1, keepdim=True), torch.ones_like(middles[:, :1])
    x, y = torch.cat([4 * middles, squares, ones], dim=1), torch.cat([middles, ones, squares], dim=1)
    return (sum_over_pairs(exp_off_diagonal, x, y) / (len(x) * (len(x) - 1))).log()
