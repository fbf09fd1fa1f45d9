"""Composed queries that are ranked with a bank of composed queries: NNN, inverted softmax, QB-Norm.

A query of two sides is one row here: the sum of the unit features of its image and its text, made unit again. By it
candidates are ranked as by the rule `sum`, and it has the one similarity to an item that these corrections are of.

There is one set of composed queries, so the first half of the images that ask, in the order of their ids, lends the
bank, and the queries of the other half are asked. A query of the bank is left out, and counted in `reasons`, if one of
its answers, or its own image, is an answer to a query that is asked: the bank holds no match of these.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.arrays import unit_rows
from crossgap.corrections import Material
from crossgap.corrections.scoring import Scoring
from crossgap.evaluation.composed import FOUND, HALF, ComposedQueries, features_of, sides_of
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import by_id
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import composed, hubness
from crossgap.metrics.composed import Goal
from crossgap.metrics.retrieval.bias import Bias, columns

SIDES = "image and text"  # the modality of the queries


def halved(work: Work, rivals: Rivals) -> pd.DataFrame:
    """`composed.FOUND` of the queries of the second half: by `sum`, and by it with each of these corrections."""
    chosen = [name for name in corrections.SCORING if name in rivals.names]
    if work.cell.native.composed is None or not chosen:
        return pd.DataFrame(columns=FOUND)
    table = work.part(
        "composed",
        "halves",
        partial(_measured, work, chosen),
        by=__name__,
        rival=tuple(chosen),
        chosen=chosen,
    )
    return pd.DataFrame(columns=FOUND) if table is None else table


def _measured(work: Work, chosen: list[str], reasons: Reasons) -> pd.DataFrame:
    sides, _ = sides_of(work.cell)  # `composed.searched` says what is left out of them
    images = features_of(sides.images)
    both = unit_rows(images[sides.asking], "images", np.float64) + unit_rows(
        sides.asked(sides.texts.features, unit=True), "texts", np.float64
    )
    queries = unit_rows(both, "images and texts together", np.float64)
    lends, overlaps = _lending(sides)
    asked = ~lends
    if not lends.any() or not asked.any():
        reasons.add(
            [("composed", "halves", f"halves of {len(queries)} composed queries: give more images that ask")]
        )
        return pd.DataFrame(columns=FOUND)
    if overlaps.any():
        why = f"{overlaps.sum()} of {lends.sum()} queries of the bank left out"
        reasons.add([("composed", "halves", f"{why}: their image or an answer answers one that is asked")])
    bank = queries[lends & ~overlaps]
    wanted = [goal for goal, one in zip(sides.wanted, asked, strict=True) if one]
    tables = [_ranked("sum", queries[asked], images, wanted, None)]
    for rival in chosen if len(bank) else ():
        fits, _ = corrections.fitted(Material(banks={SIDES: bank}), [rival])
        for name, correction in fits.items():
            scoring: Any = correction.scoring  # each of SCORING has one
            with reasons.of("composed", f"sum+{name}"):
                bias = _bias(scoring, queries[asked], images, wanted, sides.asking[asked])
                tables.append(_ranked(f"sum+{name}", queries[asked], images, wanted, bias))
    if not len(bank):
        reasons.add([("composed", "halves", "no query is left in the bank")])
    named = {"set": sides.sets[asked], "query": sides.queries[asked], "asked": HALF}
    return pd.concat([table.assign(**named)[FOUND] for table in tables], ignore_index=True)


def _lending(sides: ComposedQueries) -> tuple[np.ndarray, np.ndarray]:
    """Which queries lend the bank, `(n,)`, and which of them share an answer with those that are asked."""
    ids = np.concatenate([items.ids for items in sides.images])[sides.asking].astype(str)
    images = pd.unique(ids[by_id(ids)])
    lends = np.isin(ids, images[: len(images) // 2])
    answers = [goal.answers for goal, lent in zip(sides.wanted, lends, strict=True) if not lent]
    taken = np.unique(np.concatenate(answers)) if answers else np.empty(0, int)
    met = [
        bool(np.isin([*goal.answers, own], taken).any())
        for goal, own in zip(sides.wanted, sides.asking, strict=True)
    ]
    return lends, lends & np.array(met)


def _bias(
    scoring: Scoring, queries: np.ndarray, images: np.ndarray, wanted: list[Goal], own: np.ndarray
) -> Bias:
    """Of all candidates; which queries are ranked with it hangs on the candidates that each searches, without those
    that its ranking leaves out.
    """
    of_items, flags = scoring.of_items(images, SIDES), np.zeros(len(queries), bool)
    for rows, among in composed.groups(wanted):
        held = np.arange(len(images)) if among is None else np.sort(among)
        firsts = held[hubness.firsts(scoring.banks[SIDES], images[held])] if scoring.which else None
        by_others: dict[tuple[int, ...], list[tuple[int, int]]] = {}  # left out beside the image that asks
        for row in rows:
            out = () if (ignored := wanted[row].ignored) is None else ignored.tolist()
            others = tuple(sorted(place for place in out if place != own[row]))
            by_others.setdefault(others, []).append((row, own[row] if own[row] in out else -1))
        for others, some in by_others.items():
            kept = held[~np.isin(held, others)]
            asked, left_out = map(list, zip(*some, strict=True))
            flags[asked] = scoring(
                queries[asked],
                images[kept],
                SIDES,
                left_out=pd.Index(kept).get_indexer(left_out),
                of_items=of_items[kept],
                of_bank=None if firsts is None else pd.Index(kept).get_indexer(firsts),
            ).queries
    return Bias(flags, of_items)


def _ranked(
    task: str, queries: np.ndarray, images: np.ndarray, wanted: list[Goal], bias: Bias | None
) -> pd.DataFrame:
    added = None if bias is None else columns(bias, len(queries), len(images))
    found = composed.found_by(queries, queries, images, wanted, ("image",), added=added)
    return found["image"].assign(task=task)
