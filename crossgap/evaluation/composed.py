"""Composed retrieval of a cell: an image and a text that says what is to differ ask for images.

A task is a rule of `crossgap.metrics.composed`, and a method: `sum`, `harris+centering`. Candidates are the images of
the splits that the cell names, or those of the query's own gallery. By method:

- natively, every rule, and `expansion`: `harris` with BASIC's query expansion;
- with a correction of features, `sum` and `harris`; with BASIC, whose `harris` is the paper's method without query
  expansion, `expansion` too. The paper's contextual texts, each the mean of itself beside about a hundred names, are
  left out: they need the text tower, which an evaluation does not load.
  A correction that ranks with a bias has a bank of its own for two sides that ask: see `composed_banks`;
- with OTI, `sum` and `harris` of inverted query images; and `oti-template`, texts in OTI's template with the tokens of
  the image (see `crossgap.inversion.composed`), which are like SEARLE's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.arrays import unit_rows
from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import composed
from crossgap.metrics.composed import PER_QUERY, RULES, Goal
from crossgap.prepared import manifest
from crossgap.prepared.composed import (
    ALL,
    HALF,
    IGNORED,
    MEAN,
    MEMBER,
    NOT_SETS,
    RELEVANT,
    TARGET,
    Composed,
)

EXPANSION, TEMPLATE = "expansion", "oti-template"
PUT_TOGETHER = ("sum", "harris")  # of corrections and of OTI
PROJECTING = "basic"  # whose query expansion is measured
NAMED = 10  # sets that have a row of their own, at most
RATES = (
    "mAP", "mAP_trapezoid", "mAP@5", "mAP@10", "mAP@25", "mAP@50", "recall@1", "recall@5", "recall@10", "recall@50",
    "subset_recall@1", "subset_recall@2", "subset_recall@3",
)  # fmt: skip
COLUMNS = ["task", "at", *RATES, "queries", "candidates"]
HEADLINES = ("mAP", "mAP@10", "recall@1", "recall@10", "subset_recall@1")
FOUND = ["task", "asked", "set", "query", *PER_QUERY]


@dataclass(frozen=True)
class ComposedQueries:
    """Queries and candidates, as features.

    Attributes:
        queries: `(n,)` ids; `sets` those of their sets.
        images: by group of the store; all of them are candidates.
        asking: `(n,)`, the places of the queries' images in all of them.
        texts: all that are asked, and `of`: for each query the places of its texts.
        wanted: for each query, by places in all images.
    """

    queries: np.ndarray
    sets: np.ndarray
    images: list[Items]
    asking: np.ndarray
    texts: Items
    of: list[np.ndarray]
    wanted: list[Goal]

    @cached_property
    def at(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and queries of the texts, flat."""
        return np.concatenate(self.of), np.repeat(np.arange(len(self.of)), [len(rows) for rows in self.of])

    def asked(self, texts: np.ndarray, unit: bool) -> np.ndarray:
        """The mean of each query's texts `(n, d)`, of unit rows if asked for."""
        rows, queries = self.at
        held = unit_rows(texts, "texts", np.float64) if unit else np.asarray(texts, np.float64)
        sums = np.zeros((len(self.of), held.shape[1]))
        np.add.at(sums, queries, held[rows])
        return sums / np.bincount(queries)[:, None]

    def where(self, rows: np.ndarray) -> ComposedQueries:
        """Some of the queries, by their places."""
        return ComposedQueries(
            self.queries[rows], self.sets[rows], self.images, self.asking[rows], self.texts,
            [self.of[row] for row in rows], [self.wanted[row] for row in rows],
        )  # fmt: skip


def searched(work: Work, rivals: Rivals) -> pd.DataFrame:
    """A row a task and query: that all are `asked`, its `set` and `PER_QUERY` of `crossgap.metrics.composed`."""
    cell, tables = work.cell, [pd.DataFrame(columns=FOUND)]
    if cell.native.composed is None:
        return tables[0]
    main = cell.main("image")
    sides = cache(partial(sides_of, cell))  # the same for every method
    methods = [None, *rivals.of_features, *(["oti"] if main else [])]
    for method in methods:
        table = work.part(
            "composed",
            method or "native",
            partial(_measured, cell, rivals, sides, method),
            by=__name__,
            inversions=[main] if method == "oti" and main else (),
            **({} if method == "oti" else rivals.said(method)),
        )
        if table is None and method is None:
            break
        if table is not None and len(table):
            tables.append(table)
    return pd.concat(tables[1:], ignore_index=True) if tables[1:] else tables[0]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """`COLUMNS`, a row a task and `at`: all queries, the mean of sets where there are several, each of few sets; or the
    half of the queries that is asked with the others as a bank.
    """
    rows = []
    for (asked, task), held in found.groupby(["asked", "task"], sort=False):
        if asked == HALF:
            rows.append({"task": task, "at": HALF, **composed.summarise(held), **_counts(held)})
            continue
        sets = held["set"].unique()
        parts = {ALL: held}
        if 1 < len(sets) <= NAMED:
            parts |= dict(iter(held.groupby("set", sort=True)))
        for at, part in parts.items():
            rows.append({"task": task, "at": at, **composed.summarise(part), **_counts(part)})
            if at == ALL and len(sets) > 1:
                means = composed.means_of_sets(part, part["set"])
                rows.append({"task": task, "at": MEAN, **means, **_counts(part)})
    return pd.DataFrame(rows, columns=COLUMNS)


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """`composed/<task>/<all or half>/<metric>`; NaN where there is none."""
    return {
        f"composed/{row['task']}/{row['at']}/{name}": row[name]
        for row in table[table["at"].isin([ALL, HALF])].to_dict("records")
        for name in HEADLINES
    }


def outcomes(found: pd.DataFrame) -> dict[tuple[str, str, str], pd.Series]:
    """Average precision of each query, as `comparisons.compared` takes it."""
    return {
        ("composed", task, asked): held.set_index("query")["ap"]
        for (asked, task), held in found.groupby(["asked", "task"], sort=False)
    }


def _counts(held: pd.DataFrame) -> dict[str, int]:
    return {"queries": len(held), "candidates": int(held["candidates"].max())}


def _measured(
    cell: Cell,
    rivals: Rivals,
    of: Callable[[], tuple[ComposedQueries, list[tuple[str, int]]]],
    method: str | None,
    reasons: Reasons,
) -> pd.DataFrame:
    sides, lost = of()
    reasons.add(
        ("composed", "queries", f"{count} composed queries are left out: {why}") for why, count in lost
    )
    if method == "oti":
        tables = [*_inverted(cell, sides, reasons)]
    elif method is None:
        images = features_of(sides.images)
        asking = images[sides.asking], sides.asked(sides.texts.features, unit=True)
        found_by = composed.found_by(*asking, images, sides.wanted, RULES)
        tables = [(rule, sides, table) for rule, table in found_by.items()]
        spread = composed.expanded(asking[0], asking[0], images, sides.wanted)
        expanded = composed.found_by(spread, asking[1], images, sides.wanted, ("harris",))
        tables.append((EXPANSION, sides, expanded["harris"]))
    else:
        tables = [(f"{task}+{method}", sides, table) for task, table in _corrected(rivals, method, sides)]
    found = [
        table.assign(task=task, asked=ALL, set=by.sets, query=by.queries)[FOUND] for task, by, table in tables
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=FOUND)


def _corrected(rivals: Rivals, method: str, sides: ComposedQueries) -> Iterator[tuple[str, pd.DataFrame]]:
    """By `PUT_TOGETHER`; nothing where the correction has no map for one of the sides."""
    correction = rivals.correction(method)
    unit = correction.similarity == "cosine"
    texts = rivals.corrected(method, sides.texts, "text")
    asking = [rivals.corrected(method, items, "image") for items in sides.images]
    gallery = (
        sides.images
        if correction.sides == "query"
        else [rivals.corrected(method, items, "image", "gallery") for items in sides.images]
    )
    held, against = [one for one in asking if one], [one for one in gallery if one]
    if texts is None or len(held) < len(asking) or len(against) < len(gallery):
        return
    images, candidates = features_of(held), features_of(against)
    words = sides.asked(texts.features, unit)
    if images.shape[1] != candidates.shape[1] or words.shape[1] != candidates.shape[1]:
        raise UnavailableError("images, texts and candidates have other widths after it")
    queries = images[sides.asking]
    yield from composed.found_by(queries, words, candidates, sides.wanted, PUT_TOGETHER, unit=unit).items()
    if corrections.rival_of(method) == PROJECTING:
        own = candidates[sides.asking]
        spread = composed.expanded(own, queries, candidates, sides.wanted, unit=unit)
        spread = spread @ correction.maps["image"].matrix
        expanded = composed.found_by(spread, words, candidates, sides.wanted, ("harris",), unit=unit)
        yield EXPANSION, expanded["harris"]


def _inverted(
    cell: Cell, sides: ComposedQueries, reasons: Reasons
) -> Iterator[tuple[str, ComposedQueries, pd.DataFrame]]:
    """With OTI of the images that ask, of those queries that have it."""
    store, name = cell.main("image"), f"image/{cell.query}"
    if store is None:
        return
    images = features_of(sides.images)
    ids = np.concatenate([items.ids for items in sides.images])[sides.asking]
    if name in store:
        at = pd.Index(store[name].ids).get_indexer(ids)
        rows = np.flatnonzero(at >= 0)
        if lacking := len(ids) - len(rows):
            reasons.add([("composed", "oti", f"{lacking} composed queries have no inverted image")])
        if len(rows):
            some = sides.where(rows)
            features = store[name].features[at[rows]], some.asked(sides.texts.features, unit=True)
            for rule, table in composed.found_by(*features, images, some.wanted, PUT_TOGETHER).items():
                yield f"{rule}+oti", some, table
    asked = store.composed_features
    for why, count in store.provenance.get("composed_left_out", {}).items():
        reasons.add([("composed", TEMPLATE, f"{count} composed queries are left out: {why}")])
    if asked is None:
        reasons.add(
            [("composed", TEMPLATE, "OTI was made without the composed queries: run its stage again")]
        )
        return
    at = pd.Index(asked["id"]).get_indexer(sides.queries)
    if not len(rows := np.flatnonzero(at >= 0)):
        return
    some, features = sides.where(rows), asked["features"][at[rows]]
    yield TEMPLATE, some, composed.found_by(features, features, images, some.wanted, ("image",))["image"]


def sides_of(cell: Cell) -> tuple[ComposedQueries, list[tuple[str, int]]]:
    """The composed queries of a cell; and why others are left out, with their number.

    Raises:
        UnavailableError: none can be asked.
    """
    tables, texts = cell.native.composed, cell.items(f"text/{manifest.COMPOSED}")
    splits = dict.fromkeys(split for split in (cell.query, cell.gallery, cell.support) if split)
    images = [items for items in (cell.items(f"image/{split}") for split in splits) if items]
    if tables is None or texts is None or not images:
        raise UnavailableError("composed queries need images and the texts that are asked")
    if wrong := [name for name in NOT_SETS if name in set(tables.asked["set"])]:
        raise UnavailableError(f"a set of composed queries is called {wrong[0]!r}: name it otherwise")
    known = pd.Index(np.concatenate([items.ids for items in images]))
    if not known.is_unique:
        raise UnavailableError("two images of the splits have one id: composed queries name images by ids")
    asked = tables.asked.assign(
        at=known.get_indexer(tables.asked["image"]),
        place=pd.Index(texts.ids).get_indexer(tables.asked["text"]),
    )
    judged = tables.judged.assign(at=known.get_indexer(tables.judged["image"]))
    of_query = dict(iter(judged[judged["at"] >= 0].groupby("query", sort=False)))
    galleries = _galleries(tables, known)
    queries, sets, asking, of, wanted = [], [], [], [], []
    lost = dict.fromkeys(
        ("the image is in none of the splits", "a text has no features", "no answer is searched"), 0
    )
    no_image, no_text, no_answer = lost
    for query, held in asked.groupby("query", sort=False):
        named = held["set"].iloc[0]
        if (held["at"] < 0).any() or (held["place"] < 0).any():
            lost[no_image if (held["at"] < 0).any() else no_text] += 1
            continue
        found = _wanted(of_query.get(query), galleries.get(named))
        if found is None:
            lost[no_answer] += 1
            continue
        queries.append(query)
        sets.append(named)
        asking.append(held["at"].iloc[0])
        of.append(held["place"].to_numpy())
        wanted.append(found)
    reasons = [(why, count) for why, count in lost.items() if count]
    if not queries:
        raise UnavailableError(f"no composed query is left: {reasons[0][0]}")
    names = np.array(queries, object), np.array(sets, object)
    return ComposedQueries(*names, images, np.array(asking), texts, of, wanted), reasons


def _galleries(tables: Composed, known: pd.Index) -> dict[str, np.ndarray]:
    """Set → places of its candidates, in their order."""
    at = tables.galleries.assign(at=known.get_indexer(tables.galleries["image"]))
    at = at[at["at"] >= 0]
    return {name: np.sort(held["at"].to_numpy()) for name, held in at.groupby("set", sort=False)}


def _wanted(judged: pd.DataFrame | None, among: np.ndarray | None) -> Goal | None:
    """What a query should find; None where none of it, or not its target, is among the candidates."""
    if judged is None:
        return None
    by = {role: held["at"].to_numpy() for role, held in judged.groupby("role")}
    none = np.empty(0, np.int64)
    target, out = by.get(TARGET), by.get(IGNORED, none)
    answers = np.concatenate([by.get(TARGET, none), by.get(RELEVANT, none)])
    answers = np.sort(answers[~np.isin(answers, out)])
    if among is not None:
        answers = answers[np.isin(answers, among)]
    if not len(answers) or (target is not None and target[0] not in answers):
        return None
    return Goal(
        answers,
        None if target is None else int(target[0]),
        out if len(out) else None,
        by.get(MEMBER),
        among,
    )


def features_of(images: Sequence[Items]) -> np.ndarray:
    """Of the images of all groups, `(m, d)`."""
    return np.concatenate([items.features for items in images])
