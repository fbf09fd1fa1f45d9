"""The pairs of each step of the embedded backbone's training: a function of the recipe and the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.datasets import world
from crossgap.datasets.hashing import hashed, uniform
from crossgap.training.nano_recipe import Groups, NanoRecipe

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, UInt8


class SceneBatch(NamedTuple):
    images: UInt8[np.ndarray, "n 32 32 3"]
    texts: list[str]
    scenes: Int[np.ndarray, "n factors"]
    mentions: Int[np.ndarray, "n factors"]  # UNSAID where the text is silent


def batch(recipe: NanoRecipe, step: int) -> SceneBatch:
    """The pairs of a step: groups of distinct scenes that differ in a few factors, which their captions mention."""
    counts = np.diff(np.rint(np.cumsum([0.0, *(group.share for group in recipe.groups)]) * recipe.batch_size))
    parts = [
        _members(recipe.seed, step, number, group, int(count))
        for number, (group, count) in enumerate(zip(recipe.groups, counts, strict=True))
    ]
    scenes, say = (np.concatenate(part) for part in zip(*parts, strict=True))
    keys = hashed(recipe.seed, "batch", step, np.arange(len(scenes)))
    texts, mentions = world.captions(scenes, keys, count=1, say=say)
    return SceneBatch(world.render(scenes, keys), [text for (text,) in texts], scenes, mentions[:, 0])


def _members(
    seed: int, step: int, number: int, group: Groups, count: int
) -> tuple[Int[np.ndarray, "n factors"], Bool[np.ndarray, "n factors"]]:
    """Scenes `(count, factors)` of groups of one kind, and the mask of the factors to mention."""
    factors, table = list(world.FACTORS), world.combinations("train", seed)
    varied = [factors.index(factor) for factor in group.vary]
    ways = np.stack(np.meshgrid(*(range(len(world.FACTORS[f])) for f in group.vary)), -1).reshape(
        -1, len(varied)
    )
    size = min(group.size, len(ways))
    chosen = np.arange(2 * -(-count // size) + 2)[:, None]
    base = table[(uniform(hashed(seed, "base", step, number, chosen[:, 0])) * len(table)).astype(int)]
    order = np.argsort(
        hashed(seed, "members", step, number, chosen, np.arange(len(ways))), axis=1, kind="stable"
    )
    scenes = np.repeat(base[:, None], size, axis=1)
    scenes[:, :, varied] = ways[order[:, :size]]
    scenes = scenes[~world.held_out(scenes)][:count]
    say = np.isin(np.arange(len(factors)), varied) & group.say
    return scenes, np.repeat(say[None], len(scenes), axis=0)
