"""Every measure of a cell, gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossgap import naming
from crossgap.errors import CrossgapError
from crossgap.evaluation import ahead, arithmetic, composed, composed_banks, gap, hubness, mixed, robustness
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.clouds import clouds as cloud_points
from crossgap.evaluation.clouds import require_umap
from crossgap.evaluation.clusters import clusterings
from crossgap.evaluation.comparisons import compared
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.curves import DIGITS, best, over_steps, tokens_of
from crossgap.evaluation.dimensions import over_dimensions
from crossgap.evaluation.elsewhere import Elsewhere
from crossgap.evaluation.looked import looked_at
from crossgap.evaluation.measured_on import measured_on
from crossgap.evaluation.neighbourhoods import neighbourhoods
from crossgap.evaluation.options import (
    FAMILIES,
    EvaluationOptions,
    Family,
    Logistic,
    LookAt,
    MixedSearch,
    Plane,
)
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.predictions import Predictions, in_rows, prompted
from crossgap.evaluation.queries import PER_QUERY, Tables, incomplete, tables
from crossgap.evaluation.renaming import renamed
from crossgap.evaluation.seeds import over_seeds, spread
from crossgap.evaluation.shifts import over_shifts
from crossgap.evaluation.similarities import similar
from crossgap.evaluation.supported import supported
from crossgap.evaluation.work import Work
from crossgap.metrics import retrieval, significance
from crossgap.metrics.retrieval.ranking import check_device
from crossgap.stores.engines import Engine, Local, Ray
from crossgap.strict import options

_SHOWN = (
    "mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10", "precision@1", "precision@5", "precision@10",
    "nDCG@10",
)  # fmt: skip
_CORRECTED = ("mAP", "recall@1")  # of tasks with a correction; the table of queries has them all


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        metrics: flat, `retrieval/<query>-<gallery>/<relevance>/<metric>` and the like; rates are fractions.
        queries: one row a task and query: `task`, `relevance`, `query`, `group` (the image that a text belongs to),
            `ap`, `ap_at_r`, `r_precision`, `recall@k`, `precision@k`, `ndcg@10`.
        predictions: one row a task and image: `task`, `labelling`, `image`, `correct` (a share, if of several draws).
        comparisons: of methods on the same queries, as of `comparisons.compared`.
        corrections: what was fitted, on what, and what could not be, as of `Rivals.table`.
        clouds: the features in a plane: `x`, `y`, `modality`, `id`, `plane`.
        steps: one row a task, number of tokens, relevance, step and query: `ap`, `recall@1`.
        curves: the means of `steps`, with the `loss` at the step and the native queries' mAP as `baseline`.
        similarities, histograms: of matching and of other pairs, as of `similarities.similar`.
        seeds: mAP with inverted queries by every seed: `task`, `relevance`, `seed`, `mAP`.
        shifts: tasks with both clouds moved along the gap vector, as of `shifts.over_shifts`.
        dimensions: tasks without the dimensions in which the means differ most, as of `dimensions.over_dimensions`.
        spectrum: how the variance of either modality spreads, as of `gap.spectrum`.
        mixed: texts that ask among images and texts, as of `mixed.summary`.
        composed: an image and a text that ask for images, as of `composed.summary`.
        arithmetic: scores of text-driven arithmetic over λ, as of `arithmetic.over_scales`.
        looked_at: some queries with what every method ranks first, as of `looked.looked_at`.
        unavailable: what can't be had and why, as of `unavailable.COLUMNS`: `family`, `name`, `reason`. Corrections
            that could not be fitted are in `corrections`.
        set_aside: the items whose loss was not finite, by `inversion`, `group` and `id`. They are left out of every
            task that is compared with that inversion, of the native baseline too.
        measured_on: what these are numbers of, by digests, as of `measured_on.measured_on`.
    """

    metrics: dict[str, float | int]
    queries: pd.DataFrame
    predictions: pd.DataFrame
    comparisons: pd.DataFrame
    corrections: pd.DataFrame
    clouds: pd.DataFrame
    steps: pd.DataFrame
    curves: pd.DataFrame
    similarities: pd.DataFrame
    histograms: pd.DataFrame
    seeds: pd.DataFrame
    shifts: pd.DataFrame
    dimensions: pd.DataFrame
    spectrum: pd.DataFrame
    mixed: pd.DataFrame
    composed: pd.DataFrame
    arithmetic: pd.DataFrame
    looked_at: pd.DataFrame
    unavailable: pd.DataFrame
    set_aside: pd.DataFrame
    measured_on: dict[str, str]


def evaluate(
    cell: Cell,
    *,
    families: Sequence[Family] | None = None,
    seed: int = 0,
    clouds: int = 500,
    plane: Plane = "pca",
    resamples: int = significance.RESAMPLES,
    corrections: Sequence[str] | None = None,
    elsewhere: Sequence[Elsewhere] = (),
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    draws: int = 5,
    mixed_search: Mapping[str, Any] | None = None,
    look_at: Mapping[str, int] | None = None,
    logistic: Logistic = "native",
    device: str = "cpu",
    scratch: str | Path | None = None,
    engine: Engine | None = None,
) -> Evaluation:
    """Every measure that a cell's stores allow.

    What one of them can't have of these items (`unavailable.EXPECTED`) is a row of `unavailable`, and ends nothing
    else. Tables of an import have the names of its modalities.

    Args:
        families: of measures, from `options.FAMILIES`; all, if not given. A family's numbers are the same whichever
            others are asked for.
        seed: of resamples, clusters, noise, draws (of few shots, of documents that are images, of queries to look at)
            and the split behind linear separability.
        clouds: points a modality in `clouds`.
        plane: that they lie in: of principal components, or by UMAP, which needs umap-learn.
        resamples: of every bootstrap and permutation test.
        corrections: their names; all, if not given.
        elsewhere: other places that corrections are fitted on too.
        shots, draws: of few-shot classification.
        mixed_search, look_at: fields of `options.MixedSearch` and `options.LookAt`; their own where not given.
        logistic: whether there is a logistic regression, natively alone or with every correction.
        device: that rankings are computed on; it changes no result.
        scratch: folder in which parts are kept, by all that they depend on. An evaluation that was ended goes on where
            it was, and with another setting or correction that part alone is computed. It changes no result.
        engine: whose workers compute the parts, where `scratch` is given; in this process, if not given. They read the
            stores and `scratch` under the paths given here. It changes nothing beyond rounding.

    Raises:
        CrossgapError: an option that is unknown or out of its bounds, as `options` gives them, or UMAP, which is not
            installed; before any work.
        EngineError: as of the engine.
        StoreError: a store is damaged.
    """
    _check_given(cell, elsewhere, device, scratch, engine)
    asked = options(
        EvaluationOptions,
        "evaluate",
        {
            "families": families,
            "seed": seed,
            "clouds": clouds,
            "plane": plane,
            "resamples": resamples,
            "corrections": corrections,
            "shots": shots,
            "draws": draws,
            "mixed_search": options(
                MixedSearch, "mixed_search", {} if mixed_search is None else mixed_search
            ),
            "logistic": logistic,
        },
    )
    if plane == "umap":
        require_umap()
    look = options(LookAt, "look_at", {} if look_at is None else look_at)
    evaluating = partial(_evaluated, cell, asked, look, tuple(elsewhere))
    parts = Parts(scratch)
    if engine is not None and parts.folder is not None:
        ahead.compute(evaluating, parts.folder, engine, device)
    found = evaluating(parts, device)
    parts.say_used()
    modalities = cell.native.modalities
    return found if modalities == naming.MODALITIES else renamed(found, modalities)


def _evaluated(
    cell: Cell,
    asked: EvaluationOptions,
    look: LookAt,
    elsewhere: Sequence[Elsewhere],
    parts: Parts,
    device: str,
) -> Evaluation:
    work = Work(cell, parts, device=device, families=asked.families or FAMILIES)
    work.reasons.add(("inversion", name, why) for name, why in cell.left_out.items())
    work.reasons.add(incomplete(cell))
    work.reasons.add(cell.unknown())
    rivals = Rivals(work, asked.corrections, elsewhere)
    retrieved = tables(work, rivals)
    classes = [
        *prompted(work, rivals),
        *supported(work, rivals, asked.shots, asked.draws, asked.seed, asked.logistic),
    ]
    halves = hubness.halves(work, rivals)
    found_mixed = mixed.searched(work, rivals, asked.mixed_search, seed=asked.seed)
    documents = mixed.summary(found_mixed)
    put_together = composed.searched(work, rivals)
    if len(halves_of := composed_banks.halved(work, rivals)):
        put_together = pd.concat([put_together, halves_of], ignore_index=True)
    changed = composed.summary(put_together)
    stays = robustness.robust(work, rivals, asked.seed)
    outcomes = {
        **{("retrieval", *place): table.set_index("query")["ap"] for place, table in retrieved.items()},
        **{("classification", found.task, found.labelling): found.correct for found in classes},
        **_outcomes("hubness", halves, "recall@1"),
        **mixed.outcomes(found_mixed),
        **composed.outcomes(put_together),
        **_outcomes("robustness", stays, "stays"),
    }
    steps, curves = over_steps(work, retrieved)
    measured, histograms = similar(work)
    seeds = over_seeds(work, retrieved)
    metrics = (
        _retrieval(retrieved) | _classification(classes) | best(cell, curves) | gap.gap(work, asked.seed)
    )
    metrics |= neighbourhoods(work, rivals) | hubness.hubs(work, rivals) | hubness.metrics(halves)
    metrics |= mixed.metrics(documents) | composed.metrics(changed)
    metrics |= robustness.metrics(stays)
    metrics |= clusterings(work, rivals, asked.seed) | _similarity(cell, measured) | spread(seeds)
    scores = arithmetic.over_scales(work, asked.seed, asked.resamples)
    metrics |= arithmetic.metrics(scores) | gap.ceiling(work) | gap.counts(cell)
    queries = pd.concat(retrieved.values(), ignore_index=True) if retrieved else pd.DataFrame()
    return Evaluation(
        metrics={name: round(value, DIGITS) for name, value in metrics.items() if not np.isnan(value)},
        queries=queries.reindex(columns=["task", "relevance", "query", "group", *PER_QUERY, "relevant"]),
        predictions=in_rows(classes).drop(columns="without_class"),
        comparisons=compared(work, outcomes, seed=asked.seed, resamples=asked.resamples).round(8),
        corrections=rivals.table(),
        clouds=cloud_points(work, asked.clouds, asked.plane, asked.seed),
        steps=steps,
        curves=curves,
        similarities=measured.round(DIGITS),
        histograms=histograms.round(DIGITS),
        seeds=seeds.round(DIGITS),
        shifts=over_shifts(work).round(DIGITS),
        dimensions=over_dimensions(work).round(DIGITS),
        spectrum=gap.spectrum(work).round(DIGITS),
        mixed=documents.round(DIGITS),
        composed=changed.round(DIGITS),
        arithmetic=scores.round(DIGITS),
        looked_at=looked_at(work, rivals, retrieved, seed=asked.seed, **look.model_dump()),
        unavailable=work.reasons.table(),
        set_aside=gap.set_aside(cell),
        measured_on=measured_on(cell),
    )


def _outcomes(family: str, table: pd.DataFrame, metric: str) -> dict[tuple[str, str, str], pd.Series]:
    """A metric of each query by its task and relevance, as `comparisons.compared` takes it."""
    by_place = table.groupby(["task", "relevance"], sort=False)
    return {(family, *place): held.set_index("query")[metric] for place, held in by_place}


def _check_given(
    cell: Cell,
    elsewhere: Sequence[Elsewhere],
    device: str,
    scratch: str | Path | None,
    engine: Engine | None,
) -> None:
    """Raise CrossgapError at an argument that can't be used; of options, `options` does."""
    if not isinstance(cell, Cell):
        raise CrossgapError(f"evaluate: cell is {cell!r}: give crossgap.evaluation.Cell(native, …) of stores")
    if not isinstance(elsewhere, list | tuple) or not all(isinstance(one, Elsewhere) for one in elsewhere):
        raise CrossgapError(
            f"evaluate: elsewhere is {elsewhere!r}: give a list of what crossgap.evaluation.elsewhere makes"
        )
    if twice := sorted({one.name for one in elsewhere if [of.name for of in elsewhere].count(one.name) > 1}):
        raise CrossgapError(f"evaluate: elsewhere has {', '.join(twice)} twice: name each place otherwise")
    check_device(device)
    if scratch is not None and (not isinstance(scratch, str | Path) or not str(scratch)):
        raise CrossgapError(f"evaluate: scratch is {scratch!r}: give a folder, or None")
    if scratch is not None and Path(scratch).exists() and not Path(scratch).is_dir():
        raise CrossgapError(f"evaluate: scratch is {scratch}, which is no folder: give another")
    if engine is not None and (not isinstance(engine, Local | Ray) or scratch is None):
        what = "needs scratch, a folder for what its workers compute" if scratch is None else f"is {engine!r}"
        raise CrossgapError(
            f"evaluate: engine {what}: give crossgap.stores.engines.Local() or Ray(…) and scratch"
        )


def _retrieval(retrieved: Tables) -> dict[str, float]:
    metrics = {}
    for (task, relevance), table in retrieved.items():
        for metric, value in retrieval.summarise(table[[*PER_QUERY, "relevant"]]).items():
            if metric in (_CORRECTED if "+" in task else _SHOWN) or (
                metric == "queries_without_relevant" and value
            ):
                metrics[f"retrieval/{task}/{relevance}/{metric}"] = value
    return metrics


def _classification(classes: Sequence[Predictions]) -> dict[str, float]:
    metrics = {}
    for found in classes:
        name = f"classification/{found.task}/{found.labelling}"
        metrics[f"{name}/accuracy"] = float(found.correct.mean())
        if found.without_class:
            metrics[f"{name}/images_without_class"] = found.without_class
    return metrics


def _similarity(cell: Cell, measured: pd.DataFrame) -> dict[str, float]:
    """Of native pairs, and of the main inversions at their last step."""
    main = {
        f"{method}-{modality}": tokens_of(store)
        for modality, method in INVERSIONS.items()
        if (store := cell.main(modality))
    }
    of_main = [
        main.get(pair) == tokens for pair, tokens in zip(measured["pair"], measured["tokens"], strict=True)
    ]
    shown = measured[measured["tokens"].isna() | np.array(of_main, bool)]
    metrics = {}
    for row in shown.drop_duplicates(["pair", "relevance"], keep="last").to_dict("records"):
        for name in ("matching", "other", "overlap", "share"):
            metrics[f"similarity/{row['pair']}/{row['relevance']}/{name}"] = row[name]
    return metrics
