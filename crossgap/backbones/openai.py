"""OpenAI's released checkpoints, TorchScript archives.

An archive is code and an object tree; the tensors are taken from the tree, and nothing in it is run.
"""

from __future__ import annotations

import math
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from crossgap.unpickling import Budget, Held, unpickled

# tensors of the archive that are plain numbers and belong to no layer
NUMBERS = ("input_resolution", "context_length", "vocab_size")
_CODE = 16 << 20  # bytes of a module's code that are looked at
_LARGER = 4  # the limit of what is read, in sizes of the file: small members are compressed
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
    """Whether an archive's code, read as text, computes GELU. OpenAI's own archives compute QuickGELU."""
    with zipfile.ZipFile(path) as archive:
        code = (name for name in archive.namelist() if "/code/" in name and name.endswith(".py"))
        return any(b"torch.gelu(" in _start(archive, name) for name in code)


def _start(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(_CODE)


def tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a TorchScript archive's modules, by its name in the module.

    Raises:
        UnpicklingError: its tree is damaged, or not of a model of OpenAI's, or claims more than the file holds.
    """
    with zipfile.ZipFile(path) as archive:
        (tree,) = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        tensors = _Tensors(archive, tree.removesuffix(".pkl"), Budget(_LARGER * path.stat().st_size))
        root = unpickled(tensors.member(tree), tensors.known, persistent=tensors.storage)
    return dict(_named(root, "", set()))


def _named(module: Held, prefix: str, met: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Name → tensor; a shared module is named after the first place where it lies, as in torch."""
    met.add(id(module))
    for name, part in vars(module).items():
        if isinstance(part, Tensor):
            yield prefix + name, part
        elif isinstance(part, Held) and id(part) not in met:
            yield from _named(part, f"{prefix}{name}.", met)


class _Tensors:
    """What the object tree of an archive may name: modules, and tensors over the archive's members.

    The members that are read are not much larger together than the file, and no tensor is larger than its storage.
    """

    def __init__(self, archive: zipfile.ZipFile, folder: str, budget: Budget) -> None:
        self.archive, self.folder, self.budget = archive, folder, budget
        self.storages: dict[str, Tensor] = {}

    def known(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return Held
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return _FUNCTIONS.get((module, name))

    def member(self, name: str) -> bytes:
        self.budget.take(self.archive.getinfo(name).file_size)
        return self.archive.read(name)

    def storage(self, reference: Any) -> Tensor:
        _, dtype, key, *_ = reference
        if key not in self.storages:
            content = bytearray(self.member(f"{self.folder}/{key}"))
            self.storages[key] = torch.frombuffer(content, dtype=dtype)
        return self.storages[key]


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    if math.prod(size) > len(storage):
        raise UnpicklingError(f"a tensor {size} of {len(storage)} numbers")
    return storage.as_strided(size, stride, offset)


def _untagged(value: Any, _type: str) -> Any:
    return value


_FUNCTIONS = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.jit._pickle", "restore_type_tag"): _untagged,
    ("collections", "OrderedDict"): lambda *pairs: OrderedDict(*pairs),
}
