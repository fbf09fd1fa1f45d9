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
from crossgap.metrics.retrieval.queries import judged, labelled
from crossgap.metrics.retrieval.relevance import RelevanceLists

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

    def lists(self, queries: Items, gallery: Items, *, exclude_self: bool) -> RelevanceLists:
        """What `retrieval` judges by."""
        ...

    def label(self, items: Items) -> np.ndarray:
        """`(n,)` of str: what to a person makes an item relevant; empty where the ids say it."""
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

    def lists(self, queries: Items, gallery: Items, *, exclude_self: bool) -> RelevanceLists:
        ids = (queries.ids, gallery.ids) if exclude_self else (None, None)
        labels = self.labels(queries), self.labels(gallery)
        return labelled((len(queries), len(gallery)), *labels, exclude_self, *ids)

    def label(self, items: Items) -> np.ndarray:
        return np.full(len(items), "", object) if self.labelling == GROUP else self.labels(items)


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
        return partial(
            retrieval.judged_metrics,
            queries.features,
            gallery.features,
            self._known(queries, gallery),
            query_ids=queries.ids,
            gallery_ids=gallery.ids,
            protocol=self.protocol,
        )

    def lists(self, queries: Items, gallery: Items, *, exclude_self: bool) -> RelevanceLists:
        held = self._known(queries, gallery)
        return judged((len(queries), len(gallery)), held, queries.ids, gallery.ids)

    def label(self, items: Items) -> np.ndarray:
        return np.full(len(items), "", object)

    def _known(self, queries: Items, gallery: Items) -> pd.DataFrame:
        """The judgements on these items."""
        asked, held = self.judgements["query"].isin(queries.ids), self.judgements["item"].isin(gallery.ids)
        return self.judgements[asked & held]


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
