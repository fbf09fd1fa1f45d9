"""The feature store: what was encoded, of which items, by exactly what.

A store is a zarr v3 hierarchy in one zip file, so that DVC hashes, pushes and pulls one file and not hundreds; equal
stores have equal bytes. Each group `<modality>/<split>` (`image/test`, `text/classes`, …) holds

- `features (item, feature)`: the tower's output, float32, not normalised;
- `preprojection (item, width)`: what the tower's projection is applied to, where that can be told apart;
- `tokens (item, token, embedding)` and `loss (item)`: in an inversion store, what was learned and its final loss;
- `id`, `group`, `rank`, `label.<labelling>`, `truncated` `(item)`: the manifest's columns.

The root's attributes are the provenance. Arrays carry dimension names, so xarray reads a group:
`xarray.open_zarr(zarr.storage.ZipStore(path, mode="r"), group="image/test", consolidated=False)`.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import ZipStore

FORMAT = "crossgap-features/1"
ROWS_A_CHUNK = 1024
ROWS_A_SHARD = 8192
_SECOND_DIMENSION = {"features": ("feature",), "preprojection": ("width",), "tokens": ("token", "embedding")}


class StoreError(ValueError):
    """A path holds no whole feature store, or not the group asked for."""


@dataclass(frozen=True)
class Group:
    """The items of one modality and split; arrays are read when first asked for."""

    name: str
    zarr_group: zarr.Group

    def __len__(self) -> int:
        return self.zarr_group["id"].shape[0]

    def __contains__(self, array: str) -> bool:
        return array in self.zarr_group

    def __getitem__(self, array: str) -> np.ndarray:
        if array not in self.zarr_group:
            held = ", ".join(sorted(self.zarr_group.array_keys()))
            raise StoreError(f"{self.name} of {self.zarr_group.store} has no {array!r}; it holds {held}")
        try:
            values = self.zarr_group[array][:]
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{self.name} of {self.zarr_group.store}: {array!r} is damaged: {error}"
            ) from error
        return values.astype(object) if values.dtype.kind == "T" else values

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
            for split in group.group_keys()
        )

    def __contains__(self, name: str) -> bool:
        return name in self.groups

    def __getitem__(self, name: str) -> Group:
        if name not in self.groups:
            raise StoreError(
                f"{self.path} has no group {name!r}; it holds {', '.join(self.groups) or 'none'}"
            )
        return Group(name, self.zarr_group[name])


def open_store(path: str | Path) -> Store:
    """Open a finished feature store.

    Raises:
        StoreError: if `path` holds none, or one that was never finished.
    """
    path = Path(path)
    try:
        group = zarr.open_group(ZipStore(path, mode="r"), mode="r", zarr_format=3)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} holds no feature store: {error}") from None
    if group.attrs.get("format") != FORMAT:
        raise StoreError(f"{path} is no finished {FORMAT} store (format: {group.attrs.get('format')!r})")
    return Store(path, group)


@dataclass(frozen=True)
class Writer:
    zarr_group: zarr.Group

    def add(
        self, name: str, columns: dict[str, np.ndarray], blocks: Iterable[dict[str, np.ndarray]] = ()
    ) -> None:
        """Write one group: `columns` whole, and the arrays of `blocks`, of `ROWS_A_SHARD` rows each, as they come."""
        group = self.zarr_group.create_group(name)
        rows = len(columns["id"])
        for column, values in columns.items():
            values = np.asarray(values)
            kind = str if values.dtype.kind in "OUT" else values.dtype
            array = group.create_array(
                column, shape=(rows,), dtype=kind, chunks=(max(rows, 1),), dimension_names=("item",)
            )
            array[:] = values
        done = 0
        for block in blocks:
            for key, values in block.items():
                if key not in group:
                    _create(group, key, rows, values)
                group[key][done : done + len(values)] = values
            done += len(values)
        if done not in (0, rows):
            raise ValueError(f"{name}: {done} rows of arrays for {rows} items")


@contextmanager
def creating(path: str | Path, scratch: str | Path, provenance: dict[str, Any]) -> Iterator[Writer]:
    """Write a store beside and move it to `path` in one step when the block ends without an error.

    Args:
        path: where the finished store will lie; what is there is replaced.
        scratch: a folder for the store in progress, on the same file system for the move to be atomic.
        provenance: the attributes of the root, JSON-able.
    """
    path, building = Path(path), Path(scratch) / f"assembling-{os.getpid()}"
    packed = building.with_suffix(".zip")
    shutil.rmtree(building, ignore_errors=True)
    root = zarr.open_group(building, mode="w", zarr_format=3)
    try:
        yield Writer(root)
        root.attrs.update({**provenance, "format": FORMAT})
        _pack(building, packed)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(packed, path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        packed.unlink(missing_ok=True)


def _pack(folder: Path, target: Path) -> None:
    """A zip of the folder's files, stored, in order and without dates: equal content, equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as out:
                shutil.copyfileobj(source, out, 1 << 22)


def _create(group: zarr.Group, name: str, rows: int, like: np.ndarray) -> None:
    inner = like.shape[1:]
    small = rows <= ROWS_A_CHUNK
    group.create_array(
        name,
        shape=(rows, *inner),
        dtype=like.dtype,
        chunks=(rows if small else ROWS_A_CHUNK, *inner),
        shards=None if small else (ROWS_A_SHARD, *inner),
        compressors=ZstdCodec(level=0, checksum=True),
        dimension_names=("item", *_SECOND_DIMENSION.get(name, ())),
    )
