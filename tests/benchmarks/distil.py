"""φ's one forward pass against the steps of our OTI, an item: the same items in one run, random weights.

An item's inversion by φ is φ's forward pass and the text tower's, which OTI too needs at its end. OTI's steps are timed
on a few and multiplied. The training of φ by the cosine loss is as many forward and backward passes as items × epochs:
its time is measured on a few steps too, and the whole ratio given for 10⁵ items inverted by a φ of 10,000 × 20.

python tests/benchmarks/distil.py [--model ViT-B-32] [--items 64] [--steps 5] [--whole 150] [--rounds 3]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from crossgap.backbones import load_backbone
from crossgap.inversion.distil import initial, losses
from crossgap.inversion.invert import Inverter
from crossgap.inversion.methods import Oti
from crossgap.inversion.recipes import Continued, Recipe

INVERTED, LEARNT, EPOCHS = 100_000, 10_000, 20


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5, help="of OTI that are timed")
    parser.add_argument("--whole", type=int, default=150, help="of OTI in all")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*random weights.*")
    backbone = load_backbone(given.model, pretrained=None)
    ids = [str(number) for number in range(given.items)]
    x = np.random.default_rng(0).normal(size=(given.items, backbone.dim)).astype(np.float32)
    optimised = Inverter(backbone, Oti(), Recipe(given.steps))
    injection, size = optimised.injection, min(optimised.items_a_batch, given.items)
    phi = initial(backbone.dim, injection.shape, 0).eval().requires_grad_(False)
    by_phi = Inverter(backbone, Oti(), Continued(0), size, start=phi)
    optimised = Inverter(backbone, Oti(), Recipe(given.steps), size)
    learning = initial(backbone.dim, injection.shape, 0)
    optimiser = torch.optim.AdamW(learning.parameters(), lr=1e-4)

    def learn() -> None:
        optimiser.zero_grad()
        batch = torch.from_numpy(x[:size])
        losses("cosine", learning(batch), None, batch, injection, 0.25).backward()
        optimiser.step()

    def invert(by: Inverter) -> Callable[[], object]:
        return lambda: by(ids, x, lambda _: None)

    by_phi(ids[:size], x[:size], lambda _: None)  # what is done once
    learn()
    took = {
        name: [timed(work) for _ in range(given.rounds)]
        for name, work in (("oti", invert(optimised)), ("phi", invert(by_phi)), ("learn", learn))
    }
    # a run of n steps is n forward and backward passes and a last forward pass, φ's own
    phi_each = median(took["phi"]) / given.items
    step = (median(took["oti"]) / given.items - phi_each) / given.steps
    whole = step * given.whole + phi_each
    learning_all = median(took["learn"]) / size * LEARNT * EPOCHS
    print(f"{given.model}, {given.items} items, {torch.get_num_threads()} threads")
    print(f"OTI, {given.whole} steps   {whole:.4g} s an item ({step:.3g} s a step)")
    print(f"φ, one pass       {phi_each:.4g} s an item")
    print(f"ratio             {whole / phi_each:.4g}")
    print(f"training          {learning_all:.4g} s, {LEARNT} items x {EPOCHS} epochs")
    print(
        f"with training     {whole * INVERTED / (phi_each * INVERTED + learning_all):.4g} at {INVERTED} items"
    )


if __name__ == "__main__":
    main()
