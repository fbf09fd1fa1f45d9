"""Arrays from files: what a user's words name, read without ever unpickling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crossgap.manifest import LABEL, wrong_labelling

ARRAYS = ("features", "preprojection")
COLUMNS = ("id", "group", "rank")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
SINGLE = (".npy", ".txt")


class FeatureImportError(ValueError):
    """Arrays that can't become a feature store; the message names the array, the item and the remedy."""


@dataclass(frozen=True)
class Assignment:
    """One array of the store and the file it comes from: `image/test:label.class=labels.npz:y`.

    Attributes:
        group: `<modality>/<split>`.
        column: `features` if not named; `preprojection`, `id`, `group`, `rank` or `label.<labelling>`.
        file: `.npy`, `.npz`, `.safetensors`, `.parquet`, `.csv` or `.txt` (a line an item).
        key: the array in an archive or the column of a table; needed only where there are several.
    """

    group: str
    column: str
    file: Path
    key: str | None

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Read `GROUP[:COLUMN]=FILE[:KEY]`."""
        target, _, source = text.partition("=")
        group, _, column = target.partition(":")
        modality, _, split = group.partition("/")
        if not source or modality not in ("image", "text") or not re.fullmatch(NAME, split):
            raise FeatureImportError(
                f"{text!r} is not image/SPLIT[:COLUMN]=FILE[:KEY] nor text/SPLIT[:COLUMN]=FILE[:KEY]"
            )
        column = column or "features"
        if column not in (*ARRAYS, *COLUMNS) and not column.startswith(LABEL):
            raise FeatureImportError(
                f"{text!r}: unknown column {column!r}; it may be {', '.join((*ARRAYS, *COLUMNS))} or {LABEL}<labelling>"
            )
        if column.startswith(LABEL) and (why := wrong_labelling(column.removeprefix(LABEL))):
            raise FeatureImportError(f"{text!r}: the labelling {column.removeprefix(LABEL)!r} {why}")
        if modality == "image" and column == "group":
            raise FeatureImportError(
                f"{text!r}: `group` is of texts, the image that each belongs to; images have `id`"
            )
        # a key follows the last colon, unless the whole is a file
        path, colon, key = source.rpartition(":")
        if not colon or Path(source).is_file():
            path, key = source, ""
        return cls(group, column, Path(path), key or None)

    def __str__(self) -> str:
        return f"{self.group}:{self.column} from {self.file}{f':{self.key}' if self.key else ''}"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read."""
        return (self.file,)

    def load(self) -> np.ndarray:
        """The array; nothing is unpickled."""
        suffix = self.file.suffix.lower()
        if not self.file.is_file():
            raise FeatureImportError(f"{self}: no such file")
        if suffix not in _LOADERS:
            raise FeatureImportError(
                f"{self}: don't know {self.file.suffix!r}; {', '.join(_LOADERS)} can be read"
            )
        if self.key and suffix in SINGLE:
            raise FeatureImportError(f"{self}: a {suffix} holds one array: leave out :{self.key}")
        try:
            return _LOADERS[suffix](self.file, self.key)
        except KeyError as error:
            raise FeatureImportError(f"{self}: {error.args[0]}") from None
        except Exception as error:  # each library has its own for a damaged file
            if "allow_pickle" in str(error) or "Python objects" in str(error):
                raise FeatureImportError(
                    f"{self}: holds pickled objects, which are never loaded, or is damaged; save it as plain "
                    "strings or numbers (`array.astype(str)`)"
                ) from None
            raise FeatureImportError(f"{self}: can't be read: {error}") from None


def from_clip_retrieval(folder: str | Path, split: str) -> list[Assignment]:
    """The assignments of a folder that `clip-retrieval inference` wrote, its parts joined beside it in memory.

    The folder holds `img_emb/img_emb_<part>.npy`, `text_emb/text_emb_<part>.npy` and
    `metadata/metadata_<part>.parquet`, row by row the same items.
    """
    folder = Path(folder)
    found = []
    for modality, name in (("image", "img_emb"), ("text", "text_emb")):
        parts = _parts(folder / name, name, ".npy")
        if parts:
            found.append(_Joined(f"{modality}/{split}", "features", folder / name, None, tuple(parts)))
    if not found:
        raise FeatureImportError(f"{folder} holds neither img_emb/img_emb_0.npy nor text_emb/text_emb_0.npy")
    tables = _parts(folder / "metadata", "metadata", ".parquet")
    if not tables:
        raise FeatureImportError(f"{folder} holds no metadata/metadata_0.parquet, which names the items")
    columns = set(pd.read_parquet(tables[0]).columns)
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
        return np.concatenate(
            [Assignment(self.group, self.column, part, self.key).load() for part in self.parts]
        )


def _parts(folder: Path, stem: str, suffix: str) -> list[Path]:
    def number(path: Path) -> int:
        return int(path.stem.rpartition("_")[2])

    return sorted(
        (p for p in folder.glob(f"{stem}_*{suffix}") if p.stem.rpartition("_")[2].isdigit()), key=number
    )


def _npz(file: Path, key: str | None) -> np.ndarray:
    with np.load(file, allow_pickle=False) as archive:
        return archive[_only(archive.files, key)]


def _safetensors(file: Path, key: str | None) -> np.ndarray:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as archive:
        return archive.get_tensor(_only(list(archive.keys()), key))


def _table(frame: pd.DataFrame, key: str | None) -> np.ndarray:
    values = frame[_only(list(frame.columns), key)].to_numpy()
    return np.stack(values) if len(values) and isinstance(values[0], np.ndarray) else values


_LOADERS = {
    ".npy": lambda file, _key: np.load(file, mmap_mode="r", allow_pickle=False),
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": lambda file, key: _table(pd.read_parquet(file), key),
    ".csv": lambda file, key: _table(pd.read_csv(file, dtype=str, keep_default_na=False), key),
    ".txt": lambda file, _key: np.array(file.read_text(encoding="utf-8").splitlines(), dtype=object),
}


def _only(keys: list[str], key: str | None) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        asked = f"no {key!r}" if key else "several arrays: name one after a colon"
        raise KeyError(f"{asked}; it holds {', '.join(keys)}")
    return key
