"""Write a feature store, as `store` describes it, in scratch, and move it to its place once it is whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from crossgap.prepared.composed import TABLES as OF_COMPOSED
from crossgap.prepared.composed import Composed
from crossgap.prepared.transformations import Transformations
from crossgap.stores import temporary
from crossgap.stores.chunks import shard
from crossgap.stores.layout import COMPOSED as COMPOSED
from crossgap.stores.layout import FORMAT, PROJECTION, TABLES, WHOLE
from crossgap.stores.zipped import Packer, size

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped

ROWS_A_CHUNK = 1024
# arrays of more than these are not compressed: features shrink by a tenth, and read slower
ROWS_A_SHARD = 8192
BYTES_A_CHUNK = 256 << 10  # of those: a row among them costs as much
BYTES_A_SHARD = 128 << 20  # arrays with wider rows than this allows have fewer of them in a chunk and a shard
_INNER_DIMENSIONS = {
    "features": ("feature",),
    "preprojection": ("width",),
    "tokens": ("token", "embedding"),
    "snapshots": ("step", "feature"),
    "snapshot_loss": ("step",),
    "snapshot_tokens": ("step", "token", "embedding"),
}


@dataclass(frozen=True)
class Writer:
    zarr_group: zarr.Group
    packer: Packer

    def add(
        self,
        name: str,
        columns: dict[str, Shaped[np.ndarray, " _"]],
        blocks: Iterable[dict[str, np.ndarray]] = (),
    ) -> None:
        """Write one group.

        Args:
            columns: name → `(item)`; `id` is one of them. `step` is `(step)`.
            blocks: arrays of consecutive items, as many a block as is convenient; written as they come, and not to
                change later.
        """
        group = self.zarr_group.create_group(name)
        rows = len(columns["id"])
        with ThreadPoolExecutor(1) as pool:  # strings take long to write: meanwhile come the blocks
            written = [
                pool.submit(_write_column, group, column, values, "step" if column == "step" else "item")
                for column, values in columns.items()
            ]
            self._stream(name, group, rows, blocks)
            for one in written:
                one.result()

    def _stream(
        self, name: str, group: zarr.Group, rows: int, blocks: Iterable[dict[str, np.ndarray]]
    ) -> None:
        streams: dict[str, _Stream] = {}
        for number, block in enumerate(blocks):
            if number and block.keys() != streams.keys():
                raise ValueError(f"{name}: a block has {sorted(block)}, those before it {sorted(streams)}")
            for key in () if number else sorted(block):
                streams[key] = _Stream(_create(group, key, rows, block[key]), self.packer)
            # in pieces that end where files do: these follow one another in the same order, however large a block is
            step = min((stream.rows_a_file for stream in streams.values()), default=1)
            within = next(iter(streams.values())).taken % step if streams else 0
            longest = max(map(len, block.values()), default=0)
            for start in range(-within, longest, step):
                for key, stream in streams.items():
                    stream.write(block[key][max(start, 0) : start + step])
        for key, stream in streams.items():
            if stream.flush() != rows:
                raise ValueError(f"{name}: {stream.done} rows of {key!r} for {rows} items")

    def add_projection(
        self,
        modality: str,
        weight: Float32[np.ndarray, "d width"],
        bias: Float32[np.ndarray, " d"] | None = None,
    ) -> None:
        """Write a tower's last linear map: `(d, width)`, and `(d,)` if it has a bias."""
        group = self.zarr_group.create_group(f"{PROJECTION}/{modality}")
        for name, values in {"weight": weight, "bias": bias}.items():
            if values is not None:
                dimensions = ("feature", "width")[: values.ndim]
                array = group.create_array(
                    name,
                    shape=values.shape,
                    dtype=values.dtype,
                    chunks=values.shape,
                    compressors=ZstdCodec(level=0, checksum=True),
                    dimension_names=dimensions,
                )
                array[:] = values

    def add_judgements(self, table: pd.DataFrame) -> None:
        """Write a validated table of `crossgap.prepared.judgements`."""
        self._add_table("judgements", table)

    def add_transformations(self, tables: Transformations) -> None:
        """Write validated tables of `crossgap.prepared.transformations`."""
        self._add_table("transformations", tables.table)
        self._add_table("answers", tables.answers)

    def add_composed(self, tables: Composed) -> None:
        """Write validated tables of `crossgap.prepared.composed`."""
        for name, held in zip(OF_COMPOSED, tables, strict=True):
            self._add_table(f"composed_{name}", held)

    def _add_table(self, name: str, table: pd.DataFrame) -> None:
        group = self.zarr_group.create_group(name)
        for column in TABLES[name]:
            _write_column(group, column, table[column].to_numpy(), name.removesuffix("s"))


class _Stream:
    """Rows on their way into an array, held back until they fill one of its files."""

    def __init__(self, array: zarr.Array, packer: Packer) -> None:
        self.array, self.packer, self.taken, self.done = array, packer, 0, 0
        self.waiting: list[np.ndarray] = []
        self.rows_a_file = (array.shards or array.chunks)[0]

    def write(self, values: Shaped[np.ndarray, "n ..."]) -> None:
        self.taken += len(values)
        while len(values):
            room = self.rows_a_file - sum(map(len, self.waiting))
            self.waiting.append(values[:room])
            values = values[room:]
            if sum(map(len, self.waiting)) == self.rows_a_file:
                self.flush()

    def flush(self) -> int:
        """Write what waits; the number of rows written so far, none beyond the array."""
        if self.waiting:
            rows = self.waiting[0] if len(self.waiting) == 1 else np.concatenate(self.waiting)
            self.waiting = []
            rest = self.array.shape[0] - self.done
            if rest > 0:
                self._put(rows[:rest])
            self.done += len(rows)
        return self.done

    def _put(self, rows: Shaped[np.ndarray, "n ..."]) -> None:
        if not _many(self.array):
            self.array[self.done : self.done + len(rows)] = rows
            return
        (rows_a_chunk, *_), inner = self.array.chunks, "/0" * (rows.ndim - 1)
        name = f"{self.array.path}/c/{self.done // self.rows_a_file}{inner}"
        rows = rows.astype(self.array.dtype, copy=False)
        self.packer.add(name, shard(rows, rows_a_chunk, self.rows_a_file // rows_a_chunk))


@contextmanager
def creating(path: str | Path, scratch: str | Path, provenance: dict[str, Any]) -> Iterator[Writer]:
    """Write a store in `scratch`, and move it to `path` in one step when the block ends without an error.

    Args:
        path: where the finished store will lie; what is there is replaced.
        scratch: a folder for the store in progress; the fastest if on the same file system.
        provenance: the attributes of the root, JSON-able.

    Raises:
        DiskFullError: there is no room for the store; what lay at `path` still does.
    """
    path, scratch = Path(path), Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    temporary.remove_leftovers(scratch)
    assembling = scratch / "assembling"
    with temporary.named(assembling) as building, temporary.named(assembling) as packed:
        with temporary.room_for(path, folder=scratch):
            packer = Packer(packed)
            try:
                root = zarr.open_group(building, mode="w", zarr_format=3)
                yield Writer(root, packer)
                root.attrs.update({**provenance, "format": FORMAT})
                with temporary.room_for(path, size(building), folder=scratch):
                    packer.add_folder(building)
                    packer.finish()
            finally:
                packer.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.move(packed, path)


def _write_column(group: zarr.Group, name: str, values: Shaped[np.ndarray, " n"], dimension: str) -> None:
    values = np.asarray(values)
    is_text = values.dtype.kind in "OUT"
    if is_text:
        # before NumPy 2 zarr writes no np.str_
        values = np.array([str.__str__(value) for value in values], dtype=object)
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if is_text else values.dtype,
        chunks=(max(len(values), 1),),
        dimension_names=(dimension,),
        config={"write_empty_chunks": name in WHOLE},
    )
    array[:] = values


def _create(group: zarr.Group, name: str, rows: int, like: np.ndarray) -> zarr.Array:
    return group.create_array(
        name,
        shape=(rows, *like.shape[1:]),
        dtype=like.dtype,
        dimension_names=("item", *_INNER_DIMENSIONS.get(name, ())),
        config={"write_empty_chunks": name in WHOLE},
        **_laid_out(name, (rows, *like.shape[1:]), like.dtype),
    )


def _laid_out(name: str, shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    rows, *inner = shape
    dimensions = _INNER_DIMENSIONS.get(name, ())
    bytes_a_row = dtype.itemsize * math.prod(inner)
    rows_a_shard = _power_of_two(BYTES_A_SHARD, bytes_a_row, ROWS_A_SHARD)
    small, many = rows <= min(ROWS_A_CHUNK, rows_a_shard), rows > ROWS_A_SHARD and "step" not in dimensions
    rows_a_chunk = (
        _power_of_two(BYTES_A_CHUNK, bytes_a_row, rows_a_shard) if many else min(ROWS_A_CHUNK, rows_a_shard)
    )
    # one step of all items is read together
    steps = [1 if dimension == "step" else size for dimension, size in zip(dimensions, inner, strict=True)]
    return {
        "chunks": (max(rows, 1) if small else rows_a_chunk, *steps),
        "shards": None if small else (rows_a_shard, *inner),
        "compressors": Crc32cCodec() if many else ZstdCodec(level=0, checksum=True),
    }


def is_laid_out_as_now(name: str, array: zarr.Array) -> bool:
    """Whether an array of a store lies as one of this name is written today, and so as the same bytes."""
    if name not in _INNER_DIMENSIONS or array.ndim != 1 + len(_INNER_DIMENSIONS[name]):
        return True
    now = _laid_out(name, array.shape, np.dtype(array.dtype))
    held = {"chunks": array.chunks, "shards": array.shards, "compressors": array.compressors}
    return held == now | {"compressors": (now["compressors"],)}


def _many(array: zarr.Array) -> bool:
    """Whether its chunks are not compressed."""
    return any(isinstance(codec, Crc32cCodec) for codec in array.compressors)


def _power_of_two(size: int, bytes_a_row: int, most: int) -> int:
    """The largest number of rows, `most` divided by a power of two, that has at most this size; or one."""
    while most > 1 and most * bytes_a_row > size:
        most //= 2
    return most
