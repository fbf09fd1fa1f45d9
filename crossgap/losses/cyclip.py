"""CyCLIP's two terms (Goel et al., NeurIPS 2022): similarities that agree inside and across the modalities.

As in its public code (`get_loss` of goel-shashank/CyCLIP), where the mean over the pairs is multiplied by the batch
size: sums over all pairs by n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossgap.losses.checks import unit_pair
from crossgap.losses.pairs import sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float


def cyclic_in_modal(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """1/n Σ_jk (I_j·I_k − T_j·T_k)² of matching unit rows `(n, d)`.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    return _mean_of_rows(torch.cat([images, texts], dim=1), torch.cat([images, -texts], dim=1))


def cyclic_cross_modal(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """1/n Σ_jk (I_j·T_k − I_k·T_j)² of matching unit rows `(n, d)`.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    return _mean_of_rows(torch.cat([images, texts], dim=1), torch.cat([texts, -images], dim=1))


def _mean_of_rows(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    return sum_over_pairs(_squares, x, y) / len(x)


def _squares(block: Float[Tensor, "rows n"], _start: int) -> Float[Tensor, ""]:
    flat = block.flatten()
    total = flat @ flat
    block.mul_(2)
    return total
