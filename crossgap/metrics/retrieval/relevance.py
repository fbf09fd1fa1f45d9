"""What each query's ranking is judged by: the relevant gallery items, and the ignored ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.arrays import label_array, label_codes, places_of, require_columns
from crossgap.errors import listed
from crossgap.prepared.judgements import IGNORED

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped

COLUMNS = ["query", "item", "grade"]
HIGHEST = 2.0**53  # below it, a float is the whole number that was given


class JudgedPairs(NamedTuple):
    """Judged pairs, ordered by query.

    Attributes:
        query: `(p,)`, the query's place in its block.
        item: `(p,)`, the item's place in the gallery.
        grade: `(p,)`, from 1 for a relevant item; `IGNORED` takes it out of the ranking.
    """

    query: Int64[np.ndarray, " p"]
    item: Int64[np.ndarray, " p"]
    grade: Int64[np.ndarray, " p"]


@dataclass(frozen=True)
class RelevanceLists:
    """The judged items of n queries, as lists that queries may share.

    Attributes:
        first, count: `(n,)`, where a query's list begins in `items` and how long it is.
        items: the lists one after another, places in the gallery, none twice in a list.
        grades: of `items`; None if all are 1.
        left_out: `(n,)`, the place of one gallery item that is ignored in any case, -1 for none.
    """

    first: Int64[np.ndarray, " n"]
    count: Int64[np.ndarray, " n"]
    items: Int64[np.ndarray, " i"]
    grades: Int64[np.ndarray, " i"] | None
    left_out: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.first)

    def pairs(self, queries: slice) -> JudgedPairs:
        """The pairs of a block of queries."""
        first, count, left_out = self.first[queries], self.count[queries], self.left_out[queries]
        query = np.repeat(np.arange(len(first)), count)
        at = np.arange(len(query)) + np.repeat(first - np.cumsum(count) + count, count)
        item = self.items[at]
        grade = np.ones(len(at), dtype=np.int64) if self.grades is None else self.grades[at]
        own = np.flatnonzero(left_out >= 0)
        if own.size == 0:
            return JudgedPairs(query, item, grade)
        keep = item != left_out[query]
        query = np.concatenate([query[keep], own])
        order = np.argsort(query, kind="stable")
        item = np.concatenate([item[keep], left_out[own]])[order]
        grade = np.concatenate([grade[keep], np.full(len(own), IGNORED)])[order]
        return JudgedPairs(query[order], item, grade)


def by_labels(
    query_codes: Int64[np.ndarray, " n"],
    gallery_codes: Int64[np.ndarray, " m"],
    left_out: Int64[np.ndarray, " n"],
) -> RelevanceLists:
    """Items are relevant, with grade 1, to the queries of an equal code; a negative one equals none.

    Args:
        query_codes, gallery_codes: as of `label_codes`.
        left_out: the place of one gallery item that is ignored for a query, -1 for none.

    Raises:
        TypeError, ValueError: places that are none.
    """
    left_out = places_of(left_out, "left_out", len(query_codes), len(gallery_codes), least=-1)
    items = np.argsort(gallery_codes, kind="stable")
    ordered = gallery_codes[items]
    first, last = (np.searchsorted(ordered, query_codes, side) for side in ("left", "right"))
    return RelevanceLists(first, np.where(query_codes < 0, 0, last - first), items, None, left_out)


def by_judgements(
    judgements: pd.DataFrame, query_ids: Shaped[np.ndarray, " n"], gallery_ids: Shaped[np.ndarray, " m"]
) -> RelevanceLists:
    """Items have the grades of a table `query`, `item`, `grade`; a query's own id in the gallery is ignored.

    Args:
        judgements: grades are whole numbers: relevant above 0, irrelevant at 0, ignored at -1.
        query_ids, gallery_ids: object arrays `(n,)` and `(m,)` of `label_array`, each id unique.

    Raises:
        TypeError, ValueError: a column is missing, a grade is no such number, an id is unknown or missing, or a
            pair is judged twice.
    """
    require_columns(judgements, "judgements", COLUMNS)
    grade = pd.to_numeric(judgements["grade"], errors="coerce").to_numpy(float, na_value=np.nan)
    if (bad := ~((grade >= IGNORED) & (grade == np.rint(grade)) & (grade < HIGHEST))).any():
        examples = listed(judgements["grade"][bad])
        raise ValueError(
            f"judgements holds {bad.sum()} grades that are not whole numbers from -1 ({examples}): a grade above 0 "
            "is relevant, 0 irrelevant, -1 ignored"
        )
    left_out = places(query_ids, gallery_ids)
    query = _known(judgements, "query", query_ids, "query_ids")
    item = _known(judgements, "item", gallery_ids, "gallery_ids")
    order = np.lexsort([item, query])
    query, item, grade = query[order], item[order], grade[order].astype(np.int64)
    if (again := (np.diff(query) == 0) & (np.diff(item) == 0)).any():
        pairs = [f"{query_ids[query[i]]}: {gallery_ids[item[i]]}" for i in np.flatnonzero(again)]
        raise ValueError(
            f"judgements judges {len(pairs)} pairs twice ({listed(pairs)}): give each pair one grade"
        )

    judged = grade != 0
    query, item, grade = query[judged], item[judged], grade[judged]
    count = np.bincount(query, minlength=len(query_ids))
    return RelevanceLists(np.cumsum(count) - count, count, item, grade, left_out)


def places(
    query_ids: Shaped[np.ndarray, " n"], gallery_ids: Shaped[np.ndarray, " m"]
) -> Int64[np.ndarray, " n"]:
    """The gallery's index of each query's id (n,), -1 where the gallery lacks it.

    Raises:
        ValueError: an id is missing, or repeated in the gallery.
    """
    queries, gallery = label_codes(query_ids, gallery_ids, ("query_ids", "gallery_ids"))
    for name, codes in (("query_ids", queries), ("gallery_ids", gallery)):
        if (missing := np.flatnonzero(codes < 0)).size:
            raise ValueError(f"{name} lacks the id of items {listed(missing)}: give every item one")
    check_unique(gallery_ids, "gallery_ids")
    return pd.Index(gallery).get_indexer(queries)


def check_unique(ids: Shaped[np.ndarray, " n"], name: str) -> None:
    """Raise ValueError if an id (of `label_array`) is there twice."""
    if (repeated := pd.Series(ids).duplicated().to_numpy()).any():
        raise ValueError(f"{name} repeats {listed(dict.fromkeys(ids[repeated]))}: an id names one item")


def _known(
    judgements: pd.DataFrame, column: str, ids: Shaped[np.ndarray, " n"], name: str
) -> Int64[np.ndarray, " judged"]:
    """The places in `ids` of a column's ids."""
    given = label_array(judgements[column], len(judgements), f"judgements['{column}']")
    judged, codes = label_codes(given, ids, (f"judgements['{column}']", name))
    found = pd.Index(codes).get_indexer(judged)
    if (unknown := found < 0).any():
        examples = dict.fromkeys(given[unknown])
        raise ValueError(
            f"judgements['{column}'] names {len(examples)} ids that {name} lacks ({listed(examples)}): "
            "add these items or drop their judgements"
        )
    return found
