"""The threads that share the rows of a tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from crossgap import machine

ITEMS_AT_ONCE = 2**20  # of a thread


def cores() -> int:
    """Those that this process may use, 16 at most; no more than OMP_NUM_THREADS, which limits NumPy's products too."""
    allowed = machine.cores()
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        allowed = min(allowed, int(asked))
    return min(16, allowed)


def each(
    work: Callable[[slice], None], count: int, width: int, pool: ThreadPoolExecutor | None = None
) -> None:
    """Call `work` with slices of so many rows of a width, by the threads of a pool, or of one that is made here."""
    height = max(1, min(ITEMS_AT_ONCE // max(width, 1), -(-count // cores())))
    parts = [slice(start, min(start + height, count)) for start in range(0, count, height)]
    if len(parts) == 1:
        work(parts[0])
    elif pool is not None:
        list(pool.map(work, parts))
    else:
        with ThreadPoolExecutor(cores()) as made:
            list(made.map(work, parts))


def over_rows(
    kernel: Callable[..., Any],
    of_rows: Sequence[np.ndarray],
    shared: Sequence[Any],
    pool: ThreadPoolExecutor | None = None,
) -> None:
    """Call a kernel with the same rows of each of some arrays, the first a tile, and then with what all rows share."""
    count, width = of_rows[0].shape
    each(partial(_of_some, kernel, of_rows, shared), count, width, pool)


def _of_some(
    kernel: Callable[..., Any], of_rows: Sequence[np.ndarray], shared: Sequence[Any], part: slice
) -> None:
    kernel(*(array[part] for array in of_rows), *shared)
