"""Rows as numbers of few bits, whose products are exact, and what such products are put together to."""

from __future__ import annotations

import numpy as np

from crossgap.metrics.kernels.compiled import kernel


@kernel
def exact_rows(rows: np.ndarray, squares: np.ndarray, out: np.ndarray) -> None:
    """`exact.exact_rows` of `rows` `(n, d)`, into the first columns of `out`, and the sums of their squares into
    `squares` `(n,)`, in 16 partial sums on any processor.
    """
    width = rows.shape[1]
    whole, sums = width - width % 16, np.empty(16)
    for one in range(len(rows)):
        row, into = rows[one], out[one]
        sums[:] = 0
        for start in range(0, whole, 16):
            for place in range(16):
                entry = np.float64(row[start + place])
                sums[place] += entry * entry
        for place in range(whole, width):
            entry = np.float64(row[place])
            sums[place - whole] += entry * entry
        half = 8
        while half:
            for place in range(half):
                sums[place] += sums[place + half]
            half //= 2
        squares[one] = sums[0]
        if sums[0] == 0:
            continue
        scale = 2.0**26 / np.sqrt(sums[0])
        for place in range(width):
            into[place] = np.rint(np.float64(row[place]) * scale) * 2.0**-26


@kernel
def _peak(row: np.ndarray, centre: np.ndarray) -> float:
    """The largest distance of an entry from the centre's."""
    peak = 0.0
    for place in range(row.size):
        peak = max(peak, abs(row[place] - centre[place]))
    return peak


@kernel
def digits(
    rows: np.ndarray,
    centre: np.ndarray,
    backwards: bool,
    found: np.ndarray,
    scales: np.ndarray,
    lengths: np.ndarray,
) -> None:
    """`near.Digits` of some rows, into `found`, `scales` and `lengths`."""
    width = rows.shape[1]
    for one in range(len(rows)):
        row, of_row = rows[one], found[one]
        # not so small that products of two vanish
        scale = np.float32(max(_peak(row, centre) / 126, 1e-15))
        first, second, third = of_row[:width], of_row[width : 2 * width], of_row[2 * width :]
        if backwards:
            first, third = third, first
        factor = 65536 / np.float64(scale)
        of_first, of_second, of_third = np.int32(0), np.int32(0), np.int32(0)
        for place in range(width):
            left = np.int32(np.rint((row[place] - centre[place]) * factor))
            third[place] = left
            least = np.int32(third[place])
            left = np.int32(left - least) >> np.int32(8)
            second[place] = left
            middle = np.int32(second[place])
            most = np.int32(np.int32(left - middle) >> np.int32(8))
            first[place] = most
            of_first = np.int32(of_first + most * most)
            of_second = np.int32(of_second + middle * middle)
            of_third = np.int32(of_third + least * least)
        scales[one] = scale
        lengths[one, 0] = np.sqrt(of_first) * scale
        lengths[one, 1] = np.sqrt(of_second) * scale / 256
        lengths[one, 2] = np.sqrt(of_third) * scale / 65536
        lengths[one, 3] = np.sqrt(width) / 2 * scale / 65536


@kernel
def put_together(
    sums: np.ndarray,
    scales: np.ndarray,
    of_rows: np.ndarray,
    scales_of_items: np.ndarray,
    of_items: np.ndarray,
    out: np.ndarray,
    start: int,
) -> None:
    """Products in float32 from sums of products of digits.

    Args:
        sums: `(D, r, g)`, of digits i and j with i + j from 0.
        scales, of_rows: `(r,)`.
        scales_of_items, of_items: `(g,)`.
        out: `(r, m)`, of which g columns from `start` are the result.
    """
    second, third = np.float32(2.0**-8), np.float32(2.0**-16)
    for one in range(sums.shape[1]):
        into = out[one, start : start + sums.shape[2]]
        scale, of_row = scales[one], of_rows[one]
        by_0, by_1 = sums[0, one], sums[1, one]
        if len(sums) == 2:
            for item in range(into.size):
                total = np.float32(by_0[item]) + np.float32(by_1[item]) * second
                into[item] = total * (scale * scales_of_items[item]) + (of_items[item] + of_row)
        else:
            by_2 = sums[2, one]
            for item in range(into.size):
                total = (
                    np.float32(by_0[item]) + np.float32(by_1[item]) * second + np.float32(by_2[item]) * third
                )
                into[item] = total * (scale * scales_of_items[item]) + (of_items[item] + of_row)
