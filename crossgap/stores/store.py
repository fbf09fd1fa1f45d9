"""The feature store: the features, the items that they are of, and all that made them.

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
`composed_asked`, `composed_judged` and `composed_galleries` those of `crossgap.prepared.composed`; in an inversion
store, `composed` has `id` and `features (item, feature)` of these queries, their texts in one template with the tokens
of their images; `projection/<modality>` the `weight (feature, width)` of a tower's projection, where that can be told
apart, with its `bias (feature)` if it has one.

The root's attributes are the provenance. Arrays carry dimension names. data/README.md says what other tools read of a
store, and how.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr

from crossgap import claims
from crossgap.errors import CrossgapError, like, listed, of_machine
from crossgap.prepared.composed import TABLES as OF_COMPOSED
from crossgap.prepared.composed import Composed
from crossgap.prepared.transformations import Transformations
from crossgap.stores.chunks import StoredRows
from crossgap.stores.layout import COMPOSED, FORMAT, PROJECTION, ROLES, TABLES, WHOLE
from crossgap.stores.remote import RemoteError, RemoteReader, is_remote
from crossgap.stores.writing import creating as creating
from crossgap.stores.zipped import ZipReader

if TYPE_CHECKING:
    from jaxtyping import Float32, Int, Int64, Shaped

_DAMAGE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile)


_FEW_PARTS = 1 << 16  # that an array may have at least, be they left out of the file
_LEAST_PART = 16  # bytes that each other one takes


class StoreError(CrossgapError):
    """A path holds no whole feature store, or not the group asked for."""


@dataclass(frozen=True)
class Group:
    """The items of one modality and split; arrays are read when first asked for."""

    name: str
    zarr_group: zarr.Group

    def __repr__(self) -> str:
        width = f" of width {self.width}" if "features" in self else ""
        return f"{self.name}: {len(self)} items{width}"

    def __len__(self) -> int:
        return self._array("id").shape[0]

    @property
    def width(self) -> int:
        """The width of the features, without reading them."""
        return self._array("features").shape[1]

    def __contains__(self, array: str) -> bool:
        with _described(f"{self.name} of {self.zarr_group.store}: {array!r}"):
            return array in self.zarr_group

    def __getitem__(self, array: str) -> np.ndarray:
        with self._reading(array) as values:
            straight = StoredRows.of(values)
            return _as_objects(np.asarray(values[:])) if straight is None else straight.whole()

    def rows(
        self, array: str, positions: Sequence[int] | Int[np.ndarray, " n"]
    ) -> Shaped[np.ndarray, "n ..."]:
        """The rows of an array at these positions `(n)`, in any order, reading only the chunks that hold them.

        Raises:
            StoreError: no such array, or a damaged one.
            TypeError: positions that are no whole numbers, such as a mask.
            IndexError: a position beyond the items.
        """
        positions = np.asarray(positions)
        if positions.size and positions.dtype.kind not in "iu":
            raise TypeError(
                f"positions holds {positions.dtype}: give whole numbers from 0; of a mask, np.flatnonzero(mask)"
            )
        positions = positions.astype(np.int64)
        unique, back = np.unique(positions, return_inverse=True)
        if (beyond := unique[(unique < 0) | (unique >= len(self))]).size:
            raise IndexError(f"{self.name} has {len(self)} items, none at {listed(beyond)}")
        with self._reading(array) as values:
            straight = StoredRows.of(values)
            if straight is not None:
                return straight.some(positions)
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
            with _described(f"{self.name} of {self.zarr_group.store}: {name!r}"):
                found = self.zarr_group.get(name)
                held = (
                    "" if isinstance(found, zarr.Array) else ", ".join(sorted(self.zarr_group.array_keys()))
                )
            if not isinstance(found, zarr.Array):
                raise StoreError(f"{self.name} of {self.zarr_group.store} has no {name!r}; it holds {held}")
            self._check_claims(found)
            self._check_chunks(name, found)
            self._arrays[name] = found
            of_items = (getattr(found.metadata, "dimension_names", None) or ("",))[0] == "item"
            if of_items and name != "id" and found.shape[0] != len(self):
                raise StoreError(
                    f"{self.name} of {self.zarr_group.store}: {name!r} has {found.shape[0]} rows of {len(self)} items"
                )
        return self._arrays[name]

    def _check_claims(self, array: zarr.Array) -> None:
        """StoreError where an array, or a chunk of it, claims more than the whole file can hold."""
        held = self.zarr_group.store
        if isinstance(held, ZipReader):
            if any(
                size < 0 or (size and each < 1)
                for shape in (array.chunks, array.shards or array.chunks)
                for size, each in zip(array.shape, shape, strict=True)
            ):
                raise StoreError(f"{held}: {array.name} is damaged: it has parts of no rows")
            largest = max(math.prod(shape) for shape in (array.shape, array.chunks, array.shards or ()))
            try:
                claims.check(f"{held}: {array.name}", largest * array.dtype.itemsize, held.held)
            except claims.ClaimError as error:
                raise StoreError(str(error)) from None
            parts = math.prod(_counts(array.shape, array.chunks))
            if parts > _FEW_PARTS + held.held // _LEAST_PART:
                raise StoreError(f"{held}: {array.name} claims {parts} parts, more than the file can hold")

    def _check_chunks(self, name: str, array: zarr.Array) -> None:
        """StoreError where the file has a chunk too many, or one too few that zarr would read as zeros."""
        held = self.zarr_group.store
        if not isinstance(held, ZipReader) or array.metadata.zarr_format != 3:
            return
        counts = _counts(array.shape, array.shards or array.chunks)
        found = [key for key in held.names(f"{array.path}/") if key != "zarr.json"]
        for key in found:
            place = tuple(map(int, re.findall(r"(?<![0-9])[0-9]{1,18}(?![0-9])", key)))
            known = len(place) == len(counts) and array.metadata.encode_chunk_key(place) == key
            if not known or any(at >= count for at, count in zip(place, counts, strict=True)):
                raise StoreError(f"{self.name} of {held}: {name!r} is damaged: {key} is no part of it")
        if name in WHOLE and len(found) != math.prod(counts):
            raise StoreError(
                f"{self.name} of {held}: {name!r} is damaged: it has {len(found)} parts of {math.prod(counts)}"
            )

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array]:
        return {}

    @cached_property
    def features(self) -> Float32[np.ndarray, "item feature"]:
        """`(item, feature)` float32, not normalised."""
        return self["features"]

    @cached_property
    def preprojection(self) -> Float32[np.ndarray, "item width"]:
        """`(item, width)` float32; StoreError where the backbone's projection can't be told apart."""
        return self["preprojection"]

    @cached_property
    def tokens(self) -> Float32[np.ndarray, "item token embedding"]:
        """`(item, token, embedding)` float32, in an inversion store."""
        return self["tokens"]

    @cached_property
    def losses(self) -> Float32[np.ndarray, " item"]:
        """`(item)` final 1 − cosine, in an inversion store."""
        return self["loss"]

    @cached_property
    def steps(self) -> Int64[np.ndarray, " step"]:
        """`(step)` int64, ascending: the steps that snapshots were kept of, in an inversion store that has them."""
        return self["step"]

    @cached_property
    def snapshots(self) -> Float32[np.ndarray, "item step feature"]:
        """`(item, step, feature)` float32, the features at each of `steps`."""
        return self["snapshots"]

    def snapshot(self, number: int) -> Float32[np.ndarray, "item feature"]:
        """`(item, feature)` of one of `steps`, by its place; the others are not held."""
        with self._reading("snapshots") as values:
            return np.asarray(values[:, number])

    @cached_property
    def snapshot_losses(self) -> Float32[np.ndarray, "item step"]:
        """`(item, step)` float32, 1 − cosine at each of `steps`."""
        return self["snapshot_loss"]

    @cached_property
    def ids(self) -> Shaped[np.ndarray, " item"]:
        """`(item)` of str."""
        return self["id"]

    @cached_property
    def labels(self) -> dict[str, Shaped[np.ndarray, " item"]]:
        """Per labelling, `(item)` of str; an empty string where an item has no label."""
        with _described(f"{self.name} of {self.zarr_group.store}"):
            names = sorted(name for name in self.zarr_group.array_keys() if name.startswith("label."))
        return {name.removeprefix("label."): self[name] for name in names}


@dataclass(frozen=True)
class Store:
    """A whole feature store, open for reading."""

    path: Path
    zarr_group: zarr.Group

    def __reduce__(self) -> tuple[Callable[..., Store], tuple[Path | str, ...]]:
        """In another process it is opened again, under this path or URL."""
        reader = self.zarr_group.store
        if isinstance(reader, RemoteReader):
            return partial(open_store, **reader.options), (reader.url,)
        return open_store, (self.path,)

    @property
    def checksums(self) -> list[tuple[str, int, int]]:
        """As of `ZipReader`."""
        reader = self.zarr_group.store
        return reader.checksums if isinstance(reader, ZipReader) else []

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the features: model, weights' hash, preprocessing, precision, library versions, …"""
        return self.zarr_group.attrs.asdict()

    @cached_property
    def groups(self) -> list[str]:
        """Names of the groups, `<modality>/<split>`.

        Raises:
            StoreError: one of them is damaged.
        """
        with _described(f"{self.path}: a group"):
            return sorted(
                f"{modality}/{split}"
                for modality, group in self.zarr_group.groups()
                if modality in ROLES
                for split in group.group_keys()
            )

    @property
    def modalities(self) -> dict[str, str]:
        """Role of a modality, "image" or "text", by which groups are called → its name, which tables use."""
        return {role: role for role in ROLES} | self.provenance.get("modalities", {})

    @cached_property
    def projections(self) -> dict[str, Float32[np.ndarray, "d width"]]:
        """By modality, W `(d, width)` float32: features are preprojection @ W.T, plus the bias if there is one."""
        return self._of_projections("weight")

    @cached_property
    def biases(self) -> dict[str, Float32[np.ndarray, " d"]]:
        """By modality, `(d,)` float32 of those `projections` that have a bias."""
        return self._of_projections("bias")

    def _of_projections(self, array: str) -> dict[str, np.ndarray]:
        projections = self._group(PROJECTION)
        if projections is None:
            return {}
        with _described(f"{self.path}: {PROJECTION}"):
            held = {name: Group(f"{PROJECTION}/{name}", group) for name, group in projections.groups()}
        return {name: group[array] for name, group in sorted(held.items()) if array in group}

    def _group(self, name: str) -> zarr.Group | None:
        with _described(f"{self.path}: {name}"):
            found = self.zarr_group.get(name)
        return found if isinstance(found, zarr.Group) else None

    @cached_property
    def judgements(self) -> pd.DataFrame | None:
        """Explicit judgements, the table of `crossgap.prepared.judgements`; None where the store has none."""
        return self._table("judgements")

    @cached_property
    def transformations(self) -> Transformations | None:
        """Transformations asked of the images by text, and their answers; None where the store has none."""
        held = self._table("transformations"), self._table("answers")
        return None if held[0] is None else Transformations(*held)

    @cached_property
    def composed(self) -> Composed | None:
        """Composed queries and what answers them; None where the store has none."""
        asked, *others = (self._table(f"composed_{name}") for name in OF_COMPOSED)
        return None if asked is None else Composed(asked, *others)

    @cached_property
    def composed_features(self) -> Group | None:
        """In an inversion store: `id` and `features` of composed queries, by the tokens of their images."""
        group = self._group(COMPOSED)
        return None if group is None else Group(COMPOSED, group)

    def _table(self, name: str) -> pd.DataFrame | None:
        group = self._group(name)
        if group is None:
            return None
        return pd.DataFrame({column: Group(name, group)[column] for column in TABLES[name]})

    def __iter__(self) -> Iterator[str]:
        """Over the names of the groups; it has no length, by which an empty one would be false."""
        return iter(self.groups)

    def __repr__(self) -> str:
        said = self.provenance
        model = said.get("backbone_provenance") or said.get("backbone") or {}
        model = model if isinstance(model, dict) else {"model": model}  # of an import, its name
        made = [model.get("model"), model.get("pretrained"), said.get("dataset")]
        try:
            groups = [repr(self[name]) for name in self]
        except StoreError as error:
            groups = [f"damaged: {error}"]
        return f"Store({'; '.join([', '.join(map(str, filter(None, (self.path, *made)))), *groups])})"

    def __contains__(self, name: str) -> bool:
        return name in self.groups

    def __getitem__(self, name: str) -> Group:
        if name not in self.groups:
            raise StoreError(
                f"{self.path} has no group {name!r}{like(name, self.groups)}; "
                f"it holds {', '.join(self.groups) or 'none'}"
            )
        if name not in self._opened:
            with _described(f"{self.path}: {name}"):
                self._opened[name] = Group(name, self.zarr_group.require_group(name))
        return self._opened[name]

    @cached_property
    def _opened(self) -> dict[str, Group]:
        return {}


def open_store(path: str | Path, **options: Any) -> Store:
    """Open a finished feature store.

    Args:
        path: of the file, or a URL that fsspec opens (`s3://bucket/…`, `ssh://host/…`): of a store elsewhere no more
            is read than what is asked for, such as some `rows` of a group. `simplecache::s3://…` copies it whole.
        options: of a URL's file system, such as `endpoint_url` of S3.

    Raises:
        StoreError: if `path` holds none, or one that was never finished; or options are given with a path.
        RemoteError: a URL can't be opened.
        OSError: it can't be read, which says nothing of what it holds.
    """
    if not isinstance(path, str | Path):
        raise StoreError(f"path is {path!r}: give the path of a feature store, or its URL")
    if options and not is_remote(path):
        raise StoreError(
            f"{', '.join(options)} can't be given with {path}, a path of this machine: they are options of a URL; "
            "leave them out, or give a URL"
        )
    try:
        reader = RemoteReader(str(path), options) if is_remote(path) else ZipReader(Path(path))
        with _described(f"{path}"):
            group = zarr.open_group(reader, mode="r", zarr_format=3)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if of_machine(error) or isinstance(error, RemoteError):
            raise
        if isinstance(error, FileNotFoundError):
            raise StoreError(
                f"{path} is not there: `dvc repro` makes it, and `dvc pull` gets a colleague's"
            ) from None
        raise StoreError(f"{path} holds no feature store: {error}") from None
    if group.attrs.get("format") != FORMAT:
        raise StoreError(f"{path} is no finished {FORMAT} store (format: {group.attrs.get('format')!r})")
    return Store(Path(path), group)


def _counts(shape: tuple[int, ...], part: tuple[int, ...]) -> list[int]:
    """How many parts an array has along each dimension."""
    return [-(-size // max(each, 1)) for size, each in zip(shape, part, strict=True)]


@contextmanager
def _described(what: str) -> Iterator[None]:
    """StoreError of whatever zarr raises where it reads a description that it doesn't understand."""
    try:
        yield
    except (MemoryError, CrossgapError):
        raise
    except Exception as error:
        if of_machine(error):
            raise
        raise StoreError(f"{what} has a description that can't be read: {error}") from error


def _as_objects(values: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Strings as objects, everything else as it is."""
    return values.astype(object) if values.dtype.kind == "T" else values
