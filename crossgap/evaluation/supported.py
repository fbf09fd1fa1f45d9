"""Classification of a cell's images by the labelled images of a support split: all of them or a few, by every probe.

Tasks are named after images and probe: `ncm` (class means), `gda`, `knn_1`, `knn_5` and `logistic` of all images; of m
images a class `4-shot` and `4-shot-gda` (random draws), `first-4` and `first-4-gda` (the first by id). `_text` behind
it: the scores of class prompts are blended in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from crossgap.errors import UnavailableError, listed
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items, by_id
from crossgap.evaluation.options import Logistic
from crossgap.evaluation.predictions import Predictions, class_prompts, in_rows, parted
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import classification, probes
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.near import Rows
from crossgap.metrics.probes import Linear
from crossgap.naming import with_correction

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped

NEIGHBOURS = (1, 5)
TEXT = 0.5  # α, the share of the class prompts' scores where they are blended in
FITTED = 2**21  # images times classes that a logistic regression is run on, at most
FITS: dict[str, Callable[..., Linear]] = {"ncm": probes.class_means, "gda": probes.gda}


class Shots(NamedTuple):
    """Which images of the support split are used: all, or so many of a class.

    Attributes:
        name: of the part.
        draws: random draws, over which accuracies are means; 0 for the first by id.
    """

    name: str
    shots: int | None = None
    draws: int = 0
    seed: int = 0

    def task(self, probe: str) -> str:
        """With all images a task is called after its probe; with a few, class means have no name of their own."""
        if self.shots is None:
            return probe
        return self.name if probe == "ncm" else f"{self.name}-{probe}"

    def chosen(self, support: Items, labelling: str) -> list[Int64[np.ndarray, " rows"]]:
        """Rows of the support split, ordered by id, one array a draw; none where no class has so many."""
        labels = support.labels[labelling]
        if self.shots is None:
            return [np.arange(len(support))]
        places = pd.Series(labels.astype(str)).groupby(labels.astype(str)).cumcount().to_numpy()
        if self.shots > places.max() + 1:
            return []
        if not self.draws:
            return [np.flatnonzero(places < self.shots)]
        return [
            classification.few_shot(labels, support.ids, self.shots, seed=(self.seed, draw))
            for draw in range(self.draws)
        ]

    @property
    def settings(self) -> dict[str, Any]:
        return {} if self.shots is None else {"shots": self.shots, "draws": self.draws, "seed": self.seed}


# what `Shots.chosen` gives of the support split, by labelling
Drawn = Callable[[Shots, str], list[np.ndarray]]


@dataclass(frozen=True)
class Probed:
    """What one labelling is classified by, corrected or not.

    Attributes:
        queries: whose classes are told.
        truth: of the queries, `(n,)`; "" where the support has no such class.
        support: with a label, ordered by id.
        prompts: of the classes; None where there are none, or a correction takes no texts.
        strangers: queries with a class that the support lacks.
    """

    queries: Items
    truth: Shaped[np.ndarray, " n"]
    support: Items
    prompts: Items | None
    strangers: int

    @cached_property
    def rows(self) -> Rows:
        """The queries' exact unit rows `(n, d)`."""
        return Rows(exact_rows(self.queries.features, "image_features"))

    @cached_property
    def images(self) -> pd.Index:
        return pd.Index(self.queries.ids)

    def texts(self, labelling: str) -> Linear | None:
        """Class means of the prompts."""
        if self.prompts is None:
            return None
        return probes.class_means(self.prompts.features, self.prompts.labels[labelling])


def supported(
    work: Work, rivals: Rivals, shots: Sequence[int], draws: int, seed: int, logistic: Logistic = "native"
) -> Iterator[Predictions]:
    """By the support split's images, where there are any: the gallery's, if none is named and it isn't the queries'.

    Args:
        shots: images a class behind `<k>-shot` and `first-<k>`.
        draws: of the few images; accuracies are means over them.
        seed: of the draws.
        logistic: whether there is a logistic regression, natively alone or with every correction.
    """
    cell = work.cell
    images = cell.items(f"image/{cell.query}")
    support = _support(work, images) if images else None
    if not images or not support:
        return
    labellings = [name for name in cell.labellings_of(images) if name in support.labels]
    for name in labellings:
        if len(classes := set(support.labels[name]) - {""}) == 1:
            why = f"all labelled images of the support split are of one class, {listed(classes)}: give two or more"
            work.reasons.add([("classification", f"support/{name}", why)])
    labellings = [name for name in labellings if len(set(support.labels[name]) - {""}) != 1]
    kinds = [Shots("support")]
    kinds += [Shots(f"{k}-shot", k, draws, seed) for k in shots] + [Shots(f"first-{k}", k) for k in shots]
    parts = [(kind, kind.name, _by_probes) for kind in kinds]
    if logistic != "none":
        parts.insert(1, (kinds[0], "logistic", _by_logistic))
    found: dict[tuple[str, str], list[Predictions]] = {}
    ordered = cache(partial(_ordered, support))  # the same for every correction, as are the draws
    drawn = cache(lambda kind, labelling: kind.chosen(ordered(labelling), labelling))
    for variant in (None, *rivals.of_features):
        sides = cache(partial(_sides, cell, rivals, images, ordered, variant))  # the same for every part
        for kind, name, by in parts:
            if name == "logistic" and variant and logistic == "native":
                continue
            held = work.part(
                "classification",
                with_correction(name, variant),
                partial(_classify, kind, by, sides, drawn, labellings, variant),
                by=__name__,
                labellings=labellings,
                **kind.settings,
                **rivals.said(variant),
            )
            for one in parted(held) if held is not None else ():
                found.setdefault((one.labelling, name), []).append(one)
    for labelling in labellings:
        for _, name, _ in parts:
            yield from found.get((labelling, name), ())


def _classify(
    kind: Shots,
    by: Callable[..., Iterator[Predictions]],
    sides: Callable[[str], Probed | None],
    drawn: Drawn,
    labellings: Sequence[str],
    variant: str | None,
    reasons: Reasons,
) -> pd.DataFrame:
    made: list[Predictions] = []
    for labelling in labellings:
        with reasons.of("classification", f"{with_correction(kind.name, variant)}/{labelling}"):
            against = sides(labelling)
            if against is not None:
                made += by(kind, against, drawn, labelling, variant, reasons)
    return in_rows(made)


def _support(work: Work, asked: Items) -> Items | None:
    """The support split's images without those that are asked, which would find themselves."""
    split = next(iter(work.cell.other_splits), None)
    held = work.cell.items(f"image/{split}") if split else None
    if held is None:
        return None
    others = held.without(asked.ids)
    if lost := len(held) - len(others):
        why = f"{lost} of {len(held)} images of {split} are left out: they are asked"
        work.reasons.add([("classification", "support", why)])
    return others


def _ordered(support: Items, labelling: str) -> Items:
    """Those with a label, ordered by id."""
    labelled = support.where(support.labels[labelling].astype(bool))
    return labelled.where(by_id(labelled.ids))


def _sides(
    cell: Cell,
    rivals: Rivals,
    images: Items,
    ordered: Callable[[str], Items],
    variant: str | None,
    labelling: str,
) -> Probed | None:
    """None where no image of the support has a label, or the correction takes no images."""
    support = ordered(labelling)
    if not len(support):
        return None
    labels = images.labels[labelling]
    truth = np.where(pd.Index(labels).isin(support.labels[labelling]), labels, "")
    strangers, prompts = int((truth != labels).sum()), class_prompts(cell, labelling)
    if variant is None:
        return Probed(images, truth, support, prompts, strangers)
    pair = rivals.pair(variant, "image-image", images, support)
    if pair is None:
        return None
    if prompts is not None and rivals.correction(variant).sides == "both":
        prompts = rivals.corrected(variant, prompts, "text")
    return Probed(pair[0], truth, pair[1], prompts, strangers)


def _by_probes(
    kind: Shots, sides: Probed, drawn: Drawn, labelling: str, variant: str | None, reasons: Reasons
) -> Iterator[Predictions]:
    """Class means and GDA, of a few images without text too where these are drawn; of all images neighbours as well."""
    labels = sides.support.labels[labelling]
    chosen = drawn(kind, labelling)
    if not chosen and variant is None:
        why = f"no class of the support split has {kind.shots} images"
        reasons.add([("classification", f"{kind.name}/{labelling}", why)])
    for probe, fit in FITS.items() if chosen else ():
        task = kind.task(probe)
        if kind.shots == 1 and probe == "gda":
            if variant is None:
                reasons.add(
                    [("classification", f"{task}/{labelling}", "one image a class has no covariance")]
                )
            continue
        with reasons.of("classification", f"{with_correction(task, variant)}/{labelling}"):
            models = [fit(sides.support.features[rows], labels[rows]) for rows in chosen]
            yield _told(with_correction(task, variant), labelling, sides, models)
            texts = None if kind.shots and not kind.draws else sides.texts(labelling)
            if texts is None:
                continue
            task = f"{task}_text"
            scale = probes.TEXT_SCALE if probe == "gda" else 1.0
            models = [model.blended(texts.times(scale), TEXT) for model in models]
            yield _told(with_correction(task, variant), labelling, sides, models)
    if kind.shots is None:
        features = sides.queries.features, sides.support.features
        near = cache(partial(probes.nearest_labels, *features, labels))
        for k in NEIGHBOURS:
            task = with_correction(f"knn_{k}", variant)
            with reasons.of("classification", f"{task}/{labelling}"):
                ks = tuple(one for one in NEIGHBOURS if one <= max(k, len(sides.support)))
                yield _classified(task, labelling, sides, [near(ks)[k].to_numpy()])


def _by_logistic(
    kind: Shots, sides: Probed, drawn: Drawn, labelling: str, variant: str | None, reasons: Reasons
) -> Iterator[Predictions]:
    """A logistic regression, with C by halves of the support split."""
    support, labels = sides.support, sides.support.labels[labelling]
    task = with_correction("logistic", variant)
    with reasons.of("classification", f"{task}/{labelling}"):
        classes = len(set(labels))
        if len(support) * classes > FITTED:
            raise UnavailableError(
                f"{len(support)} images of {classes} classes are too many for it: name a smaller support split"
            )
        strength = probes.chosen_strength(support.features, labels, support.ids)
        model = probes.logistic(support.features, labels, strength)
        yield _told(task, labelling, sides, [model])


def _told(task: str, labelling: str, sides: Probed, models: Iterable[Linear]) -> Predictions:
    told = [np.asarray(model.classes, object)[model.places(sides.rows)] for model in models]
    return _classified(task, labelling, sides, told)


def _classified(
    task: str, labelling: str, sides: Probed, told: Iterable[Shaped[np.ndarray, " n"]]
) -> Predictions:
    """The share of what was told, an array `(n,)` a draw, that is right."""
    right = np.mean([(one == sides.truth).astype(float) for one in told], axis=0)
    known = sides.truth.astype(str) != ""
    correct = pd.Series(np.where(known, right, np.nan), index=sides.images)
    return Predictions(task, labelling, correct, sides.strangers)
