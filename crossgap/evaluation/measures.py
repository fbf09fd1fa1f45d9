"""What is measured of a cell beside its retrieval: classification, the gap, counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossgap import classification
from crossgap.datasets.world_captions import UNSAID, recall_ceiling
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.gap import gap_metrics


def accuracies(cell: Cell) -> dict[str, float]:
    """Zero-shot accuracy of every labelling with class prompts, by native and inverted features.

    What an inversion set aside is left out of all tasks; a class of which no prompt is left keeps its native ones, and
    there is no `image-ovi` for its labelling.
    """
    images, prompts = cell.invertible(f"image/{cell.query}"), cell.items(CLASSES)
    if not images or not prompts:
        return {}
    turned = cell.inverted(images, f"image/{cell.query}")
    metrics = {}
    for labelling in cell.labellings_of(images):
        named = prompts.labels.get(labelling, np.zeros(len(prompts), bool)).astype(bool)
        if not named.any():
            continue
        every = prompts.where(named)
        anchors = every.without(cell.set_aside(CLASSES))
        if set(anchors.labels[labelling]) != set(every.labels[labelling]):
            anchors = every
        pairs = {
            "image-text": (images, anchors),
            "oti-text": (turned, anchors),
            "image-ovi": (images, cell.inverted(anchors, CLASSES)),
        }
        for task, (queries, texts) in pairs.items():
            if queries is not None and texts is not None:
                prototypes, classes = classification.class_prototypes(texts.features, texts.labels[labelling])
                table = classification.zero_shot(
                    queries.features, queries.labels[labelling], prototypes, classes
                )
                accuracy = classification.summarise(table)["accuracy"]
                metrics[f"classification/{task}/{labelling}/accuracy"] = accuracy
    return metrics


def gap(cell: Cell, seed: int) -> dict[str, float]:
    """The gap between query images and their first captions; without captions, the class prompts."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    paired = captions is not None and captions.captions
    texts = captions if captions is not None else cell.items(CLASSES)
    if images is None or texts is None:
        return {}
    if paired:
        texts = texts.where(texts.ranks == 0)
        index = pd.Index(texts.groups).get_indexer(images.groups)
        images, texts = images.where(index >= 0), texts.where(index[index >= 0])
    measures = gap_metrics(images.features, texts.features, paired=paired, seed=seed)
    return {f"gap/{name}": value for name, value in measures.items()}


def ceiling(cell: Cell) -> dict[str, float]:
    """The best text-to-image recall@1 to expect where captions say which of their image's labels they mention."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images is None or captions is None:
        return {}
    shared = [name for name in images.labels if name in captions.labels]
    if not shared:
        return {}
    both = [np.concatenate([images.labels[name], captions.labels[name]]) for name in shared]
    codes = np.stack([pd.factorize(labels)[0] for labels in both], axis=1)
    silent = np.stack([captions.labels[name] == "" for name in shared], axis=1)
    try:
        best = recall_ceiling(codes[: len(images)], np.where(silent, UNSAID, codes[len(images) :]))
    except ValueError:  # a caption that agrees with no image: its labels are not what it mentions
        return {}
    return {"retrieval_ceiling/text-image/group/recall@1": best}


def counts(cell: Cell) -> dict[str, float]:
    """Items, truncated ones, and those inverted and set aside, with the mean loss of their inversion."""
    found: dict[str, float] = {}
    for name in cell.native.groups:
        group = cell.native[name]
        found[f"items/{name}"] = len(group)
        if "truncated" in group:
            found[f"items/{name}/truncated"] = int(group["truncated"].sum())
    for modality, method in INVERSIONS.items():
        if (store := cell.main(modality)) is not None:
            losses = np.concatenate([store[name].losses for name in store.groups])
            found[f"inversion/{method}/items"] = len(losses)
            found[f"inversion/{method}/loss"] = float(losses.mean())
        if cell.inversions(modality):
            found[f"inversion/{method}/set_aside"] = int((set_aside(cell)["inversion"] == method).sum())
    return found


def set_aside(cell: Cell) -> pd.DataFrame:
    """A row an item that an inversion set aside: `inversion`, `group`, `id`."""
    rows = [
        (method, name, item)
        for modality, method in INVERSIONS.items()
        for name in cell.native.groups
        if name.startswith(f"{modality}/")
        for item in cell.set_aside(name)
    ]
    return pd.DataFrame(rows, columns=["inversion", "group", "id"])
