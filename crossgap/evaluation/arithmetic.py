"""Text-driven arithmetic of a cell: SIMAT's transformations, and those that its labellings allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from crossgap.evaluation.cell import CLASSES, Cell
from crossgap.evaluation.items import Items
from crossgap.evaluation.work import Work, calling
from crossgap.metrics import arithmetic, significance
from crossgap.metrics.classification import class_prototypes
from crossgap.prepared.transformations import SIMAT, SPLITS, Transformations

COLUMNS = ["protocol", "split", "scale", "score", "low", "high", "transformations", "images"]
SHOWN = 1.0  # the λ of SIMAT's published scores


class Protocol(NamedTuple):
    """Transformations of the query images, which are the gallery too, by the features `(m, d)` of named texts."""

    name: str
    texts: Callable[[], tuple[np.ndarray, Sequence[str]]]  # and their names; read when they are needed
    asked: Transformations


def over_scales(work: Work, seed: int = 0, resamples: int = significance.RESAMPLES) -> pd.DataFrame:
    """`COLUMNS`, a row a protocol, split and λ, with the `score` at that λ; λ = 0 is the control without a text.

    `low` and `high` are the ends of its 95 % bootstrap interval over the `images` that something is asked of, each with
    all of its transformations (of the weighted mean linearised, which needs many images).
    """
    cell = work.cell
    images = cell.items(f"image/{cell.query}")
    scores = []
    for protocol in protocols(cell):
        if images is None or protocol.asked.table.empty:
            continue
        table = work.part(
            "arithmetic",
            protocol.name,
            calling(_answered, images, protocol),
            by=__name__,
            arithmetic=dict(cell.arithmetic),
        )
        if table is None:
            continue
        for split in SPLITS:
            part = table[table["split"] == split].reset_index(drop=True)
            if len(part):
                scores.append(
                    work.part(
                        "arithmetic",
                        f"{protocol.name} on {split}",
                        calling(_scores, protocol.name, split, part, seed, resamples),
                        by=__name__,
                        arithmetic=dict(cell.arithmetic),
                        seed=seed,
                        resamples=resamples,
                    )
                )
    scores = [part for part in scores if part is not None]
    return pd.concat(scores, ignore_index=True) if scores else pd.DataFrame(columns=COLUMNS)


def metrics(scores: pd.DataFrame) -> dict[str, float]:
    """`arithmetic/<protocol>/<split>/score` at λ = 1, and on test at the λ that is best on dev, the least of equals."""
    found: dict[str, float] = {}
    for protocol, of in scores.groupby("protocol", sort=False):
        name = f"arithmetic/{protocol}"
        by = {split: rows.set_index("scale")["score"] for split, rows in of.groupby("split")}
        found |= {f"{name}/{split}/score": float(at[SHOWN]) for split, at in by.items()}
        if len(by) == len(SPLITS):
            best = by["dev"].idxmax()
            found[f"{name}/best_dev_lambda"] = float(best)
            found[f"{name}/test/score_at_best_dev"] = float(by["test"][best])
    return found


def protocols(cell: Cell) -> Iterator[Protocol]:
    """What is asked of a cell's images; nothing where it has no class prompts, as of an image-only backbone."""
    images, prompts = cell.items(f"image/{cell.query}"), cell.items(CLASSES)
    if images is None or prompts is None:
        return
    if (asked := cell.native.transformations) is not None:
        yield Protocol(SIMAT, lambda: (prompts.features, prompts.ids.tolist()), asked)
    for changed, kept in cell.arithmetic.items():
        named = prompts.where(prompts.labels[changed].astype(bool))
        asked = arithmetic.by_labels(images.ids, images.labels[changed], images.labels[kept])
        yield Protocol(
            changed,
            partial(_prototypes, named, changed),
            asked,
        )


def _prototypes(prompts: Items, labelling: str) -> tuple[np.ndarray, list]:
    return class_prototypes(prompts.features, prompts.labels[labelling])


def _answered(images: Items, protocol: Protocol) -> pd.DataFrame:
    """The transformations, with a column for each λ: whether the answer is right."""
    table, answers = protocol.asked.of(images.ids)
    texts, names = protocol.texts()
    places, named = pd.Index(images.ids), pd.Index(names)
    rows = {"image": places.get_indexer(table["image"])}
    rows |= {name: named.get_indexer(table[name]) for name in ("source", "target")}
    found = arithmetic.nearest(images.features, texts, pd.DataFrame(rows))
    shown = answers["caption"], places.get_indexer(answers["image"])
    right = arithmetic.right(found, table["caption"], *shown)
    columns = {str(scale): right[:, number] for number, scale in enumerate(arithmetic.SCALES)}
    return table.assign(**columns).reset_index(drop=True)


def _scores(name: str, split: str, table: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    right = table[[str(scale) for scale in arithmetic.SCALES]].to_numpy(bool)
    return pd.DataFrame(_rows(name, split, table, right, seed, resamples), columns=COLUMNS)


def _rows(
    name: str, split: str, table: pd.DataFrame, right: np.ndarray, seed: int, resamples: int
) -> Iterator[tuple]:
    weights, sources = table["weight"].to_numpy(), pd.factorize(table["image"])[0]
    scores = arithmetic.score(right, weights)
    deviations = np.zeros((sources.max() + 1, len(scores)))
    np.add.at(deviations, sources, weights[:, None] * (right - scores))
    deviations *= len(deviations) / weights.sum()
    bounds = significance.paired(deviations, seed=seed, resamples=resamples)
    for number, (scale, score) in enumerate(zip(arithmetic.SCALES, scores, strict=True)):
        ends = score + bounds.loc[number, ["low", "high"]]
        yield name, split, float(scale), score, *ends.clip(0, 1), len(table), len(deviations)
