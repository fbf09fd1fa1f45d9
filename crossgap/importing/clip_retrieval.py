"""What `clip-retrieval inference` wrote: arrays in parts, paired by the parts' numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from crossgap.errors import listed, of_machine
from crossgap.importing.files import Assignment, FeatureImportError, unreadable

_FILES = {"img_emb": ".npy", "text_emb": ".npy", "metadata": ".parquet"}


def from_clip_retrieval(folder: str | Path, split: str) -> list[Assignment]:
    """The assignments of a folder that `clip-retrieval inference` wrote, its parts joined beside it in memory.

    The folder holds `img_emb/img_emb_<part>.npy`, `text_emb/text_emb_<part>.npy` and
    `metadata/metadata_<part>.parquet`, row by row the same items.

    Raises:
        FeatureImportError: a file of a part is missing, or has not as many rows as the part's others; names it.
    """
    folder = Path(folder)
    held = {name: _parts(folder / name, name, suffix) for name, suffix in _FILES.items()}
    if not held["img_emb"] and not held["text_emb"]:
        raise FeatureImportError(f"{folder} holds neither img_emb/img_emb_0.npy nor text_emb/text_emb_0.npy")
    if not held["metadata"]:
        raise FeatureImportError(f"{folder} holds no metadata/metadata_0.parquet, which names the items")
    held = {name: parts for name, parts in held.items() if parts}
    _check_parts(folder, held)
    found: list[Assignment] = [
        _Joined(f"{modality}/{split}", "features", folder / name, None, tuple(held[name].values()))
        for modality, name in (("image", "img_emb"), ("text", "text_emb"))
        if name in held
    ]
    tables = list(held["metadata"].values())
    columns = _columns(tables[0])
    identity = next((name for name in ("image_path", "key", "url") if name in columns), None)
    if identity is None:
        raise FeatureImportError(
            f"{tables[0]} has none of the columns image_path, key, url: no names for its items"
        )
    for array in list(found):
        column = "id" if array.group.startswith("image/") else "group"
        found.append(_Joined(array.group, column, folder / "metadata", identity, tuple(tables)))
    return found


@dataclass(frozen=True)
class _Joined(Assignment):
    """An array in parts, one file after the other."""

    parts: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return self.parts

    def load(self) -> np.ndarray:
        arrays = [Assignment(self.group, self.column, part, self.key).load() for part in self.parts]
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1:
            raise FeatureImportError(
                f"{self}: its parts differ in width ({listed(sorted(shapes))}): compute them again"
            )
        return np.concatenate(arrays)


def _parts(folder: Path, stem: str, suffix: str) -> dict[int, Path]:
    """Number of a part → its file, in ascending order."""
    parts: dict[int, Path] = {}
    for path in sorted(folder.glob(f"{stem}_*{suffix}")):
        ending = path.stem.removeprefix(f"{stem}_")
        if not (ending.isascii() and ending.isdigit()):
            continue
        if (first := parts.setdefault(int(ending), path)) is not path:
            raise FeatureImportError(f"{first} and {path} are both part {int(ending)}: remove one of them")
    return dict(sorted(parts.items()))


def _check_parts(folder: Path, held: dict[str, dict[int, Path]]) -> None:
    """Raises FeatureImportError unless every array has the same parts, of as many rows."""
    numbers = sorted(set().union(*held.values()))
    lacking = {name: [number for number in numbers if number not in parts] for name, parts in held.items()}
    lacking = {name: missing for name, missing in lacking.items() if missing}
    if lacking:
        said = "; ".join(
            f"{name} lacks {len(missing)} of {len(numbers)} parts ({listed(missing)})"
            for name, missing in lacking.items()
        )
        raise FeatureImportError(
            f"{folder}: {said}: parts are paired by their numbers; compute the missing ones, or move the others of "
            "these numbers out of the folder"
        )
    for number in numbers:
        rows = {parts[number]: _rows(parts[number]) for parts in held.values()}
        if len(set(rows.values())) > 1:
            said = ", ".join(f"{file.name} has {count}" for file, count in rows.items())
            raise FeatureImportError(
                f"{folder}: part {number} differs in rows: {said}: compute the part again, or move it out of the folder"
            )


def _rows(file: Path) -> int:
    with _readable(file):
        if file.suffix == ".parquet":
            return pq.ParquetFile(file.absolute()).metadata.num_rows
        return len(np.load(file, mmap_mode="r", allow_pickle=False))


def _columns(file: Path) -> set[str]:
    with _readable(file):
        return set(pq.read_schema(file.absolute()).names)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn any error of a library that reads a file into a FeatureImportError."""
    try:
        yield
    except Exception as error:  # each library has its own for a damaged file
        if of_machine(error):
            raise
        raise unreadable(file, error) from None
