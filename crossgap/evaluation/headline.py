"""The few numbers of a cell that `dvc metrics` and `dvc exp show` have: `metrics.json`.

All of them are in `tables/metrics.csv` and `tables/comparisons.csv`, or means of what is there over the labellings.
Names are the same for every backbone and dataset, so that a column can be compared; what can't be measured is left out.

How large is the gap?

- `gap.centroid_distance`, `gap.linear_separability`, `gap.relative_modality_gap`

What does it cost to stay within a modality, or to leave it? In the mean over labellings, where a control on a subset of
a labelling's classes is none, and of landmarks' settings only medium counts:

- `image_retrieval.mAP`: image-image; `text_retrieval.mAP`: text-text
- `image_retrieval.oti_gain`, `text_retrieval.ovi_gain`: what inverted queries add to it, on the same queries
- `….oti_better`, `….oti_worse`: the number of labellings by which that is significant, by Holm's corrected p
- `zero_shot.accuracy`: image-text; `zero_shot.oti_gain`, `zero_shot.ovi_gain`: made intra-modal by OTI of images, and
  by OVI of the class names
- `text_to_image.recall@1`, `image_to_text.recall@1`
- `mixed_search.recall@1`: texts ask a gallery of images and texts, half and half

Which correction is best? Of these four tasks:

- `….best_correction`: that with the largest mean gain, among those measured by most labellings
- `….best_gain`: its gain; below zero if none helps
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import mean

import pandas as pd

from crossgap import naming
from crossgap.evaluation.curves import DIGITS
from crossgap.relevances import uncounted

GAP = ("centroid_distance", "linear_separability", "relative_modality_gap")
_HALF = "0.5"  # share of images in mixed search
_INVERTED = r"(oti|ovi)(\.|$)"  # mixed search by inverted documents is called as by a correction
Numbers = dict[str, float | int | str]
Headline = dict[str, Numbers]


def headline(
    metrics: Mapping[str, float | int],
    comparisons: pd.DataFrame,
    modalities: Mapping[str, str] = naming.MODALITIES,
    subsets: Collection[str] = (),
) -> Headline:
    """The numbers, by what they are of; at most 25.

    Args:
        metrics: of the cell, by their keys.
        comparisons: with the columns of `comparisons.COLUMNS`.
        modalities: whose names stand in both, and in what is returned.
        subsets: names of the controls on a part of a labelling's classes.
    """
    aside = uncounted((relevance for _, _, relevance, _ in map(naming.parts_of, metrics)), subsets)
    metrics = {
        naming.key_called(key, modalities, back=True): value
        for key, value in metrics.items()
        if naming.parts_of(key)[2] not in aside
    }
    # some have no query with a match
    measured = comparisons[comparisons["difference"].notna() & ~comparisons["relevance"].isin(aside)]
    comparisons = measured.assign(
        **{
            name: [naming.in_roles(task, modalities) for task in measured[name]]
            for name in ("task", "baseline")
        }
    )
    found: Headline = {
        "gap": {name: metrics[f"gap/{name}"] for name in GAP if f"gap/{name}" in metrics},
        "image_retrieval": {
            **_mean(metrics, "mAP", "retrieval", "image-image"),
            **_gain(comparisons, "oti", "retrieval", "oti-image", tested=True),
            **_best(comparisons, "retrieval", "image-image"),
        },
        "text_retrieval": {
            **_mean(metrics, "mAP", "retrieval", "text-text"),
            **_gain(comparisons, "ovi", "retrieval", "ovi-text", tested=True),
            **_best(comparisons, "retrieval", "text-text"),
        },
        "zero_shot": {
            **_mean(metrics, "accuracy", "classification", "image-text"),
            **_gain(comparisons, "oti", "classification", "oti-text"),
            **_gain(comparisons, "ovi", "classification", "image-ovi"),
            **_best(comparisons, "classification", "image-text"),
        },
        "text_to_image": _mean(metrics, "recall@1", "retrieval", "text-image"),
        "image_to_text": _mean(metrics, "recall@1", "retrieval", "image-text"),
    }
    if (half := f"mixed/search/{_HALF}/recall@1") in metrics:
        at_half = comparisons[comparisons["relevance"] == _HALF]
        found["mixed_search"] = {"recall@1": metrics[half], **_best(at_half, "mixed", "search")}
    return {naming.called(task, modalities): numbers for task, numbers in found.items() if numbers}


def _mean(metrics: Mapping[str, float | int], metric: str, family: str, task: str) -> Numbers:
    """Over all labellings."""
    prefix, ending = f"{family}/{task}/", f"/{metric}"
    values = [value for key, value in metrics.items() if key.startswith(prefix) and key.endswith(ending)]
    return {metric: round(mean(values), DIGITS)} if values else {}


def _gain(comparisons: pd.DataFrame, method: str, family: str, task: str, *, tested: bool = False) -> Numbers:
    """What a method changes in the mean over labellings, and by how many it is better and worse where `tested`."""
    of = comparisons[(comparisons["family"] == family) & (comparisons["task"] == task)]
    if of.empty:
        return {}
    found: Numbers = {f"{method}_gain": round(float(of["difference"].mean()), DIGITS)}
    if tested:
        significant = of["p_adjusted"] < naming.ALPHA
        found[f"{method}_better"] = int((significant & (of["difference"] > 0)).sum())
        found[f"{method}_worse"] = int((significant & (of["difference"] < 0)).sum())
    return found


def _best(comparisons: pd.DataFrame, family: str, baseline: str) -> Numbers:
    """The correction with the largest mean gain; of two alike, the first by name."""
    of = comparisons[(comparisons["family"] == family) & (comparisons["baseline"] == baseline)]
    corrections = of["task"].str.partition("+")[2] if len(of) else pd.Series(dtype=str)
    of = of[(corrections != "") & ~corrections.str.match(_INVERTED)]
    if of.empty:
        return {}
    gains = of["difference"].groupby(corrections[of.index]).agg(["count", "mean"])
    widest = gains.loc[gains["count"] == gains["count"].max(), "mean"].sort_index()
    best = str(widest.idxmax())
    return {"best_correction": best, "best_gain": round(float(widest[best]), DIGITS)}
