"""Rows are shared among threads, each once, and there are no more of these than asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crossgap.metrics import threads


@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize("with_a_pool", [False, True])
def test_threads_go_through_every_row_once(count, with_a_pool, monkeypatch):
    monkeypatch.setattr(threads, "ITEMS_AT_ONCE", 30)
    found = np.zeros(count, int)

    def work(part: slice) -> None:
        found[part] += 1

    with ThreadPoolExecutor(3) as pool:
        threads.each(work, count, 10, pool if with_a_pool else None)
    assert (found == 1).all()


def test_threads_are_no_more_than_other_libraries_take(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8), raising=False)
    for asked, found in {"3": 3, " 2,4": 2, "": 8, "0": 8, "many": 8, "64": 8}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert threads.cores() == found
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.cores() == 8
