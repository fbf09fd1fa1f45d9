"""Where a query's relevant items stand in its ranking of the gallery, a block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

PAIRS_IN_A_BLOCK = 2**22
QUERIES_IN_A_BLOCK = 32
STEPS = 2.0**30
LAST = np.int64(2**63 - 2)


def relevant_ranks(
    queries: np.ndarray,
    gallery: np.ndarray,
    query_codes: np.ndarray,
    gallery_codes: np.ndarray,
    left_out: np.ndarray | None = None,
    block_size: int | None = None,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Rank the gallery for each query and find the relevant items.

    Similarities are exact (see `crossgap.arrays.exact_rows`) and compared in steps of 2⁻³⁰; items of one
    similarity stand in the gallery's order. Memory is bounded by `block_size` × m pairs of 16 bytes,
    and the ranks do not depend on it.

    A pair is one 64-bit key: the negated similarity in the upper half, then the item's place in the gallery,
    then one bit for relevance. Sorting the keys of a query therefore ranks its gallery, breaks the ties and
    carries the relevance along.

    Args:
        queries: `(n, d)` of `exact_rows`.
        gallery: `(m, d)` of `exact_rows`.
        query_codes: `(n,)` integers; a gallery item is relevant where its code is equal.
        gallery_codes: `(m,)` integers.
        left_out: `(n,)`, the place of the one gallery item that a query must not see, -1 for none.
        block_size: queries ranked at a time; by default 2²² pairs, about 64 MiB, but at least 32 queries.

    Yields:
        The block's rows, then for its relevant pairs, by query and by rank: the query's place in the
        block `(r,)` and the rank, from 0, of the item `(r,)`.
    """
    block_size = block_size or max(QUERIES_IN_A_BLOCK, PAIRS_IN_A_BLOCK // len(gallery))
    places = np.arange(len(gallery), dtype=np.int64) << 1
    starts = range(0, len(queries), block_size)
    with ThreadPoolExecutor() as pool:
        for start in tqdm(starts, desc="ranking", unit="block", delay=2, leave=False, disable=None):
            block = slice(start, min(start + block_size, len(queries)))
            scores = (queries[block] * -STEPS) @ gallery.T
            keys = np.rint(scores, out=scores).astype(np.int64)
            del scores
            keys <<= 32
            keys |= places
            keys |= query_codes[block, None] == gallery_codes
            if left_out is not None:
                rows = np.flatnonzero(left_out[block] >= 0)
                keys[rows, left_out[block][rows]] = LAST
            list(pool.map(lambda part: part.sort(axis=1), np.array_split(keys, min(len(keys), 16))))
            keys &= 1
            yield block, *np.nonzero(keys.astype(bool))
