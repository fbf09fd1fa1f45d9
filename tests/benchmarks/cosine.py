"""How soon other recipes reach the mean cosine that the paper's reach, side by side, on the embedded world: OTI's
preset `lbfgs`; OVI's `fast` and `lbfgs`, and steps from φ's patches (`warm`) by AdamW and by L-BFGS. φ learns from the
train captions by the cosine loss. Backbones but nano are those that `dvc repro` makes.

python tests/benchmarks/cosine.py [--methods oti ovi] [--backbones nano …] [--sizes 1000 150] [--epochs 12]
    [--dropout 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import embedded
import numpy as np
from scipy.stats import permutation_test

from crossgap import distil, retrieval_metrics
from crossgap.backbones import Backbone
from crossgap.inversion.invert import Inverter
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.recipes import Continued, Recipe, recipe
from crossgap.stores.store import Store

MARKS = tuple(range(5, 201, 5))  # steps at which the cosine is looked at
LR_OF_PHI, LR_OF_STEPS = 1e-3, 0.15
MANY = 10_000  # items that share φ's training


class Asked(NamedTuple):
    """Items, and the average precision of each as a query by its inverted features `(n, d)`."""

    method: Method
    ids: list[str]
    features: np.ndarray
    precision: Callable[[np.ndarray], np.ndarray]


def images(store: Store) -> Asked:
    """The mean is over all labellings."""
    held = store["image/test"]

    def precision(found: np.ndarray) -> np.ndarray:
        tables = [
            retrieval_metrics(found, held.features, labels, labels, exclude_self=True)
            for labels in held.labels.values()
        ]
        return np.nanmean([table["ap"] for table in tables], axis=0)

    return Asked(Oti(), held.ids.tolist(), held.features, precision)


def texts(store: Store) -> Asked:
    """First captions, that ask for the others."""
    held = store["text/test"]
    first, groups = held["rank"] == 0, held["group"]

    def precision(found: np.ndarray) -> np.ndarray:
        table = retrieval_metrics(found, held.features[~first], groups[first], groups[~first])
        return table["ap"].to_numpy()

    return Asked(Ovi(), held.ids[first].tolist(), held.features[first], precision)


def recipes(method: str, of_paper: int | None) -> dict[str, Recipe]:
    found = {
        "paper": recipe(method, steps=of_paper),
        "lbfgs": recipe(method, "lbfgs", snapshots=MARKS),
    }
    if method == "ovi":
        found |= {
            "fast": recipe("ovi", "fast", snapshots=MARKS),
            "warm": Continued(100, lr=LR_OF_STEPS, snapshots=MARKS),
            "warm by lbfgs": Continued(100, optimiser="lbfgs", snapshots=MARKS),
        }
    return found


def to_the_papers_cosine(method: str, name: str, given: argparse.Namespace) -> None:
    """Time to the mean cosine of the paper's recipe, and the mean difference of the queries' average precision."""
    backbone = embedded.backbone(name)
    with tempfile.TemporaryDirectory() as folder:
        store = embedded.encoded(backbone, Path(folder), *given.sizes)
        side_by_side(method, name, backbone, store, given)


def side_by_side(method: str, name: str, backbone: Backbone, store: Store, given: argparse.Namespace) -> None:
    asked = (images if method == "oti" else texts)(store)
    phi, learning = None, 0.0
    if method == "ovi":
        learnt, start = store["text/train"], time.perf_counter()
        settings = {"lr": LR_OF_PHI, "epochs": given.epochs, "dropout": given.dropout}
        named = {"ids": learnt.ids.tolist(), "groups": learnt["group"].tolist()}
        learned = distil(learnt.features, backbone, "ovi", **named, **settings)
        phi = learned.phi
        learning = time.perf_counter() - start
        print(
            f"ovi, {name}, φ: {learning:.1f} s, held-out loss {learned.named.get('held_out_loss')}",
            flush=True,
        )
    found, seconds, precision = {}, {}, {}
    for way, steps in recipes(method, given.of_paper).items():
        from_phi = phi if way.startswith("warm") else None
        inverter = Inverter(backbone, asked.method, steps, most=len(asked.ids), start=from_phi)
        start = time.perf_counter()
        found[way] = inverter(asked.ids, asked.features, lambda done: None)
        seconds[way] = time.perf_counter() - start
        precision[way] = asked.precision(found[way].features)
        print(
            f"{method}, {name}, {way}: {steps.steps} steps, {seconds[way]:.2f} s for {len(asked.ids)} items, mean "
            f"cosine {1 - found[way].losses.mean():.4f}, mAP {precision[way].mean():.4f}",
            flush=True,
        )
        if way == "paper":
            continue
        reached = found[way].snapshot_losses.mean(axis=0) <= found["paper"].losses.mean()
        if not reached.any():
            print(f"  the paper's cosine is not reached in {steps.steps} steps")
            continue
        enough = MARKS[int(np.argmax(reached))]
        again = replace(inverter, recipe=replace(steps, steps=enough, snapshots=()))
        start = time.perf_counter()
        ended = again(asked.ids, asked.features, lambda done: None)
        took = time.perf_counter() - start
        said = f"{took:.2f} s, cosine {1 - ended.losses.mean():.4f}, ratio {seconds['paper'] / took:.1f}"
        if from_phi is not None:
            all_paper, all_warm = (each / len(asked.ids) * MANY for each in (seconds["paper"], took))
            ratio = all_paper / (all_warm + learning)
            said += f"; φ's training {learning:.1f} s, ratio with it {ratio:.1f} at {MANY} items"
        print(f"  the paper's cosine after {enough} steps: {said}", flush=True)
        difference = precision[way] - precision["paper"]
        test = permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
        print(
            f"  mAP, {way} - paper: {difference.mean():+.4f}, paired permutation test p = {test.pvalue:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=["oti", "ovi"], default=["oti", "ovi"])
    parser.add_argument("--backbones", nargs="+", default=["nano"])
    parser.add_argument("--sizes", nargs=2, type=int, default=[1000, 150], help="train and test images")
    parser.add_argument("--of-paper", type=int, help="steps of the paper's recipe, if not its own")
    parser.add_argument("--epochs", type=int, default=12, help="of φ")
    parser.add_argument("--dropout", type=float, default=0.0, help="of φ")
    given = parser.parse_args()
    for method in given.methods:
        for name in given.backbones:
            to_the_papers_cosine(method, name, given)


if __name__ == "__main__":
    main()
