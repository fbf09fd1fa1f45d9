"""Pickles are read, and nothing in them is executed."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossgap.datasets import DatasetError
from crossgap.datasets.pickles import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(),
        hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
        hnp.byte_string_dtypes(max_len=4),
        hnp.unicode_string_dtypes(max_len=4),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | ARRAYS
    | ARRAYS.map(lambda array: array.T) | ARRAYS.map(lambda array: array[::2] if array.ndim else array)
    | hnp.from_dtype(np.dtype("f4")) | hnp.from_dtype(np.dtype("i8")),
    lambda held: st.lists(held, max_size=4) | st.dictionaries(st.text(), held, max_size=4) | st.tuples(held, held),
    max_leaves=8,
)  # fmt: skip


def load(tmp_path: Path, content: bytes) -> Any:
    (tmp_path / "held.pkl").write_bytes(content)
    return read_pickle(tmp_path / "held.pkl", "batch")


def assert_same(found: Any, held: Any) -> None:
    if isinstance(held, np.ndarray):  # numpy brings bytes into the machine's order
        assert (found.dtype.newbyteorder("="), found.shape) == (held.dtype.newbyteorder("="), held.shape)
        np.testing.assert_array_equal(found, held)
    elif isinstance(held, (list, tuple)):
        assert type(found) is type(held) and len(found) == len(held)
        for pair in zip(found, held, strict=True):
            assert_same(*pair)
    elif isinstance(held, dict):
        assert list(found) == list(held)
        for key in held:
            assert_same(found[key], held[key])
    else:
        assert type(found) is type(held)
        assert found == held or (found != found and held != held)


@given(VALUES, st.sampled_from(PROTOCOLS))
def test_values_and_arrays_come_back_from_every_protocol(tmp_path_factory, held, protocol) -> None:
    assert_same(load(tmp_path_factory.mktemp("pickles"), pickle.dumps(held, protocol)), held)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_any_order_of_axes(tmp_path, protocol) -> None:
    cube = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    held = [cube, np.asfortranarray(cube), cube.transpose(1, 0, 2), cube[:, ::2], np.float32(0.1), cube]
    found = load(tmp_path, pickle.dumps(held, protocol))
    assert_same(found, held)
    assert found[0] is found[-1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_of_numpy_before_its_second_version(tmp_path, protocol) -> None:
    held = {"array": np.arange(6.0).reshape(2, 3), "scalar": np.int64(3)}
    content = pickle._dumps(held, protocol)
    old = content.replace(b"numpy._core", b"numpy.core")
    if protocol >= 4:  # the lengths of the names and of the frame
        for name in (b"multiarray", b"numeric"):
            new = b"numpy.core." + name
            old = old.replace(bytes([len(new) + 1]) + new, bytes([len(new)]) + new)
        lost = old.count(b"numpy.core.")
        frame = int.from_bytes(old[3:11], "little") - lost
        old = old[:3] + frame.to_bytes(8, "little") + old[11:]
    assert b"numpy.core." in old
    assert_same(load(tmp_path, old), held)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_pickles_of_python_2(tmp_path, python2, protocol) -> None:
    """CIFAR's, and ROxford's: keys, names and arrays' content are Python 2's `str`."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 200), dtype=np.uint8)
    held = {"data": pixels, "labels": [6, 9, 9], "filenames": ["à.png", "b" * 300], "batch_label": "1 of 5"}
    held |= {
        "bbx": np.asfortranarray(np.array([[1.5, 2], [3, 4]], ">f8")),
        "one": np.float64(0.25),
        "none": [],
    }
    content = python2(held, protocol)
    assert b"numpy.core.multiarray" in content
    assert pickle.loads(content, encoding="latin1").keys() == held.keys(), (
        "Python reads the test's own writing"
    )
    assert_same(load(tmp_path, content), held)
    handmade = b"(dp0\nS'labels'\np1\n(lp2\nI6\naI9\nas."
    assert load(tmp_path, handmade) == {"labels": [6, 9]}


class Calls:
    """Something whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


class Changes(Calls):
    """Something whose pickle calls a function, with what sets the state of what comes of it."""

    def __reduce__(self) -> tuple:
        return (*self.call, {"held": 1})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (lambda mark: Calls(os.system, f"touch {mark}"), "posix.system"),
        (lambda mark: Calls(eval, f"open({mark!r}, 'w')"), "eval"),
        (lambda mark: Calls(exec, f"open({mark!r}, 'w')"), "exec"),
        (lambda mark: Calls(getattr, "", "join"), "getattr"),
        (lambda mark: Calls(open, mark, "w"), "open"),
        (lambda mark: Calls(subprocess.call, ["touch", mark]), "(subprocess|commands).call"),
        (lambda mark: Calls(__import__, "os"), "__import__"),
        (lambda mark: Calls(np.save, mark, 1), "numpy.save"),
        (lambda mark: Changes(Path, mark), "pathlib"),
        (lambda mark: {"gnd": [(1, {"easy": Calls(os.system, f"touch {mark}")})]}, "posix.system"),
        (lambda mark: np.array([Calls(os.system, f"touch {mark}")], object), "object|posix.system"),
        (lambda mark: np.array([1, "text"], object), "object"),
        (lambda mark: np.zeros(2, [("a", "i4"), ("b", "f8")]), r"\|V12"),
        (lambda mark: np.zeros(2, "M8[s]"), "datetime64"),
    ],
)
def test_nothing_is_executed(tmp_path, evil, name, protocol) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(DatasetError, match=name) as error:
        load(tmp_path, pickle.dumps(evil(str(mark)), protocol))
    assert "held.pkl" in str(error.value) and "download" in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cposix\nsystem\n(S'touch mark'\ntR.",
        b"(S'touch mark'\niposix\nsystem\n.",  # INST
        b"(cposix\nsystem\nS'touch mark'\no.",  # OBJ
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0atouch mark\x85R.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__init__.x\x93.",  # a name with dots
        b"\x80\x02\x82\x01.",  # EXT1
    ],
)
def test_every_way_to_name_a_function(tmp_path, monkeypatch, content) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError):
        load(tmp_path, content)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"c_codecs\nencode\n(N}S'_call'\ncnumpy\ndtype\nstb0c_codecs\nencode\n(Vx\nVlatin1\ntR.",
        b"c_codecs\nencode\n}S'x'\nI1\nsb.",
        b"cnumpy\ndtype\n(N}S'held'\nI1\nstb.",
    ],
)
def test_what_stands_for_a_function_can_not_be_changed(tmp_path, content) -> None:
    with pytest.raises(DatasetError, match="changes a function"):
        load(tmp_path, content)
    assert_same(load(tmp_path, pickle.dumps(np.arange(3), 2)), np.arange(3))


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nndarray\n((I9\ntS'O'\ntR.",  # an array by itself
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\n(S'u1'\n(I9\nttNNI-1\nI-1\nI0\ntb.",  # a subarray
        b"cnumpy.core.multiarray\nscalar\n(S'u1'\nS'1'\ntR.",  # a dtype that is none
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1000\ntcnumpy\ndtype\n(S'u1'\ntRI0\nS'abc'\ntb.",
    ],
)
def test_arrays_that_are_put_together_wrongly(tmp_path, content) -> None:
    with pytest.raises(DatasetError, match="no whole pickle of plain values and arrays"):
        load(tmp_path, content)


def test_persistent_ids(tmp_path) -> None:
    with pytest.raises(DatasetError, match="persistent"):
        load(tmp_path, b"Pmark\n.")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_truncated_file(tmp_path, protocol) -> None:
    whole = pickle.dumps({"data": np.arange(100), "labels": list(range(10))}, protocol)
    for length in range(0, len(whole), 7):
        with pytest.raises(DatasetError, match=r"no whole pickle .* download it again"):
            load(tmp_path, whole[:length])


def test_a_file_that_is_none(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"batch .*absent\.pkl can't be read: No such file"):
        read_pickle(tmp_path / "absent.pkl", "batch")
    with pytest.raises(DatasetError, match="no whole pickle"):
        load(tmp_path, b"<html>404</html>")
