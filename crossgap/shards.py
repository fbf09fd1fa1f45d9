"""Run a function over shards of items, keeping every whole shard.

A shard is the unit of work, of resuming and of writing. Done shards lie in a folder named by the fingerprint of
the recipe that made them, and are found again item by item through keys that say what each item was computed
from. So an interrupted run goes on where it stopped, a grown dataset pays for its new items only, and a shard of
another recipe is never looked at. The folder can be deleted at any time: only work is lost.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from crossgap import fingerprint

Arrays = dict[str, np.ndarray]
Work = Callable[[list[list[int]], Callable[[int], None]], Iterator[Arrays]]


@dataclass
class Shards:
    """The done shards of one recipe.

    Attributes:
        folder: where they lie, `<scratch>/<fingerprint of the recipe>`.
    """

    folder: Path
    _where: dict[str, tuple[Path, int]] = field(default_factory=dict, repr=False)
    _open: tuple[Path, Arrays] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, scratch: str | Path, recipe: dict) -> Shards:
        """Open the folder of `recipe` (any JSON-able dict), throwing away what is not a whole shard."""
        shards = cls(Path(scratch) / fingerprint.of_json(recipe))
        shards.folder.mkdir(parents=True, exist_ok=True)
        (shards.folder / "recipe.json").write_text(json.dumps(recipe, indent=1, sort_keys=True))
        shards._scan()
        return shards

    def _scan(self) -> None:
        for data in sorted(self.folder.glob("*.safetensors")):
            keys = _whole(data)
            if keys is None:
                warnings.warn(
                    f"threw away {data}: not a whole shard; its items are computed again", stacklevel=4
                )
                data.unlink()
                data.with_suffix(".done").unlink(missing_ok=True)
                continue
            self._where.update((key, (data, row)) for row, key in enumerate(keys))
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink()

    def missing(self, keys: Sequence[str]) -> list[int]:
        """Positions of the first item of each key that no done shard holds."""
        first = {}
        for position, key in enumerate(keys):
            if key not in self._where:
                first.setdefault(key, position)
        return list(first.values())

    def put(self, keys: Sequence[str], arrays: Arrays) -> None:
        """Write one whole shard: the data, then its done marker, each moved into place in one step."""
        from safetensors.numpy import save

        for name, array in arrays.items():
            if len(array) != len(keys):
                raise ValueError(f"a shard of {len(keys)} items was given {len(array)} rows of {name!r}")
        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        data = self.folder / f"{fingerprint.of_bytes(*(key.encode() for key in keys))}.safetensors"
        marker = {"keys": list(keys), "content": fingerprint.of_bytes(content)}
        _write_whole(data, content)
        _write_whole(data.with_suffix(".done"), json.dumps(marker).encode())
        self._where.update((key, (data, row)) for row, key in enumerate(keys))

    def gather(self, keys: Sequence[str]) -> Arrays:
        """The arrays of the items with these keys, in this order."""
        found = [self._where[key] for key in keys]
        out: Arrays = {}
        for data in dict.fromkeys(path for path, _ in found):
            at = [position for position, (path, _) in enumerate(found) if path == data]
            rows = [found[position][1] for position in at]
            for name, array in self._read(data).items():
                if name not in out:
                    out[name] = np.empty((len(keys), *array.shape[1:]), array.dtype)
                out[name][at] = array[rows]
        return out

    def blocks(self, keys: Sequence[str], size: int) -> Iterator[Arrays]:
        """`gather` over consecutive blocks of `size` keys."""
        for start in range(0, len(keys), size):
            yield self.gather(keys[start : start + size])

    def _read(self, data: Path) -> Arrays:
        from safetensors.numpy import load_file

        if self._open is None or self._open[0] != data:
            self._open = (data, load_file(data))
        return self._open[1]


def compute(
    keys: Sequence[str], work: Work, scratch: str | Path, recipe: dict, *, size: int, label: str = "items"
) -> Shards:
    """Make sure that every key's item is computed, shard by shard.

    Args:
        keys: per item, a name of all that its result depends on beside the recipe; equal keys are computed once.
        work: given the shards still to do (lists of positions into `keys`) and a function to call with the number
            of items just finished, yields each shard's arrays in turn, one row an item.
        scratch: folder of shards in progress.
        recipe: all that every item's result depends on; no matter of scheduling.
        size: items a shard.
    """
    shards = Shards.of(scratch, recipe)
    todo = shards.missing(keys)
    held = len(set(keys)) - len(todo)
    cuts = [todo[start : start + size] for start in range(0, len(todo), size)]
    with tqdm(total=held + len(todo), initial=held, desc=label, unit="item", dynamic_ncols=True) as bar:
        for cut, arrays in zip(cuts, work(cuts, bar.update) if cuts else (), strict=True):
            shards.put([keys[position] for position in cut], arrays)
    return shards


def _whole(data: Path) -> list[str] | None:
    try:
        marker = json.loads(data.with_suffix(".done").read_text())
        whole = marker["content"] == fingerprint.of_bytes(data.read_bytes())
        return marker["keys"] if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
