"""The two clouds of a cell in a plane, for the eye."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from crossgap.arrays import unit_rows
from crossgap.errors import CrossgapError
from crossgap.evaluation.cell import CLASSES, INVERSIONS, Cell
from crossgap.evaluation.options import Plane
from crossgap.evaluation.work import Work

COLUMNS = ["x", "y", "modality", "id", "plane"]
NEIGHBOURS = 15  # of UMAP, at most


def require_umap() -> None:
    """Say what is missing, if UMAP is.

    Raises:
        CrossgapError: umap-learn is not installed.
    """
    if find_spec("umap") is None:
        raise CrossgapError(
            "evaluate.plane: umap needs umap-learn, which isn't installed: pip install 'crossgap[umap]', or give pca"
        )


def clouds(work: Work, points: int, plane: Plane = "pca", seed: int = 0) -> pd.DataFrame:
    """Unit features in a plane: `x`, `y`, `modality`, `id`, and which `plane` it is.

    At most `points` a modality; no rows without items. By `pca` the plane is of the first two principal components of
    images and texts, and inverted features are put into it; by `umap` all are laid out together, by cosine, and equal
    features and seeds are at equal places on one machine.
    """
    settings: dict[str, Any] = {}
    if plane == "umap":
        settings = {"plane": plane, "seed": seed, "umap": version("umap-learn")}
    found = work.part(
        "clouds",
        "plane",
        lambda _: _clouds(work.cell, points, plane, seed),
        by=__name__,
        inversions=[store for store in map(work.cell.main, INVERSIONS) if store],
        points=points,
        **settings,
    )
    return pd.DataFrame(columns=COLUMNS) if found is None else found


def _clouds(cell: Cell, points: int, plane: Plane, seed: int) -> pd.DataFrame:
    texts = f"text/{cell.query}"
    names = {"image": f"image/{cell.query}", "text": texts if texts in cell.native else CLASSES}
    natives = {modality: items for modality, name in names.items() if (items := cell.items(name)) is not None}
    if names["text"] == texts:
        natives["text"] = natives["text"].where(natives["text"].ranks == 0)
    natives = {modality: items.sample(points) for modality, items in natives.items() if items}
    if not natives:
        return pd.DataFrame(columns=COLUMNS)
    inverted = {
        INVERSIONS[modality]: cell.inverted(items.without(cell.unpaired(names[modality])), names[modality])
        for modality, items in natives.items()
    }
    shown = {modality: items for modality, items in (natives | inverted).items() if items}
    features = {modality: unit_rows(items.features) for modality, items in shown.items()}
    whole = np.concatenate(list(features.values()))
    if plane == "umap":
        places = _umap(whole, seed)
    else:
        places = _components(np.concatenate([features[name] for name in natives if name in shown]), whole)
    frame = pd.DataFrame(
        {
            "x": places[:, 0],
            "y": places[:, -1],
            "modality": np.repeat(list(shown), [len(items.ids) for items in shown.values()]),
            "id": np.concatenate([items.ids for items in shown.values()]),
            "plane": plane,
        }
    )
    return frame.round({"x": 6, "y": 6})


def _components(of: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Features on the first two principal components of some."""
    mean = of.mean(axis=0)
    axes = np.linalg.svd(of - mean, full_matrices=False)[2][:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    return (features - mean) @ axes.T


def _umap(features: np.ndarray, seed: int) -> np.ndarray:
    import umap

    if len(features) < 4:
        return _components(features, features)  # too few for a spectral start
    layout = umap.UMAP(
        n_neighbors=min(NEIGHBOURS, len(features) - 1),
        metric="cosine",
        init="random" if len(features) <= NEIGHBOURS else "spectral",
        random_state=seed % 2**32,
        n_jobs=1,
    )
    return np.asarray(layout.fit_transform(features), np.float64)
