"""Arrays from the files that a user names, read without ever unpickling."""

from __future__ import annotations

import io
import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossgap import claims
from crossgap.datasets.text_files import read_text, records
from crossgap.errors import CrossgapError, like, of_machine, opened
from crossgap.keyed import file_and_key
from crossgap.naming import MODALITIES, MODALITY
from crossgap.prepared.manifest import LABEL, RESERVED, wrong_labelling

ARRAYS = ("features", "preprojection")
COLUMNS = ("id", "group", "rank", "truncated")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
AS_THEY_STAND = {"crossgap": "as they stand"}  # metadata of a column of labels that came from a store
SINGLE = (".npy", ".txt")
_NOT_NUMPYS = ("BF16", "F8_E4M3", "F8_E5M2")


class FeatureImportError(CrossgapError):
    """Arrays that can't become a feature store; the message names the array, the item and the remedy."""


@dataclass(frozen=True)
class Assignment:
    """One array of the store and the file it comes from: `image/test:label.class=labels.npz:y`.

    Attributes:
        group: `<modality>/<split>`; "image", "text", or another modality's name.
        column: `features` if not named; `preprojection`, `id`, `group`, `rank`, `truncated` or `label.<labelling>`.
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
        if not source or not re.fullmatch(MODALITY, modality) or not re.fullmatch(NAME, split):
            raise FeatureImportError(
                f"{text!r} is not image/SPLIT[:COLUMN]=FILE[:KEY] nor text/SPLIT[:COLUMN]=FILE[:KEY], or the same of "
                "another modality, of small letters and digits"
            )
        for name, known, nearness in ((modality, MODALITIES, 0.8), (split, RESERVED, 0.9)):
            if name in known or re.search(r"\d", name):  # one with a digit, as `image2`, is its own
                continue
            if meant := like(name, known, cutoff=nearness):
                raise FeatureImportError(f"{text!r} names {name!r}{meant} If not, name it otherwise")
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
        if modality == "image" and column == "truncated":
            raise FeatureImportError(
                f"{text!r}: `truncated` is of texts, which a tokenizer cuts: leave it out"
            )
        return cls(group, column, *file_and_key(source))

    def __str__(self) -> str:
        return f"{self.group}:{self.column} from {self.file}{f':{self.key}' if self.key else ''}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return (self.file,)

    @property
    def as_they_stand(self) -> bool:
        """Whether these are labels that came from a store, which are names however they look; asked once loaded."""
        if not self.column.startswith(LABEL) or self.file.suffix.lower() != ".parquet":
            return False
        schema = pq.read_schema(self.file.absolute())
        found = schema.field(_only(schema.names, self.key)).metadata or {}
        return all(found.get(key.encode()) == value.encode() for key, value in AS_THEY_STAND.items())

    def load(self) -> np.ndarray:
        """The array; nothing is unpickled."""
        suffix = self.file.suffix.lower()
        if self.file.is_dir():
            raise FeatureImportError(
                f"{self}: is a folder: give one file, into which its files are put together"
            )
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
        except claims.ClaimError as error:
            raise FeatureImportError(str(error)) from None
        except Exception as error:  # each library has its own for a damaged file
            if of_machine(error):
                raise
            raise unreadable(self, error) from None


def unreadable(what: object, error: Exception) -> FeatureImportError:
    """What a library's error at a file means; NumPy's own would advise to unpickle."""
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return FeatureImportError(
            f"{what}: holds pickled objects, which are never loaded, or is damaged; save it as plain strings or "
            "numbers (`array.astype(str)`)"
        )
    return FeatureImportError(f"{what}: can't be read: {error}")


def _npy(file: Path, _key: str | None) -> np.ndarray:
    found = np.load(file, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.ndarray):  # numpy goes by the content
        found.close()
        raise ValueError("it holds an .npz: rename it")
    return found


def _npz(file: Path, key: str | None) -> np.ndarray:
    archive = np.load(file, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it holds an .npy: rename it")
    with archive:
        name = _only(archive.files, key)
        _check_member(file, name)
        return archive[name]


def _check_member(file: Path, name: str) -> None:
    """ClaimError where an array's header claims more than its member unpacks to, or the member more than it packs."""
    with zipfile.ZipFile(file) as archive:
        entry = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
        claims.check(f"{file}:{name}", entry.file_size, entry.compress_size)
        with archive.open(entry) as member:
            version = np.lib.format.read_magic(member)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(member)
    claims.check(f"{file}:{name}", math.prod(shape) * dtype.itemsize, entry.file_size)


def _safetensors(file: Path, key: str | None) -> np.ndarray:
    from safetensors import safe_open

    with opened(file), safe_open(file, framework="numpy") as archive:
        key = _only(list(archive.keys()), key)
        if archive.get_slice(key).get_dtype() not in _NOT_NUMPYS:
            return archive.get_tensor(key)
    with opened(file), safe_open(file, framework="pt") as archive:  # which needs torch
        return archive.get_tensor(key).float().numpy()


def _csv(file: Path) -> pd.DataFrame:
    """Every value as it stands: `NA` is a name."""
    (_, header), *table = records(file, "table")
    return pd.DataFrame([fields for _, fields in table], columns=header, dtype=object)


def _parquet(file: Path, key: str | None) -> np.ndarray:
    """One column, and no other is read; lists of one length become rows."""
    name = _only(pq.read_schema(file.absolute()).names, key)
    claims.check_table(f"{file}: its table", file)
    column = pq.read_table(file.absolute(), columns=[name])[name]
    if pa.types.is_fixed_size_list(column.type) and not column.null_count:
        # a chunk's values lie one after the other: no object is made for each item
        rows = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
        flat = np.concatenate(rows) if rows else np.zeros(0, column.type.value_type.to_pandas_dtype())
        return flat.reshape(-1, column.type.list_size)
    # else a null makes floats of whole numbers
    values = column.to_pandas(integer_object_nulls=True).to_numpy()
    kind = getattr(column.type, "storage_type", column.type)  # a tensor's: it is read as a list
    several = isinstance(column.type, pa.FixedShapeTensorType) and len(column.type.shape) > 1
    if several or pa.types.is_struct(kind) or pa.types.is_map(kind):
        raise ValueError(
            f"{name} is {column.type}: give one text or whole number an item, or a list of numbers"
        )
    return _rows(values) if pa.types.is_nested(kind) else values


def _rows(values: np.ndarray) -> np.ndarray:
    """Lists of one length as rows."""
    lengths = [0 if value is None else len(value) for value in values]
    for row, length in enumerate(lengths):
        if length != lengths[0]:
            numbers = "no number" if not length else "1 number" if length == 1 else f"{length} numbers"
            raise ValueError(f"row {row} has {numbers}, row 0 has {lengths[0]}: give every item as many")
    return np.stack(list(values)) if lengths else values


def _csv_column(file: Path, key: str | None) -> np.ndarray:
    frame = _csv(file)
    return frame[_only(list(frame.columns), key)].to_numpy()


def _lines(file: Path) -> np.ndarray:
    text = io.StringIO(read_text(file, "lines"), newline=None).read()  # Windows' ends of lines too
    return np.array(text.removesuffix("\n").split("\n") if text else [], dtype=object)


_LOADERS = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
    ".csv": _csv_column,
    ".txt": lambda file, _key: _lines(file),
}


def _only(keys: list[str], key: str | None) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        asked = f"no {key!r}" if key else "several arrays: name one after a colon"
        raise KeyError(f"{asked}; it holds {', '.join(keys)}")
    if (times := keys.count(key)) > 1:
        raise KeyError(f"{key!r} is there {times} times: rename all but one")
    return key
