"""How well clusters of features agree with labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.arrays import label_array, unit_rows, whole_number

if TYPE_CHECKING:
    from jaxtyping import Real

    from crossgap.arrays import Features, Labels

MEASURES = ("v_measure", "ami", "ari", "nmi")


def clustering_metrics(
    features: Real[Features, "n d"], labels: Labels, *, seed: int = 0, restarts: int = 10
) -> dict[str, float]:
    """Agreement of the labels with k-means clusters of the unit features, k the number of classes.

    Args:
        features: `(n, d)`, NumPy or torch.
        labels: `(n,)`; items without one (None, NaN, "") are left out.
        seed: of the clusters' first centres.
        restarts: the best of so many runs of k-means counts.

    Returns:
        `v_measure`, `ami` (adjusted mutual information), `ari` (adjusted Rand index) and `nmi` (mutual information,
        normalised by the geometric mean of the entropies): 1 where clusters and classes are the same partition. `ami`
        and `ari` are 0 in the mean where the clusters know nothing of the classes. `v_measure` and `nmi` are not: with
        few items a class, chance alone brings them near 1 (Vinh, Epps and Bailey, JMLR 2010). NaN with fewer than two
        classes, or with one item in each.

    Raises:
        TypeError, ValueError: features or labels that cannot be used.
    """
    from sklearn import metrics
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    whole_number(seed, "seed")
    whole_number(restarts, "restarts", 1)
    rows = unit_rows(features, dtype=np.float64)  # k-means++ is several times slower on float32
    labels = label_array(labels, len(rows), "labels")
    codes, classes = pd.factorize(labels)
    if not 2 <= len(classes) < (codes >= 0).sum():
        return dict.fromkeys(MEASURES, float("nan"))
    rows, codes = rows[codes >= 0], codes[codes >= 0]
    with warnings.catch_warnings():  # fewer different rows than classes: each is a cluster, as far as they go
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        found = KMeans(len(classes), n_init=restarts, random_state=seed % 2**32).fit_predict(rows)
    values = (
        metrics.v_measure_score(codes, found),
        metrics.adjusted_mutual_info_score(codes, found),
        metrics.adjusted_rand_score(codes, found),
        metrics.normalized_mutual_info_score(codes, found, average_method="geometric"),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))
