"""OTI and OVI on arrays: features in, tokens and inverted features out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from crossgap.arrays import item_names, real_array, whole_number
from crossgap.backbones.backbone import Backbone, require_backbone
from crossgap.backbones.batches import filled
from crossgap.backbones.injection import Injection
from crossgap.backbones.settings import own_settings
from crossgap.errors import BackboneError
from crossgap.inversion.batch_size import MOST, fitting
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.noise import initial_tokens
from crossgap.inversion.optimise import optimise
from crossgap.inversion.recipes import Recipe, asked

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, Real

    from crossgap.arrays import Features


@dataclass(frozen=True)
class Inversion:
    """Inverted features.

    Attributes:
        tokens: `(n, t, width)` float32, the learned pseudo-tokens or pseudo-patches.
        features: `(n, d)` float32, their features in the other modality, not normalised.
        losses: `(n,)` float32, 1 − cosine to the features that were inverted; not finite where it broke down.
        steps: `(n,)` int64, the updates each item got: the recipe's unless it stopped early.
        snapshots: `(n, s, d)` float32, features at each of the snapshots that the recipe reaches.
        snapshot_losses: `(n, s)` float32.
        snapshot_tokens: `(n, s, t, width)` float32; s = 0 unless asked for.
    """

    tokens: Float32[np.ndarray, "n t width"]
    features: Float32[np.ndarray, "n d"]
    losses: Float32[np.ndarray, " n"]
    steps: Int64[np.ndarray, " n"]
    snapshots: Float32[np.ndarray, "n s d"]
    snapshot_losses: Float32[np.ndarray, "n s"]
    snapshot_tokens: Float32[np.ndarray, "n kept t width"]

    @classmethod
    def joined(cls, parts: Sequence[Inversion]) -> Inversion:
        """The items of all parts, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def oti(
    features: Real[Features, "n d"],
    backbone: Backbone,
    steps: int = 150,
    tokens: int = 1,
    template: str = "a photo of {}",
    ids: Sequence[str] | None = None,
    seed: int = 0,
    *,
    batch_size: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Inversion:
    """Optimisation-based Textual Inversion (Cross the Gap, section 4.1).

    Args:
        features: `(n, d)` image features of this backbone; normalisation makes no difference.
        tokens: R, pseudo-tokens put in place of `{}` in the template.
        ids: one unique name an item; an item's result depends on its name, the seed and the recipe, not on its
            batch. Row numbers if not given.
        batch_size: items optimised together; as many as fit if not given.
        settings: the other fields of `recipes.Recipe` by name, such as `lr` or `patience`.

    Raises:
        TypeError, ValueError: features that are not finite numbers, or of another width, ids that don't match them, a
            number of tokens or of items a batch that is no whole number from 1; `CrossgapError` for a setting that
            `Recipe` doesn't have, or that is out of range.
        BackboneError: a text tower that can't take pseudo-tokens, or a template that doesn't fit.
    """
    recipe = asked(steps, seed, settings)
    return inverted(Inverter(backbone, Oti(template, tokens), recipe, batch_size), features, ids, progress)


def ovi(
    features: Real[Features, "n d"],
    backbone: Backbone,
    steps: int = 1000,
    patches: int = 1,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    *,
    batch_size: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Inversion:
    """Optimisation-based Visual Inversion (Cross the Gap, section 4.2).

    Args:
        features: `(n, d)` text features of this backbone; normalisation makes no difference.
        patches: P, pseudo-patches spread over the patch grid.
        ids and the rest: as in `oti`. `ovi(features, backbone, **recipes.PRESETS["ovi"]["fast"])` is the preset `fast`.

    Raises:
        TypeError, ValueError: as `oti`.
        BackboneError: a vision tower without patch tokens, or more pseudo-patches than patches.
    """
    recipe = asked(steps, seed, settings)
    return inverted(Inverter(backbone, Ovi(patches), recipe, batch_size), features, ids, progress)


@dataclass
class Inverter:
    """Inverts items, batch by batch: what an engine calls, here or on another machine.

    A batch that is not full is filled up: an item's bits don't depend on its company.

    Attributes:
        batch_size: items a batch; as many as fit the device if not given.
        most: what is inverted at once has no more items, so that a larger batch would be filled up in vain.
        start: gives the tokens `(n, t, width)` that features `(n, d)` start from; noise does, if there is none.
    """

    backbone: Backbone
    method: Method
    recipe: Recipe
    batch_size: int | None = None
    most: int | None = None
    start: nn.Module | None = None

    @cached_property
    def injection(self) -> Injection:
        return self.method.inject(self.backbone)

    @cached_property
    def items_a_batch(self) -> int:
        size = self.batch_size or fitting(self.injection, self.backbone.device)
        return min(size, self.most or size)

    def __reduce__(self) -> tuple:
        # what is prepared for this machine stays here
        return Inverter, (self.backbone, self.method, self.recipe, self.batch_size, self.most, self.start)

    def to(self, device: str) -> Inverter:
        """The same on another device."""
        backbone = self.backbone.to(device)
        return replace(self, backbone=backbone, start=self.start and self.start.to(backbone.device))

    @own_settings()
    def __call__(
        self, ids: Sequence[str], features: Real[np.ndarray, "n d"], advance: Callable[[int], None]
    ) -> Inversion:
        """Invert `(n, d)` features; `advance` is told how many items each batch finished."""
        parts = []
        for start in range(0, len(ids), self.items_a_batch):
            rows = slice(start, start + self.items_a_batch)
            parts.append(self._batch(ids[rows], features[rows]))
            advance(len(ids[rows]))
        return Inversion.joined(parts)

    def _batch(self, ids: Sequence[str], features: Real[np.ndarray, "n d"]) -> Inversion:
        device = self.backbone.device
        targets = torch.from_numpy(of_one_size(features))
        whole = filled(targets, self.items_a_batch).to(device)
        found = optimise(self.injection, whole, self._initial(ids, whole), self.recipe)
        return Inversion(**{name: held[: len(ids)].cpu().numpy() for name, held in vars(found).items()})

    def _initial(self, ids: Sequence[str], targets: torch.Tensor) -> torch.Tensor:
        if self.start is not None:
            with torch.no_grad():
                return self.start(targets)
        noise = torch.from_numpy(initial_tokens(ids, self.recipe.seed, self.injection.shape))
        return filled(noise, self.items_a_batch).to(targets.device)


def of_one_size(features: Real[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Features times powers of two, so that their largest entries lie between ½ and 1: a cosine to them has the same
    digits, and keeps them where they are very long or very short.
    """
    peak = np.abs(features).max(axis=1, keepdims=True)
    return np.ascontiguousarray(np.ldexp(features, -np.frexp(peak)[1]), np.float32)


def inverted(
    inverter: Inverter, features: Real[Features, "n d"], ids: Sequence[str] | None, progress: bool
) -> Inversion:
    """`(n, d)` features by an inverter, with a bar of its progress.

    Raises:
        TypeError, ValueError: a batch size below 1, and as `named_targets`.
    """
    if inverter.batch_size is not None:
        whole_number(inverter.batch_size, "batch_size", 1)
    features, ids = named_targets(features, ids, inverter.backbone)
    if inverter.backbone.device.type == "cpu":
        inverter = replace(inverter, most=max(len(ids), MOST["cpu"]))
    with tqdm(total=len(ids), unit="item", disable=not progress, dynamic_ncols=True) as bar:
        return inverter(ids, features, bar.update)


def named_targets(
    features: Real[Features, "n d"], ids: Sequence[str] | None, backbone: Backbone
) -> tuple[Real[np.ndarray, "n d"], list[str]]:
    """Features as numpy has them, and their ids: row numbers, if none are given.

    Raises:
        TypeError: no backbone, no real numbers, or ids that are no list of names.
        ValueError: lists of unequal lengths, or an item without an id; and as `check_targets`.
    """
    require_backbone(backbone)
    array = real_array(features, "features")
    array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    names = item_names(range(len(array)) if ids is None else ids, len(array))
    check_targets(array, names, backbone)
    return array, names


def check_targets(features: Real[np.ndarray, "n d"], ids: Sequence[str], backbone: Backbone) -> None:
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
