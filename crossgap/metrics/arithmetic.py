"""Text-driven arithmetic on embeddings: an image, minus the text of what it shows, plus the text of what it should.

SIMAT's protocol (Couairon et al., arXiv 2112.03162): the query is u(image) + λ (u(target text) − u(source text)), with
u to unit length; the nearest of the other images answers it, and is right or wrong; a score is a weighted share of
right answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.arrays import in_numpy, item_names, label_array, places_of, require_columns
from crossgap.errors import UnavailableError, listed
from crossgap.metrics.exact import exact_pair
from crossgap.prepared.transformations import ANSWERS, COLUMNS, SPLITS, Transformations

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int, Int64, Real

    from crossgap.arrays import Features, Labels

SCALES = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)
ROWS = ("image", "source", "target")  # of images, texts and texts
ENTRIES_IN_A_BLOCK = 2**22  # of queries by images, in float64


def nearest(
    images: Real[Features, "n d"],
    texts: Real[Features, "m d"],
    transformations: pd.DataFrame,
    scales: Sequence[float] | Real[np.ndarray, " s"] = SCALES,
    *,
    entries: int = ENTRIES_IN_A_BLOCK,
) -> Int64[np.ndarray, "t s"]:
    """Which of the other images is nearest to each transformed one.

    A query's similarities are those of its image, plus λ times the difference of those of its texts: they are taken of
    `exact_rows`, so no result depends on `entries`, and of equally near images the first is taken.

    Args:
        images: `(n, d)`, two or more.
        texts: `(m, d)`.
        transformations: `(t)` rows with the columns `ROWS`, whole numbers: rows of `images`, `texts` and `texts`.
        scales: the values λ `(s,)`.
        entries: of a block of queries by images, which bounds the memory.

    Returns:
        Rows of `images`, `(t, s)` int64.

    Raises:
        TypeError, ValueError: features, rows or scales that can't be used.
    """
    gallery, texts = exact_pair(images, texts, ("images", "texts"))
    if len(gallery) < 2:
        raise UnavailableError(
            "images holds one row, which has no other to be compared with: give two or more"
        )
    sizes = {"image": len(gallery), "source": len(texts), "target": len(texts)}
    require_columns(transformations, "transformations", ROWS)
    image, source, target = (
        places_of(
            transformations[name].to_numpy(), f"transformations: {name}", len(transformations), sizes[name]
        )
        for name in ROWS
    )
    scales = np.asarray(in_numpy(scales), np.float64)
    if scales.ndim != 1 or not len(scales) or not np.isfinite(scales).all():
        raise ValueError(f"scales is {scales.tolist()}: give one finite λ or more")

    found = np.empty((len(image), len(scales)), np.int64)
    order = np.argsort(image, kind="stable")  # an image's transformations share its similarities
    step = max(1, entries // len(gallery))
    for start in range(0, len(order), step):
        at = order[start : start + step]
        of_images = _similarities(gallery, image[at], gallery)
        change = _similarities(texts, target[at], gallery) - _similarities(texts, source[at], gallery)
        of_images[np.arange(len(at)), image[at]] = -np.inf
        for number, scale in enumerate(scales):
            found[at, number] = (of_images + scale * change).argmax(axis=1)
    return found


def right(
    found: Int[np.ndarray, "t s"],
    asked: Labels,
    captions: Labels,
    answers: Sequence[int] | Int[np.ndarray, " a"],
) -> Bool[np.ndarray, "t s"]:
    """Whether what `nearest` found is right, `(t, s)` of bool.

    Args:
        found: `(t, s)`.
        asked: `(t,)`, the caption that the answer to each transformation should bear.
        captions, answers: `(a,)` each: a caption, and a row of the images that bears it.

    Raises:
        TypeError, ValueError: the lengths don't fit, a caption is missing, or what is no row.
    """
    found, answers = in_numpy(found), in_numpy(answers)
    if len(found) != len(asked):
        raise ValueError(f"asked holds {len(asked)} captions for {len(found)} transformations: give each one")
    if len(captions) != len(answers):
        raise ValueError(f"captions has length {len(captions)} and answers {len(answers)}: give pairs")
    codes = _codes([*asked, *captions], "asked and captions")
    answers = places_of(answers, "answers", len(captions), np.iinfo(np.int64).max)
    width = max(found.max(initial=0), answers.max(initial=0)) + 1
    known = codes[len(asked) :] * width + answers
    return np.isin(codes[: len(asked), None] * width + found, known)


def score(
    correct: Bool[np.ndarray, "t s"], weights: Sequence[float] | pd.Series | Real[np.ndarray, " t"]
) -> Float64[np.ndarray, " s"]:
    """The weighted share of right answers at each λ, `(s,)`.

    Args:
        correct: `(t, s)` of bool.
        weights: `(t,)`, positive: `weight_by` of the source texts, in SIMAT.

    Raises:
        ValueError: no transformations, or weights that are not positive or not theirs.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != correct.shape[:1] or not len(weights):
        raise ValueError(
            f"weights has shape {weights.shape} for {len(correct)} transformations: give each one"
        )
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights holds values that are not positive and finite: leave such rows out")
    # the sum of the weights in the same order, so that no share is above 1
    *gained, whole = weights @ np.column_stack([correct, np.ones(len(correct))])
    return np.array(gained) / whole


def weight_by(sources: Labels) -> Float64[np.ndarray, " t"]:
    """`(t,)`: the number of transformations with the same source, to the power −½; SIMAT's `norm2` is that number."""
    codes = _codes(sources, "sources")
    return np.bincount(codes)[codes] ** -0.5


def _codes(texts: Labels, name: str) -> Int64[np.ndarray, " t"]:
    """Integers that are equal where the texts are; ValueError where one is missing."""
    codes, _ = pd.factorize(label_array(texts, len(texts), name))
    if (missing := np.flatnonzero(codes < 0)).size:
        raise ValueError(f"{name} lack the text of {listed(missing)}: leave such transformations out")
    return codes


def _similarities(
    features: Float64[np.ndarray, "n d"], rows: Int[np.ndarray, " t"], gallery: Float64[np.ndarray, "m d"]
) -> Float64[np.ndarray, "t m"]:
    """Of these rows of features and the gallery, `(rows, gallery)`; a row that comes again is computed once."""
    unique, back = np.unique(rows, return_inverse=True)
    return (features[unique] @ gallery.T)[back]


def by_labels(ids: Labels, changed: Labels, kept: Labels) -> Transformations:
    """SIMAT's protocol on images of which two labels are known: red square − red + blue is any blue square.

    Of each image its `changed` label is asked to become every other one that some image bears beside the same `kept`
    label; the images that do so are the answers. Weights follow the number of transformations with the same source, and
    half of the images, by a hash of their ids, are dev.

    Args:
        ids, changed, kept: `(n,)` each; an image without one of the labels (None, NaN, "") takes no part.

    Returns:
        Tables in which `source` and `target` are the labels.

    Raises:
        TypeError, ValueError: ids or labels that cannot be used.
    """
    given = {"image": item_names(ids, len(ids)), "source": changed, "kept": kept}
    held = pd.DataFrame({name: label_array(values, len(ids), name) for name, values in given.items()})
    held = held.dropna()
    held["caption"] = held.groupby(["source", "kept"]).ngroup().astype(str)
    others = held[["source", "kept", "caption"]].drop_duplicates().rename(columns={"source": "target"})
    table = held.drop(columns="caption").merge(others, on="kept")
    table = table[table["source"] != table["target"]].reset_index(drop=True)
    split = {name: SPLITS[int(fingerprint.of_content(name.encode()), 16) % 2] for name in set(table["image"])}
    table = table.assign(weight=weight_by(table["source"]), split=table["image"].map(split))
    return Transformations(table[list(COLUMNS)], held[list(ANSWERS)].reset_index(drop=True))
