from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from crossgap.arrays import in_numpy, item_names, label_array, label_codes, places_of, unit_rows


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64),
        (">f4", np.float32), (np.int8, np.float64),
    ],
)  # fmt: skip
def test_rows_become_unit_length(given, expected):
    rows = unit_rows(np.array([[3, 4], [0, -2], [1, 1]], dtype=given))
    assert rows.dtype == expected
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, -1], [2**-0.5, 2**-0.5]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_lengths_neither_overflow_nor_vanish(scale):
    np.testing.assert_allclose(unit_rows(np.float32([[3 * scale, 4 * scale]])), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_are_taken_too(dtype):
    rows = unit_rows(torch.tensor([[3.0, 4.0]], dtype=dtype, requires_grad=True))
    assert rows.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    np.testing.assert_allclose(rows, [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (np.ones(3), ValueError, r"x has shape \(3,\)"),
        (np.ones((2, 3, 4)), ValueError, r"x has shape \(2, 3, 4\)"),
        (np.ones((0, 4)), ValueError, "x is empty"),
        (np.ones((4, 0)), ValueError, "x is empty"),
        ([["a", "b"]], TypeError, "not real numbers"),
        (np.ones((2, 2), complex), TypeError, "complex128"),
        ([[1.0], [1.0, 2.0]], ValueError, "x holds rows of unequal lengths: give a float array"),
        (
            [[1, 1], [0, np.nan], [1, np.inf], [-np.inf, 1]],
            ValueError,
            r"infinity in 3 of 4 rows \(1, 2, 3\)",
        ),
        (np.zeros((9, 2)), ValueError, r"zero vectors.* in 9 of 9 rows \(0, 1, 2, 3, 4 and 4 more\)"),
    ],
)
def test_unusable_features_are_named(features, error, message):
    with pytest.raises(error, match=message):
        unit_rows(features, "x")


def test_masks_are_not_lost():
    with pytest.raises(TypeError, match="a masked array"):
        unit_rows(np.ma.masked_array(np.ones((2, 2)), mask=[[0, 0], [0, 1]]))
    np.testing.assert_array_equal(unit_rows(np.ma.masked_array([[3.0, 4.0]])), [[0.6, 0.8]])


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float16, bool, str])
def test_labels_of_an_array_are_those_of_a_list(kind):
    """Of NumPy's own scalars, each would be compared with "" by way of an error, which takes longer than all else."""
    array = np.array([3, 0, 1, 3]).astype(kind)
    found = label_array(array, 4, "labels")
    assert found.dtype == object and found.tolist() == label_array(list(array), 4, "labels").tolist()
    assert not any(isinstance(value, np.generic) for value in found)


@pytest.mark.parametrize(
    "kind", [np.float16, np.float32, np.float64, torch.float16, torch.bfloat16, torch.float32]
)
def test_labels_are_as_exact_as_their_type(kind):
    digits = {2: 11, 4: 24, 8: 53}[
        torch.empty(0, dtype=kind).itemsize if isinstance(kind, torch.dtype) else kind(0).nbytes
    ]
    digits = 8 if kind is torch.bfloat16 else digits
    make = (
        partial(torch.tensor, dtype=kind) if isinstance(kind, torch.dtype) else partial(np.array, dtype=kind)
    )
    assert label_array(make([1.0, 2.0**digits - 1]), 2, "labels").tolist() == [1, 2**digits - 1]
    with pytest.raises(ValueError, match="can't be told from its neighbours"):
        label_array(make([1.0, 2.0**digits]), 2, "labels")


@pytest.mark.parametrize("labels", [{"a": 1, "b": 2}, {1, 2}, {"a": 1}.keys()])
def test_labels_have_an_order(labels):
    with pytest.raises(TypeError, match=r"labels is a .*: give one label an item, in the items' order"):
        label_array(labels, len(labels), "labels")


@pytest.mark.parametrize("number", [1, 1.0, np.int64(1)])
def test_a_number_and_the_same_as_a_string_never_match(number):
    sides = [label_array(side, 2, "x") for side in ([number, "x"], ["1", "x"])]
    with pytest.raises(ValueError, match=r"one and other hold .*1.* as a number and as a string"):
        label_codes(*sides, ("one", "other"))
    sides = [label_array(side, 2, "x") for side in ([1.5, "x"], ["2", "x"])]
    assert [codes.tolist() for codes in label_codes(*sides, ("one", "other"))] == [[0, 1], [2, 1]]


def test_dates_are_no_labels():
    with pytest.raises(TypeError, match="a label is a string or a number"):
        label_array(np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"), 2, "labels")


@pytest.mark.parametrize("labels", [[2.0**53, 1.0], np.array([2.0**53, np.nan]), [np.float32(-(2.0**60)), 1]])
def test_floats_that_may_be_other_numbers_are_no_labels(labels):
    with pytest.raises(
        ValueError, match=r"labels holds -?\d+ as a float, which can't be told from its neighbours"
    ):
        label_array(labels, 2, "labels")
    assert label_array([2.0**53 - 1, None], 2, "labels").tolist() == [2.0**53 - 1, None]
    assert label_array([2**60, 2**60 + 1], 2, "labels").tolist() == [2**60, 2**60 + 1]


def test_equal_labels_get_equal_codes():
    first = label_array(["a", "b", None, np.str_("c")], 4, "first")
    second = label_array(np.array(["c", "a", "", "d"]), 4, "second")
    codes = np.equal.outer(*label_codes(first, second, ("first", "second")))
    assert np.argwhere(codes).tolist() == [[0, 1], [3, 0]]


def test_importing_the_measures_loads_neither_torch_nor_numba_nor_scikit_learn():
    code = (
        "import sys, crossgap.metrics.retrieval, crossgap.metrics.gap, crossgap.metrics.classification;"
        "print({'numba', 'torch', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "lazy", [lambda rows: (-rows)._neg_view(), lambda rows: torch.complex(rows, -rows).conj().imag]
)
def test_rows_that_torch_negates_when_they_are_read(lazy):
    rows = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    assert lazy(rows).is_neg()
    np.testing.assert_array_equal(unit_rows(lazy(rows)), unit_rows(rows))


def test_floats_of_eight_bits_are_widened():
    rows = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_array_equal(unit_rows(rows.to(torch.float8_e4m3fn)), unit_rows(rows))


@pytest.mark.parametrize("word", ["cat", b"cat"])
def test_a_word_is_no_list_of_letters(word):
    with pytest.raises(TypeError, match=f"labels is {word!r}: give one label an item"):
        label_array(word, 3, "labels")


def test_names_of_items_are_the_same_however_they_are_held():
    for held in (
        np.arange(3),
        torch.arange(3),
        pd.Series(range(3), index=[7, 8, 9]),
        pd.Categorical(range(3)),
    ):
        assert item_names(held, 3) == ["0", "1", "2"]
    with pytest.raises(ValueError, match="ids lacks the id of items 1: give every item one"):
        item_names(["a", None], 2)
    with pytest.raises(TypeError, match="ids holds a bytes"):
        item_names([b"a"], 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1], r"own has shape \(2,\): give one place an item, `\(3,\)`"),
        ([0, 1, 5], "own holds 5: give places from 0 to 4"),
        ([0, -1, 2], "own holds -1: give places from 0 to 4"),
        ([0.0, 1.0, 2.0], "own holds float64: give places, whole numbers from 0"),
    ],
)
def test_places_that_are_none(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        places_of(given, "own", 3, 5)


def test_places_of_torch_and_lists():
    assert places_of([0, 4, -1], "own", 3, 5, least=-1).tolist() == [0, 4, -1]
    assert places_of(torch.tensor([0, 4]), "own", 2, 5).tolist() == [0, 4]
    assert places_of([], "own", 0, 5).dtype == np.int64


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_lists_of_torch_rows_are_taken_too(kind):
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=kind, requires_grad=True)
    np.testing.assert_array_equal(in_numpy(list(rows)), in_numpy(rows))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (torch.eye(2).to_sparse(), "Sparse layout"),
        (torch.zeros(2, 2, device="meta"), "meta tensor"),
        (np.ma.array(np.eye(2), mask=np.eye(2)), "masked array"),
    ],
    ids=["sparse", "meta", "masked"],
)
def test_arrays_that_numpy_cannot_hold_are_told_by_their_name(values, why):
    with pytest.raises(TypeError, match=rf"^texts: .*{why}"):
        unit_rows(values, "texts")
