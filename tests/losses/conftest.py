from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, logsigmoid, normalize

from crossgap import losses

Batch = Callable[..., tuple[Tensor, Tensor]]
GIVEN_T = 0.5  # of the distillation


def given(n: int, d: int, phase: float, dtype: torch.dtype) -> Tensor:
    """Rows `(n, d)` that a loss compares with: sin(3 j + k + phase)."""
    j, k = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(d, dtype=torch.float64)
    return torch.sin(3 * j + k + phase).to(dtype if dtype == torch.float64 else torch.float32)


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

    def middles(x: Tensor, y: Tensor, _t=None, _b=None) -> Tensor:
        m = normalize(x + y, dim=1)
        return cross(m, m)

    def towards(x: Tensor, y: Tensor, _t=None, _b=None) -> Tensor:
        z = given(*x.shape, 0, x.dtype)
        return ((x - z) ** 2).mean() + ((y - z) ** 2).mean()

    def distilled(x: Tensor, y: Tensor, _t=None, _b=None) -> Tensor:
        total, (u, v) = 0.0, (given(len(x), 4, phase, x.dtype) for phase in (1, 2))
        for logits, taught in ((x @ y.T, u @ v.T), (y @ x.T, v @ u.T)):
            q = 0.5 * torch.eye(len(x), dtype=x.dtype) + 0.5 * (taught / GIVEN_T).softmax(dim=1)
            total = total + kl_div((logits / GIVEN_T).log_softmax(dim=1), q, reduction="batchmean")
        return GIVEN_T**2 * total / 2

    def distillation(x: Tensor, y: Tensor, _t=None, _b=None) -> Tensor:
        teacher = (given(len(x), 4, phase, x.dtype) for phase in (1, 2))
        return losses.hybrid_distillation(x, y, *teacher, temperature=GIVEN_T)

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
        "scaled_denominator": (
            lambda x, y, t, b: losses.scaled_denominator(x, y, t),
            lambda x, y, t, b: clip(x, y, t, b) - torch.tensor(len(x), dtype=x.dtype).log(),
        ),
        "centroid_uniformity": (lambda x, y, t, b: losses.centroid_uniformity(x, y), middles),
        "random_alignment": (
            lambda x, y, t, b: losses.random_alignment(x, y, given(*x.shape, 0, x.dtype)),
            towards,
        ),
        "hybrid_distillation": (distillation, distilled),
    }
