"""CLIP-Refine's two terms (Yamaguchi et al., CVPR 2025, arXiv 2504.12717), on features as a tower gives them.

As in its public code: the features are not made unit, and similarities are their dot products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossgap.losses.checks import matching_batches, positive
from crossgap.losses.pairs import OfBlock, sum_over_pairs

if TYPE_CHECKING:
    from jaxtyping import Float

TRUTH = 0.5  # α, of the targets


def random_alignment(
    images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], reference: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """mean (I − R)² + mean (T − R)² over all numbers: both sides of a pair are drawn to one random point.

    Args:
        images, texts: matching rows `(n, d)` of any length.
        reference: `(n, d)`, drawn anew at each step from N(0, 1).

    Raises:
        TypeError, ValueError: see `checks`.
    """
    images, texts = matching_batches(images, texts)
    _, reference = matching_batches(images, reference, ("images", "reference"))
    return (images - reference).square().mean() + (texts - reference).square().mean()


def hybrid_distillation(
    images: Float[Tensor, "n d"],
    texts: Float[Tensor, "n d"],
    teacher_images: Float[Tensor, "n e"],
    teacher_texts: Float[Tensor, "n e"],
    temperature: float = 1.0,
    truth: float = TRUTH,
) -> Float[Tensor, ""]:
    """t²/n Σ_j KL(q_j ‖ softmax_k(I_j·T_k / t)), mean of both directions; q_j = α e_j + (1 − α) the teacher's softmax.

    Args:
        images, texts: matching rows `(n, d)` of any length.
        teacher_images, teacher_texts: the same items' rows `(n, e)` by the model before the training; they get no
            gradient.
        temperature: t, of both.
        truth: α, from 0, the teacher alone, to 1, the pairs alone.

    Raises:
        TypeError, ValueError: see `checks`; or `truth` is outside [0, 1], or the teacher has another number of rows.
    """
    images, texts = matching_batches(images, texts)
    taught = matching_batches(teacher_images, teacher_texts, ("teacher_images", "teacher_texts"))
    taught = [rows.detach().to(images.dtype) for rows in taught]
    if len(taught[0]) != len(images):
        raise ValueError(
            f"teacher_images has {len(taught[0])} rows and images {len(images)}: give the teacher's of the same items"
        )
    if not 0 <= truth <= 1:
        raise ValueError(f"truth is {truth:g}: give a share of the targets, from 0 to 1")
    positive(temperature, "temperature")
    total = images.new_zeros(())
    for rows, columns, of_rows, of_columns in ((images, texts, *taught), (texts, images, *reversed(taught))):
        of_block = _divergence(of_rows / temperature, of_columns, truth)
        total = total + sum_over_pairs(of_block, rows / temperature, columns)
    return total * temperature**2 / (2 * len(images))


def _divergence(rows: Float[Tensor, "n e"], columns: Float[Tensor, "n e"], truth: float) -> OfBlock:
    """Σ KL(q ‖ p) over the block's rows, p their softmax; its gradient by the block is p − q."""

    def of_block(block: Float[Tensor, "rows n"], start: int) -> Float[Tensor, ""]:
        target = rows[start : start + len(block)] @ columns.T
        target.sub_(target.amax(dim=1, keepdim=True)).exp_()
        target.div_(target.sum(dim=1, keepdim=True)).mul_(1 - truth).diagonal(start).add_(truth)
        certainty = torch.xlogy(target, target).sum()
        highest = block.amax(dim=1)
        block.sub_(highest[:, None])
        expected = target.flatten() @ block.flatten()
        sums = block.exp_().sum(dim=1)
        block.div_(sums[:, None]).sub_(target)
        return certainty + sums.log().sum() - expected

    return of_block
