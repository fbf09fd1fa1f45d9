"""The optimisation that OTI and OVI share (Cross the Gap, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


@dataclass(frozen=True)
class Recipe:
    """AdamW on 1 − cosine, without schedule or regulariser.

    Attributes:
        steps: updates of the pseudo-tokens; the paper takes 150 for OTI and 1000 for OVI.
        lr, weight_decay: AdamW's; its other settings are PyTorch's.
        seed: of the initial noise.
    """

    steps: int
    lr: float = 0.02
    weight_decay: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, not {getattr(self, name)!r}")

    def as_dict(self) -> dict:
        return asdict(self)


def optimise(
    encode: Callable[[Tensor], Tensor], targets: Tensor, initial: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """Move pseudo-tokens until their features point where the targets do.

    The loss is a sum over items, so that no item's gradient depends on the others of its batch.

    Args:
        encode: `(n, t, width)` pseudo-tokens → `(n, d)` features; differentiable.
        targets: `(n, d)` features of the other modality.
        initial: `(n, t, width)`.

    Returns:
        The tokens `(n, t, width)`, their features `(n, d)` and the final losses 1 − cosine `(n,)`.
    """
    tokens = initial.clone().requires_grad_()
    optimiser = torch.optim.AdamW([tokens], lr=recipe.lr, weight_decay=recipe.weight_decay)
    for _ in range(recipe.steps):
        loss = (1 - cosine_similarity(encode(tokens).float(), targets)).sum()
        (tokens.grad,) = torch.autograd.grad(loss, tokens)
        optimiser.step()
    with torch.no_grad():
        features = encode(tokens).float()
        return tokens.detach(), features, 1 - cosine_similarity(features, targets)
