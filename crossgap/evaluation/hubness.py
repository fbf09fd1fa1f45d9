"""Hubs in the galleries of a cell, and the corrections that score with a bank, by queries of its own.

Which items are hubs: `hubness/<task>/<measure>`, for every retrieval, natively, inverted and corrected. What the
corrections do for retrieval across the modalities where no other split has a bank: the first half of the images, in
the order of their ids, lends its queries as the bank, and the second half's are asked. Matches of the bank's queries
stand in the gallery `all` and not in the gallery `half`, which holds the second half's items alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.corrections import Material
from crossgap.corrections.scoring import Scoring
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items, by_id
from crossgap.evaluation.queries import Method, Task, across, comparisons, methods
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import hubness
from crossgap.metrics.retrieval.bias import Bias, columns
from crossgap.naming import with_correction

BESIDE = "centering"  # the correction of features that they are measured with as well
HALVES = ["task", "relevance", "query", "recall@1", "normalised", "activated"]


def hubs(work: Work, rivals: Rivals) -> dict[str, float]:
    """`hubness/<task>/skewness`, `largest` and `never_found` of N₁₀, over all queries and the whole gallery."""
    metrics: dict[str, float] = {}
    for ranked, within in _tasks(work.cell):
        for variant in (None, *rivals.variants):
            if variant and ranked.inversion:
                continue
            name = with_correction(ranked.task, variant)
            metrics |= (
                work.part(
                    "hubness",
                    name,
                    partial(_measured, rivals, ranked, within, variant, name),
                    by=__name__,
                    inversions=[ranked.inversion] if ranked.inversion else (),
                    **rivals.said(variant),
                )
                or {}
            )
    return metrics


def _tasks(cell: Cell) -> Iterator[tuple[Method, bool]]:
    """Every retrieval, and whether a query may stand in its gallery."""
    for comparison in comparisons(cell):
        for method in methods(cell, comparison):
            yield method, True
    for task in across(cell):
        yield Method(task.name, task.queries, task.gallery, None), False


def _measured(
    rivals: Rivals, ranked: Method, within: bool, variant: str | None, name: str, reasons: Reasons
) -> dict[str, float]:
    queries, gallery, added = ranked.queries, ranked.gallery, None
    if variant and rivals.correction(variant).scoring:
        bias = rivals.scorer(variant, name, ranked.task, within, reasons)(queries, gallery)
        added = columns(bias, len(queries), len(gallery))
    elif variant:
        both = rivals.pair(variant, ranked.task, queries, gallery)
        if both is None:
            return {}
        queries, gallery = both
    left_out = pd.Index(gallery.ids).get_indexer(queries.ids) if within else None
    counts = hubness.occurrences(queries.features, gallery.features, left_out=left_out, added=added)
    return {f"hubness/{name}/{key}": value for key, value in hubness.hubs(counts)._asdict().items()}


def halves(work: Work, rivals: Rivals) -> pd.DataFrame:
    """`HALVES`: every query of the second half by task (`text-image+centering+nnn_16`), `relevance` being the gallery.

    `normalised` is whether a query was ranked with a bias, `activated` the share of the gallery that QB-Norm's
    activation set has.
    """
    found = []
    chosen = [name for name in corrections.SCORING if name in rivals.names]
    beside = [None, *(variant for variant in rivals.variants if variant == BESIDE)]
    for task in across(work.cell) if chosen else ():
        for variant in beside:
            table = work.part(
                "hubness",
                f"{with_correction(task.name, variant)} halves",
                partial(_halved, rivals, task, variant, chosen),
                by=__name__,
                rival=(*chosen, *([corrections.rival_of(variant)] if variant else [])),
                chosen=chosen,
                fit=rivals.fit_of(variant) if variant else None,
            )
            if table is not None and len(table):
                found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=HALVES)


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """`hubness/<task>/<gallery>/recall@1`, with the shares of `HALVES` where a bank was used."""
    found: dict[str, float] = {}
    for (task, gallery), rows in table.groupby(["task", "relevance"], sort=False):
        for name in HALVES[3:]:
            if not rows[name].isna().all():
                found[f"hubness/{task}/{gallery}/{name}"] = float(rows[name].mean())
    return found


def _halved(
    rivals: Rivals, task: Task, variant: str | None, chosen: list[str], reasons: Reasons
) -> pd.DataFrame:
    both: tuple[Items, Items] | None = (task.queries, task.gallery)
    if variant:
        both = rivals.pair(variant, task.name, task.queries, task.gallery)
    if both is None:
        return pd.DataFrame(columns=HALVES)
    queries, gallery = both
    texts, images = both if task.name.startswith("text") else both[::-1]
    groups = images.groups[by_id(images.ids)].astype(str)
    captioned = pd.unique(groups[(groups != "") & np.isin(groups, texts.groups.astype(str))])
    first = captioned[: len(captioned) // 2]
    lends = np.isin(queries.groups.astype(str), first)
    asked = np.isin(queries.groups.astype(str), captioned) & ~lends
    if not lends.any() or not asked.any():
        reasons.add([("hubness", task.name, f"halves of {len(captioned)} captioned images: give at least 2")])
        return pd.DataFrame(columns=HALVES)
    bank, queries = queries.where(lends), queries.where(asked)
    modality = task.name.partition("-")[0]
    scorings: dict[str, Scoring] = {}
    for rival in chosen:
        fits, _ = corrections.fitted(Material(banks={modality: bank.features}), [rival])
        scorings |= {fit: correction.scoring for fit, correction in fits.items() if correction.scoring}
    rules = [scoring.rule for scoring in scorings.values()]
    biases = dict(zip(scorings, hubness.of_bank(gallery.features, bank.features, rules), strict=True))
    kept = {"all": np.ones(len(gallery), bool), "half": ~np.isin(gallery.groups.astype(str), first)}
    called = with_correction(task.name, variant)
    within: dict[str, np.ndarray] = {}
    added: dict[tuple[str, str | None], np.ndarray] = {}
    for name, held in kept.items():
        if held.sum() < 2:
            why = "retrieval from a gallery of 1 item finds it: give at least 2"
            reasons.add([("hubness", f"{called} {name}", why)])
            continue
        within[name] = added[name, None] = np.where(held, 0, -np.inf)
        for fit, values in biases.items():
            with reasons.of("hubness", f"{called}+{fit} {name}"):
                every = Bias(np.ones(len(queries), bool), values[held])
                column = np.full(len(gallery), -np.inf)
                column[held] = columns(every, len(queries), held.sum())[1]
                added[name, fit] = column
    if not added:
        return pd.DataFrame(columns=HALVES)
    of_all = hubness.first_ranked(bank.features, gallery.features, [*within.values()])
    lent = dict(zip(within, of_all, strict=True))
    of_all = hubness.first_ranked(queries.features, gallery.features, [*added.values()])
    found = dict(zip(added, of_all, strict=True))
    tables = []
    for (name, by), firsts in found.items():
        table = pd.DataFrame({"task": with_correction(called, by), "relevance": name, "query": queries.ids})
        if by and (which := scorings[by].which):
            native, of_bank = found[name, None], lent[name]
            flags = which(native, of_bank)
            firsts = np.where(flags, firsts, native)
            table["normalised"] = flags.astype(float)
            table["activated"] = len(np.unique(of_bank)) / kept[name].sum()
        table["recall@1"] = (gallery.groups[firsts] == queries.groups).astype(float)
        tables.append(table.reindex(columns=HALVES))
    return pd.concat(tables, ignore_index=True)
