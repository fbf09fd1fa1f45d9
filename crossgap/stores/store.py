"""The feature store: what was encoded, of which items, by exactly what.

A store is a zarr v3 hierarchy in one zip file, so that DVC hashes, pushes and pulls one file and not hundreds; equal
stores have equal bytes. Each group `<modality>/<split>` (`image/test`, `text/classes`, …) holds

- `features (item, feature)`: the tower's output, float32, not normalised;
- `preprojection (item, width)`: what the tower's projection is applied to, where that can be told apart;
- `tokens (item, token, embedding)` and `loss (item)`: in an inversion store, what was learned and its final loss;
- `snapshots (item, step, feature)`, `snapshot_loss (item, step)`, `snapshot_tokens (item, step, token, embedding)`: in
  an inversion store that kept them, the features, losses and tokens at the steps named by `step (step)`;
- `id`, `group`, `rank`, `box`, `label.<labelling>`, `truncated` `(item)`: the manifest's columns.

Beside the groups, `judgements` holds the columns of `crossgap.prepared.judgements` `(judgement)`, where there are any,
and `transformations` and `answers` those of `crossgap.prepared.transformations` `(transformation)` and `(answer)`;
`projection/<modality>` the `weight (feature, width)` of a tower's projection, where that can be told apart, with its
`bias (feature)` if it has one.

The root's attributes are the provenance. Arrays carry dimension names, so xarray reads a group:
`xarray.open_zarr(zarr.storage.ZipStore(path, mode="r"), group="image/test", consolidated=False)`.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from zarr.codecs import ZstdCodec

from crossgap.errors import CrossgapError, of_machine
from crossgap.prepared import transformations
from crossgap.prepared.transformations import Transformations
from crossgap.stores import temporary
from crossgap.stores.zipped import ZipReader, pack, size

FORMAT = "crossgap-features/1"
TABLES = {  # beside the groups: their columns
    "judgements": ("setting", "query", "item", "grade"),
    "transformations": transformations.COLUMNS,
    "answers": transformations.ANSWERS,
}
MODALITIES = ("image", "text")
PROJECTION = "projection"
ROWS_A_CHUNK = 1024
ROWS_A_SHARD = 8192
BYTES_A_SHARD = 128 << 20  # arrays with wider rows than this allows have fewer of them in a chunk and a shard
_INNER_DIMENSIONS = {
    "features": ("feature",),
    "preprojection": ("width",),
    "tokens": ("token", "embedding"),
    "snapshots": ("step", "feature"),
    "snapshot_loss": ("step",),
    "snapshot_tokens": ("step", "token", "embedding"),
}
_DAMAGE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile)


class StoreError(CrossgapError):
    """A path holds no whole feature store, or not the group asked for."""


@dataclass(frozen=True)
class Group:
    """The items of one modality and split; arrays are read when first asked for."""

    name: str
    zarr_group: zarr.Group

    def __len__(self) -> int:
        return self._array("id").shape[0]

    @property
    def width(self) -> int:
        """Of the features, which are not read."""
        return self._array("features").shape[1]

    def __contains__(self, array: str) -> bool:
        return array in self.zarr_group

    def __getitem__(self, array: str) -> np.ndarray:
        with self._reading(array) as values:
            return _as_objects(np.asarray(values[:]))

    def rows(self, array: str, positions: np.ndarray) -> np.ndarray:
        """The rows of an array at these positions `(n)`, in any order, reading only the chunks that hold them.

        Raises:
            StoreError: no such array, or a damaged one.
            IndexError: a position beyond the items.
        """
        positions = np.asarray(positions, np.int64)
        unique, back = np.unique(positions, return_inverse=True)
        if len(unique) and not 0 <= unique[0] <= unique[-1] < len(self):
            raise IndexError(f"{self.name} has {len(self)} items, none at {unique[0]} or {unique[-1]}")
        with self._reading(array) as values:
            # consecutive rows as a slice: an index array costs zarr a lookup a row
            dense = len(unique) and unique[-1] - unique[0] < 2 * len(unique)
            if dense:
                return _as_objects(np.asarray(values[unique[0] : unique[-1] + 1])[positions - unique[0]])
            return _as_objects(np.asarray(values.oindex[unique])[back])

    @contextmanager
    def _reading(self, array: str) -> Iterator[zarr.Array]:
        held = self._array(array)
        try:
            yield held
        except _DAMAGE as error:
            if of_machine(error):
                raise
            raise StoreError(
                f"{self.name} of {self.zarr_group.store}: {array!r} is damaged: {error}"
            ) from error

    def _array(self, name: str) -> zarr.Array:
        if name not in self._arrays:
            found = self.zarr_group.get(name)
            if not isinstance(found, zarr.Array):
                held = ", ".join(sorted(self.zarr_group.array_keys()))
                raise StoreError(f"{self.name} of {self.zarr_group.store} has no {name!r}; it holds {held}")
            self._arrays[name] = found
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array]:
        return {}

    @cached_property
    def features(self) -> np.ndarray:
        """`(item, feature)` float32, not normalised."""
        return self["features"]

    @cached_property
    def preprojection(self) -> np.ndarray:
        """`(item, width)` float32; StoreError where the backbone's projection can't be told apart."""
        return self["preprojection"]

    @cached_property
    def tokens(self) -> np.ndarray:
        """`(item, token, embedding)` float32, in an inversion store."""
        return self["tokens"]

    @cached_property
    def losses(self) -> np.ndarray:
        """`(item)` final 1 − cosine, in an inversion store."""
        return self["loss"]

    @cached_property
    def steps(self) -> np.ndarray:
        """`(step)` int64, ascending: the steps that snapshots were kept of, in an inversion store that has them."""
        return self["step"]

    @cached_property
    def snapshots(self) -> np.ndarray:
        """`(item, step, feature)` float32, the features at each of `steps`."""
        return self["snapshots"]

    def snapshot(self, number: int) -> np.ndarray:
        """`(item, feature)` of one of `steps`, by its place; the others are not held."""
        with self._reading("snapshots") as values:
            return np.asarray(values[:, number])

    @cached_property
    def snapshot_losses(self) -> np.ndarray:
        """`(item, step)` float32, 1 − cosine at each of `steps`."""
        return self["snapshot_loss"]

    @cached_property
    def ids(self) -> np.ndarray:
        """`(item)` of str."""
        return self["id"]

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """Per labelling, `(item)` of str; an empty string where an item has no label."""
        names = sorted(name for name in self.zarr_group.array_keys() if name.startswith("label."))
        return {name.removeprefix("label."): self[name] for name in names}


@dataclass(frozen=True)
class Store:
    """A whole feature store, open for reading."""

    path: Path
    zarr_group: zarr.Group

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the features: model, weights' hash, preprocessing, precision, library versions, …"""
        return self.zarr_group.attrs.asdict()

    @cached_property
    def groups(self) -> list[str]:
        """Names of the groups, `<modality>/<split>`."""
        return sorted(
            f"{modality}/{split}"
            for modality, group in self.zarr_group.groups()
            if modality in MODALITIES
            for split in group.group_keys()
        )

    @cached_property
    def projections(self) -> dict[str, np.ndarray]:
        """By modality, W `(d, width)` float32: features are preprojection @ W.T, plus the bias if there is one."""
        return self._of_projections("weight")

    @cached_property
    def biases(self) -> dict[str, np.ndarray]:
        """By modality, `(d,)` float32 of those `projections` that have a bias."""
        return self._of_projections("bias")

    def _of_projections(self, array: str) -> dict[str, np.ndarray]:
        projections = self.zarr_group.get(PROJECTION)
        if not isinstance(projections, zarr.Group):
            return {}
        held = {name: Group(f"{PROJECTION}/{name}", group) for name, group in projections.groups()}
        return {name: group[array] for name, group in sorted(held.items()) if array in group}

    @cached_property
    def judgements(self) -> pd.DataFrame | None:
        """Explicit judgements, the table of `crossgap.prepared.judgements`; None where the store has none."""
        return self._table("judgements")

    @cached_property
    def transformations(self) -> Transformations | None:
        """Transformations asked of the images by text, and their answers; None where the store has none."""
        held = self._table("transformations"), self._table("answers")
        return None if held[0] is None else Transformations(*held)

    def _table(self, name: str) -> pd.DataFrame | None:
        group = self.zarr_group.get(name)
        if not isinstance(group, zarr.Group):
            return None
        return pd.DataFrame({column: Group(name, group)[column] for column in TABLES[name]})

    def __contains__(self, name: str) -> bool:
        return name in self.groups

    def __getitem__(self, name: str) -> Group:
        if name not in self.groups:
            raise StoreError(
                f"{self.path} has no group {name!r}; it holds {', '.join(self.groups) or 'none'}"
            )
        if name not in self._opened:
            self._opened[name] = Group(name, self.zarr_group.require_group(name))
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, Group]:
        return {}


def open_store(path: str | Path) -> Store:
    """Open a finished feature store.

    Raises:
        StoreError: if `path` holds none, or one that was never finished.
        OSError: it can't be read, which says nothing of what it holds.
    """
    path = Path(path)
    try:
        group = zarr.open_group(ZipReader(path), mode="r", zarr_format=3)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if of_machine(error):
            raise
        raise StoreError(f"{path} holds no feature store: {error}") from None
    if group.attrs.get("format") != FORMAT:
        raise StoreError(f"{path} is no finished {FORMAT} store (format: {group.attrs.get('format')!r})")
    return Store(path, group)


@dataclass(frozen=True)
class Writer:
    zarr_group: zarr.Group

    def add(
        self,
        name: str,
        columns: dict[str, np.ndarray],
        blocks: Iterable[dict[str, np.ndarray]] = (),
    ) -> None:
        """Write one group.

        Args:
            columns: `(item)` each, among them `id`; and coordinates of other dimensions, `step (step)`.
            blocks: arrays of consecutive items, as many a block as is convenient; written as they come.
        """
        group = self.zarr_group.create_group(name)
        rows = len(columns["id"])
        for column, values in columns.items():
            _write_column(group, column, values, "step" if column == "step" else "item")
        streams: dict[str, _Stream] = {}
        for number, block in enumerate(blocks):
            if number and block.keys() != streams.keys():
                raise ValueError(f"{name}: a block has {sorted(block)}, those before it {sorted(streams)}")
            for key, values in block.items():
                if key not in streams:
                    streams[key] = _Stream(_create(group, key, rows, values))
                streams[key].write(values)
        for key, stream in streams.items():
            if stream.flush() != rows:
                raise ValueError(f"{name}: {stream.done} rows of {key!r} for {rows} items")

    def add_projection(self, modality: str, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
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

    def _add_table(self, name: str, table: pd.DataFrame) -> None:
        group = self.zarr_group.create_group(name)
        for column in TABLES[name]:
            _write_column(group, column, table[column].to_numpy(), name.removesuffix("s"))


class _Stream:
    """Rows on their way into an array, held back until they fill one of its files."""

    def __init__(self, array: zarr.Array) -> None:
        self.array, self.done = array, 0
        self.waiting: list[np.ndarray] = []
        self.rows_a_file = (array.shards or array.chunks)[0]

    def write(self, values: np.ndarray) -> None:
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
                self.array[self.done : self.done + len(rows)] = rows[:rest]
            self.done += len(rows)
        return self.done


@contextmanager
def creating(path: str | Path, scratch: str | Path, provenance: dict[str, Any]) -> Iterator[Writer]:
    """Write a store beside and move it to `path` in one step when the block ends without an error.

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
            root = zarr.open_group(building, mode="w", zarr_format=3)
            yield Writer(root)
            root.attrs.update({**provenance, "format": FORMAT})
        with temporary.room_for(path, size(building), folder=scratch):
            pack(building, packed)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.move(packed, path)


def _as_objects(values: np.ndarray) -> np.ndarray:
    """Strings as objects, everything else as it is."""
    return values.astype(object) if values.dtype.kind == "T" else values


def _write_column(group: zarr.Group, name: str, values: np.ndarray, dimension: str) -> None:
    values = np.asarray(values)
    kind = str if values.dtype.kind in "OUT" else values.dtype
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=kind,
        chunks=(max(len(values), 1),),
        dimension_names=(dimension,),
    )
    array[:] = values


def _create(group: zarr.Group, name: str, rows: int, like: np.ndarray) -> zarr.Array:
    inner = like.shape[1:]
    dimensions = _INNER_DIMENSIONS.get(name, ())
    rows_a_shard = ROWS_A_SHARD
    while rows_a_shard > 1 and rows_a_shard * like.dtype.itemsize * math.prod(inner) > BYTES_A_SHARD:
        rows_a_shard //= 2
    rows_a_chunk = min(ROWS_A_CHUNK, rows_a_shard)
    small = rows <= rows_a_chunk
    # one step of all items is what is read together
    steps = [1 if dimension == "step" else size for dimension, size in zip(dimensions, inner, strict=True)]
    return group.create_array(
        name,
        shape=(rows, *inner),
        dtype=like.dtype,
        chunks=(rows if small else rows_a_chunk, *steps),
        shards=None if small else (rows_a_shard, *inner),
        compressors=ZstdCodec(level=0, checksum=True),
        dimension_names=("item", *dimensions),
    )
