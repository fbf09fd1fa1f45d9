"""How far apart two clouds of unit features are, as the contrastive-gap paper measures it.

Source of the definitions, where none is named: It's Not a Modality Gap (arXiv 2405.18570); uniformity and alignment
go back to Wang and Isola (ICML 2020). Rows are normalised here and all sums are in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, flag, unit_rows, whole_number
from crossgap.errors import UnavailableError
from crossgap.metrics.gap.spectrum import ONE_POINT, effective_rank
from crossgap.progress import Bar

if TYPE_CHECKING:
    from jaxtyping import Float64, Real

    from crossgap.arrays import Features

BLOCK = 1024
SEPARABLE = 1e-8  # tolerance of the logistic regression


def gap_metrics(
    image_features: Real[Features, "n d"],
    text_features: Real[Features, "m d"],
    *,
    paired: bool = True,
    seed: int = 0,
) -> dict[str, float]:
    """All measures of the gap.

    Args:
        image_features: `(n, d)`, NumPy or torch.
        text_features: `(m, d)`; with `paired`, row i is a text of image i and m = n.
        paired: False leaves out what needs matching pairs.
        seed: of the split behind `linear_separability`.

    Returns:
        `centroid_distance`, `linear_separability`, and by modality `uniformity_image`, `uniformity_text`,
        `effective_rank_image` and `effective_rank_text`; if paired, `alignment`, `matching_distance`,
        `cross_uniformity` and `relative_modality_gap`.

    Raises:
        TypeError, ValueError: features that cannot be used, `paired` with different row counts, or `UnavailableError`
            for fewer items than a measure needs.
    """
    flag(paired, "paired")
    whole_number(seed, "seed")
    images, texts = _unit_pair(image_features, text_features, ("image_features", "text_features"))
    if paired:
        _check_paired(images, texts, ("image_features", "text_features"))
    rows = {"image": images, "text": texts}
    return {
        name: measure(*(rows[side] for side in sides))
        for name, (sides, measure) in gap_measures(paired, seed).items()
    }


def gap_measures(
    paired: bool = True, seed: int = 0
) -> dict[str, tuple[tuple[str, ...], Callable[..., float]]]:
    """All that `gap_metrics` takes: name → the modalities whose features the measure is given, and the measure."""
    both = ("image", "text")
    found: dict[str, tuple[tuple[str, ...], Callable[..., float]]] = {
        "centroid_distance": (both, centroid_distance),
        "linear_separability": (both, partial(linear_separability, seed=seed)),
        "uniformity_image": (("image",), uniformity),
        "uniformity_text": (("text",), uniformity),
        "effective_rank_image": (("image",), effective_rank),
        "effective_rank_text": (("text",), effective_rank),
    }
    of_pairs = (alignment, matching_distance, cross_uniformity, relative_modality_gap) if paired else ()
    return found | {measure.__name__: (both, measure) for measure in of_pairs}


def centroid_distance(x: Real[Features, "n d"], y: Real[Features, "m d"]) -> float:
    """‖mean x − mean y‖₂ of the unit rows of `x` `(n, d)` and `y` `(m, d)`: from 0 to 2.

    Two Effects, One Trigger (arXiv 2404.07983) calls it L2M.
    """
    x, y = _unit_pair(x, y)
    return float(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)))


def uniformity(x: Real[Features, "n d"]) -> float:
    """log mean_{j<k} exp(−2‖x_j − x_k‖²) over all pairs of unit rows of `x` `(n, d)`: 0 is one point.

    Exact, in blocks of rows: memory is that of 1024 × n similarities.
    """
    x = unit_rows(x, "x", np.float64)
    if len(x) < 2:
        raise UnavailableError("uniformity of 1 row: it is a mean over pairs, give at least 2")
    total = 0.0
    for start in _blocks(len(x), "uniformity"):
        block = x[start : start + BLOCK]
        kernel = _kernel(block, x[start:])
        # The block's own square counts its upper triangle.
        total += np.triu(kernel[:, : len(block)], k=1).sum() + kernel[:, len(block) :].sum()
    return math.log(total / (len(x) * (len(x) - 1) / 2))


def cross_uniformity(x: Real[Features, "n d"], y: Real[Features, "n d"]) -> float:
    """log mean_{j≠k} exp(−2‖x_j − y_k‖²) over the unit rows that don't match, `x` and `y` both `(n, d)`.

    From −8, all of `x` opposite to all of `y`, to 0, all at one point. Exact, in blocks as `uniformity`.
    """
    x, y = _unit_pair(x, y)
    _check_paired(x, y, ("x", "y"))
    if len(x) < 2:
        raise UnavailableError(
            "cross uniformity of 1 pair: it is a mean over rows that don't match, give at least 2"
        )
    total = 0.0
    for start in _blocks(len(x), "cross uniformity"):
        kernel = _kernel(x[start : start + BLOCK], y)
        rows = np.arange(len(kernel))
        kernel[rows, start + rows] = 0
        total += kernel.sum()
    return math.log(total / (len(x) * (len(x) - 1)))


def alignment(x: Real[Features, "n d"], y: Real[Features, "n d"]) -> float:
    """mean_j ‖x_j − y_j‖² of matching unit rows of `x` and `y`, both `(n, d)`: from 0 to 4."""
    x, y = _unit_pair(x, y)
    _check_paired(x, y, ("x", "y"))
    return float(np.square(x - y).sum(axis=1).mean())


def matching_distance(x: Real[Features, "n d"], y: Real[Features, "n d"]) -> float:
    """mean_j ‖x_j − y_j‖₂ of matching unit rows of `x` and `y`, both `(n, d)`: from 0 to 2.

    L2I of Two Effects, One Trigger (arXiv 2404.07983).
    """
    x, y = _unit_pair(x, y)
    _check_paired(x, y, ("x", "y"))
    return float(np.linalg.norm(x - y, axis=1).mean())


def relative_modality_gap(x: Real[Features, "n d"], y: Real[Features, "n d"]) -> float:
    """How far matching pairs are apart beside how far apart rows of one modality are: from 0 to 1.

    With the dissimilarity (1 − cos)/2, from 0 to 1: M / (M + (X + Y)/2), where M is the mean over matching rows of
    `x` and `y`, both `(n, d)`, and X, Y are the means over all pairs of different rows inside `x` and inside `y`.
    0: pairs coincide; ½: they are as far apart as any two rows of one modality; 1: each modality is one point.
    NaN where all rows of both are one point.

    The relative modality gap of Two Effects, One Trigger (Schrodi et al., ICLR 2025, arXiv 2404.07983), as its code
    computes it where every image has one text.
    """
    x, y = _unit_pair(x, y)
    _check_paired(x, y, ("x", "y"))
    if len(x) < 2:
        raise UnavailableError(
            "relative modality gap of 1 pair: it needs pairs inside a modality, give at least 2 rows"
        )
    matching = np.square(x - y).sum(axis=1).mean() / 4  # ‖a − b‖² = 2 − 2a·b for unit rows
    inside = (_dissimilarity_inside(x) + _dissimilarity_inside(y)) / 2
    if matching + inside <= ONE_POINT**2:
        return math.nan
    return float(matching / (matching + inside))


def linear_separability(x: Real[Features, "n d"], y: Real[Features, "m d"], seed: int = 0) -> float:
    """Held-out accuracy of a logistic regression that tells `x` `(n, d)` from `y` `(m, d)`.

    The longer side is first sampled down to the shorter one, so that 0.5 always means inseparable (a closed gap) and 1
    fully separable. A seeded 80/20 split of the rows is that of both sides: of a pair, row i of both, no half teaches
    what the other is asked. Else the nearer the pairs, the farther below 0.5 a closed gap would fall. (Few rows of two
    clouds that were given one mean fall below it too: the parts' means differ by opposite ways.)

    Raises:
        TypeError, ValueError: features that cannot be used, or a seed that is no whole number from 0;
            `UnavailableError` for fewer than 2 rows on a side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    whole_number(seed, "seed")
    x, y = _unit_pair(x, y)
    count = min(len(x), len(y))
    if count < 2:
        raise UnavailableError(
            f"linear separability of {len(x)} and {len(y)} rows: give at least 2 on each side"
        )
    rng = np.random.default_rng(seed)
    x, y = (rows[np.sort(rng.choice(len(rows), count, replace=False))] for rows in (x, y))
    train, test = train_test_split(
        np.arange(count),
        test_size=max(1, round(0.2 * count)),
        random_state=seed % 2**32,  # scikit-learn takes no larger one
    )
    # by its own tolerance it ends before the first step where two narrow clouds differ by little
    model = LogisticRegression(tol=SEPARABLE, max_iter=1000)
    model.fit(np.concatenate([x[train], y[train]]), np.repeat([0, 1], len(train)))
    return float(model.score(np.concatenate([x[test], y[test]]), np.repeat([0, 1], len(test))))


def _dissimilarity_inside(x: Float64[np.ndarray, "n d"]) -> float:
    """Mean of (1 − cos)/2 over all pairs of different unit rows of `x` `(n, d)`, in closed form.

    The squared distances of all ordered pairs sum to 2n times those to the mean.
    """
    return float(np.square(x - x.mean(axis=0)).sum() / (2 * (len(x) - 1)))


def _blocks(count: int, name: str) -> Iterable[int]:
    """Where blocks of rows start."""
    return Bar(range(0, count, BLOCK), desc=name, unit="block", delay=2, leave=False)


def _kernel(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    """exp(−2‖x_j − y_k‖²) of unit rows, `(n, m)`: ‖a − b‖² = 2 − 2a·b."""
    kernel = x @ y.T
    kernel -= 1
    kernel *= 4
    return np.exp(kernel, out=kernel)


def _unit_pair(
    x: Real[Features, "n d"], y: Real[Features, "m d"], names: tuple[str, str] = ("x", "y")
) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]:
    x, y = unit_rows(x, names[0], np.float64), unit_rows(y, names[1], np.float64)
    check_widths(x, y, names)
    return x, y


def _check_paired(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "n d"], names: tuple[str, str]
) -> None:
    if len(x) != len(y):
        raise ValueError(
            f"{names[0]} has {len(x)} rows and {names[1]} {len(y)}, which cannot be pairs: "
            "repeat or pick rows so that row i of both belongs together, "
            "or leave out what needs pairs (gap_metrics: paired=False)"
        )
