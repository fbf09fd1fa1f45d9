"""Feature store → files that other tools read, each group by itself; `crossgap import` brings them back, bit for bit.

Labels are marked as those of a store, so that an import takes them as they stand: -1 or 1.0 is a class here. Items of
an inversion go with the columns (labels, groups, ranks, `truncated`) that the store which it inverts has for them.

Of a group, in the folder `<modality>/<split>`:

- clip-retrieval: `img_emb/img_emb_0.npy` or `text_emb/text_emb_0.npy`, and `metadata/metadata_0.parquet`, as that
  tool's own `inference` writes them; arrays beside the features as `<array>.npy`;
- safetensors: `arrays.safetensors`, and the columns in `columns.parquet`;
- parquet: `items.parquet`: the columns, and each array as a column of lists of one length;
- lance: the same as a Lance dataset, `items.lance`, whose names have `_` for a point; a field's metadata say its own
  `name`. Needs the package pylance.

Columns are `id`, `group`, `rank`, `truncated`, `label.<labelling>` and what else a group has one value an item of. In
the metadata of clip-retrieval, `image_path` is an image's id and a caption's group, by which the two find each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossgap.errors import CrossgapError, like, making
from crossgap.importing.files import ARRAYS, AS_THEY_STAND, COLUMNS
from crossgap.naming import group_called
from crossgap.prepared.manifest import LABEL
from crossgap.stores import temporary
from crossgap.stores.remote import is_remote
from crossgap.stores.store import Group, Store
from crossgap.stores.writing import ROWS_A_SHARD

Words = list[str]


class ExportError(CrossgapError):
    """A store can't be exported as asked; the message names the store, the format or the folder, and the remedy."""


def export(store: Store, format_: str, folder: str | Path, native: Store | None = None) -> Words:
    """Write all groups of a store into a new folder, which is there whole or not at all.

    Judgements, transformations, projections and the provenance stay in the store. Snapshots do too: their lists of
    lists are of no use to these tools.

    Args:
        format_: one of `FORMATS`.
        native: where `store` is an inversion, the features that it may invert.

    Returns:
        What brings them back: the arguments of `crossgap import` behind the store's name.

    Raises:
        ExportError: no such format, a folder that is there or can't be made, or a store without groups.
        StoreError: the store is damaged; nothing stays in the folder.
    """
    if is_remote(folder):
        raise ExportError(f"{folder} is no folder of this machine: export into one, and copy it there")
    folder = Path(folder)
    if format_ not in FORMATS:
        raise ExportError(
            f"there is no format {format_!r}{like(format_, FORMATS)}; there are {', '.join(FORMATS)}"
        )
    with making(folder):
        taken = folder.exists() or folder.is_symlink()
    if taken:
        raise ExportError(f"{folder} exists: name a folder that does not, which the files are written into")
    if not store.groups:
        raise ExportError(
            f"{store.path} holds no items: {store.provenance.get('not_applicable', 'it is empty')}"
        )
    of_items = native if native is not None and _inverts(store, native) else store
    write, words = FORMATS[format_], []
    with making(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    temporary.remove_leftovers(folder.parent)
    with temporary.named(folder) as partial, temporary.room_for(folder):
        with making(folder):
            partial.mkdir()
        for name in store.groups:
            there = partial / name
            there.mkdir(parents=True)
            group = group_called(name, store.modalities)
            columns = _columns(store[name], of_items[name])
            words += [
                f"{group}{column}={folder}{source.removeprefix(str(partial))}"
                for column, source in write(store[name], columns, there)
            ]
        partial.rename(folder)
    return words


def _inverts(store: Store, native: Store) -> bool:
    return store.provenance.get("inverts", "") == native.provenance.get("fingerprint")


def _held(group: Group) -> tuple[list[str], list[str]]:
    """Names of the arrays of rows, and of those of one value an item."""
    arrays: list[str] = []
    columns: list[str] = []
    for name, array in sorted(group.zarr_group.arrays()):
        first, *inner = getattr(array.metadata, "dimension_names", None) or ("",)
        if first == "item" and "step" not in inner:
            (arrays if inner else columns).append(name)
    return arrays, columns


def _columns(group: Group, of_items: Group) -> pa.Table:
    """What has one value an item, and what only the other group has of these items."""
    held = {name: group[name] for name in _held(group)[1]}
    if others := [name for name in _held(of_items)[1] if name not in held]:
        rows = pd.Index(of_items.ids).get_indexer(group.ids)
        held |= {name: of_items.rows(name, rows) for name in others}
    return _marked(pa.table(dict(sorted(held.items()))))


def _marked(table: pa.Table) -> pa.Table:
    fields = [
        field.with_metadata(AS_THEY_STAND) if field.name.startswith(LABEL) else field
        for field in table.schema
    ]
    return pa.table(table.columns, pa.schema(fields))


def _asked(group: Group, names: list[str]) -> list[str]:
    """Of the columns, those that an import takes; an image's group is its id, and its rank 0."""
    derived = ("group", "rank") if group.name.startswith("image/") else ()
    return [name for name in names if name.startswith(LABEL) or (name in COLUMNS and name not in derived)]


def _clip_retrieval(group: Group, columns: pa.Table, folder: Path) -> Iterator[tuple[str, str]]:
    arrays, _ = _held(group)
    stem = "img_emb" if group.name.startswith("image/") else "text_emb"
    for name in arrays:
        path = folder / stem / f"{stem}_0.npy" if name == "features" else folder / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        _npy(group, name, path)
        if name in ARRAYS:
            yield f":{name}", str(path)
    identity = "id" if stem == "img_emb" or "group" not in columns.column_names else "group"
    path = folder / "metadata" / "metadata_0.parquet"
    path.parent.mkdir()
    _write(columns.add_column(0, "image_path", columns[identity]), path)
    for name in _asked(group, columns.column_names):
        yield f":{name}", f"{path}:{name}"


def _npy(group: Group, name: str, path: Path) -> None:
    """An array, a part of it in memory at a time."""
    blocks = _blocks(group, name)
    first = next(blocks, None)
    if first is None:
        first = group[name]  # of no items
    header = {
        "descr": np.lib.format.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (len(group), *first.shape[1:]),
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in chain([first], blocks):
            file.write(np.ascontiguousarray(block).data)


def _write(table: pa.Table, path: Path, **options: Any) -> None:
    with path.open("wb") as file:  # a name with a colon is no URI
        pq.write_table(table, file, **options)


def _blocks(group: Group, name: str) -> Iterator[np.ndarray]:
    for start in range(0, len(group), ROWS_A_SHARD):
        yield group.rows(name, np.arange(start, min(start + ROWS_A_SHARD, len(group))))


def _safetensors(group: Group, columns: pa.Table, folder: Path) -> Iterator[tuple[str, str]]:
    from safetensors.numpy import save_file

    arrays, _ = _held(group)
    path, table = folder / "arrays.safetensors", folder / "columns.parquet"
    save_file({name: np.ascontiguousarray(group[name]) for name in arrays}, path)
    _write(columns, table)
    for name in arrays:
        if name in ARRAYS:
            yield f":{name}", f"{path}:{name}"
    for name in _asked(group, columns.column_names):
        yield f":{name}", f"{table}:{name}"


def _table(group: Group, table: pa.Table) -> pa.Table:
    """The columns, and each array as one more."""
    for name in _held(group)[0]:
        values = group[name]
        flat = pa.array(values.reshape(-1))
        for size in values.shape[:0:-1]:
            flat = pa.FixedSizeListArray.from_arrays(flat, size)
        table = table.append_column(name, flat)
    return table


def _parquet(group: Group, columns: pa.Table, folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "items.parquet"
    # numbers of features hardly repeat: a dictionary of them would only cost time
    table = _table(group, columns)
    words = [
        name
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if pa.types.is_string(kind)
    ]
    _write(table, path, use_dictionary=words, compression="zstd", compression_level=1)
    for name in table.column_names:
        if name in ARRAYS:
            yield f":{name}", f"{path}:{name}"
    for name in _asked(group, table.column_names):
        yield f":{name}", f"{path}:{name}"


def _lance(group: Group, columns: pa.Table, folder: Path) -> Iterator[tuple[str, str]]:
    try:
        import lance  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ExportError("the format lance needs the package pylance: pip install pylance") from None
    table = _table(group, columns)
    names = _without_points(table.column_names)
    fields = [
        field.with_name(name).with_metadata({"name": field.name})
        for name, field in zip(names, table.schema, strict=True)
    ]
    lance.write_dataset(pa.table(table.columns, pa.schema(fields)), str(folder / "items.lance"))
    yield from ()


def _without_points(names: list[str]) -> list[str]:
    """Names with `_` for each point, which parts nested fields in Lance; more of them at the end if one is taken."""
    taken = {name for name in names if "." not in name}
    found = []
    for name in names:
        plain = name.replace(".", "_")
        while "." in name and plain in taken:
            plain += "_"
        taken.add(plain)
        found.append(plain)
    return found


FORMATS: dict[str, Callable[[Group, pa.Table, Path], Iterator[tuple[str, str]]]] = {
    "clip-retrieval": _clip_retrieval,
    "safetensors": _safetensors,
    "parquet": _parquet,
    "lance": _lance,
}
