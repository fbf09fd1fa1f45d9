"""The retrieval tasks of a cell.

Protocols (Cross the Gap, section 5): only queries are inverted; text-to-text takes each image's first caption as the
query and the others of all images as the gallery; text-to-image and image-to-text pair all captions of the query split
with its images. A task with a correction is named after it: `image-image+centering`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.inversions import name_of, set_aside
from crossgap.evaluation.items import Items
from crossgap.evaluation.relevance import BY_GROUP, Relevance, relevances
from crossgap.evaluation.scoring import Scorer
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work, calling
from crossgap.stores.store import Store

PER_QUERY = [
    "ap", "ap_at_r", "r_precision", "recall@1", "recall@5", "recall@10", "precision@1", "precision@5", "precision@10",
    "ndcg@10",
]  # fmt: skip
_ACROSS = ("text-image", "image-text")
_WITHIN = ("image-image", "text-text")
Tables = dict[tuple[str, str], pd.DataFrame]  # by task and relevance, a row a query


@dataclass(frozen=True)
class IntraModalRetrieval:
    """An intra-modal retrieval that can be done with inverted queries as well.

    Items that an inversion set aside take no part in it, as queries or in the gallery.

    Attributes:
        modality: `image` or `text`.
        relevances: what makes items relevant to each other.
        queries, gallery: native.
        queries_of, gallery_of: the groups that they come from.
    """

    modality: str
    relevances: Sequence[Relevance]
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
    relevance: Relevance
    queries: Items
    gallery: Items

    @property
    def words(self) -> str:
        """As its metrics are called."""
        return f"{self.name}/{self.relevance.name}"

    @property
    def within(self) -> bool:
        """Whether queries and gallery are of one modality, so that a query may stand in its gallery."""
        return self.name.partition("+")[0] not in _ACROSS

    def table(self, work: Work, scoring: Scorer | None = None) -> pd.DataFrame:
        """The retrieval's metrics, a row a query, with the columns `task`, `relevance`, `query` (its id) and `group`.

        `scoring` is of a correction that ranks with a bias. Raises UnavailableError for a gallery of one item.
        """
        queries, gallery = self.relevance.concerns(self.queries), self.relevance.concerns(self.gallery)
        names = {
            "task": self.name,
            "relevance": self.relevance.name,
            "query": queries.ids,
            "group": queries.groups,
        }
        if not len(queries) or not len(gallery):
            nothing = dict.fromkeys(PER_QUERY, float("nan"))
            return pd.DataFrame(names | nothing | {"relevant": 0}).astype({"relevant": int})
        if len(gallery) < 2:
            raise UnavailableError("retrieval from a gallery of 1 item finds it: give at least 2")
        bias = scoring(queries, gallery) if scoring else None
        retrieval = self.relevance.retrieval(queries, gallery, exclude_self=self.within)
        return retrieval(device=work.device, bias=bias).assign(**names)


def tables(work: Work, rivals: Rivals) -> Tables:
    """Of every retrieval that the cell's stores allow, at the inversions' last step, and with every correction."""
    cell = work.cell
    found: Tables = {}
    for comparison in comparisons(cell):
        for task, store in _compared(cell, comparison):
            inversions = [] if store is None else [store]
            table = work.part(
                "retrieval",
                task.words,
                calling(task.table, work),
                by=__name__,
                inversions=inversions,
                relevance=task.relevance.said,
            )
            _take(found, task, table)
        found |= _corrected(
            work,
            rivals,
            [
                Task(comparison.native, by, comparison.queries, comparison.gallery)
                for by in comparison.relevances
            ],
        )
    for task in across(cell):
        table = work.part("retrieval", task.words, calling(task.table, work), by=__name__)
        _take(found, task, table)
        found |= _corrected(work, rivals, [task])
    work.reasons.add(_unmatched(found))
    work.reasons.add(_unasked(cell))
    return found


def across(cell: Cell) -> Iterator[Task]:
    """The retrievals across the modalities, with native features."""
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if images and captions and captions.captions:
        yield Task("text-image", BY_GROUP, captions, images)
        yield Task("image-text", BY_GROUP, images, captions)


def comparisons(cell: Cell) -> Iterator[IntraModalRetrieval]:
    """The intra-modal retrievals that the cell's native store allows."""
    for modality in INVERSIONS:
        names = f"{modality}/{cell.query}", f"{modality}/{cell.gallery}"
        queries, gallery = map(cell.invertible, names)
        if modality == "text" and queries and queries.captions:
            first, others = queries.where(queries.ranks == 0), queries.where(queries.ranks > 0)
            if first and others:
                yield IntraModalRetrieval(modality, [BY_GROUP], first, others, names[0], names[0])
        elif queries and gallery:
            yield IntraModalRetrieval(modality, relevances(cell, queries, gallery), queries, gallery, *names)


def incomplete(cell: Cell) -> Iterator[tuple[str, str, str]]:
    """Rows of `unavailable.COLUMNS`: inversions that lack queries, so that nothing is measured with them."""
    for comparison in comparisons(cell):
        name = comparison.queries_of
        for store in cell.inversions(comparison.modality):
            held = store[name].ids.tolist() if name in store else []
            if lacking := len(set(comparison.queries.ids) - set(held)):
                aside = len(set_aside(store, name))
                why = f"; it set {aside} aside, whose loss was not finite" if aside else ""
                total = len(comparison.queries)
                yield (
                    "inversion",
                    f"{name_of(store)} {name}",
                    f"it holds {total - lacking} of {total} queries, and needs them all{why}",
                )


def _compared(cell: Cell, comparison: IntraModalRetrieval) -> Iterator[tuple[Task, Store | None]]:
    found = list(methods(cell, comparison))
    for relevance in comparison.relevances:
        for sides in found:
            yield Task(sides.task, relevance, sides.queries, sides.gallery), sides.inversion


class Method(NamedTuple):
    """Queries and gallery of a retrieval, by one method.

    Attributes:
        inversion: the store that inverted items come from; None where all are native.
    """

    task: str
    queries: Items
    gallery: Items
    inversion: Store | None


def methods(cell: Cell, comparison: IntraModalRetrieval) -> Iterator[Method]:
    """Native queries, and, by each inversion, inverted queries and both sides inverted, as far as they were."""
    modality = comparison.modality
    yield Method(comparison.native, comparison.queries, comparison.gallery, None)
    for words, store, step in cell.methods(modality):
        queries = cell.inverted(comparison.queries, comparison.queries_of, store, step)
        gallery = cell.inverted(comparison.gallery, comparison.gallery_of, store, step)
        if queries is not None:
            yield Method(f"{words}-{modality}", queries, comparison.gallery, store)
            if gallery is not None:
                yield Method(f"{words}-{INVERSIONS[modality]}", queries, gallery, store)


def _corrected(work: Work, rivals: Rivals, tasks: Sequence[Task]) -> Tables:
    """Tasks on the same items by the features that each correction has changed."""
    found: Tables = {}
    for variant in rivals.variants:
        for task in tasks:
            named = Task(f"{task.name}+{variant}", task.relevance, task.queries, task.gallery)

            def compute(
                reasons: Reasons, task: Task = task, variant: str = variant, named: Task = named
            ) -> pd.DataFrame | dict[str, float]:
                if rivals.correction(variant).scoring:
                    scoring = rivals.scorer(variant, named.words, task.name, task.within, reasons)
                    return named.table(work, scoring)
                both = rivals.pair(variant, task.name, task.queries, task.gallery)
                return {} if both is None else Task(named.name, named.relevance, *both).table(work)

            table = work.part(
                "retrieval", named.words, compute, by=__name__, relevance=task.relevance.said,
                **rivals.said(variant),
            )  # fmt: skip
            _take(found, named, table)
    return found


def _unmatched(found: Tables) -> Iterator[tuple[str, str, str]]:
    """Rows of `unavailable.COLUMNS`: retrievals by native features none of whose queries has a relevant item."""
    for (task, relevance), table in found.items():
        if task in (*_ACROSS, *_WITHIN) and len(table) and not table["relevant"].any():
            yield (
                "retrieval",
                f"{task}/{relevance}",
                f"none of {len(table)} queries has a relevant item: labels, groups and judged ids match to the letter",
            )


def _unasked(cell: Cell) -> Iterator[tuple[str, str, str]]:
    """Rows of `unavailable.COLUMNS`: judgements that no retrieval is measured by."""
    if cell.native.judgements is None:
        return
    asked = {relevance.name for comparison in comparisons(cell) for relevance in comparison.relevances}
    for setting in sorted(set(cell.native.judgements["setting"]) - asked):
        why = (
            f"no image of {cell.query} is a query of these judgements, nor a text that belongs to no image: captions "
            "are judged by their images alone"
        )
        yield "retrieval", setting, why


def _take(found: Tables, task: Task, table: pd.DataFrame | dict | None) -> None:
    """None where the table can't be had, no table (numbers of none) where a correction has no map for the task."""
    if isinstance(table, pd.DataFrame):
        found[task.name, task.relevance.name] = table
