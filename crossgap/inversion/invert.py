"""OTI and OVI on arrays: batches of features in, tokens and inverted features out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from crossgap.backbones.backbone import Backbone, BackboneError
from crossgap.backbones.injection import Injection, PseudoPatches, PseudoText
from crossgap.inversion.noise import initial_tokens
from crossgap.inversion.optimise import Recipe, optimise


@dataclass(frozen=True)
class Inversion:
    """Inverted features.

    Attributes:
        tokens: `(n, t, width)` float32, the learned pseudo-tokens or pseudo-patches.
        features: `(n, d)` float32, their features in the other modality, not normalised.
        losses: `(n,)` float32, 1 − cosine to the features that were inverted.
    """

    tokens: np.ndarray
    features: np.ndarray
    losses: np.ndarray


def oti(
    features: np.ndarray | torch.Tensor,
    backbone: Backbone,
    steps: int = 150,
    tokens: int = 1,
    template: str = "a photo of {}",
    ids: Sequence[str] | None = None,
    seed: int = 0,
    *,
    lr: float = 0.02,
    weight_decay: float = 0.01,
    batch_size: int = 256,
    progress: bool = True,
) -> Inversion:
    """Optimisation-based Textual Inversion (Cross the Gap, section 4.1).

    Args:
        features: `(n, d)` image features of this backbone; normalisation makes no difference.
        tokens: R, pseudo-tokens put in place of `{}` in the template.
        ids: one unique name an item; an item's result depends on its name, the seed and the recipe, not on its
            batch. Row numbers if not given.

    Raises:
        ValueError: features that are not finite, of another width, or ids that don't match them.
        BackboneError: a text tower that can't take pseudo-tokens, or a template that doesn't fit.
    """
    recipe = Recipe(steps, lr, weight_decay, seed)
    return _invert(
        features, backbone, PseudoText(backbone, template, tokens), recipe, ids, batch_size, progress
    )


def ovi(
    features: np.ndarray | torch.Tensor,
    backbone: Backbone,
    steps: int = 1000,
    patches: int = 1,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    *,
    lr: float = 0.02,
    weight_decay: float = 0.01,
    batch_size: int = 256,
    progress: bool = True,
) -> Inversion:
    """Optimisation-based Visual Inversion (Cross the Gap, section 4.2).

    Args:
        features: `(n, d)` text features of this backbone; normalisation makes no difference.
        patches: P, pseudo-patches upsampled to the patch grid.
        ids: as in `oti`.

    Raises:
        ValueError: as `oti`.
        BackboneError: a vision tower without patch tokens, or more pseudo-patches than patches.
    """
    recipe = Recipe(steps, lr, weight_decay, seed)
    return _invert(features, backbone, PseudoPatches(backbone, patches), recipe, ids, batch_size, progress)


def _invert(
    features: np.ndarray | torch.Tensor,
    backbone: Backbone,
    injection: Injection,
    recipe: Recipe,
    ids: Sequence[str] | None,
    batch_size: int,
    progress: bool,
) -> Inversion:
    if isinstance(features, torch.Tensor):
        features = features.detach().float().cpu().numpy()
    features = np.asarray(features)
    ids = [str(row) for row in range(len(features))] if ids is None else [str(name) for name in ids]
    check_targets(features, ids, backbone)
    with tqdm(total=len(ids), unit="item", disable=not progress, dynamic_ncols=True) as bar:
        batches = list(batched(features, ids, backbone, injection, recipe, batch_size, bar.update))
    return Inversion(
        *(np.concatenate([getattr(b, name) for b in batches]) for name in ("tokens", "features", "losses"))
    )


def check_targets(features: np.ndarray, ids: Sequence[str], backbone: Backbone) -> None:
    """Errors that would otherwise show after hours: shape, width, values, names."""
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"features must be (n, d) with n > 0, not {features.shape}")
    if features.shape[1] != backbone.dim:
        raise BackboneError(
            f"features have width {features.shape[1]}, the backbone {backbone.provenance['model']!r} has "
            f"{backbone.dim}: they are another backbone's"
        )
    if len(ids) != len(features) or len(set(ids)) != len(ids):
        raise ValueError(
            f"{len(features)} features need as many unique ids; {len(set(ids))} unique of {len(ids)}"
        )
    for bad, what in (
        (~np.isfinite(features).all(axis=1), "not finite"),
        (~features.any(axis=1), "zero, which points nowhere"),
    ):
        if bad.any():
            names = ", ".join(ids[row] for row in np.flatnonzero(bad)[:5])
            raise ValueError(f"{bad.sum()} features are {what}, of items {names}")


def batched(
    features: np.ndarray,
    ids: Sequence[str],
    backbone: Backbone,
    injection: Injection,
    recipe: Recipe,
    batch_size: int,
    advance: Callable[[int], None],
) -> Iterator[Inversion]:
    """Invert batch by batch; `advance` is told how many items each one finished."""
    for start in range(0, len(ids), batch_size):
        names = ids[start : start + batch_size]
        targets = torch.from_numpy(np.ascontiguousarray(features[start : start + batch_size], np.float32))
        initial = torch.from_numpy(initial_tokens(names, recipe.seed, injection.shape))
        tokens, inverted, losses = optimise(
            injection, targets.to(backbone.device), initial.to(backbone.device), recipe
        )
        yield Inversion(*(t.cpu().numpy() for t in (tokens, inverted, losses)))
        advance(len(names))
