"""Who asks for what among texts and images: an image's first caption for its document.

The document is the image, its second caption or both; or, with one caption an image, the image alone. Where a dataset
fixes its gallery, each document is what it is there.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from crossgap.errors import UnavailableError
from crossgap.evaluation.cell import INVERSIONS, Cell
from crossgap.evaluation.corrections import Rivals, apply
from crossgap.evaluation.items import Items, by_id
from crossgap.prepared.manifest import ALONE
from crossgap.stores.store import Store

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped


class Roles(NamedTuple):
    """Who asks for what: query i for the document at `own[i]`.

    Attributes:
        queries: texts.
        texts, images: documents. Row i of both is one document, but for `distractors`, where each is one, and `corpus`,
            where those of one group are.
        own: `(n,)`.
    """

    queries: Items
    texts: Items
    images: Items
    own: Int64[np.ndarray, " n"]


class Gathered(NamedTuple):
    """Documents `(m,)` by their groups, with the places of their image and of their text, -1 for none."""

    groups: Shaped[np.ndarray, " m"]
    images: Int64[np.ndarray, " m"]
    texts: Int64[np.ndarray, " m"]


class Inverting(NamedTuple):
    """An inversion of documents: whose it is, and the fields of a `Variant`."""

    modality: str
    words: str
    store: Store
    step: int | None

    def of(self, cell: Cell, roles: Roles) -> Roles:
        """Documents with the images, or the texts, inverted.

        Raises:
            UnavailableError: not all of them are.
        """
        name = f"{self.modality}/{cell.query}"
        here = roles.images if self.modality == "image" else roles.texts
        documents = cell.inverted(here, name, self.store, self.step)
        if documents is None:
            method = INVERSIONS[self.modality]
            raise UnavailableError(
                f"{self.words} has not inverted every {self.modality} among the documents; those of the gallery it "
                f"inverts where {method}.gallery is true"
            )
        return (
            roles._replace(images=documents) if self.modality == "image" else roles._replace(texts=documents)
        )


def inversions(cell: Cell) -> list[Inverting]:
    """The main inversions of a cell, and those by φ."""
    return [Inverting(modality, *by) for modality in INVERSIONS for by in cell.methods(modality)]


def pairs(cell: Cell) -> Roles:
    """Images with a first and a second caption: the first asks, the second is the document.

    An image whose captions begin with the second, which nobody asks for, is a document all the same.
    """
    images, captions = _captioned(cell)
    asking, texts = (captions.where(captions.ranks == rank) for rank in (0, 1))
    at = _of(images, texts)
    images, texts = images.where(at >= 0), texts.where(at[at >= 0])
    asked = _of(images, asking)
    if not (asked >= 0).any():
        raise UnavailableError("no image has two captions, one to ask and one to be found")
    _require_two(images)
    own = np.flatnonzero(asked >= 0)
    return Roles(asking.where(asked[own]), texts, images, own)


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


def fixed(cell: Cell) -> bool:
    """Whether the dataset says itself which of its documents is a text alone."""
    captions = cell.items(f"text/{cell.query}")
    return captions is not None and any(str(group).startswith(ALONE) for group in captions.groups)


def corpus(cell: Cell) -> Roles:
    """Documents as the dataset has them: an image, a text of rank 1, or both. Texts of all other ranks ask."""
    images, captions = _captioned(cell)
    texts, asking = captions.where(captions.ranks == 1), captions.where(captions.ranks != 1)
    own = pd.Index(gathered(images, texts).groups).get_indexer(asking.groups.astype(str))
    if not (own >= 0).any():
        raise UnavailableError("no text asks for a document")
    _require_two(gathered(images, texts).groups)
    return Roles(asking.where(own >= 0), texts, images, own[own >= 0])


def _require_two(documents: Sized) -> None:
    if len(documents) < 2:
        raise UnavailableError("search among 1 document finds it: give at least 2")


def gathered(images: Items, texts: Items) -> Gathered:
    """The documents of `corpus`: those with an image, then those that are a text alone."""
    with_image, with_text = images.groups.astype(str), texts.groups.astype(str)
    groups = np.concatenate([with_image, with_text[~np.isin(with_text, with_image)]])
    return Gathered(groups, *(pd.Index(held).get_indexer(groups) for held in (with_image, with_text)))


def _captioned(cell: Cell) -> tuple[Items, Items]:
    """The items that comparisons with an inversion are made with."""
    images, captions = cell.invertible(f"image/{cell.query}"), cell.invertible(f"text/{cell.query}")
    if images is None or captions is None:
        raise UnavailableError("neither images with captions nor captions with images")
    return images, captions


def _of(images: Items, captions: Items) -> Int64[np.ndarray, " m"]:
    """The place of each image's caption among those of one rank, `(m,)`; -1 for none."""
    places = {group: place for place, group in enumerate(captions.groups.astype(str))}
    return np.array([places.get(group, -1) for group in images.groups.astype(str)], int)


def corrected(rivals: Rivals, variant: str, roles: Roles) -> Roles | None:
    """All roles corrected, each text role by a fit on its own texts; None where the correction takes no texts."""
    if rivals.correction(variant).sides == "query":  # by pairs or weights: whatever the roles
        queries = rivals.corrected(variant, roles.queries, "text")
        return None if queries is None else roles._replace(queries=queries)
    queries = apply(rivals.fit_by_role(variant, roles.images, roles.queries), roles.queries, "text")
    held = rivals.fit_by_role(variant, roles.images, roles.texts)
    texts = apply(held, roles.texts, "text", "gallery")
    images = apply(held, roles.images, "image", "gallery")
    if queries is None or texts is None or images is None:
        return None
    return roles._replace(queries=queries, texts=texts, images=images)
