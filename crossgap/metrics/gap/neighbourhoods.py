"""Who the neighbours are: of the same modality or of the other, and the same items in both.

Similarities are exact (see `crossgap.metrics.exact`), in blocks of rows: memory does not grow with the pairs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import whole_number
from crossgap.errors import UnavailableError
from crossgap.metrics.exact import GRID, exact_pair
from crossgap.metrics.gap.clouds import clouds
from crossgap.metrics.near import Rows
from crossgap.metrics.neighbours import blocks, most_similar
from crossgap.metrics.retrieval.counting import NumpyCounter
from crossgap.metrics.threads import cores

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features

NEIGHBOURS = 10
EXACT = GRID**2  # times it, products of exact rows are whole


def modality_ranks(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> Int64[np.ndarray, " n"]:
    """Where the nearest row of the other modality stands among the neighbours of each row of `x`, `(n,)`, from 1.

    For row i of `x` `(n, d)`: 1 + the number of other rows of `x` with a greater cosine to it than its nearest row of
    `y` `(m, d)` has; n where all of its own modality come first. The mean over the texts is called TMR, that over the
    images IMR. Definition: ours, where a paper's own words could not be had.
    """
    x, y = exact_pair(x, y)
    own, other, ranks = Rows(-EXACT * x), Rows(x), np.empty(len(x), np.int64)
    nearest = np.concatenate([found[:, 0] for _, found in most_similar(other, Rows(y), 1)])
    step = np.rint(np.einsum("nd,nd->n", own.exact, y[nearest])).astype(np.int64)
    itself = np.einsum("nd,nd->n", own.exact, x) < step
    with ThreadPoolExecutor(cores()) as pool:
        counter = NumpyCounter(pool)
        for rows in blocks(len(x), len(x) // 4):
            before = np.full(len(step[rows]), -1)  # what is as near is not ahead
            ranks[rows] = counter.ahead(own, rows, other, np.arange(len(before)), step[rows], before)
    return 1 + ranks - itself


def neighbour_overlap(
    x: Real[Features, "n d"], y: Real[Features, "n d"], k: int = NEIGHBOURS
) -> Float64[np.ndarray, " n"]:
    """How many of a pair's k nearest others are the same in both modalities, `(n,)`, as a share of k.

    The k nearest other rows of row i of `x` `(n, d)` by cosine, and those of row i of `y` `(n, d)`: |A ∩ B| / k (NAS@k
    in its mean). Of equal similarities the first rows count.

    Raises:
        ValueError: rows that are no pairs; `UnavailableError` for no more than k + 1 of them, whose neighbours are all.
    """
    whole_number(k, "k", 1)
    x, y = exact_pair(x, y)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} rows and y {len(y)}: give rows that belong together")
    if len(x) <= k + 1:
        pairs = f"{len(x)} pair{'s' if len(x) > 1 else ''}"
        raise UnavailableError(f"neighbour overlap at {k} of {pairs}: give at least {k + 2}")
    found = np.empty(len(x))
    own = np.arange(len(x))
    both = zip(*(most_similar(side, side, k, own) for side in map(Rows, (x, y))), strict=True)
    for (rows, near), (_, other) in both:
        found[rows] = np.count_nonzero(near[:, :, None] == other[:, None, :], axis=(1, 2)) / k
    return found


def silhouette(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> float:
    """Mean silhouette of the rows of `x` `(n, d)` and `y` `(m, d)` by modality, with the distance 1 − cosine.

    (b − a) / max(a, b) of a row's mean distances a to the others of its modality and b to the other modality
    (Rousseeuw, 1987): 1, two points; 0, no clusters; below, rows are nearer to the other modality. The means follow
    from the sums of rows, so no pair is looked at.

    Raises:
        UnavailableError: fewer than 2 rows on a side.
    """
    x, y = clouds(x, y, "silhouette")
    values = []
    for side, other in ((x, y), (y, x)):
        inside = (len(side) - side @ side.sum(axis=0)) / (len(side) - 1)
        outside = 1 - side @ other.mean(axis=0)
        largest = np.maximum(inside, outside)
        values.append(np.divide(outside - inside, largest, out=np.zeros(len(side)), where=largest > 0))
    return float(np.concatenate(values).mean())


def class_order_distance(x: Real[Features, "c d"], y: Real[Features, "c d"]) -> Float64[np.ndarray, " c"]:
    """How differently two modalities order the classes around each class, `(c,)`: 0, alike, to 1, reversed.

    Row i of `x` and `y`, both `(c, d)`, stands for class i in either modality: its mean, its prompts. The other classes
    are ordered by their cosine to it, in `x` and in `y`; the share of their pairs that stand in opposite orders is
    Kendall's distance, normalised. A pair that one modality alone ties counts half. 0.5 is chance. After Two Effects,
    One Trigger (arXiv 2404.07983), which compares the neighbourhoods of images and texts; the details are ours.

    Raises:
        ValueError: rows that are no pairs; `UnavailableError` for fewer than 3 classes, of which none has two others.
    """
    from scipy.stats import kendalltau

    x, y = exact_pair(x, y)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} classes and y {len(y)}: give the same in one order")
    require_classes(len(x))
    pairs = (len(x) - 1) * (len(x) - 2) / 2
    found = np.empty(len(x))
    for rows in blocks(len(x), len(x)):
        for at, one, other in zip(range(rows.start, rows.stop), x[rows] @ x.T, y[rows] @ y.T, strict=True):
            one, other = np.delete(one, at), np.delete(other, at)
            tied = [_ties(values) for values in (one[:, None], other[:, None], np.stack([one, other], 1))]
            scale = np.sqrt((pairs - tied[0]) * (pairs - tied[1]))
            agreement = kendalltau(one, other).statistic * scale if scale else 0.0
            found[at] = (pairs - tied[2] - agreement) / (2 * pairs)
    return found


def require_classes(count: int) -> None:
    """Raises UnavailableError for fewer classes than have an order around each."""
    if count < 3:
        classes = f"{count} class{'' if count == 1 else 'es'}"
        raise UnavailableError(f"order of the neighbours of {classes}: give at least 3")


def _ties(rows: Float64[np.ndarray, "m columns"]) -> float:
    """Pairs of equal rows."""
    _, counts = np.unique(rows, axis=0, return_counts=True)
    return float((counts * (counts - 1) / 2).sum())
