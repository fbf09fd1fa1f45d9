"""Tiles, devices and memory: none of them changes a rank."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap.arrays import checked_features
from crossgap.metrics import threads
from crossgap.metrics.retrieval import counting, ranking, retrieval_metrics
from crossgap.metrics.retrieval.bias import Bias
from crossgap.metrics.retrieval.counting import NumpyCounter
from crossgap.metrics.retrieval.torch_counting import TorchCounter, cuda_device
from tests.ways import WAYS, only

shapes = st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**32 - 1))


def tied(n: int, m: int, seed: int, classes: int = 3):
    """Queries and a gallery of few directions, some a little beside them: most similarities tie, some nearly."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((3, 7))
    draw = lambda k: directions[rng.integers(0, 3, k)] + rng.choice([0, 1e-9, 1e-5, 1], (k, 1))  # noqa: E731
    return draw(n), draw(m), rng.integers(0, classes, n), rng.integers(0, classes, m)


@contextmanager
def small_tiles(items: int = 5, rows: int = 3, pairs: int = 7):
    """Blocks of a few items, tiles of a few rows, chunks of a few judged pairs, groups and bins of a few items."""
    constants = {
        "ITEMS_IN_A_BLOCK": items, "ROWS_IN_A_TILE": rows, "PAIRS_IN_A_TILE": 1, "PAIRS_IN_A_CHUNK": pairs,
        "PAIRS_AT_ONCE": 14, "ROWS_AT_ONCE": 2,
    }  # fmt: skip
    with (
        mock.patch.multiple(ranking, **constants),
        mock.patch.object(threads, "ITEMS_AT_ONCE", 2 * items),
    ):
        yield


@contextmanager
def in_torch():
    """The counter for GPUs, on the CPU."""
    with mock.patch.object(ranking, "_counter", lambda *_: TorchCounter("cpu")):
        yield


def assert_identical(table: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, other, check_exact=True)


@settings(deadline=None, max_examples=100)
@given(shapes, st.integers(1, 6), st.integers(1, 4), st.integers(1, 60))
def test_tiles_change_no_bit(shape, items, rows, pairs):
    inputs = tied(*shape)
    with small_tiles(items, rows, pairs):
        table = retrieval_metrics(*inputs)
    assert_identical(table, retrieval_metrics(*inputs))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_tiles_change_no_bit_with_the_query_in_the_gallery(n, seed, items):
    features, _, labels, _ = tied(n, 1, seed)
    inputs = features, features, labels, labels, True
    with small_tiles(items):
        table = retrieval_metrics(*inputs)
    assert_identical(table, retrieval_metrics(*inputs))


@settings(deadline=None, max_examples=60)
@given(shapes, st.booleans())
def test_torch_changes_no_bit(shape, tiles):
    inputs = tied(*shape)
    with in_torch():
        if tiles:
            with small_tiles():
                table = retrieval_metrics(*inputs)
        else:
            table = retrieval_metrics(*inputs)
    assert_identical(table, retrieval_metrics(*inputs))


def test_torch_and_tiles_change_no_bit_on_larger_clouds():
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((500, 48)), rng.standard_normal((9000, 48))
    labels = rng.integers(0, 20, 500), rng.integers(0, 20, 9000)
    table = retrieval_metrics(queries, gallery, *labels)
    with in_torch():
        assert_identical(retrieval_metrics(queries, gallery, *labels), table)
    with mock.patch.multiple(ranking, ITEMS_IN_A_BLOCK=2000, PAIRS_IN_A_CHUNK=100_000, PAIRS_AT_ONCE=10_000):
        assert_identical(retrieval_metrics(queries, gallery, *labels), table)


@pytest.mark.parametrize("counter", ["numpy", "torch"])
@pytest.mark.parametrize("scale", [1, 2**12, 2**24, 2**30])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [300, 4000])  # 8 or 108 a row: compared one by one, or by bins
def test_counts_against_comparing_every_pair(counter, scale, way, given):
    rng = np.random.default_rng(scale)
    scores = rng.uniform(-1, 1, (37, 501)) * scale + rng.uniform(-1, 1) * (2**30 - scale)
    scores[rng.random(scores.shape) < 0.05] = -(2.0**30)
    scores[rng.random(scores.shape) < 0.05] = 2.0**30
    row = np.sort(rng.integers(0, 37, given))
    place = rng.integers(0, 501, given)
    step = np.rint(scores[row, place]).astype(np.int64)
    outside = rng.random(given) < 0.2
    place[outside] = rng.choice([-1, 501], outside.sum())
    order = np.lexsort([place, step, row])
    row, step, place = row[order], step[order], place[order]
    steps = np.rint(scores)[row]
    tie = (steps == step[:, None]) & (np.arange(501) < place[:, None])
    expected = ((steps < step[:, None]) | tie).sum(axis=1)
    with only(way), ThreadPoolExecutor(2) as pool:
        chosen = NumpyCounter(pool) if counter == "numpy" else TorchCounter("cpu")
        sides = chosen.put(scores), chosen.put(np.eye(501))
        np.testing.assert_array_equal(
            chosen.ahead(sides[0], slice(0, 37), sides[1], row, step, place), expected
        )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 600), st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**6, 2**12]),
    st.sampled_from(WAYS), st.booleans(),
)  # fmt: skip
def test_what_float32_cannot_tell_apart(width, m, seed, apart, way, is_biased):
    """Items that are twice there, or some steps of 2⁻³⁰ beside one another, or as far as float32 errs; with a bias."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal(width)
    center /= np.linalg.norm(center)
    gallery = center + rng.integers(-apart, apart + 1, (m, 1)) * 2.0**-30 * rng.standard_normal((m, width))
    gallery = gallery[rng.integers(0, m, m)]
    queries = center + rng.choice([0, 1e-7, 0.3], (4, 1)) * rng.standard_normal((4, width))
    labels = rng.integers(0, 2, 4), rng.integers(0, 2, m)
    bias = Bias(rng.random(4) < 0.7, rng.integers(-3, 4, m) * 2.0**-26) if is_biased else None
    with only(way), mock.patch.object(counting, "UNDECIDED", 1):
        table = retrieval_metrics(queries, gallery, *labels, bias=bias)
    with in_torch():
        assert_identical(table, retrieval_metrics(queries, gallery, *labels, bias=bias))


def test_checked_features_are_the_same_array():
    features = np.float32([[1, 2], [3, 4]])
    assert checked_features(features) is features


def test_bad_rows_are_named_by_their_place_in_the_whole():
    features = np.ones((5000, 3), dtype=np.float32)
    features[[7, 4321], 1] = np.nan
    with (
        mock.patch("crossgap.arrays.CHECKED_AT_ONCE", 100),
        pytest.raises(ValueError, match=r"gallery holds NaN or infinity in 2 of 5000 rows \(7, 4321\)"),
    ):
        retrieval_metrics(np.ones((1, 3)), features, ["a"], ["a"] * 5000)


def test_a_gpu_is_chosen_by_the_work_alone():
    with ThreadPoolExecutor(1) as pool:
        assert isinstance(ranking._counter("auto", 10**9, pool), NumpyCounter)
        with mock.patch("torch.cuda.is_available", return_value=False):
            assert isinstance(ranking._counter("auto", 10**13, pool), NumpyCounter)
        with (
            mock.patch("torch.cuda.is_available", return_value=True),
            mock.patch("torch.cuda.device_count", return_value=2),
        ):
            assert ranking._counter("auto", 10**13, pool).device.type == "cuda"
            assert cuda_device("cuda:1").index == 1
            with pytest.raises(ValueError, match="'cuda:2', but torch finds 2 GPUs"):
                cuda_device("cuda:2")


def test_memory_is_bounded_by_the_tiles(tmp_path):
    n, m, width = 1000, 10_000, 16
    rng = np.random.default_rng(0)
    gallery = np.lib.format.open_memmap(tmp_path / "gallery.npy", "w+", np.float32, (m, width))
    gallery[:] = rng.standard_normal((m, width))
    queries, labels = rng.standard_normal((n, width)), (np.arange(n) % 50, np.arange(m) % 50)
    whole = retrieval_metrics(queries, gallery, *labels)
    sizes = {
        "ITEMS_IN_A_BLOCK": 2048,
        "PAIRS_IN_A_TILE": 1,
        "PAIRS_IN_A_CHUNK": 10_000,
        "PAIRS_AT_ONCE": 2**15,
    }
    with mock.patch.multiple(ranking, **sizes), mock.patch.object(threads, "ITEMS_AT_ONCE", 2**12):
        tracemalloc.start()
        table = retrieval_metrics(queries, gallery, *labels)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert_identical(table, whole)
    assert peak < n * m / 2  # a similarity matrix in float32 holds eight times as much


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_small_work_does_not_import_torch(device):
    code = (
        "import sys, numpy, crossgap.metrics.retrieval as r;"
        f"r.retrieval_metrics(numpy.eye(3), numpy.eye(3), [1, 2, 1], [1, 2, 1], True, device={device!r});"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
