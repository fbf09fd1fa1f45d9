"""The report's tables of gap measures: of a cell, and with every correction."""

from __future__ import annotations

from collections.abc import Mapping

from crossgap.report.boards import titles
from crossgap.report.results import Results
from crossgap.report.tables import decimal, plain_words, under

GAP = {
    "centroid_distance": ("centroid distance", "0: the means coincide; at most 2"),
    "linear_separability": (
        "linear separability",
        "1: told apart without error; 0.5: chance, if equally many",
    ),
    "uniformity_image": ("uniformity, images", "0: all at one point; the lower, the more spread out"),
    "uniformity_text": ("uniformity, texts", "0: all at one point; the lower, the more spread out"),
    "effective_rank_image": (
        "effective rank, images",
        "over how many principal components the variance spreads",
    ),
    "effective_rank_text": (
        "effective rank, texts",
        "over how many principal components the variance spreads",
    ),
    "alignment": ("alignment", "mean squared distance of matching pairs; 0: they coincide"),
    "matching_distance": (
        "matching distance",
        "mean distance of matching pairs; 0: they coincide; at most 2",
    ),
    "cross_uniformity": (
        "cross uniformity",
        "pairs that don’t match; 0: all at one point; the lower, the further apart; at least −8",
    ),
    "relative_modality_gap": (
        "relative modality gap",
        "0: matching pairs coincide; 0.5: as far apart as two of one modality; 1: each modality one point",
    ),
}
MORE = {
    "frechet": ("Fréchet distance², as Gaussians", "the sum of the next two"),
    "frechet_mean": ("– of the means", "the centroid distance, squared"),
    "frechet_covariance": ("– of the covariances", "0: alike; taking the means off leaves it"),
    "trace_image": ("trace of covariance, images", "mean squared distance to their mean"),
    "trace_text": ("trace of covariance, texts", "mean squared distance to their mean"),
    "imr": ("IMR", "mean rank of an image’s nearest text among its neighbours; 1: nothing is nearer"),
    "imr_median": ("IMR, median", ""),
    "tmr": ("TMR", "mean rank of a text’s nearest image among its neighbours; 1: nothing is nearer"),
    "tmr_median": ("TMR, median", ""),
    "nearest_other_image": ("images whose nearest is a text", "share"),
    "nearest_other_text": ("texts whose nearest is an image", "share"),
    "nearest_other": ("items whose nearest is of the other modality", "share; 0: two islands"),
    "nas@10": ("NAS@10", "share of a pair’s 10 nearest others that are the same in both modalities"),
    "nas_jaccard@10": ("NAS@10, Jaccard", "the same over the union of both"),
    "silhouette": ("silhouette, cosine", "1: two points; 0: no clusters by modality"),
}
SHOWN = (
    "centroid_distance", "frechet", "frechet_mean", "frechet_covariance", "imr", "tmr", "nas@10", "silhouette",
    "alignment",
)  # fmt: skip
HEADS = ("features", *((GAP | MORE)[name][0].removeprefix("– ") for name in SHOWN))
_ORDER = "class_order_distance/"


def measures(cell: Results) -> list[tuple[str, str, str, str]]:
    """Key, name, value and reading of the usual gap measures, then of any others of this cell."""
    values = _native(cell.metrics)
    names = GAP | {key: words for key, words in MORE.items() if key in values}
    names |= {key: _other(key) for key in values if key not in names}
    return [(key, name, decimal(values.get(key)), reading) for key, (name, reading) in names.items()]


def summarised(cell: Results) -> dict[str, str]:
    """Key → name of the measures that stand in the table of all cells."""
    return {key: name for key, name, _, _ in measures(cell) if key not in MORE and "/" not in key}


def corrected(cell: Results) -> list[tuple[str, ...]]:
    """`HEADS`, a row a correction and one for native features; none where nothing was measured with a correction."""
    values = under(cell.metrics, "gap/")
    used = {key.partition("+")[2] for key in values if "+" in key and "/" not in key}
    if not used:
        return []
    names = {"": "native features", **{name: words for name, words in titles(cell).items() if name in used}}
    return [
        (words, *(decimal(values.get(f"{measure}+{name}" if name else measure)) for measure in SHOWN))
        for name, words in names.items()
    ]


def _native(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in under(metrics, "gap/").items() if "+" not in key}


def _other(key: str) -> tuple[str, str]:
    if key.startswith(_ORDER):
        reading = "how differently images and texts order the other classes around each; 0.5: chance"
        return f"class order distance, {key.removeprefix(_ORDER)}", reading
    return plain_words(key), ""
