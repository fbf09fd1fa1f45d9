"""Queries to look at: for some of each retrieval, what every method ranks first and how its similarities spread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.corrections import SCORING, rival_of
from crossgap.evaluation.corrections import Rivals, Scorer
from crossgap.evaluation.curves import DIGITS
from crossgap.evaluation.items import Items
from crossgap.evaluation.queries import Tables, Task, across, comparisons, methods
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work, calling
from crossgap.metrics.retrieval.bias import Bias
from crossgap.metrics.retrieval.heads import LOWEST, heads
from crossgap.naming import with_correction
from crossgap.stores.store import Store

HELPED, HARMED, RANDOM = "helped", "harmed", "random"
_LISTS = ["items", "relevant", "scores", "labels", "matching", "other"]
_FOUND = ["query", "label", "lowest", *_LISTS]
COLUMNS = [
    "task", "relevance", "beside", "turn", "turns", "why", "query", "label", "method", "ap", "lowest", *_LISTS,
]  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """One retrieval by one method.

    Attributes:
        task: native, or inverted; `name` is it with its correction.
        variant: the correction; empty without.
        inversion: that it reads.
    """

    task: Task
    variant: str
    inversion: Store | None

    @property
    def name(self) -> str:
        return with_correction(self.task.name, self.variant)


def looked_at(
    work: Work,
    rivals: Rivals,
    retrieved: Tables,
    *,
    seed: int,
    queries: int,
    results: int,
) -> pd.DataFrame:
    """`COLUMNS`, a row a query and method, the native one first.

    `beside` is the method that is looked at beside the native `task`: the main inversion, or without one the correction
    with the highest mAP. `why` says why a query is here: its average precision is among those that this helps or harms
    most, or it is drawn by its id and the seed; `turn` counts the `turns` queries of a retrieval, these three kinds in
    turns, from 0. `items`, `relevant`, `scores` and `labels` are lists, the nearest item first; `matching` and `other`
    count the gallery's items by their score, in steps of 0.01 from `lowest`.

    Args:
        queries: of the cell, at most: each retrieval and relevance has its share.
        results: items of each ranking, at most.
    """
    every = [held for held in _retrievals(work, rivals) if (held[0].task.name, _of(held[0])) in retrieved]
    if not queries or not every:
        return pd.DataFrame(columns=COLUMNS)
    share, over = divmod(queries, len(every))
    asked = []  # of every retrieval: place, way, what its rows share, its chosen queries
    for number, ways in enumerate(every):
        ways = [way for way in ways if (way.name, _of(way)) in retrieved]
        precisions = {
            way.name: retrieved[way.name, _of(way)].set_index("query")["ap"].astype(float) for way in ways
        }
        beside = _beside(ways, precisions)
        chosen = _chosen(precisions, ways[0].name, beside, share + (number < over), seed)
        named = {"task": ways[0].name, "relevance": _of(ways[0]), "beside": beside}
        if chosen:
            asked += [((number, i), way, named, chosen, precisions[way.name]) for i, way in enumerate(ways)]
    frames = {}
    for place, way, named, chosen, ap in sorted(asked, key=lambda one: one[1].variant):  # which `pair` holds
        found = _part(work, rivals, way, list(chosen), results)
        if found is not None:
            turns = {query: turn for turn, query in enumerate(chosen)}
            of_query = {"why": found["query"].map(chosen), "ap": found["query"].map(ap).round(DIGITS)}
            of_query |= {"turn": found["query"].map(turns), "turns": len(chosen)}
            frames[place] = found.assign(method=way.name, **named, **of_query)
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    whole = pd.concat([frames[place] for place in sorted(frames)], ignore_index=True)[COLUMNS]
    return whole.assign(**{name: whole[name].map(json.loads) for name in _LISTS})


def _of(way: Looked) -> str:
    return way.task.relevance.name


def _retrievals(work: Work, rivals: Rivals) -> Iterator[list[Looked]]:
    """The ways of each retrieval and relevance, the native one first."""
    cell = work.cell
    for comparison in comparisons(cell):
        sides = list(methods(cell, comparison))
        for relevance in comparison.relevances:
            found = [Looked(Task(s.task, relevance, s.queries, s.gallery), "", s.inversion) for s in sides]
            yield found + [Looked(found[0].task, variant, None) for variant in rivals.variants]
    for task in across(cell):
        yield [Looked(task, variant, None) for variant in ("", *rivals.variants)]


def _beside(ways: Sequence[Looked], precisions: dict[str, pd.Series]) -> str:
    inverted = [way.name for way in ways[1:] if not way.variant]
    if inverted:
        return inverted[0]
    means = {way.name: precisions[way.name].mean() for way in ways[1:]}
    held = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    return max(held, key=held.__getitem__) if held else ""


def _chosen(
    precisions: dict[str, pd.Series], native: str, beside: str, count: int, seed: int
) -> dict[str, str]:
    """Query → why, at most `count` of them: those most helped, most harmed and drawn take turns."""
    values = precisions[native].dropna()
    drawn = sorted(values.index, key=lambda one: fingerprint.of_json([seed, str(one)]))
    turns: list[list[tuple[str, str]]] = [[(one, RANDOM) for one in drawn]]
    if beside:
        gains = (precisions[beside].reindex(drawn) - values.reindex(drawn)).dropna().round(12)
        ordered = gains.sort_values(kind="stable")
        helped = ordered[ordered > 0].index[::-1]
        turns = [
            [(one, HELPED) for one in helped],
            [(one, HARMED) for one in ordered[ordered < 0].index],
            *turns,
        ]
    found: dict[str, str] = {}
    for one, why in (held for turn in zip_longest(*turns) for held in turn if held):
        if len(found) < count:
            found.setdefault(one, why)
    return found


def _part(work: Work, rivals: Rivals, way: Looked, asked: Sequence[str], results: int) -> pd.DataFrame | None:
    rival = rival_of(way.variant) if way.variant else None

    def corrected(reasons: Reasons) -> pd.DataFrame | dict[str, float]:
        task = way.task
        if rival in SCORING:
            scoring = rivals.scorer(way.variant, f"{way.name}/{_of(way)}", task.name, task.within, reasons)
            return _found(task, asked, results, scoring)
        both = rivals.pair(way.variant, task.name, task.queries, task.gallery)
        return {} if both is None else _found(Task(task.name, task.relevance, *both), asked, results)

    compute: Callable[[Reasons], pd.DataFrame | dict[str, float]] = (
        corrected if rival else calling(_found, way.task, asked, results)
    )
    found = work.part(
        "looked", f"{way.name}/{_of(way)}", compute, by=__name__,
        inversions=[] if way.inversion is None else [way.inversion],
        relevance=way.task.relevance.said, queries=list(asked), results=results, **rivals.said(way.variant),
    )  # fmt: skip
    return found if isinstance(found, pd.DataFrame) else None


def _found(task: Task, asked: Sequence[str], results: int, scoring: Scorer | None = None) -> pd.DataFrame:
    """`_FOUND` of the queries asked for, lists as JSON."""
    queries, gallery = task.relevance.concerns(task.queries), task.relevance.concerns(task.gallery)
    bias = scoring(queries, gallery) if scoring else None
    at = pd.Index(queries.ids).get_indexer(list(asked))
    if bias is not None:
        bias = Bias(np.asarray(bias.queries)[at], bias.gallery)
    some, labels = queries.where(at), task.relevance.label(gallery)
    lists = task.relevance.lists(some, gallery, exclude_self=task.within)
    rows = []
    for query, label, head in zip(
        some.ids,
        task.relevance.label(some),
        heads(some.features, gallery.features, lists, results, bias),
        strict=True,
    ):
        held = np.flatnonzero(head.matching + head.other)
        span = slice(held[0], held[-1] + 1) if len(held) else slice(0, 0)
        columns = (
            _ids(gallery, head.items),
            head.relevant.tolist(),
            head.scores.round(4).tolist(),
            labels[head.items].tolist() if any(labels) else [],
            head.matching[span].tolist(),
            head.other[span].tolist(),
        )
        lowest = round(LOWEST + span.start / 100, 2)
        rows.append(
            (str(query), str(label or ""), lowest, *(json.dumps(one, ensure_ascii=False) for one in columns))
        )
    return pd.DataFrame(rows, columns=_FOUND)


def _ids(gallery: Items, places: np.ndarray) -> list[str]:
    return [str(one) for one in gallery.ids[places]]
