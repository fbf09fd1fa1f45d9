"""Cosine similarities of matching and of other pairs: their distributions, and how far these overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossgap.arrays import check_widths, in_numpy, places_of, unit_rows
from crossgap.errors import listed

if TYPE_CHECKING:
    from jaxtyping import Int, Int64, Real

    from crossgap.arrays import Features

BINS = 200  # over [-1, 1]
PAIRS_IN_A_BLOCK = 2**22


@dataclass(frozen=True)
class Similarities:
    """Pairs counted by their cosine similarity.

    Attributes:
        matching: `(BINS,)` pairs that belong together, by equal steps over [-1, 1].
        other: `(BINS,)` pairs that don't.
        matching_mean, other_mean: their mean similarities; NaN where there are none.
    """

    matching: Int64[np.ndarray, " bins"]
    other: Int64[np.ndarray, " bins"]
    matching_mean: float
    other_mean: float

    @property
    def mean(self) -> float:
        """Of all pairs."""
        counts = [self.matching.sum(), self.other.sum()]
        sums = [m * n for m, n in zip((self.matching_mean, self.other_mean), counts, strict=True) if n]
        return float(sum(sums) / sum(counts)) if sums else float("nan")

    @property
    def overlap(self) -> float:
        """Area that the two histograms share, each of area 1: 0, told apart by a threshold, to 1, the same."""
        if not self.matching.sum() or not self.other.sum():
            return float("nan")
        shares = self.matching / self.matching.sum(), self.other / self.other.sum()
        return float(np.minimum(*shares).sum())


def similarities(
    queries: Real[Features, "n d"],
    gallery: Real[Features, "m d"],
    query_codes: Int[np.ndarray, " n"],
    gallery_codes: Int[np.ndarray, " m"],
    left_out: Int[np.ndarray, " n"] | None = None,
) -> Similarities:
    """Cosine similarities of all pairs, in blocks of queries.

    Args:
        queries: `(n, d)`.
        gallery: `(m, d)`.
        query_codes: `(n,)` integers; pairs of equal codes match. An item of a negative code is in no pair.
        gallery_codes: `(m,)` integers.
        left_out: `(n,)`, the place of the one gallery item that a query is not paired with, -1 for none.

    Raises:
        TypeError, ValueError: features that cannot be used, or codes that don't fit them.
    """
    x, y = unit_rows(queries, "queries", np.float64), unit_rows(gallery, "gallery", np.float64)
    check_widths(x, y, ("queries", "gallery"))
    query_codes, gallery_codes = in_numpy(query_codes), in_numpy(gallery_codes)
    if wrong := {str(codes.dtype) for codes in (query_codes, gallery_codes) if codes.dtype.kind not in "iu"}:
        raise TypeError(f"codes are {listed(wrong)}: give integers, as of `label_codes`")
    if query_codes.shape != (len(x),) or gallery_codes.shape != (len(y),):
        raise ValueError(
            f"{len(query_codes)} and {len(gallery_codes)} codes for {len(x)} queries and {len(y)} gallery items: "
            "give one an item"
        )
    if left_out is not None:
        left_out = places_of(left_out, "left_out", len(x), len(y), least=-1)
    known = gallery_codes >= 0
    counts, sums = np.zeros((2, BINS), np.int64), np.zeros(2)
    step = max(1, PAIRS_IN_A_BLOCK // len(y))
    for start in range(0, len(x), step):
        block = slice(start, start + step)
        cosines = x[block] @ y.T
        match = query_codes[block, None] == gallery_codes
        paired = (query_codes[block, None] >= 0) & known
        if left_out is not None:
            rows = np.flatnonzero(left_out[block] >= 0)
            paired[rows, left_out[block][rows]] = False
        for side, chosen in enumerate((paired & match, paired & ~match)):
            values = cosines[chosen]
            bins = np.clip(((values + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
            counts[side] += np.bincount(bins, minlength=BINS)
            sums[side] += values.sum()
    totals = counts.sum(axis=1)
    means = np.divide(sums, totals, out=np.full(2, np.nan), where=totals > 0)
    return Similarities(*counts, *map(float, means))


def share_of_the_way(inverted: float, across: float, native: float) -> float:
    """How far inverted features have drifted back to their native manifold.

    Their mean similarity to the gallery, on the way from that of the other modality's native features, 0, to that of
    the gallery's own modality, 1 (Cross the Gap, the histograms over steps). NaN where the two ends coincide.
    """
    return (inverted - across) / (native - across) if native != across else float("nan")
