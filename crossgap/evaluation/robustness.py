"""Queries of a cell whose nearest neighbour stays under noise and quantisation, with the gap and with it centred away.

A row's task is a retrieval (`text-image`, `text-image+centering`), its relevance what is done: Gaussian noise on the
queries, or a quantised gallery (with binary codes the queries too), on unit features as they are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap.errors import UnavailableError
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.hubness import BESIDE
from crossgap.evaluation.items import Items, by_id
from crossgap.evaluation.queries import across, comparisons
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import robustness
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.hubness import firsts_of
from crossgap.metrics.near import Rows
from crossgap.naming import with_correction

if TYPE_CHECKING:
    from jaxtyping import Real, Shaped


VARIANCES = (0.005, 0.022, 0.04)  # of the noise, as in arXiv 2603.29080; here its expected squared length
BITS = {"int8": 8, "int4": 4, "binary": 1}
QUERIES, GALLERY = 2000, 10_000  # of a retrieval, at most, evenly spread over their ids
CHANGES = len(VARIANCES) + len(BITS) + 1
COLUMNS = ["task", "relevance", "query", "stays"]

Changed = Callable[[], tuple[np.ndarray, np.ndarray]]


def robust(work: Work, rivals: Rivals, seed: int) -> pd.DataFrame:
    """`COLUMNS`, a row a query, retrieval and perturbation: whether its nearest neighbour is the one of before."""
    tasks = {
        comparison.native: (comparison.queries, comparison.gallery, True)
        for comparison in comparisons(work.cell)
    }
    tasks |= {task.name: (task.queries, task.gallery, False) for task in across(work.cell)}
    found = []
    for name, (queries, gallery, within) in tasks.items():
        for variant in (None, *(one for one in rivals.of_features if one == BESIDE)):
            table = work.part(
                "robustness",
                with_correction(name, variant),
                partial(_measured, rivals, name, queries, gallery, within, variant, seed),
                by=__name__,
                seed=seed,
                faiss=_faiss(),
                **rivals.said(variant),
            )
            if table is not None and len(table):
                found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """`robustness/<task>/<perturbation>/stays`."""
    means = table.groupby(["task", "relevance"], sort=False)["stays"].mean()
    return {f"robustness/{task}/{how}/stays": float(value) for (task, how), value in means.items()}


def _faiss() -> str | None:
    try:
        return version("faiss-cpu")
    except PackageNotFoundError:
        return None


def _measured(
    rivals: Rivals,
    name: str,
    queries: Items,
    gallery: Items,
    within: bool,
    variant: str | None,
    seed: int,
    reasons: Reasons,
) -> pd.DataFrame:
    queries = queries.where(by_id(queries.ids)).sample(QUERIES)
    gallery = gallery.where(by_id(gallery.ids)).sample(GALLERY)
    both: tuple[Items, Items] | None = (queries, gallery)
    if variant:
        both = rivals.pair(variant, name, queries, gallery)
    if both is None:
        return pd.DataFrame(columns=COLUMNS)
    if len(gallery) < 2:
        raise UnavailableError("the nearest of 1 gallery item stays what it is: give at least 2")
    x, y = (items.features for items in both)
    left_out = pd.Index(gallery.ids).get_indexer(queries.ids) if within else None
    native = _exact(x, "queries"), _exact(y, "gallery")
    before = firsts_of(*native, left_out)
    task = with_correction(name, variant)
    tables = []
    for how, changed in _changes(x, y, queries.ids, seed):
        with reasons.of("robustness", f"{task}/{how}"):
            asked, held = changed()
            asked_rows = native[0] if asked is x else _exact(asked, "queries")
            held_rows = native[1] if held is y else _exact(held, "gallery")
            stays = firsts_of(asked_rows, held_rows, left_out) == before
            columns = {"task": task, "relevance": how, "query": queries.ids, "stays": stays.astype(float)}
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _exact(features: Real[np.ndarray, "n d"], name: str) -> Rows:
    return Rows(exact_rows(features, name))


def _changes(x: np.ndarray, y: np.ndarray, ids: np.ndarray, seed: int) -> Iterator[tuple[str, Changed]]:
    """What is done, and a function that gives queries and gallery after it."""
    for variance in VARIANCES:
        yield f"noise {variance:g}", partial(_with_noise, x, y, ids, variance, seed)
    for how, bits in BITS.items():
        yield how, partial(_in_bits, x, y, bits)
    yield "product", lambda: (x, robustness.product_quantised(y))


def _with_noise(
    x: Real[np.ndarray, "n d"],
    y: Real[np.ndarray, "m d"],
    ids: Shaped[np.ndarray, " n"],
    variance: float,
    seed: int,
) -> tuple[Real[np.ndarray, "n d"], Real[np.ndarray, "m d"]]:
    return robustness.noisy(x, ids, variance, seed), y


def _in_bits(
    x: Real[np.ndarray, "n d"], y: Real[np.ndarray, "m d"], bits: int
) -> tuple[Real[np.ndarray, "n d"], Real[np.ndarray, "m d"]]:
    return robustness.quantised(x, bits) if bits == 1 else x, robustness.quantised(y, bits)
