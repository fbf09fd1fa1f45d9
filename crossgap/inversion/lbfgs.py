"""L-BFGS for a batch of small problems, each by itself: steps that follow the curvature of each item's loss.

Sources: Nocedal and Wright, Numerical Optimization, 2nd edition, 2006: algorithm 3.1 (backtracking line search) and
section 7.2 (L-BFGS, its two-loop recursion and the scale of its first matrix).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

REMEMBERED = 20  # steps, by which curvature is known
FIRST = 0.3  # of the tokens' length: the first step, of which no curvature is known
DECREASE = 1e-4  # of what the slope promises, that a step must bring
NOISE = 1e-3  # of losses in half precision, by which a step may miss it
SHORTER = 0.3  # times the step that missed it, is tried next
SHORTEST = SHORTER**6  # below it what is remembered misleads
CURVED = 1e-10  # the least curvature that is remembered


class Standing(NamedTuple):
    """Where n items are.

    Attributes:
        tokens: `(n, t, width)`.
        features: `(n, d)`, of the tokens.
        losses: `(n,)`, not finite where an item broke down.
        gradient: `(n, t, width)`, of the losses by the tokens.
    """

    tokens: Float[Tensor, "n t width"]
    features: Float[Tensor, "n d"]
    losses: Float[Tensor, " n"]
    gradient: Float[Tensor, "n t width"]


class Lbfgs:
    """Moves tokens `(n, t, width)` in place to where each item looks next, and knows where each is.

    A step is a look at loss and gradient. Where the loss has fallen enough, the item goes there; else it stays and
    looks nearer by.
    """

    def __init__(self, tokens: Float[Tensor, "n t width"], dim: int) -> None:
        """`dim` is d, the features' width."""
        count, size = len(tokens), tokens[0].numel()
        nowhere = tokens.new_full((count, dim), torch.nan), tokens.new_full((count,), torch.inf)
        self.tokens, self.here = tokens, Standing(tokens.detach().clone(), *nowhere, torch.zeros_like(tokens))
        # of tokens and of gradients, last first
        self.moves, self.changes = tokens.new_zeros(2, REMEMBERED, count, size)
        # 1 over the products of both, 0 for nothing remembered
        self.inverses = tokens.new_zeros(REMEMBERED, count)
        self.direction, self.length = tokens.new_zeros(count, size), tokens.new_ones(count)

    @torch.no_grad()
    def at(
        self,
        features: Float[Tensor, "n d"],
        losses: Float[Tensor, " n"],
        gradient: Float[Tensor, "n t width"],
    ) -> Standing:
        """Where the items are, once this is known of the tokens."""
        losses = torch.where(gradient.flatten(1).isfinite().all(dim=1), losses, torch.nan)
        seen = Standing(self.tokens, features, losses, gradient)
        taken = self._fallen(losses)
        self._remember(seen, taken)
        self.here = _where(taken, seen, self.here)
        self.length = torch.where(taken, 1, SHORTER * self.length)
        lost = self.length < SHORTEST
        self.inverses = self.inverses.masked_fill(lost, 0)
        self.length = self.length.masked_fill(lost, 1)
        self.direction = torch.where((taken | lost)[:, None], self._downhill(), self.direction)
        return self.here

    @torch.no_grad()
    def move(self) -> None:
        step = self.length[:, None] * self.direction
        self.tokens.copy_(self.here.tokens + step.view_as(self.tokens))

    @torch.no_grad()
    def last(self, features: Float[Tensor, "n d"], losses: Float[Tensor, " n"]) -> Standing:
        """As `at`, where nothing follows: without a gradient."""
        seen = Standing(self.tokens.detach(), features, losses, self.tokens.detach())
        return _where(self._fallen(losses), seen, self.here)

    def _fallen(self, losses: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether losses of the tokens are enough below those of the points."""
        slope = (self.here.gradient.flatten(1) * self.direction).sum(dim=1)
        return losses <= self.here.losses + DECREASE * self.length * slope + NOISE

    def _remember(self, seen: Standing, taken: Bool[Tensor, " n"]) -> None:
        move = (seen.tokens - self.here.tokens).flatten(1)
        change = (seen.gradient - self.here.gradient).flatten(1)
        product = (move * change).sum(dim=1)
        new = taken & (product > CURVED * change.square().sum(dim=1))
        self.moves = _shifted(self.moves, move, new[:, None])
        self.changes = _shifted(self.changes, change, new[:, None])
        self.inverses = _shifted(self.inverses, 1 / product, new)

    def _downhill(self) -> Float[Tensor, "n size"]:
        """The direction to look in, by Nocedal and Wright's algorithm 7.4."""
        gradient = self.here.gradient.flatten(1)
        found, weights = gradient.clone(), []
        for move, change, inverse in zip(self.moves, self.changes, self.inverses, strict=True):
            weight = inverse * (move * found).sum(dim=1)
            found -= weight[:, None] * change
            weights.append(weight)
        plain = FIRST * self.here.tokens.flatten(1).norm(dim=1) / gradient.norm(dim=1)
        scale = 1 / (self.inverses[0] * self.changes[0].square().sum(dim=1))
        found *= torch.where(self.inverses[0] > 0, scale, plain)[:, None]
        for number in reversed(range(REMEMBERED)):
            move, change, inverse = self.moves[number], self.changes[number], self.inverses[number]
            found += (weights[number] - inverse * (change * found).sum(dim=1))[:, None] * move
        return -found


def _shifted(held: Tensor, first: Tensor, where: Bool[Tensor, "n ..."]) -> Tensor:
    """What is remembered of some items `(m, n, …)`, with one more before it and the last gone."""
    return torch.where(where, torch.cat([first[None], held[:-1]]), held)


def _where(these: Bool[Tensor, " n"], points: Standing, others: Standing) -> Standing:
    pairs = zip(points, others, strict=True)
    return Standing(*(torch.where(these.view(-1, *[1] * (one.ndim - 1)), one, two) for one, two in pairs))
