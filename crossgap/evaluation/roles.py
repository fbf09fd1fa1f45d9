"""Who asks for what among texts and images: an image's first caption for its document.

The document is the image, its second caption or both; or, with one caption an image, the image alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap import corrections
from crossgap.corrections import Correction
from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.corrections import Rivals, apply
from crossgap.evaluation.items import Items, by_id

if TYPE_CHECKING:
    from jaxtyping import Int64


METHODS = {method: modality for modality, method in INVERSIONS.items()}


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
    own: Int64[np.ndarray, " n"]


def pairs(cell: Cell) -> Roles:
    """Images with two captions and more: the first asks, the second is the document."""
    images, captions = _captioned(cell)
    places = [(some := captions.where(captions.ranks == rank), _of(images, some)) for rank in (0, 1)]
    have = np.all([at >= 0 for _, at in places], axis=0)
    if not have.any():
        raise UnavailableError("no image has two captions, one to ask and one to be found")
    queries, texts = (some.where(at[have]) for some, at in places)
    return Roles(queries, texts, images.where(have), np.arange(have.sum()))


def halves(cell: Cell) -> Roles:
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


def _of(images: Items, captions: Items) -> Int64[np.ndarray, " m"]:
    """The place of each image's caption, `(m,)`; -1 for none."""
    places = {group: place for place, group in reversed([*enumerate(captions.groups.astype(str))])}
    return np.array([places.get(group, -1) for group in images.groups.astype(str)], int)


def inverted(cell: Cell, roles: Roles, method: str) -> Roles:
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


def corrected(rivals: Rivals, variant: str, roles: Roles) -> Roles | None:
    """All roles corrected, each text role by a fit on its own texts; None where the correction takes no texts."""
    fitted = rivals.correction(variant)
    if fitted.sides == "query":  # by pairs or weights: whatever the roles
        queries = apply(fitted, roles.queries, "text")
        return None if queries is None else roles._replace(queries=queries)
    queries = apply(_fit(rivals, variant, roles.images, roles.queries), roles.queries, "text")
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
