"""A dataset on disk against its declaration."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from crossgap.datasets import Declaration, OnDisk
from crossgap.datasets.checking import counts
from crossgap.datasets.preparing import Prepared, prepare
from crossgap.prepared import manifest


class Comparison(NamedTuple):
    """What lies there.

    Attributes:
        counts: a row a split: `split`, `images`, `texts`, `classes`, and `declared_…` of each, where it is declared.
        problems: `id`, `item`, `problem`; empty if all is well.
        made: all that was read.
    """

    counts: pd.DataFrame
    problems: pd.DataFrame
    made: Prepared


def compare(declaration: Declaration, root: Path | None = None, workers: int = 8) -> Comparison:
    """Prepare a dataset as `dvc repro` would, in a folder of its own, and count.

    Args:
        root: where it lies, if not where the declaration says.

    Raises:
        DatasetError: it can't be read at all.
    """
    if isinstance(declaration, OnDisk):
        changed = {"on_problem": "set_aside"} | ({} if root is None else {"root": root})
        declaration = declaration.model_copy(update=changed)
    with tempfile.TemporaryDirectory() as folder:
        made = prepare(declaration, Path(folder), workers)
    return Comparison(_counts(declaration, made.items), made.problems, made)


def _counts(declaration: Declaration, items: pd.DataFrame) -> pd.DataFrame:
    rows = []
    sizes = getattr(declaration, "sizes", {})
    for split, held in items[~items["split"].isin(manifest.RESERVED)].groupby("split", sort=True):
        found = counts(held)
        declared = sizes[split].model_dump() if split in sizes else dict.fromkeys(found)
        rows.append({"split": split, **found, **{f"declared_{name}": n for name, n in declared.items()}})
    return pd.DataFrame(rows).astype(object)
