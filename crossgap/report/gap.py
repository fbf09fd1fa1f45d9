"""The page's gap measures: of all cells, with native and with corrected features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossgap.naming import MODALITIES, called
from crossgap.report.blocks import drawn
from crossgap.report.explore import NATIVE
from crossgap.report.results import Results
from crossgap.report.sources import titles
from crossgap.report.tables import plain_words, present, under

GAP = {
    "centroid_distance": ("centroid distance", "0: the means coincide; at most 2"),
    "linear_separability": (
        "linear separability",
        "1: told apart without error; 0.5: chance",
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
    "frechet": ("Fréchet distance², as Gaussians", "the sum of the parts of means and covariances"),
    "frechet_mean": ("Fréchet, of the means", "the centroid distance, squared"),
    "frechet_covariance": ("Fréchet, of the covariances", "0: alike; taking the means off leaves it"),
    "trace_image": ("trace of covariance, images", "mean squared distance to their mean"),
    "trace_text": ("trace of covariance, texts", "mean squared distance to their mean"),
    "imr": ("IMR", "rank of the nearest text among all neighbours, mean over images; 1: nothing is nearer"),
    "imr_median": ("IMR, median", ""),
    "tmr": ("TMR", "rank of the nearest image among all neighbours, mean over texts; 1: nothing is nearer"),
    "tmr_median": ("TMR, median", ""),
    "nearest_other_image": ("images whose nearest is a text", "share"),
    "nearest_other_text": ("texts whose nearest is an image", "share"),
    "nearest_other": ("items whose nearest is of the other modality", "share; 0: two islands"),
    "nas@10": ("NAS@10", "share of a pair’s 10 nearest others that are the same in both modalities"),
    "nas_jaccard@10": ("NAS@10, Jaccard", "the same over the union of both"),
    "silhouette": ("silhouette, cosine", "1: two points; 0: no clusters by modality"),
}
_ORDER = "class_order_distance/"


def measures(cells: Sequence[Results]) -> dict[str, Any]:
    """Title and reading of every gap measure of any cell, and a row a cell and kind of features that has some.

    They call images and texts what the cells do; where these have several names, by all of them.

    A row: the cell's number, the features, and the values by measure; None for one that isn't there.
    """
    found: dict[tuple[int, str], dict[str, float]] = {}
    for number, cell in enumerate(cells):
        named = titles(cell)
        for key, value in under(cell.metrics, "gap/").items():
            head, slash, labelling = key.partition("/")
            measure, _, correction = head.partition("+")
            measure += slash + labelling
            features = named.get(correction, correction) if correction else NATIVE
            if present(value):
                found.setdefault((number, features), {})[measure] = value
    held = {measure for values in found.values() for measure in values}
    usual, modalities = GAP | MORE, _names(cells)
    names = [*(name for name in usual if name in held), *sorted(held - usual.keys())]
    return {
        "names": [_named(usual, name, modalities) for name in names],
        "rows": [
            [number, features, *(drawn(values.get(name)) for name in names)]
            for (number, features), values in sorted(found.items(), key=_native_first)
        ],
    }


def _names(cells: Sequence[Results]) -> dict[str, str]:
    """Role → what the cells call it: `image/protein`."""
    return {
        role: "/".join(dict.fromkeys(cell.modalities[role] for cell in cells)) or role for role in MODALITIES
    }


def _named(usual: Mapping[str, tuple[str, str]], key: str, modalities: Mapping[str, str]) -> tuple[str, str]:
    if key.startswith(_ORDER):
        reading = called(
            "how differently images and texts order the other classes around each; 0.5: chance", modalities
        )
        return f"class order distance, {key.removeprefix(_ORDER)}", reading
    title, reading = usual.get(key) or (plain_words(key), "")
    return called(title, modalities), called(reading, modalities)


def _native_first(row: tuple[tuple[int, str], dict[str, float]]) -> tuple[int, bool]:
    (number, features), _ = row
    return number, features != NATIVE
