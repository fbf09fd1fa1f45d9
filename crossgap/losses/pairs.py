"""Sums over all pairs of two batches that never hold more than one block of pairs.

A block is at most the batch × batch matrix, and of large batches a part of its rows. The gradients are taken block by
block together with the sum, so that nothing of a block is kept for the backward pass or computed again in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

ELEMENTS = 2**24  # of a block

OfBlock = Callable[[Tensor, int], Tensor]


def sum_over_pairs(of_block: OfBlock, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Σ of `of_block(x[rows] yᵀ, first row)` over blocks of rows; differentiable once.

    Args:
        of_block: gives a block's part of the sum, and leaves in the block, in place, the gradient of that part by each
            of its elements. Pair (j, j) lies on the block's diagonal at offset `first row`.
        x: `(n, d)`.
        y: `(m, d)`.
    """
    if not torch.is_grad_enabled():
        x, y = x.detach(), y.detach()
    return _SumOverPairs.apply(x, y, of_block)


def cross_entropy(block: Float[Tensor, "rows m"], start: int) -> Float[Tensor, ""]:
    """For `sum_over_pairs`: Σ_j (log Σ_k exp(block_jk) − block_jj)."""
    matching = block.diagonal(start).clone()
    highest = block.amax(dim=1)
    sums = block.sub_(highest[:, None]).exp_().sum(dim=1)
    block.div_(sums[:, None]).diagonal(start).sub_(1)
    return (sums.log_() + (highest - matching)).sum()


def exp_off_diagonal(block: Float[Tensor, "rows m"], start: int) -> Float[Tensor, ""]:
    """For `sum_over_pairs`: Σ_{j≠k} exp(block_jk), of elements that exp can't overflow."""
    block.exp_().diagonal(start).zero_()
    return block.sum()


class _SumOverPairs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], of_block: OfBlock
    ) -> Float[Tensor, ""]:
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        by_y = torch.zeros_like(y) if ctx.needs_input_grad[1] else None
        total = x.new_zeros(())
        size = max(1, ELEMENTS // len(y))
        with torch.autocast(x.device.type, enabled=False):
            for start in range(0, len(x), size):
                rows = x[start : start + size]
                block = rows @ y.T
                total += of_block(block, start)
                if by_x is not None:
                    torch.mm(block, y, out=by_x[start : start + size])
                if by_y is not None:
                    by_y.addmm_(block.T, rows)
                del block  # before the next one is made
        ctx.save_for_backward(by_x, by_y)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("losses over pairs are differentiable once: leave out create_graph=True")
        return *(None if by is None else gradient * by for by in ctx.saved_tensors), None
