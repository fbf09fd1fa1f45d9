"""Mixed-modality search of a cell: texts ask for documents of which some are images, or that are fused of both.

An image's first caption asks for its document: the image, its second caption, or both. By task and `at`:

- `search` at a share r of images, over several draws of which documents they are;
- `fused` at α, document = α · text + (1 − α) · image;
- `distractors` at `half`, which needs one caption an image: the captions of the second half of the images, by their
  ids, ask among all images and the captions of the first half.

A correction is fitted by role, without the pairing: on the texts that ask for queries, on document texts and on all
images for documents. Parts of fused documents are mixed as the correction gives them, and as unit features where it
changes queries alone. With `oti` the images among the documents are inverted, with `ovi` the texts, by optimisation or
by φ: then all documents are of one modality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from crossgap import corrections, naming
from crossgap.evaluation.cell import Cell
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items
from crossgap.evaluation.options import MixedSearch
from crossgap.evaluation.roles import (
    Inverting,
    Roles,
    corpus,
    corrected,
    fixed,
    gathered,
    halves,
    inversions,
    pairs,
)
from crossgap.evaluation.scoring import Scorer
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import mixed
from crossgap.metrics.retrieval.bias import columns

if TYPE_CHECKING:
    from jaxtyping import Float64


COLUMNS = [
    "task", "at", "recall@1", "recall@1_std", "recall@5", "recall@10", "nDCG@10", "first_image", "queries",
    "documents", "draws",
]  # fmt: skip
HEADLINES = ("recall@1", "nDCG@10", "first_image")
HALF = 0.5  # α of documents that are fused in a gallery of its dataset, as in MixBench
_FOUND = ["task", "at", "draw", "query", "rank", "first_image", "documents"]


class Gallery(NamedTuple):
    """Documents, and which of them are images alone: NaN where all are fused."""

    task: str
    at: str
    draw: int
    documents: Callable[[], Items]
    are_images: Float64[np.ndarray, " m"]


def searched(work: Work, rivals: Rivals, asked: MixedSearch | None = None, *, seed: int = 0) -> pd.DataFrame:
    """A row a task (`search+centering`), share or α (`at`), draw and query: `rank`, `first_image`, `documents`.

    Args:
        asked: shares, α and draws; its defaults, if not given.
        seed: of the draws.
    """
    asked = asked or MixedSearch()
    cell, tables = work.cell, [pd.DataFrame(columns=_FOUND)]
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if not images or not captions or not captions.captions:
        return tables[0]
    for task, roles_of, said in _tasks(cell, asked, seed):
        for method in (None, *inversions(cell), *rivals.variants):
            variant = method if isinstance(method, str) else None
            called = method.words if isinstance(method, Inverting) else method
            table = work.part(
                "mixed",
                naming.with_correction(task, called),
                partial(_measured, work, rivals, method, task, roles_of, said),
                by=__name__,
                inversions=[method.store] if isinstance(method, Inverting) else (),
                step=method.step if isinstance(method, Inverting) else None,
                **rivals.said(variant),
                **said,
            )
            if table is None and method is None:
                break  # what the items don't allow natively no method changes
            if table is not None and len(table):
                tables.append(table)
    return pd.concat(tables[1:], ignore_index=True) if tables[1:] else tables[0]


def _tasks(
    cell: Cell, asked: MixedSearch, seed: int
) -> list[tuple[str, Callable[[Cell], Roles], dict[str, Any]]]:
    """Name, roles and settings. A gallery that the dataset fixes is searched alone."""
    if fixed(cell):
        return [("corpus", corpus, {})]
    return [("search", pairs, {**asked.model_dump(), "seed": seed}), ("distractors", halves, {})]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """`COLUMNS`, a row a task and share or α: means over queries and draws; `recall@1_std` is over the draws."""
    rows = []
    for (task, at), held in found.groupby(["task", "at"], sort=False):
        ranks = held["rank"].to_numpy(int)
        by_draw = held["rank"].le(1).groupby(held["draw"]).mean()
        rows.append(
            {
                "task": task,
                "at": at,
                **{f"recall@{k}": float((ranks <= k).mean()) for k in (1, 5, 10)},
                "recall@1_std": float(by_draw.std(ddof=1)),
                "nDCG@10": float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean()),
                "first_image": float(held["first_image"].mean()),
                "queries": held["query"].nunique(),
                "documents": int(held["documents"].iloc[0]),
                "draws": len(by_draw),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """`mixed/<task>/<at>/<metric>` of `HEADLINES`; NaN where there is none."""
    return {
        f"mixed/{row['task']}/{row['at']}/{name}": row[name]
        for row in table.to_dict("records")
        for name in HEADLINES
    }


def outcomes(found: pd.DataFrame) -> dict[tuple[str, str, str], pd.Series]:
    """Recall@1 of each query, in the mean over the draws, as `comparisons.compared` takes it."""
    return {
        ("mixed", task, at): held["rank"].le(1).astype(float).groupby(held["query"]).mean()
        for (task, at), held in found.groupby(["task", "at"], sort=False)
    }


def _measured(
    work: Work,
    rivals: Rivals,
    method: str | Inverting | None,
    task: str,
    roles_of: Callable[[Cell], Roles],
    said: Mapping[str, Any],
    reasons: Reasons,
) -> pd.DataFrame:
    roles = roles_of(work.cell)
    name = method.words if isinstance(method, Inverting) else method
    scores = isinstance(method, str) and corrections.rival_of(method) in corrections.SCORING
    unit = not isinstance(method, str) or scores or rivals.correction(method).sides == "query"
    if isinstance(method, Inverting):
        roles = method.of(work.cell, roles)
    elif method is not None and not scores:
        changed = corrected(rivals, method, roles)
        if changed is None:
            return pd.DataFrame(columns=_FOUND)
        roles = changed
    galleries = GALLERIES[task](roles, said, unit)
    score = rivals.scorer(str(name), f"{task}+{name}", "text-text", False, reasons) if scores else None
    tables = [
        pd.DataFrame(
            {
                "task": naming.with_correction(gallery.task, name),
                "at": gallery.at,
                "draw": gallery.draw,
                "query": roles.queries.ids,
                "rank": found.ranks,
                "first_image": gallery.are_images[found.firsts],
                "documents": len(gallery.are_images),
            }
        )
        for gallery, found in _searches(roles, galleries, score, name, reasons)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_FOUND)


def _searches(
    roles: Roles, galleries: Sequence[Gallery], score: Scorer | None, name: str | None, reasons: Reasons
) -> Iterator[tuple[Gallery, mixed.Placed]]:
    """Of each gallery in turn that can be searched; `score` gives what is added to the similarities."""
    queries, own = roles.queries, roles.own
    drawn = [gallery for gallery in galleries if gallery.task == "search"]
    if drawn:
        found: list[mixed.Placed] = []
        with reasons.of("mixed", naming.with_correction("search", name)):
            sides = roles.texts.features, roles.images.features
            added = None
            if score is not None:
                sides = mixed.unit_sides(*sides)
                added = _added(roles, score, galleries, sides)
            draws = [gallery.are_images.astype(bool) for gallery in drawn]
            found = mixed.found_among(queries.features, *sides, own, draws, added)
        yield from zip(drawn, found, strict=False)
    for gallery in galleries[len(drawn) :]:
        with reasons.of("mixed", f"{naming.with_correction(gallery.task, name)} {gallery.at}"):
            documents = gallery.documents()
            more = None
            if score is not None:
                more = columns(score(queries, documents), len(queries), len(documents))
            placed = mixed.found_in(queries.features, documents.features, own, more)
            yield gallery, placed


def _added(
    roles: Roles,
    score: Scorer,
    galleries: Sequence[Gallery],
    sides: tuple[Float64[np.ndarray, "m d"], Float64[np.ndarray, "m d"]],
) -> list[tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " m"]]]:
    """What is added in the galleries of `search`, as `bias.columns`: a document's bias is one in every gallery."""
    queries, images = roles.queries, roles.images
    of_texts, of_images = (score.of_items(queries, images.having(side)) for side in sides)
    found = []
    for gallery in galleries:
        if gallery.task == "search":
            biases = np.where(gallery.are_images.astype(bool), of_images, of_texts)
            bias = score(queries, gallery.documents(), biases)
            found.append(columns(bias, len(queries), len(images)))
    return found


def _paired(roles: Roles, said: Mapping[str, Any], unit: bool) -> list[Gallery]:
    """Documents of which a share are images, by draws, then fused ones."""
    texts, images, found = roles.texts, roles.images, []

    def some(chosen: np.ndarray) -> Items:
        return images.having(mixed.documents(texts.features, images.features, chosen))

    def both(alpha: float) -> Items:
        return images.having(mixed.fused(texts.features, images.features, alpha, unit=unit))

    for share in said["shares"]:
        for draw in range(said["draws"] if 0 < share < 1 else 1):
            chosen = mixed.image_documents(images.ids.tolist(), share, (said["seed"], draw))
            found.append(
                Gallery("search", naming.number(share), draw, partial(some, chosen), chosen.astype(float))
            )
    neither = np.full(len(images), np.nan)
    return found + [
        Gallery("fused", naming.number(alpha), 0, partial(both, alpha), neither) for alpha in said["alphas"]
    ]


def _separate(roles: Roles, _said: Mapping[str, Any], _unit: bool) -> list[Gallery]:
    """All images, then texts that are nobody's document."""
    images, texts = roles.images, roles.texts
    documents = Items(
        np.concatenate([images.ids, texts.ids]),
        np.concatenate([images.groups, texts.groups]),
        np.zeros(len(images) + len(texts), int),
        made=np.concatenate([images.features, texts.features]),
    )
    are_images = np.arange(len(documents)) < len(images)
    return [Gallery("distractors", "half", 0, lambda: documents, are_images.astype(float))]


def _given(roles: Roles, _said: Mapping[str, Any], unit: bool) -> list[Gallery]:
    """Each document as its dataset has it: an image, a text, or both, fused half and half."""
    placed = gathered(roles.images, roles.texts)
    documents = Items(placed.groups, placed.groups, np.zeros(len(placed.groups), int))

    def whole() -> Items:
        sides = roles.texts.features, roles.images.features
        return documents.having(mixed.gathered(*sides, placed.texts, placed.images, HALF, unit=unit))

    return [Gallery("corpus", "mixed", 0, whole, (placed.texts < 0).astype(float))]


# Task → its galleries.
GALLERIES: dict[str, Callable[[Roles, Mapping[str, Any], bool], list[Gallery]]] = {
    "search": _paired,
    "distractors": _separate,
    "corpus": _given,
}
