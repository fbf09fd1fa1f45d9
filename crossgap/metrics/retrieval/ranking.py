"""Where a query's relevant items stand in its ranking of the gallery, a tile of queries and items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crossgap.arrays import whole_number
from crossgap.metrics.retrieval.bias import with_column
from crossgap.metrics.retrieval.counting import MOST_ROWS, STEPS, Counter, NumpyCounter
from crossgap.metrics.retrieval.relevance import JudgedPairs, RelevanceLists
from crossgap.metrics.threads import cores
from crossgap.prepared.judgements import IGNORED
from crossgap.progress import Bar

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64, Real
ITEMS_IN_A_BLOCK = 2**17  # of the gallery
ENTRIES_IN_A_BLOCK = 2**25  # in float64: 256 MiB
ENTRIES_IN_A_CHUNK = 2**25  # of the queries
PAIRS_IN_A_CHUNK = 2**23  # judged ones
PAIRS_IN_A_TILE = 2**23
ROWS_IN_A_TILE = 512  # at least, or the matrix product is slow
PAIRS_AT_ONCE = 2**22  # times the width, of products outside a tile
QUERIES_AT_ONCE = 64  # whose pairs are sorted by a thread
ITEM_BITS = 31  # of a key by which pairs are sorted, above them the step
ROWS_AT_ONCE = 1024  # made exact by a thread
WORK_FOR_A_GPU = 1e12  # multiplications


class Ranks(NamedTuple):
    """The relevant pairs of a chunk of queries, ordered by query and rank.

    Attributes:
        queries: the chunk.
        query: `(r,)`, the query's place in the chunk.
        rank: `(r,)`, the item's place in the ranking without the ignored items, from 0.
        grade: `(r,)`.
    """

    queries: slice
    query: Int64[np.ndarray, " r"]
    rank: Int64[np.ndarray, " r"]
    grade: Int64[np.ndarray, " r"]


def relevant_ranks(
    queries: Real[np.ndarray, "n d"],
    gallery: Real[np.ndarray, "m d"],
    relevance: RelevanceLists,
    block_size: int | None = None,
    device: str = "cpu",
    added: tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " m"]] | None = None,
) -> Iterator[Ranks]:
    """Rank the gallery for each query and find the relevant items.

    Similarities are exact (see `crossgap.metrics.exact.exact_rows`) and compared in steps of 2⁻³⁰; items of one
    similarity stand in the gallery's order. The ranks depend neither on blocks nor on the device.

    An item's rank is the number of items ahead of it: the similarities of the judged pairs are computed first, then
    tiles of similarities (a block of the gallery, some queries of a chunk) one after another, and in each the items
    ahead of the judged ones are counted. Memory is bounded by the constants above.

    Args:
        queries: `(n, d)` of `checked_features`.
        gallery: `(m, d)` of `checked_features`.
        relevance: of the n queries.
        block_size: queries in a chunk, at most; chosen from the judged pairs by default.
        device: `cpu`, `cuda`, `cuda:N`, or `auto`: a GPU if there is one and the work is worth it.
        added: one more column of the queries' exact rows and of the gallery's (of `bias.columns`).

    Raises:
        ValueError: a block size or a device that cannot be used.
    """
    if block_size is not None:
        whole_number(block_size, "block_size", 1)
    asked, held = (None, None) if added is None else added
    length = min(len(gallery), ITEMS_IN_A_BLOCK, max(1, ENTRIES_IN_A_BLOCK // gallery.shape[1]))
    work, at_once = len(queries) * gallery.size, max(1, PAIRS_AT_ONCE // gallery.shape[1])
    with ThreadPoolExecutor(cores()) as pool, _progress(len(queries) * len(gallery)) as progress:
        counter = _counter(device, work, pool)
        buffer = np.empty((length, gallery.shape[1] + (held is not None)))
        blocks: Callable[[], Iterable[tuple[int, Any]]] = partial(
            _blocks, counter, gallery, held, buffer, pool
        )
        if length == len(gallery):
            whole = list(blocks())
            blocks = lambda: whole  # noqa: E731
        for chunk in _chunks(relevance, block_size, queries.shape[1]):
            rows = _exact(queries[chunk], pool, None if asked is None else asked[chunk])
            rows *= -STEPS
            pairs, rows = relevance.pairs(chunk), counter.put(rows)
            yield _without_ignored(chunk, *_ahead(counter, rows, blocks, pairs, at_once, pool, progress))


def _ahead(
    counter: Counter,
    rows: Any,
    blocks: Callable[[], Iterable[tuple[int, Any]]],
    pairs: JudgedPairs,
    at_once: int,
    pool: ThreadPoolExecutor,
    progress: Bar,
) -> tuple[JudgedPairs, Int64[np.ndarray, " p"]]:
    """The pairs by query and rank, and how many items are ahead of each, `(p,)`. The blocks are gone through for the
    pairs' steps, and again to count.
    """
    step = np.empty(len(pairs.query), dtype=np.int64)
    for start, block in blocks():
        inside = np.flatnonzero((pairs.item >= start) & (pairs.item < start + len(block)))

        def products(cut: int, start: int = start, block: Any = block, inside: np.ndarray = inside) -> None:
            some = inside[cut : cut + at_once]
            step[some] = counter.steps_of(rows, block, pairs.query[some], pairs.item[some] - start)

        list(pool.map(products, range(0, len(inside), at_once)))

    order = _by_step(pairs, step, pool)
    step, pairs = step[order], JudgedPairs(pairs.query, pairs.item[order], pairs.grade[order])
    ahead = np.zeros(len(pairs.query), dtype=np.int64)
    for start, block in blocks():
        for tile, part in _tiles(len(rows), len(block), pairs.query):
            place = np.clip(pairs.item[part] - start, -1, len(block))
            row = pairs.query[part] - tile.start
            ahead[part] += counter.ahead(rows, tile, block, row, step[part], place)
            progress.update((tile.stop - tile.start) * len(block))
    return pairs, ahead


def _by_step(
    pairs: JudgedPairs, step: Int64[np.ndarray, " p"], pool: ThreadPoolExecutor
) -> Int64[np.ndarray, " p"]:
    """The order of pairs by query, step and item; they come ordered by query."""
    keys, order = (step << ITEM_BITS) + pairs.item, np.empty(len(step), np.int64)
    cuts = [*np.flatnonzero(np.diff(pairs.query, prepend=-1)).tolist(), len(step)]

    def sort(first: int) -> None:
        for low, high in pairwise(cuts[first : first + QUERIES_AT_ONCE + 1]):
            order[low:high] = low + np.argsort(keys[low:high])

    list(pool.map(sort, range(0, len(cuts) - 1, QUERIES_AT_ONCE)))
    return order


def _without_ignored(chunk: slice, pairs: JudgedPairs, ahead: Int64[np.ndarray, " p"]) -> Ranks:
    """Of pairs in the order of their ranks."""
    query, rank, grade = pairs.query, ahead, pairs.grade
    ignored = grade == IGNORED
    if ignored.any():
        before = np.cumsum(ignored)
        count = np.bincount(query[ignored], minlength=chunk.stop - chunk.start)
        rank = rank - before + (np.cumsum(count) - count)[query]
        query, rank, grade = query[~ignored], rank[~ignored], grade[~ignored]
    return Ranks(chunk, query, rank, grade)


def _chunks(relevance: RelevanceLists, block_size: int | None, width: int) -> Iterator[slice]:
    """Blocks of queries, each with a bounded number of judged pairs (but at least one query)."""
    most = block_size or max(1, ENTRIES_IN_A_CHUNK // width)
    total = np.cumsum(relevance.count + 1)
    start, before = 0, 0
    while start < len(relevance):
        fits = int(np.searchsorted(total, before + PAIRS_IN_A_CHUNK, side="right"))
        stop = min(max(start + 1, fits), start + most, len(relevance))
        yield slice(start, stop)
        start, before = stop, total[stop - 1]


def _tiles(count: int, length: int, query: Int64[np.ndarray, " p"]) -> Iterator[tuple[slice, slice]]:
    """The rows of each tile, and which of the pairs of `query` (p,), ordered, are theirs."""
    height = min(MOST_ROWS, max(ROWS_IN_A_TILE, PAIRS_IN_A_TILE // length))
    for start in range(0, count, height):
        stop = min(start + height, count)
        yield slice(start, stop), slice(*np.searchsorted(query, [start, stop]))


def _blocks(
    counter: Counter,
    gallery: Real[np.ndarray, "m d"],
    held: Float64[np.ndarray, " m"] | None,
    buffer: Float64[np.ndarray, "length width"],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[int, Any]]:
    """Exact rows of the gallery, in the buffer, and where they start; a block is gone when the next one comes."""
    for start in range(0, len(gallery), len(buffer)):
        rows = gallery[start : start + len(buffer)]
        last = None if held is None else held[start : start + len(buffer)]
        yield start, counter.put(_exact(rows, pool, last, buffer[: len(rows)]))


def _exact(
    features: Real[np.ndarray, "n d"],
    pool: ThreadPoolExecutor,
    last: Float64[np.ndarray, " n"] | None = None,
    out: Float64[np.ndarray, "n width"] | None = None,
) -> Float64[np.ndarray, "n width"]:
    """`with_column` of checked features, by several threads."""
    rows = np.empty((len(features), features.shape[1] + (last is not None))) if out is None else out

    def fill(start: int) -> None:
        some = slice(start, start + ROWS_AT_ONCE)
        with_column(features[some], None if last is None else last[some], rows[some])

    list(pool.map(fill, range(0, len(rows), ROWS_AT_ONCE)))
    return rows


def check_device(device: str) -> None:
    """Raise CrossgapError at a device that can't be used."""
    if device != "cpu":
        from crossgap.metrics.retrieval.torch_counting import cuda_device

        cuda_device(device)


def _counter(device: str, work: int, pool: ThreadPoolExecutor) -> Counter:
    if device == "cpu" or (device == "auto" and work < WORK_FOR_A_GPU):
        return NumpyCounter(pool)
    from crossgap.metrics.retrieval.torch_counting import TorchCounter, cuda_device

    found = cuda_device(device)
    return NumpyCounter(pool) if found is None else TorchCounter(found)


def _progress(pairs: int) -> Bar:
    return Bar(total=pairs, desc="ranking", unit="pair", unit_scale=True, delay=2, leave=False)
