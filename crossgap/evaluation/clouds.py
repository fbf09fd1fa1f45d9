"""The two clouds of a cell in a plane, for the eye."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.evaluation.work import Work

COLUMNS = ["x", "y", "modality", "id"]


def clouds(work: Work, points: int) -> pd.DataFrame:
    """Unit features on the first two principal components of images and texts: `x`, `y`, `modality`, `id`.

    At most `points` a modality; inverted features lie in the plane of the native ones. No rows without items.
    """
    found = work.part(
        "clouds",
        "plane",
        lambda _: _clouds(work.cell, points),
        by=__name__,
        inversions=[store for store in map(work.cell.main, INVERSIONS) if store],
        points=points,
    )
    return pd.DataFrame(columns=COLUMNS) if found is None else found


def _clouds(cell: Cell, points: int) -> pd.DataFrame:
    texts = f"text/{cell.query}"
    names = {"image": f"image/{cell.query}", "text": texts if texts in cell.native else CLASSES}
    natives = {modality: items for modality, name in names.items() if (items := cell.items(name)) is not None}
    if names["text"] == texts:
        natives["text"] = natives["text"].where(natives["text"].ranks == 0)
    natives = {modality: items.sample(points) for modality, items in natives.items() if items}
    if not natives:
        return pd.DataFrame(columns=COLUMNS)
    joint = np.concatenate([unit_rows(items.features) for items in natives.values()])
    mean = joint.mean(axis=0)
    axes = np.linalg.svd(joint - mean, full_matrices=False)[2][:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    inverted = {
        INVERSIONS[modality]: cell.inverted(items.without(cell.unpaired(names[modality])), names[modality])
        for modality, items in natives.items()
    }
    frames = []
    for modality, items in (natives | inverted).items():
        if items:
            at = (unit_rows(items.features) - mean) @ axes.T
            frames.append(
                pd.DataFrame({"x": at[:, 0], "y": at[:, -1], "modality": modality, "id": items.ids})
            )
    return pd.concat(frames, ignore_index=True).round({"x": 6, "y": 6})
