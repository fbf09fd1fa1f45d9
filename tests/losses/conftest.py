from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from crossgap import losses

Batch = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def batch() -> Batch:
    """Two batches of unit rows that match a little."""

    def make(n: int, d: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        x, noise = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
        return normalize(x, dim=1).to(dtype), normalize(x + noise, dim=1).to(dtype)

    return make


@pytest.fixture(scope="session")
def terms() -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]]:
    """Term → the loss and its formula over whole matrices, both of (images, texts, temperature, bias)."""

    def distances(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, None] - y[None]).square().sum(dim=2)

    def off_diagonal(matrix: Tensor) -> Tensor:
        return matrix[~torch.eye(len(matrix), dtype=torch.bool)]

    def clip(x, y, t, _b):
        logits, at = x @ y.T / t, torch.arange(len(x))
        return (cross_entropy(logits, at) + cross_entropy(logits.T, at)) / 2

    def cross(x, y, _t=None, _b=None):
        return off_diagonal(distances(x, y)).mul(-2).exp().mean().log()

    def slip(x, y, t, _b):
        views, n = torch.cat([x, y]), len(x)
        logits = (views @ views.T / t).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
        return cross_entropy(logits, torch.arange(2 * n).roll(n))

    def siglip(x, y, t, b):
        signs = 2 * torch.eye(len(x), dtype=x.dtype) - 1
        return -logsigmoid(signs * (x @ y.T / t + b)).sum(dim=1).mean()

    def uniformity(x: Tensor, y: Tensor, _t=None, _b=None) -> Tensor:
        return (losses.uniformity(x) + losses.uniformity(y)) / 2

    return {
        "clip": (lambda x, y, t, b: losses.clip(x, y, t), clip),
        "uniformity": (uniformity, lambda x, y, t, b: (cross(x, x) + cross(y, y)) / 2),
        "cross_uniformity": (lambda x, y, t, b: losses.cross_uniformity(x, y), cross),
        "alignment": (
            lambda x, y, t, b: losses.alignment(x, y),
            lambda x, y, t, b: distances(x, y).diagonal().mean(),
        ),
        "slip": (lambda x, y, t, b: losses.slip(x, y, t), slip),
        "cyclic_in_modal": (
            lambda x, y, t, b: losses.cyclic_in_modal(x, y),
            lambda x, y, t, b: (x @ x.T - y @ y.T).square().sum(dim=1).mean(),
        ),
        "cyclic_cross_modal": (
            lambda x, y, t, b: losses.cyclic_cross_modal(x, y),
            lambda x, y, t, b: (x @ y.T - y @ x.T).square().sum(dim=1).mean(),
        ),
        "siglip": (losses.siglip, siglip),
    }
