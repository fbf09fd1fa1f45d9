"""The idealised experiment: the gap that the contrastive loss makes between two encoders of the *same* images.

Source: It's Not a Modality Gap (arXiv 2405.18570, section 4). Two image encoders of one architecture start from
different random weights. A pair is the same image twice, so no pair is mismatched, and the training images are also
the measured ones. At the start the clouds of features overlap, so neither a second modality nor the cone effect can
cause a gap. Settings of ours put back what is left out: mismatched pairs, clouds that start apart, and, the other way,
one encoder for both sides, which has no gap of its own. `loss` and `alignment` are of the pairs that are trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import open_clip
import pandas as pd
import torch
from torch import Tensor

from crossgap import closure
from crossgap.backbones.settings import own_settings
from crossgap.datasets.hashing import hashed
from crossgap.encode import Images
from crossgap.losses import clip
from crossgap.metrics.gap import alignment, centroid_distance, linear_separability, uniformity
from crossgap.prepared.manifest import content, select
from crossgap.stores import temporary
from crossgap.training import scratch as in_scratch
from crossgap.training.encoders import Architecture, Encoders, Pixels
from crossgap.training.idealised_recipe import Idealised, IdealisedRun, Settings, mismatched
from crossgap.training.live import rounded
from crossgap.training.pairs import CaptionedImages, hashed_ids
from crossgap.training.trainer import Learner, Row, TrainingError, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt64

MEASURES = (
    "loss",
    "centroid_distance",
    "linear_separability",
    "alignment",
    "uniformity_first",
    "uniformity_second",
    "temperature",
)
HEADLINE = ("loss", "centroid_distance", "linear_separability")  # that `dvc metrics` shows
SETTINGS = ("width", "batch_size", "temperature", "mismatched", "shared", "gap", "seed", "epochs")
ENCODERS = ("first", "second")
MEASURED = 16  # how many measured steps are spread evenly, and how many over the logarithm of the steps
DIGITS = 4  # of a coordinate that is drawn


class Tables(NamedTuple):
    """All runs of a recipe.

    Attributes:
        curves: `run`, `step` and `MEASURES`.
        runs: `run`, its settings, `images` and `steps`, and the first and the last value of each measure.
        toy: `batch_size`, `step`, `encoder`, `item` and `x`, `y`, `z`: the features of the runs that the page draws.
        metrics: run → each of `HEADLINE` → its last value, for the run `base` and the runs that the page draws.
    """

    curves: pd.DataFrame
    runs: pd.DataFrame
    toy: pd.DataFrame
    metrics: dict[str, dict[str, float]]


class Found(NamedTuple):
    """A run's result: rows of `step` and `MEASURES`, and step → the features `(n, d)` of both encoders."""

    curves: list[Row]
    frames: dict[int, list]


class Progress(NamedTuple):
    """How a training is shown and kept; nothing here changes a result."""

    label: str = "idealised"
    save_seconds: float = 60
    log: Callable[[Row], None] | None = None


@own_settings()
def idealised(
    recipe: Idealised,
    manifest: pd.DataFrame,
    root: Path,
    *,
    scratch: Path,
    code: str | None = None,
    device: torch.device | str = "cpu",
    name: str = "idealised",
    save_seconds: float = 60,
    log: Callable[[Row], None] | None = None,
) -> dict[str, Found]:
    """Do every run of a recipe, but for those that `scratch` holds from before.

    Args:
        root: what the manifest's image paths are relative to.
        scratch: where checkpoints and finished runs lie; it can be deleted between calls, only work is lost.
        code: a hash of the training's code, as `closure.digest` gives it; runs of other code are not continued. If not
            given, the hash of this module.
        log: called with every row of the curves of the run `base`.

    Raises:
        TrainingError: a dataset, an architecture or a width that doesn't fit, or a loss that is not finite.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    code = code or closure.digest("crossgap.training.idealised")
    images = chosen(manifest, recipe.split, recipe.images)
    architecture = Architecture(recipe.architecture)
    widest = max(run.settings.width for run in recipe.runs.values())
    if widest > architecture.widest:
        raise TrainingError(
            f"width: {widest} is more than the {architecture.widest} that the tower of {recipe.architecture!r} gives: "
            f"the features would span no more; give at most {architecture.widest}"
        )
    pixels = Pixels(Images(images, root, architecture.transform), device)
    done = {}
    for number, (run_name, run) in enumerate(recipe.runs.items(), start=1):
        label = f"{name} {run_name} ({number} of {len(recipe.runs)})"
        progress = Progress(label, save_seconds, log if run_name == "base" else None)
        done[run_name] = train(run, images.head(run.images), pixels, architecture, scratch, code, progress)
    return done


def chosen(manifest: pd.DataFrame, split: str, count: int) -> pd.DataFrame:
    """The first `count` images of a split in the order of their hashed ids.

    Raises:
        TrainingError: there are fewer.
    """
    images = select(manifest, "image", split)
    if len(images) < count:
        raise TrainingError(
            f"images: {count} is more than the {len(images)} images of split {split!r}; give less"
        )
    keys = hashed_ids(images["id"])
    return images.iloc[np.argsort(keys, kind="stable")[:count]].reset_index(drop=True)


def train(
    run: IdealisedRun,
    images: pd.DataFrame,
    pixels: Pixels,
    architecture: Architecture,
    scratch: Path,
    code: str,
    progress: Progress,
) -> Found:
    """Train one pair of encoders on `images`, the first rows of `pixels`, or find it done in `scratch`."""
    settings = run.settings
    pairs = CaptionedImages(images, [[]] * len(images), hashed_ids(images["id"]))
    steps = settings.epochs * (len(pairs) // settings.batch_size)
    drawn = frame_steps(steps, run.frames)
    made_from = {
        "settings": settings.model_dump(),
        "frames": drawn,
        "images": content(images),
        "architecture": architecture.config,
        "by": [torch.__version__, open_clip.__version__, pixels.device.type],
        "code": code,
    }
    folder = in_scratch.folder(scratch, made_from, {name: made_from[name] for name in ("code", "settings")})
    kept, checkpoint = folder / "found.json", folder / in_scratch.CHECKPOINT

    def log(row: Row) -> None:
        if progress.log is not None and _measured(row):
            progress.log(row)

    if kept.exists():
        found = json.loads(kept.read_bytes())
        found = Found(found["curves"], {int(step): clouds for step, clouds in found["frames"].items()})
        for row in found.curves:
            log(row)
    else:
        encoders = Encoders(architecture, settings, len(drawn), len(pairs)).to(pixels.device)
        encoders.place(pixels, len(pairs), settings.gap, settings.seed)
        partner = partners(pairs.keys, settings.mismatched, settings.seed)
        an_epoch = pairs.batches(settings.seed, settings.batch_size, 0, steps // settings.epochs)
        batches = list(map(_rows, an_epoch))

        def measure(step: int) -> dict[str, float]:
            first, second = encoders.of_all(pixels, len(pairs))
            if step in drawn:
                encoders.frames[drawn.index(step)] = torch.stack([first, second[partner]])
            return measures(first, second, partner, encoders.temperature.detach(), batches)

        curves = fit(
            learner(encoders, settings, pairs, partner, pixels, steps),
            steps,
            checkpoint,
            measure=measure,
            measured_at=drawn or measured_steps(steps),
            log=log,
            save_seconds=progress.save_seconds,
            label=progress.label,
        )
        clouds = np.round(encoders.frames.cpu().double().numpy(), DIGITS).tolist()
        found = Found(list(filter(_measured, curves)), dict(zip(drawn, clouds, strict=True)))
        temporary.write(kept, json.dumps(found._asdict()).encode())
    checkpoint.unlink(missing_ok=True)
    return found


def tables(recipe: Idealised, done: Mapping[str, Found]) -> Tables:
    """What `idealised` found, as tables."""
    curves = [{"run": name, **row} for name, found in done.items() for row in found.curves]
    runs, toy = [], []
    metrics: dict[str, dict[str, float]] = {}
    for name, found in done.items():
        run, first, last = recipe.runs[name], found.curves[0], found.curves[-1]
        settings = {key: getattr(run.settings, key) for key in SETTINGS}
        ends = {
            f"{measure}_{end}": row[measure]
            for measure in MEASURES
            for end, row in (("first", first), ("last", last))
        }
        runs.append({"run": name, **settings, "images": run.images, "steps": int(last["step"]), **ends})
        if name == "base" or found.frames:
            metrics[name] = {measure: rounded(last[measure]) for measure in HEADLINE}
        for step, clouds in found.frames.items():
            for encoder, points in zip(ENCODERS, clouds, strict=True):
                for item, point in enumerate(points):
                    toy.append((run.settings.batch_size, step, encoder, item, *point))
    return Tables(
        pd.DataFrame(curves, columns=["run", "step", *MEASURES]).astype({"step": int}),
        pd.DataFrame(runs),
        pd.DataFrame(toy, columns=["batch_size", "step", "encoder", "item", "x", "y", "z"]),
        metrics,
    )


def partners(keys: UInt64[np.ndarray, " n"], share: float, seed: int) -> Int[np.ndarray, " n"]:
    """The row of each image's partner `(n,)`: itself, but for a share of the images that pass theirs on in a circle.

    Which images and in which order are functions of their keys and the seed.
    """
    found = np.arange(len(keys))
    order = np.argsort(hashed(seed, "mismatched", keys), kind="stable")[: mismatched(share, len(keys))]
    found[order] = np.roll(order, 1)
    return found


def learner(
    encoders: Encoders,
    settings: Settings,
    pairs: CaptionedImages,
    partner: Int[np.ndarray, " n"],
    pixels: Pixels,
    steps: int,
) -> Learner:
    """CLIP's loss on the batches of `pairs`, each image with that of row `partner`, by AdamW."""
    batches: list[Iterator] = []

    def gradients(step: int) -> dict[str, float]:
        if not batches:  # from whichever step is asked for first
            batches.append(pairs.batches(settings.seed, settings.batch_size, step, steps))
        rows = _rows(next(batches[0]))
        others = pixels[partner[rows].tolist()] if settings.mismatched else None
        first, second = encoders(pixels[rows], others)
        loss = clip(first, second, encoders.temperature)
        loss.backward()
        return {"loss": loss.item()}

    parameters = [parameter for parameter in encoders.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay
    )
    return Learner(encoders, optimizer, gradients, after=encoders.clamp)


def measures(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "n d"],
    partner: Int[np.ndarray, " n"],
    temperature: Float[Tensor, ""],
    batches: Sequence[list[int]],
) -> dict[str, float]:
    """The measures of all images' features by both encoders, a row an image.

    Loss and alignment are of the pairs of each image with that of row `partner`; the loss is the mean over `batches`,
    each a list of rows.
    """
    others = second[partner]
    losses = [clip(first[rows], others[rows], temperature).item() for rows in batches]
    return {
        "loss": sum(losses) / len(losses),
        "centroid_distance": centroid_distance(first, second),
        "linear_separability": linear_separability(first, second),
        "alignment": alignment(first, others),
        "uniformity_first": uniformity(first),
        "uniformity_second": uniformity(second),
        "temperature": temperature.item(),
    }


def measured_steps(steps: int) -> list[int]:
    """The steps after which is measured, from 0 to the last: half of them spread evenly, half over the logarithm."""
    even, log = np.linspace(0, steps, MEASURED), np.geomspace(1, steps, MEASURED)
    return sorted({int(step) for step in np.rint([*even, *log])})


def frame_steps(steps: int, frames: int) -> list[int]:
    """At most `frames` steps whose features are kept: 0, and others spread over the logarithm."""
    return sorted({0, *(int(step) for step in np.rint(np.geomspace(steps, 1, frames - 1)))}) if frames else []


def _rows(batch: list[tuple[int, int]]) -> list[int]:
    return [row for row, _ in batch]


def _measured(row: Row) -> bool:
    return "centroid_distance" in row
