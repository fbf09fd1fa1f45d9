"""What a pickle names is what its reader gives, sealed; what it claims is bounded by its size."""

from __future__ import annotations

import io
import pickle
import resource
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytest
import torch

from crossgap.unpickling import Budget, Held, arrays, unpickled


def load(content: bytes, most: int = 1 << 20, **known: Any) -> Any:
    names = {**arrays(Budget(most)), **{("m", name): value for name, value in known.items()}}
    return unpickled(content, lambda module, name: names.get((module, name)))


@contextmanager
def memory(more: int):
    """No more than so many bytes beside what is in use."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="utf-8") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # LONG_BINPUT: room for the places before it
        b"Np9999999999\n.",  # PUT
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",  # BYTEARRAY8
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",  # BINBYTES8
        b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little") + b"x.",  # BINUNICODE8
        b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b"N.",  # FRAME
        b"\x80\x02T\xff\xff\xff\x7fx.",  # BINSTRING
    ],
)
def test_what_is_claimed_is_not_allocated(content) -> None:
    with memory(256 << 20), pytest.raises(UnpicklingError):
        load(content)


def test_calls_make_no_more_than_their_budget() -> None:
    """One text of the file, made into bytes again and again."""
    once = b"c_codecs\nencode\np0\n(V" + b"x" * 1000 + b"\np1\nVlatin1\np2\ntR"
    again = b"g0\n(g1\ng2\ntR"
    assert load(once + b".") == b"x" * 1000
    with pytest.raises(UnpicklingError, match="claims more than the 100000 bytes"):
        load(once + again * 100 + b".", most=100_000)
    array = pickle.dumps(np.zeros(1000), 2)
    with pytest.raises(UnpicklingError, match="claims more than the 8000 bytes"):
        load(array, most=8000)
    assert load(array, most=40_000).shape == (1000,)


def test_a_budget_is_asked_for_sizes() -> None:
    budget = Budget(10)
    budget.take(4)
    budget.take(6)
    for size in (1, -1):
        with pytest.raises(UnpicklingError):
            budget.take(size)


def test_an_object_has_its_attributes_and_no_code() -> None:
    content = b"\x80\x02cm\nModel\n)\x81}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bK\x02ub."
    found = load(content, Model=Held)
    assert type(found) is Held and vars(found) == {"a": 1, "b": 2}
    with pytest.raises(UnpicklingError, match=r"names m\.Other, which is not executed"):
        load(content.replace(b"Model", b"Other"), Model=Held)


def make(*_arguments: Any) -> list:
    return []


@pytest.mark.parametrize("name", [b"Model", b"make"])
@pytest.mark.parametrize("state", [b"}S'x'\nI1\ns", b"(N}S'x'\nI1\nst", b"(N}S'__defaults__'\n(I1\ntst"])
def test_what_stands_for_a_name_can_not_be_changed(name, state) -> None:
    with pytest.raises(UnpicklingError):
        load(b"cm\n" + name + b"\n" + state + b"b.", Model=Held, make=make)
    assert not hasattr(Held, "x") and not vars(make) and make.__defaults__ is None


def test_a_function_is_called_and_a_value_is_given_as_it_is() -> None:
    assert load(b"cm\nmake\n(I1\ntR.", make=make) == []
    assert load(b"cm\ndtype\n.", dtype=torch.float16) is torch.float16


def test_the_outputs_of_other_pipelines_can_be_read_by_names_given() -> None:
    """Names of items beside features, as arrays, and as tensors by a function that loads them alone."""
    held = {
        "names": ["a.jpg", "b.jpg"],
        "features": np.eye(2, dtype=np.float32),
        "tokens": torch.arange(6.0).reshape(2, 3),
    }
    tensors = {
        ("torch.storage", "_load_from_bytes"): lambda content: torch.load(
            io.BytesIO(content), weights_only=True
        ),
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: torch.tensor(
            [], dtype=storage.dtype
        ).set_(storage._untyped_storage, offset, size, stride),
        ("collections", "OrderedDict"): lambda: {},
    }
    content = pickle.dumps(held, 2)
    names = arrays(Budget(8 * len(content))) | tensors
    found = unpickled(content, lambda module, name: names.get((module, name)))
    assert found["names"] == held["names"]
    np.testing.assert_array_equal(found["features"], held["features"])
    assert torch.equal(found["tokens"], held["tokens"])
    with pytest.raises(UnpicklingError, match=r"names torch\.\S+, which is not executed"):
        load(content)
