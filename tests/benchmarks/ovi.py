"""OVI against the plain recipe, side by side: the same items, steps and start; ours in bfloat16 against float32. Then,
on the world and embedded backbones, whose features `dvc repro` has made, how soon the preset `fast` and steps from φ's
patches (`warm`) reach the cosine of the paper's 1,000 steps. φ learns from the train captions by the cosine loss.

python tests/benchmarks/ovi.py [--model ViT-B-32] [--items 64] [--steps 2] [--rounds 2] [--patches 1] [--half 64]
    [--backbones nano nano-clip …] [--texts 150] [--epochs 12]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from plain import arguments, side_by_side
from scipy.stats import permutation_test

from crossgap import distil, load_backbone, open_store, retrieval_metrics
from crossgap.inversion.invert import Inverter
from crossgap.inversion.methods import Ovi
from crossgap.inversion.recipes import Continued, recipe

ROOT = Path(__file__).parents[2]
EMBEDDED = ["nano", "nano-clip", "nano-cua", "nano-cuaxu", "nano-warm"]
MARKS = tuple(range(5, 201, 5))  # steps at which the cosine is looked at
LR_OF_PHI, LR_OF_STEPS = 1e-3, 0.15
MANY = 10_000  # items that share φ's training


def to_the_papers_cosine(name: str, given: argparse.Namespace) -> None:
    """Time to the mean cosine of 1,000 steps, and the mean difference of the queries' average precision."""
    store = ROOT / f"data/features/{name}/world/native.zarr.zip"
    if not store.exists():
        print(f"{name}: no {store.relative_to(ROOT)}; dvc repro makes it")
        return
    held, learnt = (open_store(store)[f"text/{split}"] for split in ("test", "train"))
    first = held["rank"] == 0
    asked = first & (np.cumsum(first) <= given.texts)
    ids, features, groups = held.ids[asked].tolist(), held.features[asked], held["group"]
    backbone = load_backbone(f"local-dir:{ROOT}/data/backbones/{name}", None)
    start = time.perf_counter()
    phi = distil(
        learnt.features, backbone, "ovi", ids=learnt.ids.tolist(), lr=LR_OF_PHI, epochs=given.epochs
    ).phi
    learning = time.perf_counter() - start
    recipes = {
        "paper": recipe("ovi", steps=given.of_paper),
        "fast": recipe("ovi", "fast", snapshots=MARKS),
        "warm": Continued(100, lr=LR_OF_STEPS, snapshots=MARKS),
    }
    found, seconds, precision = {}, {}, {}
    for way, asked_of in recipes.items():
        inverter = Inverter(backbone, Ovi(), asked_of, most=len(ids), start=phi if way == "warm" else None)
        start = time.perf_counter()
        found[way] = inverter(ids, features, lambda done: None)
        seconds[way] = time.perf_counter() - start
        table = retrieval_metrics(found[way].features, held.features[~first], groups[asked], groups[~first])
        precision[way] = table["ap"].to_numpy()
        print(
            f"{name}, {way:5} {asked_of.steps:4} steps, {seconds[way]:.2f} s for {len(ids)} items, mean cosine "
            f"{1 - found[way].losses.mean():.4f}, OVI-text mAP {precision[way].mean():.4f}",
            flush=True,
        )
        if way == "paper":
            continue
        reached = found[way].snapshot_losses.mean(axis=0) <= found["paper"].losses.mean()
        if not reached.any():
            print(f"  the paper's cosine is not reached in {asked_of.steps} steps")
            continue
        steps = MARKS[int(np.argmax(reached))]
        again = replace(inverter, recipe=replace(asked_of, steps=steps, snapshots=()))
        start = time.perf_counter()
        ended = again(ids, features, lambda done: None)
        took = time.perf_counter() - start
        said = f"{took:.2f} s, cosine {1 - ended.losses.mean():.4f}, ratio {seconds['paper'] / took:.1f}"
        if way == "warm":
            all_paper, all_warm = (each / len(ids) * MANY for each in (seconds["paper"], took))
            ratio = all_paper / (all_warm + learning)
            said += f"; φ's training {learning:.1f} s, ratio with it {ratio:.1f} at {MANY} items"
        print(f"  the paper's cosine after {steps} steps: {said}", flush=True)
        difference = precision[way] - precision["paper"]
        test = permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
        print(
            f"  mAP, {way} - paper: {difference.mean():+.4f}, paired permutation test p = {test.pvalue:.3f}"
        )


def main() -> None:
    parser = arguments(__doc__, steps=2, half=[64])
    parser.add_argument("--patches", type=int, default=1)
    parser.add_argument("--backbones", nargs="*", default=EMBEDDED)
    parser.add_argument("--texts", type=int, default=150, help="that are inverted, of the test split")
    parser.add_argument("--of-paper", type=int, default=1000, help="steps of the paper's recipe")
    parser.add_argument("--epochs", type=int, default=12, help="of φ")
    given = parser.parse_args()
    side_by_side(f"OVI, {given.model}, P = {given.patches}", Ovi(given.patches), given)
    for name in given.backbones:
        to_the_papers_cosine(name, given)


if __name__ == "__main__":
    main()
