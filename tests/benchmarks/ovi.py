"""OVI against the plain recipe, side by side: the same items, steps and start. Then the preset `fast` against `paper`
on the embedded default, whose features `dvc repro` has made.

python tests/benchmarks/ovi.py [--model ViT-B-32] [--items 64] [--steps 2] [--rounds 2] [--patches 1]
    [--presets 0]
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from plain import arguments, side_by_side
from scipy.stats import permutation_test

from crossgap import load_backbone, open_store, retrieval_metrics
from crossgap.inversion.invert import Inverter
from crossgap.inversion.methods import Ovi
from crossgap.inversion.recipes import recipe

ROOT = Path(__file__).parents[2]


def presets(count: int | None) -> None:
    """Time to the same mean cosine, and the mean difference of the queries' average precision."""
    store = ROOT / "data/features/nano/world/native.zarr.zip"
    if not store.exists():
        print(f"presets: no {store.relative_to(ROOT)}; dvc repro makes it")
        return
    texts = open_store(store)["text/test"]
    first = texts["rank"] == 0
    if count is not None:
        first &= np.cumsum(first) <= count
    ids, features, groups = texts.ids[first].tolist(), texts.features[first], texts["group"]
    backbone = load_backbone(f"local-dir:{ROOT}/data/backbones/nano", None)
    found, precision = {}, {}
    marks = tuple(range(5, 1000, 5))
    for preset in ("paper", "fast"):
        chosen = recipe("ovi", preset, snapshots=marks if preset == "paper" else None)
        start = time.perf_counter()
        found[preset] = Inverter(backbone, Ovi(), chosen)(ids, features, lambda done: None)
        seconds = time.perf_counter() - start
        table = retrieval_metrics(
            found[preset].features, texts.features[~first], groups[first], groups[~first]
        )
        precision[preset] = table["ap"].to_numpy()
        print(
            f"{preset:5} {chosen.steps:4} steps, {seconds:.1f} s for {len(ids)} items, mean cosine "
            f"{1 - found[preset].losses.mean():.4f}, OVI-text mAP {precision[preset].mean():.4f}"
        )
    reached = 1 - found["paper"].snapshot_losses.mean(axis=0) >= 1 - found["fast"].losses.mean()
    fast = recipe("ovi", "fast").steps
    when = f"{marks[int(np.argmax(reached))]} steps" if reached.any() else "more than 1000 steps"
    print(f"to fast's mean cosine: fast {fast} steps, paper {when}")
    difference = precision["fast"] - precision["paper"]
    test = permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
    print(f"mAP, fast - paper: {difference.mean():+.4f}, paired permutation test p = {test.pvalue:.3f}")


def main() -> None:
    parser = arguments(__doc__, steps=2)
    parser.add_argument("--patches", type=int, default=1)
    parser.add_argument("--presets", type=int, help="at most so many items of the presets; 0 leaves them out")
    given = parser.parse_args()
    side_by_side(f"OVI, {given.model}, P = {given.patches}", Ovi(given.patches), given)
    if given.presets != 0:
        presets(given.presets)


if __name__ == "__main__":
    main()
