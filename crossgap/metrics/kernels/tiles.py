"""Similarities of a tile: a row after the other, compared, counted and added up as exact products, so that no result
depends on the processor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crossgap.metrics.kernels.compiled import exact_kernel, kernel

PART, BIT = 512, 32  # items at a time: counted first, and looked at where something is among them
BINS, MOST_BINS = 2**11, 2**15  # that similarities are sorted into, of a row
FEW = 12  # given items that all others are compared to, or that are gone through one by one


class Given(NamedTuple):
    """Items of some rows, `(p,)` each, ordered by row, step and place.

    Attributes:
        step, place: as in `counting.keys`.
        least, most: in a tile's type: products below `least` are surely of a lower step than the item, those above
            `most` of a higher one.
    """

    step: np.ndarray
    place: np.ndarray
    least: np.ndarray
    most: np.ndarray


class Room(NamedTuple):
    """What counting one row of g items takes, made once for several rows.

    Attributes:
        bins: `(g,)`, of the items.
        items: `(g + 1,)`, places of some of them.
        exact: `(g,)`, products of these.
        is_shared: `(b,)`, of a bin, whether given items lie in it, or may.
        tables: `(4, b)`, items by bin.
        ends: `(2, b)`, of a shared bin: the first given item that may lie in it, and the first behind these.
        of_given: `(2, p)`, the bins where each given item begins and ends.
        ahead: `(p + 1,)`, items of shared bins by the first given one that they are ahead of.
    """

    bins: np.ndarray
    items: np.ndarray
    exact: np.ndarray
    is_shared: np.ndarray
    tables: np.ndarray
    ends: np.ndarray
    of_given: np.ndarray
    ahead: np.ndarray


@exact_kernel
def product(x: np.ndarray, y: np.ndarray) -> float:
    """The inner product of two exact rows `(d,)`."""
    total = 0.0
    for place in range(x.size):
        total += x[place] * y[place]
    return total


@exact_kernel
def _four(
    x: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> tuple[float, float, float, float]:
    """`product` with four rows, which come from memory side by side."""
    of_a, of_b, of_c, of_d = 0.0, 0.0, 0.0, 0.0
    for place in range(x.size):
        of_a += x[place] * a[place]
        of_b += x[place] * b[place]
        of_c += x[place] * c[place]
        of_d += x[place] * d[place]
    return of_a, of_b, of_c, of_d


@kernel
def _products(row: np.ndarray, block: np.ndarray, items: np.ndarray, found: np.ndarray) -> None:
    """The products of a row `(d,)` with some of `block` `(g, d)`, exact, into `found`."""
    for at in range(0, items.size - 3, 4):
        found[at], found[at + 1], found[at + 2], found[at + 3] = _four(
            row, block[items[at]], block[items[at + 1]], block[items[at + 2]], block[items[at + 3]]
        )
    for at in range(items.size - items.size % 4, items.size):
        found[at] = product(row, block[items[at]])


@kernel
def products(
    row: np.ndarray, item: np.ndarray, found: np.ndarray, rows: np.ndarray, block: np.ndarray
) -> None:
    """The products of pairs, of `rows` `(r, d)` and `block` `(g, d)`, exact: at `row`, `item` `(p,)` into `found`."""
    start = 0
    while start < row.size:
        stop = start + 1
        while stop < row.size and row[stop] == row[start]:
            stop += 1
        _products(rows[row[start]], block, item[start:stop], found[start:stop])
        start = stop


@kernel
def _below(values: np.ndarray, bound: float) -> int:
    count = np.int32(0)
    for place in range(values.size):
        if values[place] < bound:
            count = np.int32(count + np.int32(1))
    return int(count)


@kernel
def _upto(values: np.ndarray, bound: float) -> int:
    count = np.int32(0)
    for place in range(values.size):
        if values[place] <= bound:
            count = np.int32(count + np.int32(1))
    return int(count)


@kernel
def _look(values: np.ndarray, least: float, most: float, items: np.ndarray) -> tuple[int, int]:
    """How many values are below `least`, and how many from there to `most`; the places of these into `items`."""
    below, found = 0, 0
    for start in range(0, values.size, PART):
        part = values[start : start + PART]
        of_part = _below(part, least)
        below += of_part
        if _upto(part, most) > of_part:
            for first in range(start, start + part.size, BIT):
                bit = values[first : min(first + BIT, start + part.size)]
                if _upto(bit, most) > _below(bit, least):
                    for place in range(bit.size):
                        items[found] = first + place
                        found += least <= bit[place] <= most
    return below, found


@kernel
def _room(items: int, given: int) -> Any:
    """`Room` for so many items and given ones."""
    return Room(
        np.empty(items, np.int32),
        np.empty(items + 1, np.int32),
        np.empty(items),
        np.empty(MOST_BINS + 2, np.uint8),
        np.empty((4, MOST_BINS + 2), np.int32),
        np.empty((2, MOST_BINS + 2), np.int32),
        np.empty((2, given), np.int32),
        np.empty(given + 1, np.int64),
    )


@kernel
def count_ahead(
    tile: np.ndarray,
    which: np.ndarray,
    rows: np.ndarray,
    block: np.ndarray,
    cuts: np.ndarray,
    given: Given,
    limit: int,
    found: np.ndarray,
    is_open: np.ndarray,
) -> None:
    """`counting.Counter.ahead` of some rows.

    Args:
        tile: `(w, g)`, their products with the block, in float32 or exact in float64.
        which: `(w,)`, which of `rows` they are.
        rows, block: `(r, d)` and `(g, d)`, exact.
        cuts: `(r + 1,)`, where the given items of each row begin, and end.
        given: p items of all rows.
        limit: exact products that a row may take where the tile is float32; of others its entries of `is_open` stay.
        found: `(p,)`, the result.
        is_open: `(r,)`, set to False where a row is counted.
    """
    most_given = 0
    for one in which:
        most_given = max(most_given, cuts[one + 1] - cuts[one])
    room = _room(tile.shape[1], most_given)
    for at in range(which.size):
        one = which[at]
        part = slice(cuts[one], cuts[one + 1])
        some = Given(given.step[part], given.place[part], given.least[part], given.most[part])
        if some.step.size <= FEW:
            undecided = _by_comparing(tile[at], rows[one], block, some, limit, found[part], room)
        else:
            undecided = _by_bins(tile[at], rows[one], block, some, limit, found[part], room)
        is_open[one] = undecided > limit


@kernel
def _exactly(
    values: np.ndarray, row: np.ndarray, block: np.ndarray, items: np.ndarray, exact: np.ndarray
) -> None:
    """The exact products of some items: their values, or where these are float32 made anew."""
    if values.itemsize == 4:
        _products(row, block, items, exact)
    else:
        for at in range(items.size):
            exact[at] = values[items[at]]


@kernel
def _without(items: np.ndarray, one: int) -> int:
    """Take one item away, if it is there; how many are left."""
    left = 0
    for at in range(items.size):
        items[left] = items[at]
        left += items[at] != one
    return left


@kernel
def _by_comparing(
    values: np.ndarray,
    row: np.ndarray,
    block: np.ndarray,
    given: Given,
    limit: int,
    found: np.ndarray,
    room: Room,
) -> int:
    """One row of `count_ahead`, by comparing every item to each given one; how many exact products that took."""
    items, exact = room.items, room.exact
    undecided = 0
    for one in range(given.step.size):
        step, place = given.step[one], given.place[one]
        count, some = _look(values, given.least[one], given.most[one], items)
        some = _without(items[:some], place)
        undecided += some if values.itemsize == 4 else 0
        if undecided > limit:
            break
        _exactly(values, row, block, items[:some], exact)
        for at in range(some):
            own = np.rint(exact[at])
            count += own < step or (own == step and items[at] < place)
        found[one] = count
    return undecided


@kernel
def _bins(values: np.ndarray, origin: float, scale: float, count: int, bins: np.ndarray) -> None:
    """From 1 to `count`, 0 before them and 1 more behind them; of a greater value never a lower one."""
    none, last = values.dtype.type(0), values.dtype.type(count + 1)
    for place in range(values.size):
        bins[place] = np.int32(min(max((values[place] - origin) * scale + values.dtype.type(1), none), last))


@kernel
def _mark(begin: np.ndarray, end: np.ndarray, is_shared: np.ndarray, ends: np.ndarray) -> None:
    """Fill in `Room.is_shared` and `Room.ends`, of given items from bins `begin` to bins `end`, which do not fall."""
    is_shared[:] = 0
    done = 0
    for number in range(begin.size):
        for at in range(max(done, begin[number]), end[number] + 1):
            is_shared[at], ends[0, at] = 1, number
        done = max(done, end[number] + 1)
    done = is_shared.size
    for number in range(begin.size - 1, -1, -1):
        for at in range(begin[number], min(done, end[number] + 1)):
            ends[1, at] = number + 1
        done = min(done, begin[number])


@kernel
def _first_behind(given: Given, own: float, item: int, low: int, high: int) -> int:
    """The first of the given items from `low` to `high` that an item of this step is ahead of."""
    while low < high:
        middle = (low + high) // 2
        step = given.step[middle]
        if step > own or (step == own and given.place[middle] > item):
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _first_from(bounds: np.ndarray, value: float, is_above: bool, low: int, high: int) -> int:
    """The first from `low` to `high` whose bound is a value or above it, or above it alone."""
    while low < high:
        middle = low if high - low <= FEW else (low + high) // 2
        if bounds[middle] > value or (bounds[middle] == value and not is_above):
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def _given_at(given: Given, item: int, low: int, high: int) -> int:
    """The given item from `low` to `high` that is this one, whose step is known; -1 where none is."""
    for number in range(low, high):
        if given.place[number] == item:
            return number
    return -1


@kernel
def _in_tables(bins: np.ndarray, is_shared: np.ndarray, tables: np.ndarray, items: np.ndarray) -> int:
    """Count the items of each bin in four tables, each a fourth of them, since adding to a number just written waits;
    and the places of those in shared bins into `items`: how many they are.
    """
    first, second, third, fourth = tables
    found, whole = np.uint64(0), bins.size - bins.size % 4
    for item in range(0, whole, 4):
        # unsigned: numba looks whether a place is negative
        a, b = np.uint64(bins[item]), np.uint64(bins[item + 1])
        c, d = np.uint64(bins[item + 2]), np.uint64(bins[item + 3])
        first[a] += np.int32(1)
        second[b] += np.int32(1)
        third[c] += np.int32(1)
        fourth[d] += np.int32(1)
        items[found] = item
        found += np.uint64(is_shared[a])
        items[found] = item + 1
        found += np.uint64(is_shared[b])
        items[found] = item + 2
        found += np.uint64(is_shared[c])
        items[found] = item + 3
        found += np.uint64(is_shared[d])
    for item in range(whole, bins.size):
        a = np.uint64(bins[item])
        first[a] += np.int32(1)
        items[found] = item
        found += np.uint64(is_shared[a])
    return int(found)


@kernel
def _by_bins(
    values: np.ndarray,
    row: np.ndarray,
    block: np.ndarray,
    given: Given,
    limit: int,
    found: np.ndarray,
    room: Room,
) -> int:
    """One row of `count_ahead`: an item is ahead of the given ones of the bins behind its own; those that share a bin
    with given ones, from where these may begin to where they may end, are compared with them.
    """
    number_given, undecided = given.step.size, 0
    near, origin = values.itemsize == 4, given.least[0]
    count = min(max(BINS, 32 * number_given), MOST_BINS, max(BINS, values.size // 4))
    # one bin less: the last given one lies not among all that are behind it
    scale = values.dtype.type(count - 1) / (given.most[number_given - 1] - origin)
    is_shared, tables = room.is_shared[: count + 2], room.tables[:, : count + 2]
    ends = room.ends[:, : count + 2]
    begin, end = room.of_given[:, :number_given]
    _bins(given.least, origin, scale, count, begin)
    _bins(given.most, origin, scale, count, end)
    _mark(begin, end, is_shared, ends)
    tables[:] = 0
    _bins(values, origin, scale, count, room.bins)
    shared = _in_tables(room.bins[: values.size], is_shared, tables, room.items)
    ahead = room.ahead[: number_given + 1]
    ahead[:] = 0
    for one in range(shared):
        item = room.items[one]
        low, high = ends[0, room.bins[item]], ends[1, room.bins[item]]
        if near:
            low = _first_from(given.most, values[item], False, low, high)
            high = _first_from(given.least, values[item], True, low, high)
            own = _given_at(given, item, low, min(high, low + FEW))
            if own >= 0:
                low = _first_behind(given, given.step[own], item, own, number_given)
            elif low < high:
                room.items[undecided] = item  # those before are used up
                undecided += 1
                continue
        else:
            low = _first_behind(given, np.rint(values[item]), item, low, high)
        ahead[low] += 1
    if undecided > limit:
        return undecided
    _products(row, block, room.items[:undecided], room.exact)
    for one in range(undecided):
        ahead[_first_behind(given, np.rint(room.exact[one]), room.items[one], 0, number_given)] += 1
    total, done = 0, 0
    for number in range(number_given):
        total += ahead[number]
        for at in range(done, begin[number]):
            total += tables[0, at] + tables[1, at] + tables[2, at] + tables[3, at]
        done = max(done, end[number] + 1)
        found[number] = total
    return undecided


@kernel
def _lower(bound: float) -> float:
    """A float32 below the bound, and near it."""
    return np.nextafter(np.float32(bound), np.float32(-np.inf))


@kernel
def greatest_of(scores: np.ndarray, found: np.ndarray) -> None:
    """The k greatest of each row of `scores` `(r, g)`, in descending order, into `found` `(r, k)`."""
    for one in range(len(scores)):
        _greatest_of(scores[one], found[one])


@kernel
def _greatest_of(values: np.ndarray, found: np.ndarray) -> Any:
    """As `greatest_of`, of one row; the last of them."""
    k = found.size
    found[:] = -np.inf
    for start in range(0, values.size, PART):
        part = values[start : start + PART]
        if _upto(part, found[k - 1]) < part.size:
            for value in part:
                if value > found[k - 1]:
                    _put(found, value)
    return found[k - 1]


@kernel
def most_similar(
    tile: np.ndarray, x: np.ndarray, margins: np.ndarray, found: np.ndarray, y: np.ndarray
) -> None:
    """The places of the k greatest exact products of each row, the greatest first, of equals the first item.

    Args:
        tile: `(r, g)`, products in float32, -inf for what is no candidate.
        x: `(r, d)`, exact.
        margins: `(r,)`: an item so far below the k-th greatest of a row of the tile is none of the k.
        found: `(r, k)`, the result.
        y: `(g, d)`, exact.
    """
    k = found.shape[1]
    greatest, exact = np.empty(k, tile.dtype), np.empty(k)
    items, own = np.empty(tile.shape[1] + 1, np.int32), np.empty(tile.shape[1])
    for one in range(len(tile)):
        values = tile[one]
        exact[:] = -np.inf
        bound = _lower(_greatest_of(values, greatest) - margins[one])
        some = _look(values, bound, np.float32(np.inf), items)[1]
        _products(x[one], y, items[:some], own)
        for at in range(some):
            if own[at] > exact[k - 1]:
                place = _put(exact, own[at])
                for other in range(k - 1, place, -1):
                    found[one, other] = found[one, other - 1]
                found[one, place] = items[at]


@kernel
def _put(values: np.ndarray, value: float) -> int:
    """Put a value into descending ones, behind its equals, and drop the last; gives its place."""
    place = values.size - 1
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        place -= 1
    values[place] = value
    return place


@kernel
def count_changed(
    near: np.ndarray,
    more: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    scale: np.ndarray,
    cuts: np.ndarray,
    item: np.ndarray,
    margins: np.ndarray,
    ahead: np.ndarray,
    undecided: np.ndarray,
) -> int:
    """How many items score surely higher than each judged one after a change, and which may do so or not.

    Args:
        near: `(r, g)`, products of the unit rows, in float32.
        more: `(r, g)`, added to the scores, float32; `(r, 0)` for nothing.
        left: `(r, k)`, columns of the queries, few.
        right: `(k, g)`, of the gallery, over the lengths of its changed rows.
        scale: `(g,)`, 1 over these lengths.
        cuts: `(r + 1,)`, where the judged items of each row begin, and end.
        item: `(p,)`, the judged ones.
        margins: `(r,)`, by which scores must differ to be decided.
        ahead: `(p,)`, the first result.
        undecided: `(u, 2)`, the other: judged ones and items. No more than fit are written.

    Returns:
        How many are undecided, the judged ones themselves left out.
    """
    scores, items, count = np.empty(near.shape[1], np.float32), np.empty(near.shape[1] + 1, np.int32), 0
    for one in range(len(near)):
        if cuts[one] == cuts[one + 1]:
            continue
        _changed_scores(near[one], more[one], left[one], right, scale, scores)
        for pair in range(cuts[one], cuts[one + 1]):
            own = np.float64(scores[item[pair]])
            low, high = _lower(own - margins[one]), -_lower(-own - margins[one])
            below, some = _look(scores, low, high, items)
            ahead[pair] = scores.size - below - some
            for other in items[:some]:
                if other != item[pair]:
                    if count < len(undecided):
                        undecided[count, 0], undecided[count, 1] = pair, other
                    count += 1
    return count


@exact_kernel
def _changed_scores(
    near: np.ndarray,
    more: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    scale: np.ndarray,
    scores: np.ndarray,
) -> None:
    for place in range(scores.size):
        scores[place] = near[place] * scale[place]
    if more.size:
        for place in range(scores.size):
            scores[place] += more[place]
    for column in range(left.size):
        by = left[column]
        of = right[column]
        for place in range(scores.size):
            scores[place] += by * of[place]


@kernel
def place_own(
    of_texts: np.ndarray,
    of_images: np.ndarray,
    queries: np.ndarray,
    own: np.ndarray,
    asked: np.ndarray,
    margins: np.ndarray,
    ranks: np.ndarray,
    firsts: np.ndarray,
    texts: np.ndarray,
    images: np.ndarray,
    are_images: np.ndarray,
    held: np.ndarray,
) -> None:
    """Where each query's document stands among documents that are texts or images, and which is the first.

    Args:
        of_texts, of_images: `(r, m)`, products of queries with both, in float32.
        queries: `(r, d)`, exact.
        own: `(r,)`, the document of each query.
        asked: `(r,)`, float64: its product with `held` is added to the similarities.
        margins: `(r,)`, how far a score in float32 lies from the exact one at most.
        ranks, firsts: `(r,)`, the results, ranks from 1.
        texts, images: `(m, d)`, exact.
        are_images: `(m,)` of bool, which documents are images.
        held: `(m,)`, float64.
    """
    scores, items = np.empty(are_images.size, np.float32), np.empty(are_images.size + 1, np.int32)
    greatest = np.empty(1, np.float32)
    for one in range(own.size):
        query, document = queries[one], own[one]
        _mixed_scores(of_texts[one], of_images[one], are_images, asked[one], held, scores)
        side = images if are_images[document] else texts
        mine = product(query, side[document]) + asked[one] * held[document]
        low, high = _lower(mine - margins[one]), -_lower(-mine - margins[one])
        below, some = _look(scores, low, high, items)
        ahead = scores.size - below - some
        for other in items[:some]:
            side = images if are_images[other] else texts
            exact = product(query, side[other]) + asked[one] * held[other]
            ahead += exact > mine or (exact == mine and other < document)
        ranks[one] = 1 + ahead
        bound, best = _lower(_greatest_of(scores, greatest) - 2 * margins[one]), -np.inf
        for other in items[: _look(scores, bound, np.float32(np.inf), items)[1]]:
            side = images if are_images[other] else texts
            exact = product(query, side[other]) + asked[one] * held[other]
            if exact > best:
                best, firsts[one] = exact, other


@kernel
def _mixed_scores(
    of_texts: np.ndarray,
    of_images: np.ndarray,
    are_images: np.ndarray,
    asked: float,
    held: np.ndarray,
    scores: np.ndarray,
) -> None:
    for place in range(scores.size):
        scores[place] = of_images[place] if are_images[place] else of_texts[place]
    if asked != 0:
        for place in range(scores.size):
            scores[place] += np.float32(asked * held[place])


@kernel
def first_ranked(
    tile: np.ndarray,
    x: np.ndarray,
    margins: np.ndarray,
    found: np.ndarray,
    y: np.ndarray,
    held: np.ndarray,
) -> None:
    """The place of the item with the greatest whole score of each row, the first of equals.

    A score is the product, rounded, and `held`, which is whole, or −∞.

    Args:
        tile: `(r, g)`, products in float32.
        x: `(r, d)`, exact.
        margins: `(r,)`, how far a score in float32 lies from the exact one at most.
        found: `(r,)`, the result.
        y: `(g, d)`, exact.
        held: `(g,)`, float64.
    """
    scores, items = np.empty(tile.shape[1], np.float32), np.empty(tile.shape[1] + 1, np.int32)
    greatest = np.empty(1, np.float32)
    for one in range(len(tile)):
        values = tile[one]
        for place in range(scores.size):
            scores[place] = values[place] + np.float32(held[place])
        bound, best = _lower(_greatest_of(scores, greatest) - 2 * margins[one]), -np.inf
        for item in items[: _look(scores, bound, np.float32(np.inf), items)[1]]:
            exact = np.rint(product(x[one], y[item])) + held[item]
            if exact > best:
                best, found[one] = exact, item
