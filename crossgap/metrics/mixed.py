"""Search among documents of two modalities: which of them is an image, and documents fused of both.

Source: GR-CLIP's task (arXiv 2507.19054). Texts ask; either each document is an image or a text, or each is
α · text + (1 − α) · image. Each query has one relevant document. Similarities are exact (`crossgap.metrics.exact`), in
blocks of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap import fingerprint
from crossgap.arrays import check_widths, flags_of, item_names, places_of, unit_rows
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.near import Rows, margins_of_scores, near_products
from crossgap.metrics.neighbours import blocks
from crossgap.metrics.threads import over_rows

if TYPE_CHECKING:
    from crossgap.arrays import Features, Labels


class Placed(NamedTuple):
    """Where queries find their document.

    Attributes:
        ranks: `(n,)`, 1 for the first place; documents that are as similar stand in the gallery's order.
        firsts: `(n,)`, the place in the gallery of the document that is ranked first.
    """

    ranks: np.ndarray
    firsts: np.ndarray


def image_documents(ids: Labels, share: float, seed: int | tuple[int, ...] = 0) -> np.ndarray:
    """Which documents are images, `(n,)` of bool: round(share · n) of them, drawn as a function of their ids and seed.

    A larger share has all the images of a smaller one, and more.

    Raises:
        TypeError, ValueError: a share outside [0, 1], or ids that cannot be used.
    """
    count = round(_share(share, "share") * len(ids))
    found = np.zeros(len(ids), bool)
    found[_drawn(tuple(item_names(ids, len(ids))), f"{seed}")[:count]] = True
    return found


@lru_cache(maxsize=16)
def _drawn(names: tuple[str, ...], seed: str) -> list[int]:
    """The places of all items in the order in which they are drawn, whatever the share."""
    keys = fingerprint.draw(names, seed)
    return sorted(range(len(names)), key=lambda place: (keys[place], names[place]))


def unit_sides(texts: Features, images: Features) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of texts and images, row i of both being one document `(m, d)`.

    Raises:
        ValueError: other rows than pairs.
    """
    texts, images = unit_rows(texts, "texts", np.float64), unit_rows(images, "images", np.float64)
    check_widths(texts, images, ("texts", "images"))
    if len(texts) != len(images):
        raise ValueError(f"{len(texts)} texts and {len(images)} images: give one of each a document")
    return texts, images


def documents(texts: Features, images: Features, are_images: np.ndarray) -> np.ndarray:
    """A unit row a document `(m, d)`: of `images` where it is one, else of `texts`, both `(m, d)`."""
    texts, images = unit_sides(texts, images)
    return np.where(flags_of(are_images, "are_images", len(images))[:, None], images, texts)


def fused(texts: Features, images: Features, alpha: float, *, unit: bool = True) -> np.ndarray:
    """α · text + (1 − α) · image, row by row, `(m, d)`; not of unit length: rank by cosine.

    Args:
        texts, images: `(m, d)`, row i of both is document i.
        alpha: 0, the image alone, to 1, the text alone.
        unit: whether parts are made of unit length first. Those that lost a mean are mixed as they are.

    Raises:
        ValueError: an alpha outside [0, 1], or other rows than pairs.
    """
    alpha = _share(alpha, "alpha")
    if unit:
        texts, images = unit_sides(texts, images)
    return alpha * np.asarray(texts, np.float64) + (1 - alpha) * np.asarray(images, np.float64)


def gathered(
    texts: Features,
    images: Features,
    of_texts: np.ndarray,
    of_images: np.ndarray,
    alpha: float,
    *,
    unit: bool = True,
) -> np.ndarray:
    """A row a document `(m, d)`: its text, its image, or both `fused`; not of unit length: rank by cosine.

    Args:
        texts: `(n, d)`.
        images: `(k, d)`.
        of_texts, of_images: `(m,)`, the row of a document's text and of its image, -1 for none.
        alpha: 0, the image alone, to 1, the text alone, where a document has both.
        unit: as in `fused`.

    Raises:
        ValueError: an alpha outside [0, 1], features of other widths, or a document with neither.
    """
    if (neither := np.flatnonzero((of_texts < 0) & (of_images < 0))).size:
        raise ValueError(f"documents {neither[:5].tolist()} have neither a text nor an image: leave them out")
    if unit:
        texts, images = unit_rows(texts, "texts", np.float64), unit_rows(images, "images", np.float64)
    else:
        texts, images = np.asarray(texts, np.float64), np.asarray(images, np.float64)
    check_widths(texts, images, ("texts", "images"))
    found = np.where((of_images >= 0)[:, None], images[of_images], texts[of_texts]).astype(np.float64)
    both = (of_texts >= 0) & (of_images >= 0)
    if both.any():
        found[both] = fused(texts[of_texts[both]], images[of_images[both]], alpha, unit=False)
    return found


def found_in(
    queries: Features,
    gallery: Features,
    own: np.ndarray,
    added: tuple[np.ndarray, np.ndarray] | None = None,
) -> Placed:
    """A search in one gallery.

    Args:
        queries: `(n, d)`.
        gallery: `(m, d)`.
        own: `(n,)`, the place of each query's document.
        added: columns as of `bias.columns`: what is added to the similarities.

    Raises:
        TypeError, ValueError: features, places or columns that cannot be used.
    """
    x, y = Rows(exact_rows(queries, "queries")), Rows(exact_rows(gallery, "gallery"))
    check_widths(x.exact, y.exact, ("queries", "gallery"))
    return _placed(x, y, y, own, [np.zeros(len(y), bool)], None if added is None else [added])[0]


def found_among(
    queries: Features,
    texts: Features,
    images: Features,
    own: np.ndarray,
    draws: Sequence[np.ndarray],
    added: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[Placed]:
    """`found_in` the `documents` of each draw: similarities to texts and to images are computed once for all draws.

    Args:
        queries: `(n, d)`.
        texts, images: `(m, d)`, row i of both is document i.
        own: `(n,)`, the place of each query's document.
        draws: each `(m,)` of bool, which documents are images.
        added: of each draw, as in `found_in`.

    Raises:
        TypeError, ValueError: features, places, draws or columns that cannot be used.
    """
    x, y, z = (
        Rows(exact_rows(side, name))
        for side, name in ((queries, "queries"), (texts, "texts"), (images, "images"))
    )
    check_widths(x.exact, y.exact, ("queries", "texts"))
    check_widths(y.exact, z.exact, ("texts", "images"))
    return _placed(x, y, z, own, draws, added)


def _placed(
    x: Rows,
    y: Rows,
    z: Rows,
    own: np.ndarray,
    draws: Sequence[np.ndarray],
    added: Sequence[tuple[np.ndarray, np.ndarray]] | None,
) -> list[Placed]:
    """`found_among` of exact rows of queries, texts and images. Scores in float32 decide all but near ties."""
    from crossgap.metrics.kernels import tiles as kernels

    own = places_of(own, "own", len(x), len(y))
    draws = [flags_of(draw, "draws", len(y)) for draw in draws]
    added = added or [(np.zeros(len(x)), np.zeros(len(y)))] * len(draws)
    to_texts = near_products(x, y)
    to_images = to_texts if z is y else near_products(x, z)
    sides = (to_texts, y), (to_images, z)
    margins = [np.maximum(*(margins_of_scores(near, x, side, *one) for near, side in sides)) for one in added]
    found = [Placed(*np.empty((2, len(x)), np.int64)) for _ in draws]
    for rows in blocks(len(x), len(y) // 4):
        exact, mine, near_texts = x.exact[rows], own[rows], to_texts.tile(rows)
        near_images = near_texts if z is y else to_images.tile(rows)
        for are_images, (asked, held), margin, placed in zip(draws, added, margins, found, strict=True):
            ranks, firsts = (one[rows] for one in placed)
            of_rows = near_texts, near_images, exact, mine, asked[rows], margin[rows], ranks, firsts
            over_rows(kernels.place_own, of_rows, (y.exact, z.exact, are_images, held))
    return found


def _share(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}: give 0 to 1")
    return value
