"""Work on blocks of rows, shared by threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

ENTRIES_AT_ONCE = 2**17  # of a thread, so that they stay in its cache


def cores() -> int:
    """Those that this process may use, 16 at most."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, allowed)


def shared(work: Callable[[slice], None], rows: int, width: int) -> None:
    """Call `work` with slices of so many rows, `ENTRIES_AT_ONCE` of `width` columns, until all are done.

    It writes what it finds, of each row by itself, so that neither the slices nor the threads change a result.
    """
    step = max(1, ENTRIES_AT_ONCE // max(width, 1))
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
    threads = min(cores(), len(parts))
    if threads < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
