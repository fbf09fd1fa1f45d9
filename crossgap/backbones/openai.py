"""OpenAI's released checkpoints, TorchScript archives.

An archive is code and an object tree; the tensors are taken from the tree, and nothing in it is run.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# numbers that the archive holds as tensors, which belong to no layer
NUMBERS = ("input_resolution", "context_length", "vocab_size")
_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def calls_gelu(path: Path) -> bool:
    """Whether the code of an archive, read as text, computes GELU: it is another's, OpenAI's computes QuickGELU."""
    with zipfile.ZipFile(path) as archive:
        code = (name for name in archive.namelist() if "/code/" in name and name.endswith(".py"))
        return any(b"torch.gelu(" in archive.read(name) for name in code)


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a TorchScript archive's modules, by its name in the module."""
    with zipfile.ZipFile(path) as archive:
        (tree,) = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        with archive.open(tree) as file:
            root = _Tree(file, archive, tree.removesuffix(".pkl")).load()
    return dict(_named(root, ""))


def _named(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, part in vars(module).items():
        if isinstance(part, Tensor):
            yield prefix + name, part
        elif isinstance(part, _Module):
            yield from _named(part, f"{prefix}{name}.")


class _Module:
    """A module of the archive: its attributes, no code."""


class _Tree(pickle.Unpickler):
    """Reads the object tree, with modules and tensors for all that it may name."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.jit._pickle", "restore_type_tag"): _untagged,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) in known:
            return known[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a model of OpenAI's")

    def persistent_load(self, reference: Any) -> Tensor:
        _, dtype, key, *_ = reference
        return torch.frombuffer(bytearray(self.archive.read(f"{self.folder}/{key}")), dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _untagged(value: Any, _type: str) -> Any:
    return value
