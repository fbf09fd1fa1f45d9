"""The retrieval tasks of a cell.

Protocols (Cross the Gap, section 5): only queries are inverted; text-to-text takes each image's first caption as the
query and the others of all images as the gallery; text-to-image and image-to-text pair all captions of the query split
with its images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossgap import retrieval
from crossgap.evaluation.cell import INVERSIONS, Cell, Items

GROUP = "group"
_ACROSS = ("text-image", "image-text")


@dataclass(frozen=True)
class Comparison:
    """An intra-modal retrieval that can be done with inverted queries as well.

    Items that an inversion set aside take no part in it, as queries or in the gallery.

    Attributes:
        modality: `image` or `text`.
        relevances: what makes items relevant to each other: the image they belong to, or a labelling.
        queries, gallery: native.
        queries_of, gallery_of: the groups that they come from.
    """

    modality: str
    relevances: list[str]
    queries: Items
    gallery: Items
    queries_of: str
    gallery_of: str

    @property
    def native(self) -> str:
        """The task's name with native queries: the baseline."""
        return f"{self.modality}-{self.modality}"

    @property
    def inverted(self) -> str:
        """The task's name with inverted queries."""
        return f"{INVERSIONS[self.modality]}-{self.modality}"


@dataclass(frozen=True)
class Task:
    """Queries and gallery, and what makes items relevant to each other."""

    name: str
    relevance: str
    queries: Items
    gallery: Items

    def table(self) -> pd.DataFrame:
        """`retrieval_metrics`, a row a query, with the columns `task`, `relevance` and `query` (its id)."""
        found = retrieval.retrieval_metrics(
            self.queries.features,
            self.gallery.features,
            _relevance(self.queries, self.relevance),
            _relevance(self.gallery, self.relevance),
            exclude_self=self.name not in _ACROSS,
            query_ids=self.queries.ids,
            gallery_ids=self.gallery.ids,
        )
        return found.assign(task=self.name, relevance=self.relevance, query=self.queries.ids)


def tasks(cell: Cell) -> Iterator[Task]:
    """Every retrieval that the cell's stores allow, at the inversions' last step."""
    for comparison in comparisons(cell):
        yield from _compared(cell, comparison)
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images and captions and captions.captions:
        yield Task("text-image", GROUP, captions, images)
        yield Task("image-text", GROUP, images, captions)


def comparisons(cell: Cell) -> Iterator[Comparison]:
    """The intra-modal retrievals that the cell's native store allows."""
    names = f"image/{cell.query}", f"image/{cell.gallery}"
    queries, gallery = map(cell.invertible, names)
    if queries and gallery:
        yield _labelled(cell, "image", queries, gallery, *names)
    names = f"text/{cell.query}", f"text/{cell.gallery}"
    queries, gallery = map(cell.invertible, names)
    if queries and queries.captions:
        first, others = queries.where(queries.ranks == 0), queries.where(queries.ranks > 0)
        if others:
            yield Comparison("text", [GROUP], first, others, names[0], names[0])
    elif queries and gallery:
        yield _labelled(cell, "text", queries, gallery, *names)


def _labelled(cell: Cell, modality: str, queries: Items, gallery: Items, *names: str) -> Comparison:
    relevances = [name for name in cell.labellings_of(queries) if name in gallery.labels]
    return Comparison(modality, relevances, queries, gallery, *names)


def _compared(cell: Cell, comparison: Comparison) -> Iterator[Task]:
    """Native queries, inverted queries, and both sides inverted, as far as they were."""
    queries = cell.inverted(comparison.queries, comparison.queries_of)
    gallery = cell.inverted(comparison.gallery, comparison.gallery_of)
    inversion = INVERSIONS[comparison.modality]
    for relevance in comparison.relevances:
        yield Task(comparison.native, relevance, comparison.queries, comparison.gallery)
        if queries is not None:
            yield Task(comparison.inverted, relevance, queries, comparison.gallery)
            if gallery is not None:
                yield Task(f"{inversion}-{inversion}", relevance, queries, gallery)


def _relevance(items: Items, name: str) -> np.ndarray:
    return items.groups if name == GROUP else items.labels[name]
