"""Features computed elsewhere → feature store: arrays from files, checked and given their provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossgap import fingerprint, store
from crossgap.manifest import CLASSES, LABEL

ARRAYS = ("features", "preprojection")
COLUMNS = ("id", "group", "rank")


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
        if not source or modality not in ("image", "text") or not split or "/" in split:
            raise FeatureImportError(
                f"{text!r} is not image/SPLIT[:COLUMN]=FILE[:KEY] nor text/SPLIT[:COLUMN]=FILE[:KEY]"
            )
        column = column or "features"
        if column not in (*ARRAYS, *COLUMNS) and not column.startswith(LABEL):
            raise FeatureImportError(
                f"{text!r}: unknown column {column!r}; it may be {', '.join((*ARRAYS, *COLUMNS))} or {LABEL}<labelling>"
            )
        # a key follows the last colon, unless the whole is a file
        path, colon, key = source.rpartition(":")
        if not colon or Path(source).is_file():
            path, key = source, ""
        return cls(group, column, Path(path), key or None)

    def __str__(self) -> str:
        return f"{self.group}:{self.column} from {self.file}{f':{self.key}' if self.key else ''}"

    def load(self) -> np.ndarray:
        """The array; nothing is unpickled."""
        if not self.file.is_file():
            raise FeatureImportError(f"{self}: no such file")
        try:
            return _LOADERS[self.file.suffix.lower()](self.file, self.key)
        except KeyError as error:
            if error.args and error.args[0] == self.file.suffix.lower():
                raise FeatureImportError(
                    f"{self}: don't know {self.file.suffix!r}; {', '.join(_LOADERS)} can be read"
                ) from None
            raise FeatureImportError(f"{self}: {error.args[0]}") from None
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise FeatureImportError(
                    f"{self}: holds pickled objects, which are never loaded; save it as plain strings "
                    "or numbers (`array.astype(str)`)"
                ) from None
            raise FeatureImportError(f"{self}: {error}") from None


def import_features(
    assignments: list[Assignment],
    path: str | Path,
    *,
    backbone: str,
    dataset: str,
    note: str = "",
    scratch: str | Path,
) -> store.Store:
    """Write the feature store at `path` from arrays.

    A group without ids gets `<modality>/<split>/<row>`; captions without ranks are ranked within their image in
    the order given.

    Raises:
        FeatureImportError: files, keys or values that can't be used: lengths or widths that differ, NaN, ids given
            twice, a caption of an image that isn't there, class prompts without a class.
    """
    groups: dict[str, dict[str, np.ndarray]] = {}
    for assignment in assignments:
        columns = groups.setdefault(assignment.group, {})
        if assignment.column in columns:
            raise FeatureImportError(f"{assignment.group}:{assignment.column} is given twice")
        columns[assignment.column] = assignment.load()
    groups = {name: _complete(name, columns) for name, columns in groups.items()}
    _check_together(groups)
    sources = [
        {
            "array": f"{a.group}:{a.column}",
            "file": a.file.name,
            "key": a.key,
            "sha256": fingerprint.sha256_of_files([a.file]),
        }
        for a in assignments
    ]
    provenance: dict[str, Any] = {
        "backbone": backbone,
        "dataset": dataset,
        "note": note,
        "imported_from": sources,
    }
    provenance["fingerprint"] = fingerprint.of_json(sources)
    Path(scratch).mkdir(parents=True, exist_ok=True)
    with store.creating(path, scratch, provenance) as writer:
        for name, columns in sorted(groups.items()):
            arrays = {key: columns.pop(key) for key in ARRAYS if key in columns}
            writer.add(name, columns, _blocks(arrays))
    return store.open_store(path)


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
    ".csv": lambda file, key: _table(pd.read_csv(file), key),
    ".txt": lambda file, _key: np.array(file.read_text(encoding="utf-8").splitlines(), dtype=object),
}


def _only(keys: list[str], key: str | None) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        asked = f"no {key!r}" if key else "several arrays: name one after a colon"
        raise KeyError(f"{asked}; it holds {', '.join(keys)}")
    return key


def _complete(name: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The group's columns checked, cast and with what can be derived filled in."""
    modality, _, split = name.partition("/")
    if "features" not in columns:
        raise FeatureImportError(f"{name} has {', '.join(columns)} but no features: give {name}=FILE")
    rows = len(columns["features"])
    for column, values in columns.items():
        if len(values) != rows:
            raise FeatureImportError(f"{name}:{column} has {len(values)} rows, its features {rows}")
        if column in ARRAYS:
            if values.ndim != 2 or values.dtype.kind not in "fiu" or rows == 0:
                raise FeatureImportError(
                    f"{name}:{column} is {values.dtype} {values.shape}: give numbers, (item, feature)"
                )
        elif values.ndim != 1:
            raise FeatureImportError(f"{name}:{column} has shape {values.shape}: give one value an item")
    out = {column: values if column in ARRAYS else _strings(values) for column, values in columns.items()}
    out.setdefault("id", np.array([f"{name}/{row}" for row in range(rows)], dtype=object))
    if modality == "text" and "group" in out and "id" not in columns:
        out["id"] = np.array([f"{name}/{row}" for row in range(rows)], dtype=object)
    repeated = pd.Series(out["id"])[pd.Series(out["id"]).duplicated()].unique()
    if len(repeated):
        raise FeatureImportError(
            f"{name}:id names {len(repeated)} items twice, such as {repeated[0]!r}: ids must be unique"
        )
    if modality == "image":
        out["group"] = out["id"]
    if "rank" in columns:
        out["rank"] = columns["rank"].astype(np.int64)
    elif "group" in out:
        ordinal = pd.Series(out["group"]).groupby(out["group"]).cumcount()
        out["rank"] = ordinal.to_numpy(np.int64) if modality == "text" else np.zeros(rows, np.int64)
    labels = [values for column, values in out.items() if column.startswith(LABEL)]
    if split == CLASSES and (not labels or (np.sum([v != "" for v in labels], axis=0) != 1).any()):
        raise FeatureImportError(
            f"{name}: every class prompt needs one class: give {name}:{LABEL}<labelling>=FILE"
        )
    for column in ARRAYS:
        if column in out:
            _check_finite(f"{name}:{column}", out[column], out["id"])
    return out


def _strings(values: np.ndarray) -> np.ndarray:
    """Labels and names as str, a missing one as an empty string; 3.0 is 3."""
    series = pd.Series(np.asarray(values))
    if series.dtype.kind == "f" and (series.dropna() % 1 == 0).all():
        series = series.astype("Int64")
    return series.astype(object).where(series.notna(), "").astype(str).to_numpy(object)


def _check_finite(name: str, values: np.ndarray, ids: np.ndarray) -> None:
    for start in range(0, len(values), store.ROWS_A_SHARD):
        block = np.asarray(values[start : start + store.ROWS_A_SHARD], np.float32)
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1) | ~block.any(axis=1))
        if len(bad):
            raise FeatureImportError(
                f"{name}: NaN, infinity or only zeros in item {ids[start + bad[0]]!r} (row {start + bad[0]}): "
                "leave it out of all arrays of its group, or encode it again"
            )


def _check_together(groups: dict[str, dict[str, np.ndarray]]) -> None:
    widths = {name: columns["features"].shape[1] for name, columns in groups.items()}
    if len(set(widths.values())) > 1:
        raise FeatureImportError(f"features of one backbone have one width, these have {widths}")
    for name, columns in groups.items():
        modality, _, split = name.partition("/")
        if modality == "text" and "group" in columns and f"image/{split}" in groups:
            strangers = sorted(set(columns["group"]) - set(groups[f"image/{split}"]["id"]) - {""})
            if strangers:
                raise FeatureImportError(
                    f"{name}:group names {len(strangers)} images that image/{split}:id lacks, such as {strangers[0]!r}"
                )


def _blocks(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(arrays["features"]), store.ROWS_A_SHARD):
        yield {
            name: np.asarray(values[start : start + store.ROWS_A_SHARD], np.float32)
            for name, values in arrays.items()
        }
