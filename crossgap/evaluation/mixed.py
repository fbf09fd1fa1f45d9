"""Mixed-modality search of a cell: texts ask for documents of which some are images, or that are fused of both.

An image's first caption asks for its document: the image, its second caption, or both. By task and `at`:

- `search` at a share r of images, over several draws of which documents they are;
- `fused` at α, document = α · text + (1 − α) · image;
- `distractors` at `half`, which needs one caption an image: the captions of the second half of the images, by their
  ids, ask among all images and the captions of the first half.

A correction is fitted by role, without the pairing: on the texts that ask for queries, on document texts and on all
images for documents. Parts of fused documents are mixed as the correction gives them. With `oti` the images among the
documents are inverted, with `ovi` the texts: then all documents are of one modality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from crossgap import corrections
from crossgap.corrections import Correction
from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.corrections import Rivals, apply
from crossgap.evaluation.items import Items, by_id
from crossgap.evaluation.unavailable import Reasons
from crossgap.evaluation.work import Work
from crossgap.metrics import mixed
from crossgap.metrics.retrieval.bias import columns

COLUMNS = [
    "task", "at", "recall@1", "recall@1_std", "recall@5", "recall@10", "nDCG@10", "first_image", "queries",
    "documents", "draws",
]  # fmt: skip
HEADLINES = ("recall@1", "nDCG@10", "first_image")
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWS = 5
METHODS = {method: modality for modality, method in INVERSIONS.items()}
_FOUND = ["task", "at", "draw", "query", "rank", "first_image", "documents"]


class Roles(NamedTuple):
    """Who asks for what: query i for the document at `own[i]`.

    Attributes:
        queries: texts.
        texts, images: documents. Row i of both is one document, but for `distractors`, where each is one.
        own: `(n,)`.
    """

    queries: Items
    texts: Items
    images: Items
    own: np.ndarray


class Gallery(NamedTuple):
    """Documents, and which of them are images: NaN where they are fused."""

    task: str
    at: str
    draw: int
    documents: Callable[[], Items]
    are_images: np.ndarray


def searched(
    work: Work,
    rivals: Rivals,
    *,
    shares: Sequence[float] = SHARES,
    alphas: Sequence[float] = ALPHAS,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """A row a task (`search+centering`), share or α (`at`), draw and query: `rank`, `first_image`, `documents`.

    Args:
        shares: of documents that are images, 0 to 1.
        alphas: of fused documents, 0 to 1.
        draws: of which documents are images.
        seed: of the draws.

    Raises:
        ValueError: a share or an α outside [0, 1], or no draw.
    """
    for name, values in (("shares", shares), ("alphas", alphas)):
        if wrong := [value for value in values if not 0 <= value <= 1]:
            raise ValueError(f"{name} holds {', '.join(map(str, wrong))}: give numbers from 0 to 1")
    if draws < 1:
        raise ValueError(f"draws is {draws}: give at least 1")
    cell, tables = work.cell, [pd.DataFrame(columns=_FOUND)]
    images, captions = cell.items(f"image/{cell.query}"), cell.items(f"text/{cell.query}")
    if not images or not captions or not captions.captions:
        return tables[0]
    for task, galleries, said in (
        ("search", _pairs, {"shares": list(shares), "alphas": list(alphas), "draws": draws, "seed": seed}),
        ("distractors", _halves, {}),
    ):
        for variant in (None, *(name for name in METHODS if cell.main(METHODS[name])), *rivals.variants):
            corrects = variant is not None and variant not in METHODS
            store = cell.main(METHODS[variant]) if variant in METHODS else None
            table = work.part(
                "mixed",
                f"{task}+{variant}" if variant else task,
                partial(_measured, work, rivals, variant, task, galleries, said),
                by=__name__,
                rival=rivals.rival(variant) if variant and corrects else None,
                inversions=[store] if store else (),
                fit=rivals.fitted_on if corrects else None,
                **said,
            )
            if table is None and variant is None:
                break  # what the items don't allow natively no method changes
            if table is not None and len(table):
                tables.append(table)
    return pd.concat(tables[1:], ignore_index=True) if tables[1:] else tables[0]


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
    variant: str | None,
    task: str,
    roles_of: Callable[[Cell], Roles],
    said: Mapping[str, Any],
    reasons: Reasons,
) -> pd.DataFrame:
    roles = roles_of(work.cell)
    scores = variant in rivals.variants and rivals.rival(variant) in corrections.SCORING
    unit = variant is None or variant in METHODS or scores
    if variant in METHODS:
        roles = _inverted(work.cell, roles, variant)
    elif variant is not None and not scores:
        corrected = _corrected(rivals, variant, roles)
        if corrected is None:
            return pd.DataFrame(columns=_FOUND)
        roles = corrected
    galleries = _separate(roles) if task == "distractors" else _paired(roles, said, unit)

    def added(documents: Items) -> tuple[np.ndarray, np.ndarray]:
        score = rivals.scorer(str(variant), f"{task}+{variant}", "text-text", False, reasons)
        return columns(score(roles.queries, documents), len(roles.queries), len(documents))

    tables = [
        pd.DataFrame(
            {
                "task": f"{gallery.task}+{variant}" if variant else gallery.task,
                "at": gallery.at,
                "draw": gallery.draw,
                "query": roles.queries.ids,
                "rank": found.ranks,
                "first_image": gallery.are_images[found.firsts],
                "documents": len(gallery.are_images),
            }
        )
        for gallery, found in zip(
            galleries, _searches(roles, galleries, added if scores else None), strict=True
        )
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_FOUND)


def _searches(
    roles: Roles, galleries: Sequence[Gallery], added: Callable[[Items], tuple[np.ndarray, np.ndarray]] | None
) -> Iterator[mixed.Placed]:
    """Of each gallery in turn; `added` gives what is added to the similarities, which hangs on the gallery."""
    queries, own = roles.queries, roles.own
    shared = (
        []
        if added
        else [gallery.are_images.astype(bool) for gallery in galleries if gallery.task == "search"]
    )
    if shared:
        sides = roles.texts.features, roles.images.features
        yield from mixed.found_among(queries.features, *sides, own, shared)
    for gallery in galleries[len(shared) :]:
        documents = gallery.documents()
        more = added(documents) if added else None
        yield mixed.found_in(queries.features, documents.features, own, more)


def _paired(roles: Roles, said: Mapping[str, Any], unit: bool) -> list[Gallery]:
    """Those of `search` first."""
    texts, images, found = roles.texts, roles.images, []

    def some(chosen: np.ndarray) -> Items:
        return images.having(mixed.documents(texts.features, images.features, chosen))

    def both(alpha: float) -> Items:
        return images.having(mixed.fused(texts.features, images.features, alpha, unit=unit))

    for share in said["shares"]:
        for draw in range(said["draws"] if 0 < share < 1 else 1):
            chosen = mixed.image_documents(images.ids.tolist(), share, (said["seed"], draw))
            found.append(Gallery("search", _word(share), draw, partial(some, chosen), chosen.astype(float)))
    neither = np.full(len(images), np.nan)
    return found + [
        Gallery("fused", _word(alpha), 0, partial(both, alpha), neither) for alpha in said["alphas"]
    ]


def _word(share: float) -> str:
    return f"{share:.15g}"


def _separate(roles: Roles) -> list[Gallery]:
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


def _pairs(cell: Cell) -> Roles:
    """Images with two captions and more: the first asks, the second is the document."""
    images, captions = _captioned(cell)
    places = [(some := captions.where(captions.ranks == rank), _of(images, some)) for rank in (0, 1)]
    have = np.all([at >= 0 for _, at in places], axis=0)
    if not have.any():
        raise UnavailableError("no image has two captions, one to ask and one to be found")
    queries, texts = (some.where(at[have]) for some, at in places)
    return Roles(queries, texts, images.where(have), np.arange(have.sum()))


def _halves(cell: Cell) -> Roles:
    """All captioned images; the first captions of the second half of them ask, those of the first are documents."""
    images, captions = _captioned(cell)
    first = captions.where(captions.ranks == 0)
    at = _of(images, first)
    images, texts = images.where(at >= 0), first.where(at[at >= 0])
    if len(images) < 2:
        raise UnavailableError(f"halves of {len(images)} captioned images: give at least 2")
    order, half = by_id(images.ids), len(images) // 2
    images, texts = images.where(order), texts.where(order)
    places = np.arange(len(images))
    return Roles(texts.where(places[half:]), texts.where(places[:half]), images, places[half:])


def _captioned(cell: Cell) -> tuple[Items, Items]:
    """The items that comparisons with an inversion are made with."""
    images, captions = cell.invertible(f"image/{cell.query}"), cell.invertible(f"text/{cell.query}")
    if images is None or captions is None:
        raise UnavailableError("neither images with captions nor captions with images")
    return images, captions


def _of(images: Items, captions: Items) -> np.ndarray:
    """The place of each image's caption, `(m,)`; -1 for none."""
    places = {group: place for place, group in reversed([*enumerate(captions.groups.astype(str))])}
    return np.array([places.get(group, -1) for group in images.groups.astype(str)], int)


def _inverted(cell: Cell, roles: Roles, method: str) -> Roles:
    """Documents with the images, or the texts, inverted."""
    modality = METHODS[method]
    name = f"{modality}/{cell.query}"
    documents = cell.inverted(roles.images if modality == "image" else roles.texts, name)
    if documents is None:
        raise UnavailableError(
            f"{method} has not inverted every {modality} among the documents; those of the gallery it inverts where "
            f"{method}.gallery is true"
        )
    return roles._replace(images=documents) if modality == "image" else roles._replace(texts=documents)


def _corrected(rivals: Rivals, variant: str, roles: Roles) -> Roles | None:
    """All roles corrected, each text role by a fit on its own texts; None where the correction takes no texts."""
    asking = _fit(rivals, variant, roles.images, roles.queries)
    queries = apply(asking, roles.queries, "text")
    if asking.sides == "query":
        return None if queries is None else roles._replace(queries=queries)
    held = _fit(rivals, variant, roles.images, roles.texts)
    texts = apply(held, roles.texts, "text", "gallery")
    images = apply(held, roles.images, "image", "gallery")
    if queries is None or texts is None or images is None:
        return None
    return roles._replace(queries=queries, texts=texts, images=images)


def _fit(rivals: Rivals, variant: str, images: Items, texts: Items) -> Correction:
    """The correction fitted on these in place of all images and texts of the query split."""
    rival = rivals.rival(variant)
    held = replace(rivals.material, images=images.features, texts=texts.features)
    found, reasons = corrections.fitted(held, [rival])
    if variant not in found:
        raise UnavailableError(reasons.get(variant) or reasons[rival])
    return found[variant]
