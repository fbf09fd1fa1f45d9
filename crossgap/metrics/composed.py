"""Composed retrieval: images are searched for by an image and a text, whose similarities are put together.

The rules, of the similarities i of the image and t of the text to every candidate:

- `image`, `text`: one of them alone;
- `sum`: i + t; `product`: max(i, 0) · max(t, 0);
- `harris`: t · i − 0.1 (t + i)² of normalised similarities, (s − least s) / |least i|, cut off at 0 (BASIC, arXiv
  2510.25387). Both are divided by the least i, as in its public code. That takes the least of generated images and
  texts; here it is that of all which are asked, over the candidates that they search.

Scores of a query are compared with each other alone. Rows are rounded to a grid on which inner products are exact, so
that no result depends on blocks or threads; candidates with equal scores stand in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.arrays import check_widths, checked_features, unit_rows
from crossgap.metrics.neighbours import blocks

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

    from crossgap.arrays import Features

RULES = ("image", "text", "sum", "product", "harris")
LAMBDA = 0.1
CUT_OFFS = (5, 10, 25, 50)  # of average precision, as CIRCO has them
EXPANDED, TEMPERATURE = 25, 0.1  # BASIC's query expansion
GRID = 2.0**25  # inner products of rows shorter than 2 are exact
PER_QUERY = ("ap", "ap_trapezoid", *(f"ap@{k}" for k in CUT_OFFS), "rank", "subset_rank", "candidates")
_SMALL = 1e-5  # added to the number of answers in i-CIR's average precision


@dataclass(frozen=True)
class Goal:
    """What a query should find: places among the candidates, each once.

    Attributes:
        answers: `(r,)`, all of them, among the candidates.
        target: the answer whose rank counts; the first that is found, if None.
        ignored: places that are left out of the ranking.
        members: of the candidates, places that the target is ranked among a second time.
        among: the candidates; all, if None. Queries that hold one and the same array are searched together.
    """

    answers: Int64[np.ndarray, " r"]
    target: int | None = None
    ignored: Int64[np.ndarray, " s"] | None = None
    members: Int64[np.ndarray, " t"] | None = None
    among: Int64[np.ndarray, " c"] | None = None


def put_together(
    images: Float64[np.ndarray, "n m"],
    texts: Float64[np.ndarray, "n m"],
    rule: str,
    least: tuple[float, float] | None = None,
) -> Float64[np.ndarray, "n m"]:
    """Scores by one of `RULES`, from the similarities of images and of texts.

    Args:
        least: of images and of texts, for `harris`; of these, if not given.

    Raises:
        ValueError: an unknown rule.
    """
    if rule in ("image", "text"):
        return images if rule == "image" else texts
    if rule == "sum":
        return images + texts
    if rule == "product":
        return np.maximum(images, 0) * np.maximum(texts, 0)
    if rule != "harris":
        raise ValueError(f"rule is {rule!r}: give one of {', '.join(RULES)}")
    of_image, of_text = least or (images.min(), texts.min())
    scale = abs(of_image) or 1.0
    i, t = np.maximum((images - of_image) / scale, 0), np.maximum((texts - of_text) / scale, 0)
    return t * i - LAMBDA * (t + i) ** 2


def found_by(
    images: Features,
    texts: Features,
    candidates: Features,
    wanted: Sequence[Goal],
    rules: Sequence[str] = RULES,
    *,
    unit: bool = True,
    added: tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " m"]] | None = None,
) -> dict[str, pd.DataFrame]:
    """Where each query finds its answers, by every rule.

    Args:
        images, texts: `(n, d)`, of each query.
        candidates: `(m, d)`.
        wanted: `(n,)`, with one answer at least each.
        unit: whether rows are made of unit length first, so that similarities are cosines.
        added: columns as of `retrieval.bias.columns`, of all queries and candidates: what is added to the scores.

    Returns:
        By rule, a row a query of `PER_QUERY`: average precision; by trapezoids, as i-CIR's code has it; among the first
        k, as CIRCO has it, over the least of k and the number of answers; the target's rank from 1, or that of the
        first answer; that among the `members`, NaN without any; and the number of candidates.
    """
    sides = _exact(images, "images", unit), _exact(texts, "texts", unit)
    gallery = checked_features(candidates, "candidates")
    for side, name in zip(sides, ("images", "texts"), strict=True):
        check_widths(side, gallery, (name, "candidates"))
        if len(side) != len(wanted):
            raise ValueError(f"{name} holds {len(side)} rows for {len(wanted)} queries: give each one")
    searching = [*groups(wanted)]
    least = _least(sides, gallery, searching, unit) if "harris" in rules else None
    found: dict[str, list[tuple[float, ...]]] = {rule: [] for rule in rules}
    for queries, among in searching:
        searched = _searched(gallery, among, unit)
        local = [_local(wanted[query], among) for query in queries]
        for some in blocks(len(queries), 4 * len(searched)):
            similar = [side[queries[some]] @ searched.T for side in sides]
            for rule in rules:
                scores = put_together(similar[0], similar[1], rule, least)
                if added is not None:
                    of_items = added[1] if among is None else added[1][np.sort(among)]
                    scores = scores + added[0][queries[some], None] * of_items
                found[rule] += [_placed(*pair) for pair in zip(scores, local[some], strict=True)]
    order = np.argsort(np.concatenate([queries for queries, _ in searching]))
    return {
        rule: pd.DataFrame(of, columns=list(PER_QUERY)).iloc[order].reset_index(drop=True)
        for rule, of in found.items()
    }


def expanded(
    queries: Features,
    projected: Features,
    candidates: Features,
    wanted: Sequence[Goal],
    *,
    unit: bool = True,
) -> Float64[np.ndarray, "n d"]:
    """BASIC's query expansion: the weighted mean of a query's image and its 25 nearest candidates, `(n, d)`.

    Weights are exp(0.1 s) of the similarity s to the candidates, and of 1 for the query itself.

    Args:
        queries: `(n, d)`, which the mean is of.
        projected: `(n, d)`, the same images as they are compared with the candidates.
        candidates: `(m, d)`.
        wanted: whose `ignored` candidates no query is expanded by.
    """
    own, asking = _exact(queries, "queries", unit), _exact(projected, "projected", unit)
    gallery = checked_features(candidates, "candidates")
    found = np.empty_like(own)
    for rows, among in groups(wanted):
        searched = _searched(gallery, among, unit)
        for some in blocks(len(rows), len(searched)):
            for row, scores in zip(rows[some], asking[rows[some]] @ searched.T, strict=True):
                out = _local(wanted[row], among).ignored
                if out is not None:
                    # a weight of 0
                    scores[out] = -np.inf
                near = np.argsort(-scores, kind="stable")[:EXPANDED]
                weights = np.exp(TEMPERATURE * np.append(scores[near], 1.0))
                found[row] = weights / weights.sum() @ np.vstack([searched[near], own[row]])
    return found


def summarise(table: pd.DataFrame) -> dict[str, float]:
    """Means over queries: `mAP`, `mAP_trapezoid`, `mAP@k`, `recall@k` and, with members, `subset_recall@k`."""
    ranks, inner = table["rank"].to_numpy(), table["subset_rank"].dropna().to_numpy()
    means = {"mAP": table["ap"].mean(), "mAP_trapezoid": table["ap_trapezoid"].mean()}
    means |= {f"mAP@{k}": table[f"ap@{k}"].mean() for k in CUT_OFFS}
    means |= {f"recall@{k}": (ranks <= k).mean() for k in (1, 5, 10, 50)}
    means |= {f"subset_recall@{k}": (inner <= k).mean() if len(inner) else np.nan for k in (1, 2, 3)}
    return {name: float(value) for name, value in means.items()}


def means_of_sets(table: pd.DataFrame, sets: Sequence[str]) -> Mapping[str, float]:
    """`summarise` of each set, and the mean of these, every set counting once."""
    found = pd.DataFrame([summarise(held) for _, held in table.groupby(np.asarray(sets, object))])
    return found.mean().to_dict()


def _exact(rows: Features, name: str, unit: bool) -> Float64[np.ndarray, "n d"]:
    held = unit_rows(rows, name, np.float64) if unit else np.asarray(checked_features(rows, name), np.float64)
    return np.rint(held * GRID) / GRID


def groups(wanted: Sequence[Goal]) -> Iterator[tuple[Int64[np.ndarray, " g"], np.ndarray | None]]:
    """Places of the queries that search one array of candidates, and that array; None for all candidates."""
    by: dict[int, list[int]] = {}
    for place, of in enumerate(wanted):
        by.setdefault(id(of.among), []).append(place)
    for places in by.values():
        yield np.array(places), wanted[places[0]].among


def _searched(gallery: Features, among: np.ndarray | None, unit: bool) -> Float64[np.ndarray, "c d"]:
    return _exact(gallery if among is None else gallery[np.sort(among)], "candidates", unit)


def _least(
    sides: Sequence[Float64[np.ndarray, "n d"]],
    gallery: Features,
    searching: Sequence[tuple[np.ndarray, np.ndarray | None]],
    unit: bool,
) -> tuple[float, float]:
    """The least similarity of images and of texts to the candidates that they search."""
    lows = [np.inf, np.inf]
    for queries, among in searching:
        searched = _searched(gallery, among, unit)
        for some in blocks(len(queries), len(searched)):
            for number, side in enumerate(sides):
                lows[number] = min(lows[number], float((side[queries[some]] @ searched.T).min()))
    return lows[0], lows[1]


def _local(wanted: Goal, among: np.ndarray | None) -> Goal:
    """The same by places in the sorted `among`, without those that are not there."""
    if among is None:
        return wanted
    held = np.sort(among)

    def places(given: np.ndarray | None) -> np.ndarray | None:
        return None if given is None else np.searchsorted(held, given[np.isin(given, held)])

    answers = np.searchsorted(held, wanted.answers)
    target = None if wanted.target is None else int(np.searchsorted(held, wanted.target))
    return Goal(answers, target, places(wanted.ignored), places(wanted.members))


def _placed(scores: Float64[np.ndarray, " m"], wanted: Goal) -> tuple[float, ...]:
    """`PER_QUERY` of one query among all that it searches."""
    scores = scores.copy()
    if wanted.ignored is not None:
        scores[wanted.ignored] = -np.inf
    ranks = _ranks(scores, wanted.answers)
    order = np.sort(ranks)
    n, numbers = len(order), np.arange(len(order))
    precisions = (numbers + 1) / order
    before = np.where(order == 1, 1.0, numbers / np.maximum(order - 1, 1))
    at = [precisions[order <= k].sum() / min(n, k) for k in CUT_OFFS]
    rank = order[0] if wanted.target is None else ranks[np.flatnonzero(wanted.answers == wanted.target)[0]]
    inner = np.nan
    if wanted.members is not None and wanted.target is not None:
        others = wanted.members[wanted.members != wanted.target]
        own = scores[wanted.target]
        inner = 1 + (scores[others] > own).sum() + ((scores[others] == own) & (others < wanted.target)).sum()
    trapezoids = ((before + precisions) / 2).sum() / (n + _SMALL)
    left = len(scores) - (0 if wanted.ignored is None else len(wanted.ignored))
    return precisions.mean(), trapezoids, *at, float(rank), float(inner), float(left)


def _ranks(scores: Float64[np.ndarray, " m"], places: Int64[np.ndarray, " r"]) -> Int64[np.ndarray, " r"]:
    """The ranks, from 1, of the candidates at these places."""
    mine = scores[places]
    order = np.argsort(mine, kind="stable")
    ascending = mine[order]
    below = np.bincount(np.searchsorted(ascending, scores, side="left"), minlength=len(places) + 1)
    ahead = np.empty(len(places), np.int64)
    # a candidate with j answers strictly below it is ahead of these j alone
    ahead[order] = below[::-1].cumsum()[::-1][1:]
    for number, place in enumerate(places):
        ahead[number] += np.count_nonzero(scores[:place] == mine[number])
    return ahead + 1
