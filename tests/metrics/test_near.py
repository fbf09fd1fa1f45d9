"""Near products lie within their margins, by whatever way, and the way changes no result."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap import machine
from crossgap.metrics import near
from crossgap.metrics.exact import exact_rows
from crossgap.metrics.near import (
    InDigits,
    InFloats,
    Rows,
    error_of_products,
    margins_of_scores,
    near_products,
)
from tests.ways import DIGITS, only

needs_digits = pytest.mark.skipif(not DIGITS, reason="sums of bytes are not exact here")


def rows_of(kind: str, count: int, width: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((count, width))
    if kind == "cone":  # one entry much larger than the others, as CLIP's have
        rows[:, width // 2] += 3 * width**0.5
    elif kind == "positive":
        rows = 1 + rng.random((count, width)) / 4
    elif kind == "equal":
        rows[:] = rows[0]
    elif kind == "near":
        rows = rows[0] + 2.0**-28 * rows
    elif kind == "axes":
        rows = np.eye(width)[rng.integers(0, width, count)]
    rows = exact_rows(rows)
    if kind == "biased":
        rows = np.concatenate([rows, np.rint(rng.uniform(-1, 1, (count, 1)) * 2**26) / 2**26], axis=1)
    return rows


KINDS = ("plain", "cone", "positive", "equal", "near", "axes")


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.booleans())
def test_a_product_in_float32_keeps_within_its_bound(width, seed, is_positive):
    """The worst is near where all terms are of one sign and one size."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((2, 40, width)) if not is_positive else 1 + rng.random((2, 40, width)) / 4
    x, y = exact_rows(rows[0]), exact_rows(rows[1])
    last = rng.integers(0, 2, (40, 1)), rng.uniform(-1, 1, (40, 1)).round(6)
    x, y = np.concatenate([x, last[0]], axis=1), np.concatenate([y, np.rint(last[1] * 2**26) / 2**26], axis=1)
    sums = np.zeros((40, 40), np.float32)  # one after another, the order of the largest error
    for a, b in zip(x.T.astype(np.float32), y.T.astype(np.float32), strict=True):
        sums += np.multiply.outer(a, b)
    bounds = error_of_products(width + 1) * np.multiply.outer(Rows(x).lengths, Rows(y).lengths)
    for found in (sums, x.astype(np.float32) @ y.astype(np.float32).T):
        assert (np.abs(found - x @ y.T) <= bounds).all()


@needs_digits
@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([(kind, other) for kind in KINDS for other in KINDS] + [("biased", "biased")]),
    st.integers(1, 700),
    st.integers(1, 40),
    st.sampled_from([2, 3]),
    st.sampled_from([1.0, -(2.0**30), -(2.0**52)]),
    st.integers(0, 2**32 - 1),
)
def test_products_of_digits_keep_within_their_margins(kinds, width, count, digits, scale, seed):
    rng = np.random.default_rng(seed)
    x, y = rows_of(kinds[0], 30, width, rng) * scale, rows_of(kinds[1], count, width, rng)
    with mock.patch.multiple(near, ROWS_AT_ONCE=16, SUMS_AT_ONCE=256):
        found = InDigits(Rows(x), Rows(y), digits)
        tile = found.tile(slice(0, 30))
    assert tile.dtype == np.float32
    assert (np.abs(tile - x @ y.T) <= found.margins[:, None]).all()
    some = np.array([7, 3, 29])
    np.testing.assert_array_equal(found.tile(some), tile[some])


@needs_digits
@pytest.mark.parametrize("digits", [2, 3])
def test_margins_hold_the_roundings_of_float64(digits):
    """Rows that are all equal have no digits, and products near 0 hardly any rounding in float32."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = rng.standard_normal((2, 500))
        other -= (one @ other) / (one @ one) * one
        x, y = (np.repeat(exact_rows(row[None]), 5, axis=0) for row in (one, other))
        found = InDigits(Rows(x), Rows(y), digits)
        exact = np.array([[math.fsum(a * b) for b in y] for a in x])
        assert (np.abs(found.tile(slice(0, 5)) - exact) <= found.margins[:, None]).all()


@needs_digits
def test_margins_of_digits_are_far_below_those_of_floats():
    rng = np.random.default_rng(0)
    x, y = (Rows(rows_of("cone", 300, 512, rng)) for _ in range(2))
    found = [near_products.mean() for near_products in (
        InFloats(x, y).margins, InDigits(x, y, 2).margins, InDigits(x, y, 3).margins
    )]  # fmt: skip
    assert found[2] < found[0] / 10
    assert found[1] < 10 * found[0]


@pytest.mark.parametrize("way", ["float32", *DIGITS])
@pytest.mark.parametrize("largest", [0, 1e-3, 0.9])
def test_margins_of_scores_hold_what_is_added(way, largest):
    rng = np.random.default_rng(0)
    x, y = Rows(2.0**30 * rows_of("cone", 50, 300, rng)), Rows(rows_of("plain", 200, 300, rng))
    asked, held = 2.0**30 * rng.integers(0, 2, 50), largest * rng.uniform(-1, 1, 200)
    with only(way):
        found = near_products(x, y)
    scores = found.tile(slice(0, 50)) + np.multiply.outer(asked, held).astype(np.float32)
    exact = x.exact @ y.exact.T + np.multiply.outer(asked, held)
    assert (np.abs(scores - exact) <= margins_of_scores(found, x, y, asked, held)[:, None]).all()


@needs_digits
def test_digits_leave_the_threads_of_torch_as_they_were():
    rng = np.random.default_rng(0)
    x, y = (Rows(rows_of("plain", 40, 30, rng)) for _ in range(2))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with ThreadPoolExecutor(3) as pool, mock.patch.multiple(near, ROWS_AT_ONCE=8, SUMS_AT_ONCE=64):
            InDigits(x, y, 3, pool).tile(slice(0, 40))
        others = []
        thread = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert [torch.get_num_threads(), *others] == [2, 2]
    finally:
        torch.set_num_threads(before)


def test_the_way_is_chosen_by_machine_size_and_width():
    rng = np.random.default_rng(0)
    x, y, wide = (Rows(rng.standard_normal((3, width))) for width in (5, 5, 2**15 + 1))
    with mock.patch.object(near, "_digits_are_exact", lambda: True):
        assert isinstance(near_products(x, y), InFloats)
        with mock.patch.object(near, "WORK_FOR_DIGITS", 45):
            assert isinstance(near_products(x, y), InDigits)
            assert isinstance(near_products(wide, wide), InFloats)
    with only("float32"):
        assert isinstance(near_products(x, y), InFloats)


def test_torch_is_loaded_once_there_was_enough_work():
    rng = np.random.default_rng(0)
    x = Rows(rng.standard_normal((3, 5)))
    without = {name: module for name, module in sys.modules.items() if name != "torch"}
    constants = {"WORK_FOR_DIGITS": 45, "WORK_FOR_TORCH": 90, "_work": 0, "_digits_are_exact": lambda: True}
    with mock.patch.multiple(near, **constants), mock.patch.dict(sys.modules, without, clear=True):
        assert [type(near_products(x, x)) for _ in range(3)] == [InFloats, InDigits, InDigits]


def test_bytes_whose_sums_are_not_exact_are_not_used():
    off_by_one = lambda x, y: (x.long() @ y.long() + 1).int()  # noqa: E731
    with mock.patch.object(torch, "_int_mm", off_by_one):
        assert not near.sums_of_bytes_are_exact()
    with mock.patch.object(torch, "_int_mm", side_effect=RuntimeError):
        assert not near.sums_of_bytes_are_exact()
    with mock.patch.object(torch, "_int_mm", lambda x, y: (x.long() @ y.long()).int()):
        assert near.sums_of_bytes_are_exact()


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx512f amx_bf16 amx_int8", True), ("avx2 avx512_vnni", False)]
)
def test_tiles_of_bytes_are_a_flag_of_the_processor(flags, expected, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(f"flags\t\t: fpu {flags}\n", encoding="utf-8")
    with mock.patch.object(machine, "_CPUS", file):
        machine.multiplies_bytes_in_tiles.cache_clear()
        assert machine.multiplies_bytes_in_tiles() is expected
    machine.multiplies_bytes_in_tiles.cache_clear()
