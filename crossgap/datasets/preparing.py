"""Declaration → manifest, whatever the layout."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossgap import manifest
from crossgap.datasets import Declaration, World, folders, world


def prepare(declaration: Declaration, folder: Path, workers: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The validated manifest of a dataset and what was set aside (`id`, `item`, `problem`).

    Args:
        folder: existing; where a generated dataset puts its images.

    Raises:
        DatasetError: the data can't be used as declared.
        ManifestError: its items make no valid manifest.
    """
    if isinstance(declaration, World):
        items = world.write(folder, declaration.seed, declaration.images)
        return manifest.validate(items), pd.DataFrame(columns=folders.Problem._fields)
    return folders.prepare(declaration, workers)
