"""A training step as fine-tuning does it against the bare forward and backward passes of the same model with the same
optimiser, in turn; then the losses alone against their formulas over whole matrices.

python tests/benchmarks/training.py [--steps 3] [--rounds 4] [--batch 64] [--large 4] [--sizes 64 1024]
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import torch
from plain import timed
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from crossgap.backbones import Backbone, load_backbone
from crossgap.losses import total
from crossgap.training.finetune import Learning
from crossgap.training.finetune_recipe import Finetune
from crossgap.training.pairs import PairBatch
from crossgap.training.trainer import Learner, fit

ROOT = Path(__file__).parents[2]
CUAXU = {"clip": 1.0, "uniformity": 1.0, "alignment": 1.0, "cross_uniformity": 1.0}
CPU = torch.device("cpu")


def recipe(batch: int, width: int | None) -> Finetune:
    return Finetune(
        backbone="nano", dataset="world", losses=CUAXU, batch_size=batch, width=width, temperature=0.07
    )


def pairs(backbone: Backbone, count: int) -> PairBatch:
    """Random pixels, and captions as long as the world's."""
    size = backbone.provenance["preprocessing"]["size"]
    side = size if isinstance(size, int) else size[0]
    pixels = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    ids, _ = backbone.tokenize([f"a small red circle number {row} on grass" for row in range(count)])
    return PairBatch(pixels, ids, None)


def bare(learning: Learning, batch: PairBatch, steps: int) -> None:
    """Towers forward, their sum backward, an update: what no training can do without."""
    model, optimizer = learning.model, learning.optimizer()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (model.encode_image(batch.pixels).sum() + model.encode_text(batch.ids).sum()).backward()
        optimizer.step()


class Done(Exception):
    """The steps are done; the checkpoint at the end of a training is no part of them."""


def ours(learning: Learning, batch: PairBatch, steps: int) -> None:
    """The same steps by `fit`, with the losses."""

    def gradients(step: int) -> dict[str, float]:
        if step == steps:
            raise Done
        return learning.gradients(batch)

    learner = Learner(
        learning,
        learning.optimizer(),
        gradients,
        clip_grad_norm=learning.recipe.clip_grad_norm,
        after=learning.clamp,
    )
    with suppress(Done):
        fit(learner, steps + 1, Path("never written"), save_seconds=math.inf)


def in_turn(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after one to warm up; who goes first alternates."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: 1 if number % 2 else -1]:
            spent, _ = timed(works[name], CPU)
            seconds[name] += [spent] if number else []
    return seconds


def report(name: str, seconds: dict[str, list[float]], each: int) -> None:
    """The first against the second: the ratio of the fastest rounds, and the median of the rounds'."""
    for side, found in seconds.items():
        print(f"  {side:10} {' '.join(f'{1000 * one / each:.2f}' for one in found)} ms")
    first, second = seconds.values()
    middle = median(a / b for a, b in zip(first, second, strict=True))
    print(f"{name}: ratio {min(first) / min(second):.2f}, median of the rounds {middle:.2f}", flush=True)


def step(name: str, backbone: Backbone, count: int, width: int | None, given: argparse.Namespace) -> None:
    learning, batch = Learning(backbone, recipe(count, width)), pairs(backbone, count)
    sides = {"bare": bare, "crossgap": ours}
    works = {side: partial(run, learning, batch, given.steps) for side, run in sides.items()}
    report(f"{name}, {count} pairs, losses CUAXU", in_turn(works, given.rounds), given.steps)


def formula(images: Tensor, texts: Tensor) -> Tensor:
    """CUAXU over whole matrices, as it is written."""

    def potential(x: Tensor, y: Tensor) -> Tensor:
        inside = ~torch.eye(len(x), dtype=torch.bool)
        return torch.cdist(x, y).square().mul(-2).exp()[inside].mean().log()

    logits, at = images @ texts.T / 0.07, torch.arange(len(images))
    clip = (cross_entropy(logits, at) + cross_entropy(logits.T, at)) / 2
    uniformity = (potential(images, images) + potential(texts, texts)) / 2
    return clip + uniformity + (images - texts).square().sum(dim=1).mean() + potential(images, texts)


def losses_alone(n: int, d: int, given: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = [normalize(torch.randn(n, d, generator=generator), dim=1).requires_grad_() for _ in range(2)]
    repeated = max(1, 20000 // n)

    def run(loss: Callable[[], Tensor]) -> Tensor:
        for _ in range(repeated):
            gradients = torch.autograd.grad(loss(), leaves)
        return torch.cat(gradients)

    works = {
        "formula": partial(run, lambda: formula(*leaves)),
        "crossgap": partial(run, lambda: total(CUAXU, *leaves, temperature=0.07)[0]),
    }
    # the formulas differ in how the loss would change off the sphere, where no feature goes
    first, second = (work() for work in works.values())
    rows = torch.cat(leaves).detach()
    first, second = (x - (x * rows).sum(dim=1, keepdim=True) * rows for x in (first, second))
    report(f"losses CUAXU alone, {n} pairs, d = {d}", in_turn(works, given.rounds), repeated)
    print(f"  gradients differ by {((first - second).norm() / first.norm()).item():.1e} of their norm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--batch", type=int, default=64, help="pairs, of the embedded backbone; 0 leaves it out"
    )
    parser.add_argument("--large", type=int, default=4, help="pairs, of ViT-B-32; 0 leaves it out")
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 1024], help="pairs, of the losses alone")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{torch.get_num_threads()} threads, float32")
    if given.batch:
        step("nano", load_backbone(f"local-dir:{ROOT}/data/backbones/nano"), given.batch, 64, given)
    if given.large:
        torch.manual_seed(0)
        step("ViT-B-32", load_backbone("ViT-B-32", None), given.large, None, given)
    for n in given.sizes:
        losses_alone(n, 64, given)


if __name__ == "__main__":
    main()
