"""What makes items relevant to each other: their image, a labelling, or explicit judgements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import GROUP, Cell
from crossgap.evaluation.items import Items
from crossgap.metrics import retrieval

if TYPE_CHECKING:
    from jaxtyping import Shaped


Retrieval = Callable[..., pd.DataFrame]


class Relevance(Protocol):
    """A way to judge a retrieval, by its name in the metrics."""

    @property
    def name(self) -> str: ...

    def concerns(self, items: Items) -> Items:
        """The items that take part."""
        ...

    def retrieval(self, queries: Items, gallery: Items, *, exclude_self: bool) -> Retrieval:
        """What ranks the gallery for each query and measures it: called with a `device` and a `bias` (None for
        plain similarities), a row a query.
        """
        ...

    @property
    def said(self) -> list:
        """What its judgements depend on beside the store: JSON-able."""
        ...


@dataclass(frozen=True)
class Labelled:
    """Items of one class; with `classes`, among items of these alone (a control with two classes, for one).

    `labelling` GROUP stands for the image that a caption belongs to.
    """

    name: str
    labelling: str
    classes: tuple[str, ...] | None = None

    @property
    def said(self) -> list:
        return ["labelled", self.name, self.labelling, self.classes]

    def labels(self, items: Items) -> Shaped[np.ndarray, " n"]:
        """`(n,)` of str; an empty one is relevant to nothing."""
        return items.groups if self.labelling == GROUP else items.labels[self.labelling]

    def concerns(self, items: Items) -> Items:
        return items if self.classes is None else items.where(np.isin(self.labels(items), self.classes))

    def retrieval(self, queries: Items, gallery: Items, *, exclude_self: bool) -> Retrieval:
        return partial(
            retrieval.retrieval_metrics,
            queries.features,
            gallery.features,
            self.labels(queries),
            self.labels(gallery),
            exclude_self=exclude_self,
            query_ids=queries.ids if exclude_self else None,
            gallery_ids=gallery.ids if exclude_self else None,
        )


BY_GROUP = Labelled(GROUP, GROUP)


@dataclass(frozen=True)
class Judged:
    """Explicit judgements, as of `retrieval.judged_metrics`, of one setting."""

    name: str
    judgements: pd.DataFrame
    protocol: str

    @property
    def said(self) -> list:
        return ["judged", self.name, self.protocol]

    def concerns(self, items: Items) -> Items:
        return items

    def retrieval(self, queries: Items, gallery: Items, *, exclude_self: bool) -> Retrieval:
        known = self.judgements["query"].isin(queries.ids) & self.judgements["item"].isin(gallery.ids)
        return partial(
            retrieval.judged_metrics,
            queries.features,
            gallery.features,
            self.judgements[known],
            query_ids=queries.ids,
            gallery_ids=gallery.ids,
            protocol=self.protocol,
        )


def relevances(cell: Cell, queries: Items, gallery: Items) -> Sequence[Relevance]:
    """By every labelling that both sides have, by the controls on them, and by the judgements of these queries."""
    shared = [name for name in cell.labellings_of(queries) if name in gallery.labels]
    found: list[Relevance] = [Labelled(name, name) for name in shared]
    for name, confined in cell.subsets.items():
        ((labelling, classes),) = confined.items()
        if labelling in queries.labels and labelling in gallery.labels:
            found.append(Labelled(name, labelling, tuple(classes)))
    if cell.native.judgements is not None:
        for setting, table in cell.native.judgements.groupby("setting", sort=True):
            if table["query"].isin(queries.ids).any():
                found.append(Judged(str(setting), table, cell.protocol))
    return found
