"""Exact rows against long floats, fractions, other lengths, layouts and kinds of numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from crossgap.metrics.exact import GRID, exact_of, exact_rows


def test_inner_products_of_exact_rows_are_exact():
    x = exact_rows(np.random.default_rng(0).standard_normal((6, 300)))
    product = x @ x.T
    for i, j in [(0, 0), (0, 1), (2, 5)]:
        exact = sum(Fraction(a) * Fraction(b) for a, b in zip(x[i].tolist(), x[j].tolist(), strict=True))
        assert Fraction(product[i, j].item()) == exact


@pytest.mark.parametrize("width", [512, 8193, 9000])
def test_exact_rows_do_not_depend_on_the_rows_beside_them(width):
    features = np.random.default_rng(width).standard_normal((9, width))
    rows = [exact_rows(row[None]) for row in features]
    np.testing.assert_array_equal(np.concatenate(rows), exact_rows(features))


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 512, 9000])
def test_entries_are_the_nearest_on_the_grid(width):
    features = np.random.default_rng(width).standard_normal((30, width))
    rows = features.astype(np.longdouble)
    expected = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    assert np.abs(GRID * (exact_rows(features) - expected)).max() <= 0.5 + 1e-6
    np.testing.assert_array_equal(np.rint(GRID * exact_rows(features)) / GRID, exact_rows(features))


@pytest.mark.parametrize("exponent", [-1040, -600, -301, -40, 0, 40, 299, 600, 1019])
def test_a_row_of_any_length_is_the_same(exponent):
    features = np.random.default_rng(0).integers(-(2**30), 2**30, (5, 70)) / 2.0**30
    features[:, 0] = 1
    rows = exact_rows(features)
    if exponent < -1000:  # entries of a few bits
        features, rows = np.rint(features * 8) / 8, exact_rows(np.rint(features * 8) / 8)
    features[[1, 3]] = np.ldexp(features[[1, 3]], exponent)
    np.testing.assert_array_equal(exact_rows(features), rows)


def test_numbers_of_any_kind_and_layout_are_the_same_rows(tmp_path):
    features = np.random.default_rng(0).integers(-9, 9, (300, 600)).astype(np.int8)
    rows = exact_rows(features)
    for kind in ("<f2", "<f4", "<f8", ">f4", ">f8", ">i2", "f4"):
        np.testing.assert_array_equal(exact_rows(features.astype(kind)), rows)
    for kind in (torch.bfloat16, torch.float16, torch.float32):
        np.testing.assert_array_equal(exact_rows(torch.from_numpy(features).to(kind)), rows)
    np.save(tmp_path / "features.npy", features.astype(np.float32))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    for held in (mapped, np.asfortranarray(mapped), np.repeat(mapped, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(exact_rows(held), rows)


def test_rows_are_written_into_what_is_given():
    features = np.random.default_rng(0).standard_normal((5, 7))
    out = np.full((5, 9), 3.0)
    assert exact_of(features, out) is out
    np.testing.assert_array_equal(out[:, :7], exact_rows(features))
    assert (out[:, 7:] == 3).all()
