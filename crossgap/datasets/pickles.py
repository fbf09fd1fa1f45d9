"""Downloaded pickles, read without being executed: plain values and numpy's arrays, nothing else."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crossgap.datasets.declared import DatasetError

_KINDS = "biufcSU"  # of dtypes: no objects, no records


def read_pickle(file: Path, what: str) -> Any:
    """What a pickle of any protocol holds; Python 2's `str` is text, as Latin-1. `what` says so in messages.

    A pickle is a program that may call anything it can name. Here it can name what numpy's arrays and scalars are put
    together from, and these names stand for functions of ours, which it can't change.

    Raises:
        DatasetError: the file can't be read, is truncated or no pickle, or names anything else.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{what} {file} can't be read: {error.strerror}") from None
    try:
        return _Unpickler(file, content).load()
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # damaged pickles bring almost any exception out of the unpickler
        raise DatasetError(
            f"{what} {file}: no whole pickle of plain values and arrays ({error}): download or unpack it again"
        ) from None


def as_text(held: Any) -> Any:
    """What a pickle holds, with text for bytes in its dicts and lists: Python 3 keeps bytes that Python 2 called text.

    So have it sets that were read with `encoding="bytes"` and written again.
    """
    if isinstance(held, bytes):
        return held.decode("latin1")
    if isinstance(held, dict):
        return {as_text(key): as_text(value) for key, value in held.items()}
    return [as_text(value) for value in held] if isinstance(held, list) else held


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Path, content: bytes):
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.file = file

    def find_class(self, module: str, name: str) -> _Known:
        if (known := _KNOWN.get((module, name))) is None:
            raise DatasetError(
                f"{self.file} names {module}.{name}, which is not executed: download the file again from the "
                "dataset's own page"
            )
        return known


class _Known:
    """A function that a pickle may call, and not change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]):
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Dtype:
    """A dtype in the making: pickles give its byte order after it."""

    __slots__ = ("held",)

    def __init__(self, name: str | bytes, *_flags: Any):
        self.held = np.dtype(name.decode() if isinstance(name, bytes) else str(name))
        if self.held.kind not in _KINDS:
            raise pickle.UnpicklingError(f"arrays of {self.held} are not read")

    def __setstate__(self, state: tuple) -> None:
        _version, order, subdtype, names, fields, *_ = state
        if not subdtype is names is fields is None:
            raise pickle.UnpicklingError("arrays of records are not read")
        self.held = self.held.newbyteorder(order)


class _Array(np.ndarray):
    """An array in the making: pickles give its content after it."""

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, columns_first, content = state
        whole: Any = (
            1,
            shape,
            _held(dtype),
            bool(columns_first),
            _bytes(content),
        )  # numpy's types ask for its own bool
        super().__setstate__(whole)


def _held(dtype: _Dtype) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array without a dtype")
    return dtype.held


def _bytes(content: str | bytes | bytearray) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _reconstruct(*_arguments: Any) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _scalar(dtype: _Dtype, content: str | bytes) -> np.generic:
    return np.frombuffer(_bytes(content), _held(dtype))[0]


def _from_buffer(
    content: bytes | bytearray,
    dtype: _Dtype,
    shape: tuple,
    order: Literal["C", "F"],
    axes: tuple | None = None,
) -> np.ndarray:
    flat = np.frombuffer(_bytes(content), _held(dtype)).copy()
    return flat.reshape(shape, order=order) if axes is None else flat.reshape(shape).transpose(axes)


def _encode(text: str, encoding: str) -> bytes:
    """How protocols before the third write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes as {encoding!r}")
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """How they write empty ones."""
    return b""


def _never(*_arguments: Any) -> Any:
    raise pickle.UnpicklingError("it makes an array by itself")


_KNOWN = {
    ("_codecs", "encode"): _Known(_encode),
    ("__builtin__", "bytes"): _Known(_no_bytes),
    ("numpy", "dtype"): _Known(_Dtype),
    ("numpy", "ndarray"): _Known(_never),  # named, as an argument, and not called
    **{
        (f"numpy.{core}.{module}", name): _Known(call)
        for core in ("core", "_core")
        for module, name, call in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
