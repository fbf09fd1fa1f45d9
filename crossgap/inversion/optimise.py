"""The optimisation that OTI and OVI share (Cross the Gap, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from crossgap.backbones.settings import own_settings
from crossgap.inversion.captured import captured, worth_capturing
from crossgap.inversion.lbfgs import Lbfgs, Standing
from crossgap.inversion.recipes import Recipe

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64


@dataclass(frozen=True)
class Optimised:
    """What became of a batch of n items, on the device of their targets.

    Attributes:
        tokens: `(n, t, width)`.
        features: `(n, d)`, of the tokens; not normalised.
        losses: `(n,)`, 1 − cosine to the targets; not finite where an item's optimisation broke down.
        steps: `(n,)` int64, the updates each item got.
        snapshots: `(n, s, d)`, features at each step of `recipe.reached`; after an item stopped, its last.
        snapshot_losses: `(n, s)`.
        snapshot_tokens: `(n, s, t, width)`, with s = 0 unless the recipe asks for them.
    """

    tokens: Float[Tensor, "n t width"]
    features: Float[Tensor, "n d"]
    losses: Float[Tensor, " n"]
    steps: Int64[Tensor, " n"]
    snapshots: Float[Tensor, "n s d"]
    snapshot_losses: Float[Tensor, "n s"]
    snapshot_tokens: Float[Tensor, "n kept t width"]


@own_settings()
def optimise(
    encode: Callable[[Tensor], Tensor],
    targets: Float[Tensor, "n d"],
    initial: Float[Tensor, "n t width"],
    recipe: Recipe,
) -> Optimised:
    """Move pseudo-tokens until their features point where the targets do.

    The loss is a sum over items, AdamW works element by element and L-BFGS item by item, so that no item depends on the
    others of its batch: not even on one whose loss is not finite. The batch keeps its shape until its last item has
    stopped, since a smaller one may be computed in other bits.

    Args:
        encode: `(n, t, width)` pseudo-tokens → `(n, d)` features; differentiable.
        targets: `(n, d)` features of the other modality.
        initial: `(n, t, width)`.
    """
    rows = torch.arange(len(targets), device=targets.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    tokens = initial.clone().requires_grad_()
    optimiser = Lbfgs(tokens, targets.shape[1]) if recipe.optimiser == "lbfgs" else _AdamW(tokens, recipe)
    best, since = torch.full_like(targets[:, 0], torch.inf), torch.zeros_like(rows)
    trace = _Trace(targets, initial, recipe)
    passes: Callable[[], tuple[torch.Tensor, ...]] = partial(_passes, encode, targets, tokens)
    if worth_capturing(encode, targets.device, recipe.steps):
        passes = captured(passes, targets.device)
    for step in range(recipe.steps):
        held, features, losses, _ = optimiser.at(*passes())
        trace.at(step, going, rows, held, features, losses)
        if recipe.patience is not None:
            fell = losses < best - recipe.tolerance
            best, since = torch.where(fell, losses.detach(), best), torch.where(fell, step, since)
            stops = going & (step - since >= recipe.patience)
            going = going & ~stops
            if stops.any():
                trace.end(step, *(of_all[stops] for of_all in (rows, held, features, losses)))
                if not going.any():
                    break
        optimiser.move()
    if going.any():
        with torch.no_grad():
            features = encode(tokens).float()
            losses = 1 - cosine_similarity(features, targets)
            held, features, losses, _ = optimiser.last(features, losses)
            trace.end(recipe.steps, *(of_all[going] for of_all in (rows, held, features, losses)))
    return trace.optimised


def _passes(
    encode: Callable[[Tensor], Tensor], targets: Float[Tensor, "n d"], tokens: Float[Tensor, "n t width"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"], Float[Tensor, "n t width"]]:
    """Features, losses and the gradient of their sum by the tokens."""
    features = encode(tokens).float()
    losses = 1 - cosine_similarity(features, targets)
    (gradient,) = torch.autograd.grad(losses.sum(), tokens)
    return features, losses, gradient


class _AdamW:
    """AdamW, as `Lbfgs` is called: an item is wherever the last step led."""

    def __init__(self, tokens: Float[Tensor, "n t width"], recipe: Recipe) -> None:
        self.tokens = tokens
        self.adamw = torch.optim.AdamW([tokens], lr=recipe.lr, weight_decay=recipe.weight_decay)

    def at(
        self,
        features: Float[Tensor, "n d"],
        losses: Float[Tensor, " n"],
        gradient: Float[Tensor, "n t width"],
    ) -> Standing:
        self.tokens.grad = gradient
        return Standing(self.tokens, features, losses, gradient)

    def move(self) -> None:
        self.adamw.step()

    def last(self, features: Float[Tensor, "n d"], losses: Float[Tensor, " n"]) -> Standing:
        return Standing(self.tokens, features, losses, self.tokens)


class _Trace:
    """Fills in what becomes of each item of a batch, of whose items some stop before others."""

    def __init__(
        self, targets: Float[Tensor, "n d"], initial: Float[Tensor, "n t width"], recipe: Recipe
    ) -> None:
        n, snapshots = len(targets), len(recipe.reached)
        self.reached = recipe.reached
        self.keeps_tokens = recipe.snapshot_tokens
        self.optimised = Optimised(
            tokens=torch.empty_like(initial),
            features=torch.empty_like(targets),
            losses=targets.new_empty(n),
            steps=torch.empty(n, dtype=torch.int64, device=targets.device),
            snapshots=targets.new_empty(n, snapshots, targets.shape[1]),
            snapshot_losses=targets.new_empty(n, snapshots),
            snapshot_tokens=initial.new_empty(n, snapshots if self.keeps_tokens else 0, *initial.shape[1:]),
        )

    @torch.no_grad()
    def at(self, step: int, going: Bool[Tensor, " n"], *all_items: Tensor) -> None:
        """Keep a snapshot of the items that go on, if one is due; of all items: rows, tokens, features, losses."""
        if step in self.reached:
            self._keep(self.reached.index(step), *(held[going] for held in all_items))

    @torch.no_grad()
    def end(
        self,
        step: int,
        rows: Int64[Tensor, " n"],
        tokens: Float[Tensor, "n t width"],
        features: Float[Tensor, "n d"],
        losses: Float[Tensor, " n"],
    ) -> None:
        """The last of these items, which stands for them at the snapshots from here on."""
        for number, reached in enumerate(self.reached):
            if reached >= step:
                self._keep(number, rows, tokens, features, losses)
        for held, last in (("tokens", tokens), ("features", features), ("losses", losses), ("steps", step)):
            getattr(self.optimised, held)[rows] = last

    def _keep(
        self,
        number: int,
        rows: Int64[Tensor, " n"],
        tokens: Float[Tensor, "n t width"],
        features: Float[Tensor, "n d"],
        losses: Float[Tensor, " n"],
    ) -> None:
        self.optimised.snapshots[rows, number] = features
        self.optimised.snapshot_losses[rows, number] = losses
        if self.keeps_tokens:
            self.optimised.snapshot_tokens[rows, number] = tokens
