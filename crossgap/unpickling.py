"""Pickles that a stranger may have written, read without executing anything that they name.

A pickle is a program: it may call whatever it can name, and change what it has called. Here a name stands for what the
reader of a format gives for it, and for nothing else:
- A function of the reader's own, sealed: the pickle may call it, and can't change it.
- `Held`, an object with attributes and without code, in the place of any class.
- A plain value, such as a dtype.
- `arrays` gives what numpy's arrays and scalars are put together from.

Memory is bounded by the file: sizes that a pickle claims are checked before they are allocated, and what its calls
make is counted by a `Budget`.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np

Names = dict[tuple[str, str], Any]
_KEEPS = ("PUT", "BINPUT", "LONG_BINPUT")  # a value, at a place up to which room is made for others
_PAIRS = ("GLOBAL", "INST")  # of lines
_COUNTED = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
_KINDS = "biufcSU"  # of dtypes: no objects, no records


def unpickled(
    content: bytes,
    known: Callable[[str, str], Any],
    *,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """What a pickle of any protocol holds; Python 2's `str` is read as Latin-1.

    Args:
        known: `(module, name)` → what stands for it, as said above; None for what isn't to be had.
        persistent: what a persistent id stands for; a pickle with one is refused, if not given.

    Raises:
        UnpicklingError: the pickle is damaged or cut short, or names or claims what it may not.
    """
    try:
        _check_claims(content)
        return _Unpickler(content, known, persistent).load()
    except (UnpicklingError, MemoryError):
        raise
    except Exception as error:  # damaged pickles bring almost any exception out of the unpickler
        raise UnpicklingError(f"{type(error).__name__}: {error}") from error


class Budget:
    """Bytes that the calls of a pickle may make together; what one has made is never given back."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def take(self, size: int) -> None:
        """Ask before allocating.

        Raises:
            UnpicklingError: there are not so many left, or the size is below 0.
        """
        if not 0 <= size <= self.left:
            raise UnpicklingError(
                f"it claims more than the {self.most} bytes that a file of its size may hold"
            )
        self.left -= size


class _Sealed(type):
    def __setattr__(cls, name: str, value: Any) -> None:
        raise UnpicklingError(f"it changes {cls.__name__}")


class Held(metaclass=_Sealed):
    """An object of any class: its attributes, and no code."""


class _Function:
    """A function that a pickle may call, and not change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]):
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _state: Any) -> None:
        raise UnpicklingError("it changes a function")


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        content: bytes,
        known: Callable[[str, str], Any],
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.known, self.persistent = known, persistent

    def find_class(self, module: str, name: str) -> Any:
        found = self.known(module, name)
        if found is None:
            raise UnpicklingError(f"it names {module}.{name}, which is not executed")
        if found is Held or not callable(found):
            return found
        return _Function(found)

    def persistent_load(self, reference: Any) -> Any:
        if self.persistent is None:
            raise UnpicklingError("it has a persistent id, which stands for nothing here")
        return self.persistent(reference)


def _check_claims(content: bytes) -> None:
    """UnpicklingError where a length, or the place that a value is kept at, is beyond what a file of its size holds."""
    at = 0
    while at < len(content):
        opcode = _OPCODES.get(content[at])
        if opcode is None:
            raise UnpicklingError(f"byte {at} is none that a pickle has there")
        start, size = at + 1, 0 if opcode.arg is None else opcode.arg.n
        if size in _COUNTED:  # the length stands before what is so long
            width = _COUNTED[size]
            size = width + int.from_bytes(content[start : start + width], "little")
        elif size == pickletools.UP_TO_NEWLINE:
            end = start
            for _ in range(2 if opcode.name in _PAIRS else 1):
                end = content.find(b"\n", end) + 1 or len(content) + 1
            size = end - start
        at = start + size
        if at > len(content):
            raise UnpicklingError(f"it is cut short after {len(content)} bytes")
        if opcode.name in _KEEPS:
            argument = content[start:at]
            place = int(argument) if opcode.name == "PUT" else int.from_bytes(argument, "little")
            if place > len(content):
                raise UnpicklingError(f"it keeps a value at place {place}, with {len(content)} bytes in all")
        if opcode.name == "STOP":
            return


def arrays(budget: Budget) -> Names:
    """What numpy's arrays and scalars of numbers and text are put together from, in pickles of either of its versions.

    Args:
        budget: what the arrays, and bytes as the protocols before the third write them, take their bytes of.
    """

    def reconstruct(*_arguments: Any) -> np.ndarray:
        made = np.ndarray.__new__(_Array, (0,), np.uint8)
        made.budget = budget
        return made

    def scalar(dtype: _Dtype, content: str | bytes) -> np.generic:
        return np.frombuffer(_bytes(content, budget), _held(dtype))[0]

    def from_buffer(
        content: bytes | bytearray,
        dtype: _Dtype,
        shape: tuple,
        order: Literal["C", "F"],
        axes: tuple | None = None,
    ) -> np.ndarray:
        flat = np.frombuffer(_bytes(content, budget), _held(dtype)).copy()
        return flat.reshape(shape, order=order) if axes is None else flat.reshape(shape).transpose(axes)

    def encode(text: str, encoding: str) -> bytes:
        """How the protocols before the third write bytes."""
        if encoding != "latin1":
            raise UnpicklingError(f"bytes as {encoding!r}")
        return _bytes(text, budget)

    return {
        ("_codecs", "encode"): encode,
        ("__builtin__", "bytes"): _no_bytes,
        ("numpy", "dtype"): lambda name, *_flags: _Dtype(name),
        ("numpy", "ndarray"): _never,  # named, as an argument, and not called
        **{
            (f"numpy.{core}.{module}", name): call
            for core in ("core", "_core")
            for module, name, call in (
                ("multiarray", "_reconstruct", reconstruct),
                ("multiarray", "scalar", scalar),
                ("numeric", "_frombuffer", from_buffer),
            )
        },
    }


class _Dtype:
    """A dtype in the making: pickles give its byte order after it."""

    __slots__ = ("held",)

    def __init__(self, name: str | bytes) -> None:
        self.held = np.dtype(name.decode() if isinstance(name, bytes) else str(name))
        if self.held.kind not in _KINDS:
            raise UnpicklingError(f"arrays of {self.held} are not read")

    def __setstate__(self, state: tuple) -> None:
        _version, order, subdtype, names, fields, *_ = state
        if not subdtype is names is fields is None:
            raise UnpicklingError("arrays of records are not read")
        self.held = self.held.newbyteorder(order)


class _Array(np.ndarray):
    """An array in the making: pickles give its content after it."""

    budget: Budget

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, columns_first, content = state
        held = 1, shape, _held(dtype), bool(columns_first), _bytes(content, self.budget)
        super().__setstate__(held)  # type: ignore[arg-type]  # numpy's own takes no bool of numpy's


def _held(dtype: _Dtype) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise UnpicklingError("an array without a dtype")
    return dtype.held


def _bytes(content: str | bytes | bytearray, budget: Budget) -> bytes:
    if not isinstance(content, (str, bytes, bytearray)):
        raise UnpicklingError(f"a {type(content).__name__} in the place of bytes")
    budget.take(2 * len(content))  # the bytes, and the array's own of them
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _no_bytes() -> bytes:
    """How the protocols before the third write empty ones."""
    return b""


def _never(*_arguments: Any) -> Any:
    raise UnpicklingError("it makes an array by itself")
