"""How far apart two clouds of unit features are, as the contrastive-gap paper measures it.

Source of all definitions: It's Not a Modality Gap (arXiv 2405.18570); uniformity and alignment go back to
Wang and Isola (ICML 2020). Rows are normalised here and all sums are in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from crossgap.arrays import check_widths, unit_rows

if TYPE_CHECKING:
    from crossgap.arrays import Features

BLOCK = 1024


def gap_metrics(
    image_features: Features, text_features: Features, *, paired: bool = True, seed: int = 0
) -> dict[str, float]:
    """All measures of the gap.

    Args:
        image_features: `(n, d)`, NumPy or torch.
        text_features: `(m, d)`; with `paired`, row i is a text of image i and m = n.
        paired: False leaves `alignment` out, which needs matching pairs.
        seed: of the split behind `linear_separability`.

    Returns:
        `centroid_distance`, `linear_separability`, `uniformity_image`, `uniformity_text` and, if paired,
        `alignment`.

    Raises:
        TypeError, ValueError: features that cannot be used, or `paired` with different row counts.
    """
    images, texts = _unit_pair(image_features, text_features, ("image_features", "text_features"))
    if paired:
        _check_paired(images, texts, ("image_features", "text_features"))
    metrics = {
        "centroid_distance": centroid_distance(images, texts),
        "linear_separability": linear_separability(images, texts, seed),
        "uniformity_image": uniformity(images),
        "uniformity_text": uniformity(texts),
    }
    return metrics | ({"alignment": alignment(images, texts)} if paired else {})


def centroid_distance(x: Features, y: Features) -> float:
    """‖mean x − mean y‖₂ of the unit rows of `x` `(n, d)` and `y` `(m, d)`: from 0 to 2."""
    x, y = _unit_pair(x, y)
    return float(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)))


def uniformity(x: Features) -> float:
    """log mean_{j<k} exp(−2‖x_j − x_k‖²) over all pairs of unit rows of `x` `(n, d)`: 0 is one point.

    Exact, in blocks of rows: memory is that of 1024 × n similarities.
    """
    x = unit_rows(x, "x", np.float64)
    if len(x) < 2:
        raise ValueError("uniformity of 1 row: it is a mean over pairs, give at least 2")
    total = 0.0
    starts = range(0, len(x), BLOCK)
    for start in tqdm(starts, desc="uniformity", unit="block", delay=2, leave=False, disable=None):
        block = x[start : start + BLOCK]
        # ‖a − b‖² = 2 − 2a·b for unit rows; the block's own square counts its upper triangle.
        kernel = block @ x[start:].T
        kernel -= 1
        kernel *= 4
        np.exp(kernel, out=kernel)
        total += np.triu(kernel[:, : len(block)], k=1).sum() + kernel[:, len(block) :].sum()
    return math.log(total / (len(x) * (len(x) - 1) / 2))


def alignment(x: Features, y: Features) -> float:
    """mean_j ‖x_j − y_j‖² of matching unit rows of `x` and `y`, both `(n, d)`: from 0 to 4."""
    x, y = _unit_pair(x, y)
    _check_paired(x, y, ("x", "y"))
    return float(np.square(x - y).sum(axis=1).mean())


def linear_separability(x: Features, y: Features, seed: int = 0) -> float:
    """Held-out accuracy of a logistic regression that tells `x` `(n, d)` from `y` `(m, d)`.

    A seeded 80/20 split, the same share of both sides in each part. The longer side is first sampled down
    to the shorter one, so that 0.5 always means inseparable (a closed gap) and 1 fully separable.

    Raises:
        ValueError: fewer than 2 rows on a side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    x, y = _unit_pair(x, y)
    count = min(len(x), len(y))
    if count < 2:
        raise ValueError(f"linear separability of {len(x)} and {len(y)} rows: give at least 2 on each side")
    rng = np.random.default_rng(seed)
    x, y = (rows[np.sort(rng.choice(len(rows), count, replace=False))] for rows in (x, y))
    sides = np.repeat([0, 1], count)
    train, test, train_sides, test_sides = train_test_split(
        np.concatenate([x, y]),
        sides,
        test_size=max(2, round(0.2 * len(sides))),
        random_state=seed,
        stratify=sides,
    )
    return float(LogisticRegression(max_iter=1000).fit(train, train_sides).score(test, test_sides))


def _unit_pair(
    x: Features, y: Features, names: tuple[str, str] = ("x", "y")
) -> tuple[np.ndarray, np.ndarray]:
    x, y = unit_rows(x, names[0], np.float64), unit_rows(y, names[1], np.float64)
    check_widths(x, y, names)
    return x, y


def _check_paired(x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> None:
    if len(x) != len(y):
        raise ValueError(
            f"{names[0]} has {len(x)} rows and {names[1]} {len(y)}, which cannot be pairs: "
            "repeat or pick rows so that row i of both belongs together, "
            "or leave alignment out (gap_metrics: paired=False)"
        )
