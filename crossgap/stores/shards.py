"""Run a function over shards of items, keeping every whole shard.

A shard is the unit of work, of resuming and of writing: one safetensors file, whose header holds its items' keys and
a digest of all it says, so that it can't be there in part. Done shards lie in a folder named by the fingerprint of
the recipe that made them, and are found again item by item through keys that say what each item was computed
from. So an interrupted run goes on where it stopped, a grown dataset pays for its new items only, and a shard of
another recipe is never looked at. A file is written once, by one process, under a name of its own: processes that
share a folder only ever see each other's whole shards. The folder can be deleted between runs: only work is lost.
"""

from __future__ import annotations

import json
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap import fingerprint
from crossgap.errors import opened
from crossgap.progress import Bar
from crossgap.stores import temporary

if TYPE_CHECKING:
    from jaxtyping import Int64

Arrays = dict[str, np.ndarray]
Work = Callable[[list[list[int]], Callable[[int], None]], Iterator[Arrays]]

_FAR = 64  # rows of a shard that lie further apart are read one by one


@dataclass
class Shards:
    """The done shards of one recipe: knows which shard holds each item, and keeps no item in memory.

    Attributes:
        folder: where they lie, `<scratch>/<fingerprint of the recipe>`.
    """

    folder: Path
    _files: list[Path] = field(default_factory=list, repr=False)
    _starts: list[int] = field(default_factory=lambda: [0], repr=False)
    _where: dict[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, scratch: str | Path, recipe: dict) -> Shards:
        """Open the folder of `recipe` (any JSON-able dict), throwing away what is not a whole shard.

        Raises:
            OSError: a shard can't be read, which says nothing of what it holds: all of them stay.
        """
        shards = cls(Path(scratch) / fingerprint.of_json(recipe))
        shards.folder.mkdir(parents=True, exist_ok=True)
        temporary.remove_leftovers(shards.folder)
        temporary.write(shards.folder / "recipe.json", json.dumps(recipe, indent=1, sort_keys=True).encode())
        # not glob, which finds nothing in a folder that can't be read
        for path in sorted(path for path in shards.folder.iterdir() if path.suffix == ".safetensors"):
            keys = keys_of_whole(path)
            if keys is not None:
                shards._add(path, keys)
            elif path.exists():
                path.unlink(missing_ok=True)
                warnings.warn(
                    f"threw away {path}: cut short or damaged; its items are computed again", stacklevel=3
                )
        return shards

    def _add(self, path: Path, keys: Sequence[str]) -> None:
        start = self._starts[-1]
        self._files.append(path)
        self._starts.append(start + len(keys))
        self._where.update((key, start + row) for row, key in enumerate(keys))

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Positions of the first item of each key that no done shard holds."""
        first: dict[str, int] = {}
        for position, key in enumerate(keys):
            if key not in self._where:
                first.setdefault(key, position)
        return list(first.values())

    def put(self, keys: Sequence[str], arrays: Arrays) -> None:
        """Write one whole shard.

        Raises:
            DiskFullError: there is no room for it.
        """
        from safetensors.numpy import save

        for name, array in arrays.items():
            if len(array) != len(keys):
                raise ValueError(f"a shard of {len(keys)} items was given {len(array)} rows of {name!r}")
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        keys = list(keys)
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        temporary.write(path, save(arrays, {"keys": json.dumps(keys), "content": _digest(keys, arrays)}))
        self._add(path, keys)

    def gather(self, keys: Sequence[str], only: Sequence[str] | None = None) -> Arrays:
        """The arrays of the items with these keys, in this order; those named by `only`, if given.

        Every shard is opened once, and no more is read than the rows asked for and what little lies between them.
        """
        numbers = np.fromiter((self._where[key] for key in keys), np.int64, len(keys))
        order = np.argsort(numbers, kind="stable")
        files = np.searchsorted(self._starts, numbers[order], side="right") - 1
        held, first = np.unique(files, return_index=True)
        out: Arrays = {}
        for file, at in zip(held, np.split(order, first[1:]), strict=False):
            found = _read(self._files[file], numbers[at] - self._starts[file], only)
            if out and out.keys() != found.keys():
                raise ValueError(f"{self._files[file]} holds {sorted(found)}, other shards {sorted(out)}")
            for name, array in found.items():
                if name not in out:
                    out[name] = np.empty((len(keys), *array.shape[1:]), array.dtype)
                out[name][at] = array
        return out

    def blocks(
        self, keys: Sequence[str], size: int = 1024, only: Sequence[str] | None = None
    ) -> Iterator[Arrays]:
        """`gather` over consecutive blocks of `size` keys."""
        for start in range(0, len(keys), size):
            yield self.gather(keys[start : start + size], only)


def compute(
    keys: Sequence[str], work: Work, scratch: str | Path, recipe: dict, *, size: int, label: str = "items"
) -> Shards:
    """Make sure that every key's item is computed, shard by shard.

    Args:
        keys: for each item, a text of all that its result depends on beside the recipe; equal keys are computed once.
        work: given the shards still to do (lists of positions into `keys`) and a function to call with the number
            of items just finished, yields each shard's arrays in turn, one row an item.
        scratch: folder of shards in progress.
        recipe: all that every item's result depends on; no matter of scheduling.
        size: items a shard.

    Raises:
        DiskFullError: there is no room for a shard; the ones before it are kept.
    """
    shards = Shards.of(scratch, recipe)
    todo = shards.missing(keys)
    held = len(set(keys)) - len(todo)
    cuts = [todo[start : start + size] for start in range(0, len(todo), size)]
    with Bar(total=held + len(todo), initial=held, desc=label, unit="item", dynamic_ncols=True) as bar:
        if held and bar.disable:  # without a terminal
            print(f"{label}: {held} of {held + len(todo)} items are there", file=sys.stderr, flush=True)
        for cut, arrays in zip(cuts, work(cuts, bar.update) if cuts else (), strict=True):
            shards.put([keys[position] for position in cut], arrays)
    return shards


def keys_of_whole(path: Path) -> list[str] | None:
    """The keys of a shard; None where the file is not a whole shard.

    Raises:
        OSError: it can't be read, which says nothing of what it holds.
    """
    from safetensors import SafetensorError

    try:
        with _open(path) as file:
            said = file.metadata()
            keys, content = json.loads(said["keys"]), said["content"]
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except FileNotFoundError:
        return None  # another process threw it away
    except (ValueError, KeyError, TypeError, SafetensorError):  # of safetensors, of JSON, or no metadata
        return None
    return keys if content == _digest(keys, arrays) else None


def _digest(keys: list[str], arrays: Arrays) -> str:
    parts = [json.dumps(keys).encode()]
    for name in sorted(arrays):
        parts += [f"{name} {arrays[name].dtype} {arrays[name].shape}".encode(), arrays[name].tobytes()]
    return fingerprint.of_bytes(*parts)


def _open(path: Path) -> Any:
    from safetensors import safe_open

    with opened(path):
        return safe_open(path, "np")


def _read(path: Path, rows: Int64[np.ndarray, " n"], only: Sequence[str] | None) -> Arrays:
    """The rows, ascending, of a shard's arrays."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > _FAR) + 1)
    with _open(path) as file:
        slices = {name: file.get_slice(name) for name in sorted(only or file.keys())}
        return {
            name: np.concatenate([part[int(run[0]) : int(run[-1]) + 1][run - run[0]] for run in runs])
            for name, part in slices.items()
        }
