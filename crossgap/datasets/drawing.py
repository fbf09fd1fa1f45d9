"""Which labels are asked of which images, drawn without a list of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from crossgap.datasets.hashing import hashed
from crossgap.prepared import manifest

BLOCK = 1 << 16  # pairs looked at together
ANY = np.iinfo(np.int64).max
# an image and another label: their hash, the labelling's number, the image's row, the row of the answers' labels in the
# table of that labelling, and how many answers there are
PAIR = np.dtype([(name, np.int64) for name in ("key", "labelling", "row", "place", "answers")])


def drawn(
    asking: pd.DataFrame,
    candidates: pd.DataFrame,
    labellings: Sequence[str],
    most: int,
    answers: int,
) -> tuple[pd.DataFrame, int]:
    """Images and other labels of one labelling, which a candidate has beside the image's labels of all others.

    Args:
        asking: `id` and a column of each labelling; each of its images is a candidate too.
        candidates: the same columns.
        labellings: those that are asked.
        most: pairs at most: those whose hash comes first, of the image's id, the labelling and the label.
        answers: candidates that these ask for at most, summed over the pairs; but one pair in any case.

    Returns:
        `labelling`, `label` and the columns of `asking`, in the order of labellings, images and candidates; and how
        many pairs there are.
    """
    columns = [manifest.LABEL + name for name in manifest.labellings(asking)]
    number, tables = 0, {}
    held, size, last = [np.empty(0, PAIR)], 0, ANY
    for at, labelling in enumerate(labellings):
        changed = manifest.LABEL + labelling
        kept = [name for name in columns if name != changed]
        there = tables[labelling] = (
            candidates.groupby([changed, *kept], sort=False).size().reset_index(name="answers")
        )
        own, other, count = asking[changed].to_numpy(), there[changed].to_numpy(), there["answers"].to_numpy()
        for keys, rows, places in _blocks(asking, there, changed, kept, labelling):
            number += len(rows) * (len(places) - 1)  # an image's own label is among them, once
            near = np.nonzero(keys <= last)
            row, place = rows[near[0]], places[near[1]]
            new = np.empty(len(row), PAIR)
            new["key"], new["labelling"], new["row"], new["place"] = keys[near], at, row, place
            new["answers"] = count[place]
            held.append(new[own[row] != other[place]])
            size += len(held[-1])
            if size > most + BLOCK:
                held, size = [_first(np.concatenate(held), most)], most
                last = held[0]["key"][-1]
    chosen = _first(np.concatenate(held), most)
    chosen = chosen[: max(np.searchsorted(np.cumsum(chosen["answers"]), answers, "right"), 1)]
    parts = []
    for at, labelling in enumerate(labellings):
        own = np.sort(chosen[chosen["labelling"] == at], order=["row", "place"])
        label = tables[labelling][manifest.LABEL + labelling].to_numpy()[own["place"]]
        pairs = asking.iloc[own["row"]].reset_index(drop=True)
        parts.append(pairs.assign(label=label, labelling=labelling))
    return pd.concat(parts, ignore_index=True), number


def _first(pairs: np.ndarray, most: int) -> np.ndarray:
    """The `PAIR`s whose keys come first, in their order."""
    return pairs[np.argsort(pairs["key"], kind="stable")[:most]]


def _blocks(
    asking: pd.DataFrame, there: pd.DataFrame, changed: str, kept: list[str], labelling: str
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Hashes `(rows, places)`, rows of `asking` and places in `there` that have the same `kept`."""
    images = pd.util.hash_array(asking["id"].to_numpy(object), categorize=False)
    words = (labelling + " " + there[changed].astype(str)).to_numpy(object)
    labels = pd.util.hash_array(words, categorize=False)
    both = pd.concat([asking, there])
    of = both.groupby(kept, sort=False).ngroup().to_numpy() if kept else np.zeros(len(both), int)
    all_places = pd.Series(of[len(asking) :]).groupby(of[len(asking) :]).indices
    for same, all_rows in pd.Series(of[: len(asking)]).groupby(of[: len(asking)]).indices.items():
        places = all_places[same]
        step = max(BLOCK // len(places), 1)
        for start in range(0, len(all_rows), step):
            rows = all_rows[start : start + step]
            keys = hashed(images[rows, None] ^ labels[places]) >> np.uint64(1)
            yield keys.view(np.int64), rows, places
