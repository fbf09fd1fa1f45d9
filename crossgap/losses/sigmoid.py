"""SigLIP's loss (Zhai et al., ICCV 2023, algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossgap.losses.checks import finite, positive, unit_pair
from crossgap.losses.pairs import sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float


def siglip(
    images: Float[Tensor, "n d"],
    texts: Float[Tensor, "n d"],
    temperature: float | Float[Tensor, ""],
    bias: float | Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """−1/n Σ_jk log σ(z_jk (I_j·T_k / temperature + bias)), where z is 1 for a pair that matches, else −1.

    Args:
        images, texts: matching unit rows `(n, d)`.
        temperature: positive; as a tensor it may learn, as may the bias.

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = unit_pair(images, texts)
    scale = 1 / positive(temperature, "temperature")
    bias = torch.as_tensor(finite(bias, "bias"), dtype=images.dtype, device=images.device)
    x = torch.cat([images * scale, bias.expand(len(images), 1)], dim=1)
    y = torch.cat([texts, texts.new_ones(len(texts), 1)], dim=1)
    return sum_over_pairs(_log_sigmoid, x, y) / len(images)


def _log_sigmoid(block: Float[Tensor, "rows n"], start: int) -> Float[Tensor, ""]:
    """Σ −log σ(±l) = Σ log(1 + exp l) − Σ l of those that match; its gradient is σ(l), less 1 where they match."""
    matching = block.diagonal(start).sum()
    total = torch.logaddexp(block, block.new_zeros(()), out=block).sum()
    block.neg_().expm1_().neg_().diagonal(start).sub_(1)  # σ(l) = 1 − exp(−log(1 + exp l))
    return total - matching
