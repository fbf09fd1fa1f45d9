"""SLIP's term inside the images (Mu et al., ECCV 2022), which is SimCLR's NT-Xent (Chen et al., ICML 2020)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossgap.losses.checks import positive, unit_pair
from crossgap.losses.pairs import cross_entropy, sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float


def slip(
    first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], temperature: float | Float[Tensor, ""] = 0.1
) -> Float[Tensor, ""]:
    """The cross-entropy of finding each view's partner among the 2n − 1 other views, by cosine over temperature.

    Args:
        first, second: unit rows `(n, d)`, two views of each image.
        temperature: positive; as a tensor it may learn.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    first, second = unit_pair(first, second, ("first", "second"))
    scale, n = 1 / positive(temperature, "temperature"), len(first)

    def among_others(block: Float[Tensor, "rows views"], start: int) -> Float[Tensor, ""]:
        # partners lie on the diagonal, and a view itself n columns beside it
        for offset in (start + n, start - n):
            block.diagonal(offset).fill_(-math.inf)
        return cross_entropy(block, start)

    views, partners = torch.cat([first, second]), torch.cat([second, first])
    return sum_over_pairs(among_others, views * scale, partners) / (2 * n)
