"""Images whose inversion would take hours and give no number, since nothing is relevant to them.

A retrieval or classification with inverted images needs their labels, or judgements of them; captions alone make
retrievals across the modalities, with native features.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


def why(
    dataset: str, ids: Iterable[str], labels: Iterable[Iterable[str | None]], judgements: pd.DataFrame | None
) -> str | None:
    """Why nothing can be measured with the inverted images of a dataset; None where something can.

    Args:
        ids: those of the images of the query split.
        labels: of these images, by each labelling; None or an empty string is none.
        judgements: table with the column `query`, ids.
    """
    ids = list(ids)
    if not ids or any(label for of in labels for label in of):
        return None
    if judgements is not None and judgements["query"].isin(ids).any():
        return None
    return (
        f"the {len(ids)} images of {dataset} have neither labels nor judgements: no number comes of inverting them, "
        f"only a cloud of features; take {dataset!r} out of run.oti, run.sweep and run.seeds, or declare labels"
    )
