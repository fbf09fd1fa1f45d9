"""What φ keeps of OTI and OVI on the embedded world: mean and standard deviation over seeds, in tables of Markdown.

1 − cosine of the test queries, and mAP in percent. φ learns from nine tenths of the train images or captions; `tokens`
and `searle` are taught the tokens that OTI finds for them by seed 0. `transfer` distils on Flickr8k's photos too, or
where they aren't there on others that `encode.py` makes up. Backbones but nano are those that `dvc repro` makes.

python tests/benchmarks/phi.py [--part losses images tokens transfer texts] [--backbones nano …] [--seeds 3]
    [--epochs 60] [--sizes 1000 150] [--photos 1000]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import embedded
import numpy as np
import torch
from encode import photos

import crossgap
from crossgap.inversion.distil import distil

LABELS = ("background", "colour", "place", "shape", "size", "texture")
LR = 1e-3  # the best by the loss on held-out items of the support split
STEPS = (5, 25, 50, 100)  # of `warm`, after which it is measured


@dataclass
class Study:
    """One backbone on the world."""

    name: str
    given: argparse.Namespace
    folder: Path

    def __post_init__(self) -> None:
        self.backbone = embedded.backbone(self.name)
        self.seeds = range(self.given.seeds)
        self.store = embedded.encoded(self.backbone, self.folder, *self.given.sizes)
        self.train, self.test = self.store["image/train"], self.store["image/test"]
        self.taught: dict[int, np.ndarray] = {}

    def images(self, features: np.ndarray) -> list[float]:
        """mAP of image queries by each labelling."""
        found = (
            crossgap.retrieval_metrics(features, self.test.features, labels, labels, exclude_self=True)["ap"]
            for labels in (self.test.labels[name] for name in LABELS)
        )
        return [100 * ap.mean() for ap in found]

    def oti(self, seed: int, tokens: int = 1) -> list[float]:
        found = crossgap.oti(
            self.test.features,
            self.backbone,
            self.given.steps,
            tokens,
            ids=self.test.ids,
            seed=seed,
            progress=False,
        )
        return [float(found.losses.mean()), *self.images(found.features)]

    def phi(self, seed: int, loss: str = "cosine", tokens: int = 1, **settings: Any) -> Any:
        settings = {"epochs": self.given.epochs, "lr": LR, **settings}
        targets = None if loss == "cosine" else self.tokens(tokens)
        return distil(
            self.train.features, self.backbone, "oti", tokens, ids=self.train.ids, seed=seed, loss=loss,
            targets=targets, **settings,
        )  # fmt: skip

    def tokens(self, count: int) -> np.ndarray:
        """Those that OTI finds for the train images."""
        if count not in self.taught:
            self.taught[count] = crossgap.oti(
                self.train.features,
                self.backbone,
                self.given.steps,
                count,
                ids=self.train.ids,
                progress=False,
            ).tokens
        return self.taught[count]

    def by(self, phi: Any) -> list[float]:
        found = phi.invert(self.test.features, self.test.ids, progress=False)
        return [float(found.losses.mean()), *self.images(found.features)]

    @cached_property
    def photos(self) -> np.ndarray:
        """Features of images that are not of the world."""
        pixels = torch.stack([self.backbone.transform(one) for one in photos(self.given.photos)])
        return torch.cat([self.backbone.encode_images(part).features for part in pixels.split(64)]).numpy()


def losses(of: Study) -> None:
    """The three losses beside native queries and OTI, and what steps from φ reach."""
    head(f"{of.name}, {of.given.epochs} epochs", LABELS)
    row("image-image", [[np.nan, *of.images(of.test.features)]])
    row(f"OTI, {of.given.steps} steps", [of.oti(seed) for seed in of.seeds])
    after = []
    for loss in ("tokens", "searle", "cosine"):
        phis = [of.phi(seed, loss) for seed in of.seeds]
        row(f"φ, `{loss}`", [of.by(phi) for phi in phis])
        found = [
            phi.invert(of.test.features, of.test.ids, max(STEPS), snapshots=STEPS, progress=False)
            for phi in phis
        ]
        means = np.mean([one.snapshot_losses.mean(axis=0) for one in found], axis=0)
        after.append(
            f"φ, `{loss}`, then steps: "
            + ", ".join(f"{n}: {x:.3f}" for n, x in zip(STEPS, means, strict=True))
        )
    print("", *after, sep="\n", flush=True)


def images(of: Study) -> None:
    """The number of images, each with as many steps."""
    head(f"{of.name}, `cosine`, by number of images", LABELS)
    most = round(0.9 * len(of.train))
    for count in sorted({min(count, most) for count in (30, 100, 300, 900)}):
        epochs = round(of.given.epochs * -(-most // 64) / -(-count // 64))
        row(
            f"{count}, {epochs} epochs",
            [of.by(of.phi(seed, items=count, epochs=epochs)) for seed in of.seeds],
        )


def tokens(of: Study) -> None:
    """The number of pseudo-tokens."""
    head(f"{of.name}, by number of tokens", LABELS)
    for count in (1, 2, 4):
        row(f"OTI, R = {count}", [of.oti(seed, count) for seed in of.seeds])
        for loss in ("tokens", "searle", "cosine"):
            row(f"φ, `{loss}`, R = {count}", [of.by(of.phi(seed, loss, count)) for seed in of.seeds])


def transfer(of: Study) -> None:
    """Other images to distil on than those that are inverted, either way."""
    head(f"{of.name}, `cosine`, by what φ is distilled on", [*LABELS, "loss on other photos"])
    features, ids = of.photos, [f"photo {number}" for number in range(len(of.photos))]
    aside = len(ids) // 10
    asked, rest = features[:aside], features[aside:]
    by_oti = [
        crossgap.oti(asked, of.backbone, of.given.steps, ids=ids[:aside], seed=seed, progress=False)
        for seed in of.seeds
    ]
    row(
        "nothing: OTI",
        [[*of.oti(seed), found.losses.mean()] for seed, found in zip(of.seeds, by_oti, strict=True)],
        last=3,
    )
    both = np.concatenate([of.train.features, rest]), [*of.train.ids, *ids[aside:]]
    sets = {"world": (of.train.features, of.train.ids), "photos": (rest, ids[aside:]), "both": both}
    for name, (given, named) in sets.items():
        found = []
        for seed in of.seeds:
            phi = distil(given, of.backbone, ids=named, seed=seed, lr=LR, epochs=of.given.epochs)
            found.append([*of.by(phi), phi.invert(asked, progress=False).losses.mean()])
        row(name, found, last=3)


def texts(of: Study) -> None:
    """OVI: φ from the train captions, and steps from there."""
    held, learnt = of.store["text/test"], of.store["text/train"]
    first = held["rank"] == 0
    queries, own = held.features[first], held["group"][first]
    gallery, others = held.features[~first], held["group"][~first]

    def scores(inverted: np.ndarray) -> float:
        return 100 * crossgap.retrieval_metrics(inverted, gallery, own, others)["ap"].mean()

    head(f"{of.name}, texts, {of.given.text_epochs} epochs", ["mAP"])
    row("text-text", [[np.nan, scores(queries)]])
    found: dict[str, list[list[float]]] = {}
    for seed in of.seeds:
        fast = crossgap.ovi(
            queries, of.backbone, of.given.fast, ids=held.ids[first], seed=seed, lr=0.15, progress=False
        )
        found.setdefault("OVI, `fast`", []).append([fast.losses.mean(), scores(fast.features)])
        phi = distil(
            learnt.features, of.backbone, "ovi", ids=learnt.ids, seed=seed, lr=LR, epochs=of.given.text_epochs
        )
        by = phi.invert(queries, steps=max(STEPS), lr=0.15, snapshots=(0, *STEPS), progress=False)
        for place, step in enumerate((0, *STEPS)):
            inverted, loss = by.snapshots[:, place], by.snapshot_losses[:, place].mean()
            found.setdefault(f"φ, {step} steps", []).append([loss, scores(inverted)])
    for called, each in found.items():
        row(called, each)


def head(title: str, columns: Sequence[str]) -> None:
    print(f"\n{title}\n\n| | loss | {' | '.join(columns)} |\n|{' --- |' * (2 + len(columns))}", flush=True)


def row(called: str, found: Sequence[Sequence[float]], last: int = 1) -> None:
    """The mean of each column over the seeds and its standard deviation: a loss and mAP; `last`, digits of the last."""
    mean = np.mean(found, axis=0)
    spread = np.std(found, axis=0, ddof=1) if len(found) > 1 else np.full_like(mean, np.nan)
    digits = [3, *[1] * (len(mean) - 2), last]
    cells = [
        "–" if np.isnan(one) else f"{one:.{to}f}" + ("" if np.isnan(of) else f" ± {of:.{to}f}")
        for one, of, to in zip(mean, spread, digits, strict=True)
    ]
    print(f"| {called} | {' | '.join(cells)} |", flush=True)


PARTS: dict[str, Callable[[Study], None]] = {
    part.__name__: part for part in (losses, images, tokens, transfer, texts)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backbones", nargs="+", default=["nano"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--text-epochs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=150, help="of OTI")
    parser.add_argument("--fast", type=int, default=200, help="steps of OVI")
    parser.add_argument("--sizes", type=int, nargs=2, default=[1000, 150], help="train and test images")
    parser.add_argument("--photos", type=int, default=1000)
    given = parser.parse_args()
    print(f"{given.seeds} seeds, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in given.backbones:
        with tempfile.TemporaryDirectory() as folder:
            study = Study(name, given, Path(folder))
            for part in given.part:
                PARTS[part](study)


if __name__ == "__main__":
    main()
