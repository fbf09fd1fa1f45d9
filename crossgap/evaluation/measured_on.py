"""What a cell is measured on, by digests: two backbones are compared only where these are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap import fingerprint
from crossgap.prepared import manifest

if TYPE_CHECKING:
    from crossgap.evaluation.cell import Cell
    from crossgap.stores.store import Group

_COLUMNS = ("group", "rank")


def measured_on(cell: Cell) -> dict[str, str]:
    """The dataset's name; digests of the groups that are measured, of judgements and of controls; features are in none.

    A group's is of its items' ids and of what is known of them, in whatever order they are.
    """
    native = cell.native
    found = {"dataset": str(native.provenance.get("dataset"))}
    splits = {cell.query, cell.gallery, cell.support, manifest.CLASSES}
    found |= {name: _digest(native[name]) for name in native.groups if name.partition("/")[2] in splits}
    if native.judgements is not None:
        table = native.judgements.sort_values(list(native.judgements))
        found["judgements"] = fingerprint.of_json(table.to_numpy().tolist())
    controls = {
        name: {of: list(classes) for of, classes in held.items()} for name, held in cell.subsets.items()
    }
    found["controls"] = fingerprint.of_json([controls, cell.protocol])
    return found


def _digest(group: Group) -> str:
    columns = {"id": group.ids, **{name: group[name] for name in _COLUMNS if name in group}, **group.labels}
    order = np.argsort(group.ids.astype(str), kind="stable")
    return fingerprint.of_json({name: np.asarray(held)[order].tolist() for name, held in columns.items()})
