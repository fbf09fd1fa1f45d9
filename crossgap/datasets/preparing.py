"""Declaration → manifest, whatever the layout."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from crossgap import judgements, manifest
from crossgap.datasets import DatasetError, Declaration, Folder, World, folders, vocabulary, world


class Prepared(NamedTuple):
    """A validated manifest, what was set aside (`id`, `item`, `problem`), and judgements where they are declared."""

    items: pd.DataFrame
    problems: pd.DataFrame
    judgements: pd.DataFrame | None


def prepare(declaration: Declaration, folder: Path, workers: int = 8) -> Prepared:
    """Everything that a declaration tells of a dataset.

    Args:
        folder: existing; where a generated dataset puts its images.

    Raises:
        DatasetError: the data, its vocabulary, judgements or controls can't be used as declared.
        ManifestError: its items make no valid manifest.
    """
    if isinstance(declaration, World):
        names = vocabulary.names(declaration.vocabulary, declaration.seed)
        items = world.write(folder, declaration.seed, declaration.images)
        problems = pd.DataFrame(columns=folders.Problem._fields)
    else:
        names = vocabulary.names(declaration.vocabulary)
        items, problems = folders.prepare(declaration, workers)
    judged = _judgements(declaration, items, problems) if isinstance(declaration, Folder) else None
    _check_controls(declaration, items, judged)
    return Prepared(manifest.validate(pd.concat([items, vocabulary.rows(names)])), problems, judged)


def _judgements(declaration: Folder, items: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame | None:
    """Those of items that were not set aside."""
    if declaration.judgements is None:
        return None
    table = judgements.read_file(declaration.judgements)
    gone = set(problems["id"]) - set(items["id"])
    table = table[~table["query"].isin(gone) & ~table["item"].isin(gone)]
    splits = (declaration.retrieval.query, declaration.retrieval.gallery)
    try:
        return judgements.validate(table, *(items.loc[items["split"] == split, "id"] for split in splits))
    except DatasetError as error:
        raise DatasetError(f"{declaration.judgements}: {error}") from None


def _check_controls(declaration: Declaration, items: pd.DataFrame, judged: pd.DataFrame | None) -> None:
    """Subsets are of classes that there are, and every relevance has a name of its own."""
    names = ["group", *manifest.labellings(items), *declaration.controls.subsets]
    names += [] if judged is None else judged["setting"].unique().tolist()
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(
            f"relevances named twice: {', '.join(twice)}: labellings, subsets and settings of judgements need "
            "different names"
        )
    for name, confined in declaration.controls.subsets.items():
        ((labelling, classes),) = confined.items()
        column = manifest.LABEL + labelling
        if column not in items:
            held = ", ".join(manifest.labellings(items)) or "none"
            raise DatasetError(f"controls.subsets.{name}: no labelling {labelling!r}; labellings: {held}")
        known = sorted(items[column].dropna().unique())
        if unknown := [one for one in classes if one not in known]:
            raise DatasetError(
                f"controls.subsets.{name}: {labelling} has no class {', '.join(unknown)}; it has {', '.join(known)}"
            )
