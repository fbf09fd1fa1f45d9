"""The tables of a cell by the names of its modalities, where these are not images and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from crossgap import naming
from crossgap.evaluation import unavailable

if TYPE_CHECKING:
    from crossgap.evaluation.evaluation import Evaluation

COLUMNS = (
    "task", "pair", "modality", "group", "baseline", "beside", "method", "parameters", "fitted_on", "reason"
)  # fmt: skip
TOWERS = (
    ("inversion", "oti", "textual inversion needs a text tower"),
    ("inversion", "ovi", "visual inversion needs an image tower"),
    (
        "classification",
        "prompts",
        "prompts are encoded by a text tower; encoded elsewhere, they are {}/classes",
    ),
)


def renamed(found: Evaluation, modalities: Mapping[str, str]) -> Evaluation:
    """The same by these names: in tasks, pairs, groups of items, and in reasons. Labellings and ids stay.

    Of such modalities no model is loaded: `unavailable` has a row for all that needs a tower.

    Args:
        modalities: "image", "text" → what stands in their place.
    """
    tables: dict[str, Any] = {}
    for field in fields(found):
        table = getattr(found, field.name)
        if isinstance(table, pd.DataFrame):
            columns = [name for name in COLUMNS if name in table]
            columns += ["name"] if field.name == "unavailable" else []
            tables[field.name] = table.assign(
                **{name: [_called(value, modalities) for value in table[name]] for name in columns}
            )
    pair = " and ".join(modalities.values())
    towers = [
        (family, name, f"{why.format(modalities['text'])}; {pair} features were imported, without towers")
        for family, name, why in TOWERS
    ]
    rows = pd.DataFrame(towers, columns=unavailable.COLUMNS)
    tables["unavailable"] = pd.concat([tables["unavailable"], rows], ignore_index=True)
    metrics = {naming.key_called(key, modalities): value for key, value in found.metrics.items()}
    return replace(found, metrics=metrics, **tables)


def _called(value: Any, modalities: Mapping[str, str]) -> Any:
    return naming.called(value, modalities) if isinstance(value, str) else value
