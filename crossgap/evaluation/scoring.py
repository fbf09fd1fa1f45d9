"""Biases that a gallery is ranked with, by a bank of queries without any that is asked, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap import fingerprint
from crossgap.corrections.scoring import Scoring
from crossgap.errors import UnavailableError
from crossgap.evaluation.items import Items
from crossgap.evaluation.unavailable import Reasons
from crossgap.metrics.retrieval.bias import Bias

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64


@dataclass(frozen=True)
class Scorer:
    """Queries and gallery → the bias that is added to their similarities.

    Of the bank are left out, and counted in `reasons`: items that are asked or stand in the gallery, and those of one
    image with such an item.

    Attributes:
        bank: other queries of the `modality`; None where no other split holds any.
        name: that `reasons` name it by.
        within: whether a query may stand in its gallery, where it is no candidate.
        known: biases by this correction that the cell's tasks were ranked with, by all that they were computed of.
    """

    scoring: Scoring
    bank: Items | None
    modality: str
    name: str
    within: bool
    reasons: Reasons
    known: dict[tuple, Bias] = field(default_factory=dict)

    def __call__(
        self, queries: Items, gallery: Items, of_items: Float64[np.ndarray, " m"] | None = None
    ) -> Bias:
        """`of_items` `(m,)` is what the method of this name gives of the gallery's items, where that is known."""
        clean = self._clean(queries, gallery)
        left_out = pd.Index(gallery.ids).get_indexer(queries.ids) if self.within else None
        asked, held = np.asarray(queries.features), np.asarray(gallery.features)
        bias = partial(self.scoring, asked, held, self.modality, rows=clean, left_out=left_out)
        if of_items is not None:
            return bias(of_items=of_items)
        places = b"" if left_out is None else left_out.tobytes()
        digests = [fingerprint.of_bytes(array.tobytes()) for array in (asked, held, clean)]
        key = (*digests, self.modality, places)
        if key not in self.known:
            self.known[key] = bias()
        return self.known[key]

    def of_items(self, queries: Items, gallery: Items) -> Float64[np.ndarray, " m"]:
        """The biases of the gallery's items `(m,)`, in any gallery of these ids and groups."""
        return self.scoring.of_items(gallery.features, self.modality, self._clean(queries, gallery))

    def _clean(self, queries: Items, gallery: Items) -> Bool[np.ndarray, " b"]:
        """The rows of the bank that are used, `(b,)`."""
        if self.bank is None:
            raise UnavailableError(f"no bank of {self.modality} queries: no other split holds any")
        clean = disjoint(self.bank, [queries, gallery] if self.within else [queries], [gallery])
        if clean.any() and not clean.all():
            why = f"{(~clean).sum()} of {len(clean)} queries of the bank left out: they or their matches are asked"
            self.reasons.add([("retrieval", self.name, f"{why} or stand in the gallery")])
        return clean


def disjoint(bank: Items, alike: Sequence[Items], others: Sequence[Items] = ()) -> Bool[np.ndarray, " b"]:
    """Which items of a bank `(b,)` are none of those of its modality, `alike`, nor of one image with any of all."""
    ids = np.concatenate([np.empty(0, object), *(items.ids for items in alike)])
    groups = np.concatenate([items.groups for items in (*alike, *others)])
    met = np.isin(bank.groups.astype(str), groups[groups.astype(bool)].astype(str))
    return ~(np.isin(bank.ids.astype(str), ids.astype(str)) | met)
