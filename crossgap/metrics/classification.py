"""Classification by the nearest class prototype: the mean of prompts (zero-shot) or of images, all or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.arrays import item_names, label_array, label_codes, unit_rows, whole_number
from crossgap.errors import UnavailableError, listed
from crossgap.metrics.exact import exact_pair

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real

    from crossgap.arrays import Features, Labels

PAIRS_IN_A_BLOCK = 2**24


def class_prototypes(
    text_features: Real[Features, "n d"], labels: Labels
) -> tuple[Float64[np.ndarray, "c d"], list]:
    """One unit vector a class: the mean of the unit features of its prompts, normalised again.

    That is the prompt ensembling of CLIP (Radford et al. 2021, section 3.1.4).

    Args:
        text_features: `(n, d)`, NumPy or torch, one row a prompt.
        labels: `(n,)`, the class of each prompt.

    Returns:
        The prototypes `(c, d)` in float64, and the c classes in the order of their first prompt.

    Raises:
        TypeError, ValueError: features or labels that cannot be used, or a prompt without a class; `UnavailableError`
            where the unit features of a class add up to nothing.
    """
    prompts = unit_rows(text_features, "text_features", np.float64)
    labels = label_array(labels, len(prompts), "labels")
    codes, classes = pd.factorize(labels)
    if (missing := np.flatnonzero(codes < 0)).size:
        raise ValueError(f"prompts {listed(missing)} have no class: label every prompt")
    sums = class_sums(prompts, codes)
    # what is left of rows that cancel out is their rounding
    if (lost := np.flatnonzero(np.abs(sums).max(axis=1) < len(prompts) * np.finfo(float).eps)).size:
        raise UnavailableError(
            f"the features of class {listed(classes[lost])} point in opposite directions and add up to zero, so that "
            "it has no mean: give it other prompts or images, or leave the class out"
        )
    return unit_rows(sums, "prototypes"), list(classes)


def class_sums(
    rows: Float64[np.ndarray, "n d"], codes: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, "c d"]:
    """The sum of each class's rows `(n, d)`, added in their order; `codes` `(n,)` from 0 to c - 1 are their classes."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows)), (codes, np.arange(len(rows))))) @ rows


def zero_shot(
    image_features: Real[Features, "n d"],
    labels: Labels,
    prototypes: Real[Features, "c d"],
    classes: Labels,
    *,
    block_size: int | None = None,
) -> pd.DataFrame:
    """Give each image the class whose prototype has the highest cosine similarity.

    Of equal similarities the first class wins. No result depends on `block_size`.

    Args:
        image_features: `(n, d)`, NumPy or torch.
        labels: `(n,)`, the images' true classes; None, NaN or "" where there is none.
        prototypes: `(c, d)`, as of `class_prototypes`.
        classes: `(c,)`, unique.
        block_size: images at a time, which bounds the memory; chosen from the classes by default.

    Returns:
        One row an image, in order: `predicted`, its class, and `correct`, True, False or, for an image
        without a label, NA. `summarise` turns it into the accuracy.

    Raises:
        TypeError, ValueError: features or labels that cannot be used, a repeated class, or (`UnavailableError`) a label
            that is not among the classes.
    """
    images, anchors = exact_pair(image_features, prototypes, ("image_features", "prototypes"))
    labels = label_array(labels, len(images), "labels")
    classes = label_array(classes, len(anchors), "classes")
    truth, known = label_codes(labels, classes, ("labels", "classes"))
    if len(set(known)) < len(known) or (known < 0).any():
        raise ValueError(f"classes ({listed(classes)}) repeat or are empty: name each prototype once")
    labelled = truth >= 0
    if strangers := set(truth[labelled]) - set(known):
        names = dict.fromkeys(labels[np.isin(truth, list(strangers))])
        raise UnavailableError(
            f"no class for the labels {listed(names)}: add their prompts or clear these labels"
        )

    block_size = block_size or max(1, PAIRS_IN_A_BLOCK // len(anchors))
    blocks = (images[start : start + block_size] for start in range(0, len(images), block_size))
    nearest = np.concatenate([(block @ anchors.T).argmax(axis=1) for block in blocks])
    correct = pd.array(known[nearest] == truth, dtype="boolean")
    correct[~labelled] = pd.NA
    return pd.DataFrame({"predicted": classes[nearest], "correct": correct})


def summarise(table: pd.DataFrame) -> dict[str, float | int]:
    """`accuracy` over the labelled images of a `zero_shot` table (NaN if there are none), the number of
    `images` counted, and of `images_without_label` left out.
    """
    correct = table["correct"].dropna().astype(bool)
    left_out = len(table) - len(correct)
    return {"accuracy": float(correct.mean()), "images": len(correct), "images_without_label": left_out}


def few_shot(
    labels: Labels, ids: Labels, shots: int, seed: int | tuple[int, ...] = 0
) -> Int64[np.ndarray, " chosen"]:
    """Rows of at most so many items a class, drawn as a function of their ids and the seed, ascending.

    An item's place in the draw does not depend on the other items: with more shots come more of the same.

    Args:
        labels: `(n,)`; items without one (None, NaN, "") are not drawn.
        ids: `(n,)`, unique.

    Raises:
        TypeError, ValueError: labels or ids that cannot be used, or fewer than one shot.
    """
    whole_number(shots, "shots", 1)
    codes, _ = pd.factorize(label_array(labels, len(ids), "labels"))
    names = item_names(ids, len(codes))
    keys = fingerprint.draw(names, f"{seed}")
    table = pd.DataFrame({"code": codes, "key": keys})[codes >= 0].sort_values("key", kind="stable")
    return np.sort(table.groupby("code").head(shots).index.to_numpy())
